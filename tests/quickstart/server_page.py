"""Compares docs/server.md with a server: its options with their defaults, its metrics, its paths."""

import re
import subprocess
from pathlib import Path

from harness.server import Server

# Explained where the database is, or of no use to whoever runs a server.
ELSEWHERE = {"--help", "--version"}
OPTION = re.compile(r"^\s+(?:-\w, )?(--[a-z-]+)", re.MULTILINE)
DEFAULT = re.compile(r"^\s+(?:-\w, )?(--[a-z-]+)[^\n]*\n(?:(?!\s+(?:-\w, )?--).*\n)*?\s+\[default: ([^\]\s]+)\]", re.MULTILINE)
METRIC = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)


def rows(page: str) -> dict[str, str]:
    """The rows of the page's tables by each name in their first cell."""
    found = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            first, rest = line.strip("|").split("|", 1)
            for name in re.findall(r"`([^`]+)`", first):
                found[name.split()[0]] = rest
    return found


def problems(program: Path, page: str, server: Server) -> list[str]:
    """What the page does not say, or says of something that is not there."""
    table = rows(page)
    wrong = []
    usage = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    options = set(OPTION.findall(usage)) - ELSEWHERE
    wrong += [f"the option {option} is not on the page" for option in sorted(options - table.keys())]
    wrong += [
        f"the page has an option {name} that `everdure serve` does not have"
        for name in sorted(table.keys() - options)
        if name.startswith("--")
    ]
    for option, default in DEFAULT.findall(usage):
        if option in table and default not in table[option]:
            wrong.append(f"the page does not say that {option} is {default} by default")
    metrics = set(METRIC.findall(server.page("/metrics")))
    wrong += [f"the metric {metric} is not on the page" for metric in sorted(metrics - table.keys())]
    wrong += [
        f"the page has a metric {name} that the server does not have"
        for name in sorted(table.keys() - metrics)
        if name.startswith("everdure_")
    ]
    for path, answer in [("/healthz", "ok"), ("/readyz", "ready")]:
        if path not in table or f"`{answer}`" not in table[path] or server.page(path).strip() != answer:
            wrong.append(f"{path} does not answer what the page says")
    return wrong
