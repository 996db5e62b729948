"""Workers in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.waiting import eventually
from support.app import App

PROGRAM = Path(__file__).parent.parent / "program.py"


class Programs:
    """Runs `program.py` any number of times with one directory for notes and for the gate."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, app: App, address: str | None = None) -> subprocess.Popen[bytes]:
        # It ends with its standard input, so that it does not outlive a test run that is killed.
        process = subprocess.Popen(
            [sys.executable, "-B", str(PROGRAM), address or app.address, app.hub, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """What `kill -9` does."""
        process.kill()
        process.wait()

    def runs(self) -> list[str]:
        """The names of what ran, in order, in all processes."""
        return [line.split()[0] for line in self._lines()]

    def runners(self, name: str) -> list[int]:
        """The processes in which something ran."""
        return [int(line.split()[1]) for line in self._lines() if line.split()[0] == name]

    def await_run(self, name: str, times: int = 1) -> None:
        eventually(f"{name} runs for the {times}. time", lambda: self.runs().count(name) >= times)

    def open_gate(self) -> None:
        (self.directory / "gate").touch()

    def _lines(self) -> list[str]:
        runs = self.directory / "runs"
        return runs.read_text().splitlines() if runs.exists() else []

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
