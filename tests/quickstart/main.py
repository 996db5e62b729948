"""Runs the quick starts, and compares the page about the server with one: see run.sh."""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Not by PYTHONPATH: what the pages run would see it, too.
sys.path.append(str(ROOT / "tests"))

import server_page
import toolchains
from blocks import BadPage, Block, Kind, first_missing, read
from harness.server import Server
from terminal import CommandFailed, Terminal

TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# A block may have to download and compile.
PATIENCE = 1500
# What is printed in another terminal may come a little after.
SOON = 30


# Not a language: docs/server.md is compared, not run.
SERVER = "server"


class Failed(Exception):
    """A page does not work as written."""


def page_of(name: str) -> Path:
    return ROOT / "docs" / ("server.md" if name == SERVER else f"quickstart-{name}.md")


def languages() -> list[str]:
    """The pages that there are, in the order of their names."""
    names = [page.stem.removeprefix("quickstart-") for page in ROOT.glob("docs/quickstart-*.md")]
    return [name for name in sorted(names) if name not in toolchains.NOT_BY_DEFAULT]


def program() -> Path:
    """The server."""
    named = os.environ.get("EVERDURE_BIN")
    found = Path(named).absolute() if named else TARGET / "release" / "everdure"
    if not os.access(found, os.X_OK):
        raise SystemExit(f"no server at {found}: cargo build --release -p everdure-cli, or name one in EVERDURE_BIN")
    return found


def check(expected: Block, terminal: Terminal) -> None:
    """Looks for the expected lines, in their order, in what one of the terminals has printed."""
    until = time.monotonic() + SOON
    while True:
        misses = [first_missing(expected.text, printed) for printed in terminal.printed()]
        if None in misses:
            return
        if time.monotonic() > until:
            raise Failed(f"line {expected.line}: this was not printed, or not in this order:\n    {misses[0]}")
        time.sleep(0.2)


def follow(page: list[Block], terminal: Terminal, port: str) -> None:
    """Does what the page says, block by block."""
    for block in page:
        text = re.sub(r"\b4001\b", port, block.text)
        try:
            if block.kind is Kind.FILE:
                text, change = toolchains.adapt(block.title, text, ROOT)
                terminal.write(block.title, text)
                if change:
                    print(f"   {change}", flush=True)
                lock = toolchains.seed_lock(block.title, ROOT)
                if lock:
                    terminal.run(lock, PATIENCE)
            elif block.kind is Kind.RUN:
                terminal.run(text, PATIENCE)
            elif block.kind is Kind.BACKGROUND:
                terminal.start(text)
            else:
                check(block, terminal)
        except (CommandFailed, ValueError) as error:
            raise Failed(f"line {block.line}: {error}") from error


def try_page(language: str, server_program: Path) -> None:
    """Runs one page in a directory of its own, and removes what it left."""
    page = read(page_of(language).read_text())
    place = Path(tempfile.mkdtemp(prefix=f"everdure-quickstart-{language}-"))
    try:
        work, tools = place / "work", place / "bin"
        work.mkdir()
        tools.mkdir()
        (tools / "everdure").symlink_to(server_program)
        toolchains.prepare(language, ROOT, work, tools)
        with Server.dev() as server:
            assert server.database_url
            environment = toolchains.environment(TARGET)
            environment["PATH"] = f"{tools}:{environment['PATH']}"
            environment["EVERDURE_DATABASE_URL"] = server.database_url
            terminal = Terminal(place, work, environment)
            try:
                follow(page, terminal, server.port)
            except Failed as failure:
                raise Failed(f"{failure}\n{told(terminal, server)}") from failure
            finally:
                terminal.close()
    finally:
        shutil.rmtree(place)


def compare_server_page(server_program: Path) -> None:
    """Finds what docs/server.md does not say."""
    with Server.dev() as server:
        wrong = server_page.problems(server_program, page_of(SERVER).read_text(), server)
    if wrong:
        raise Failed("; ".join(wrong))


def told(terminal: Terminal, server: Server) -> str:
    """The end of all that was printed, for whoever has to find out."""
    parts = zip(["the terminal", *(f"terminal {n + 2}" for n in range(len(terminal.others)))], terminal.printed())
    texts = [*parts, ("the server", server.log())]
    return "\n".join(f"--- {name}:\n{text[-4000:].rstrip()}" for name, text in texts)


def main(wanted: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server_program = program()
    os.environ["EVERDURE_BIN"] = str(server_program)
    passed, failed, skipped = 0, 0, 0
    for name in wanted or [SERVER, *languages()]:
        page = page_of(name)
        if not page.exists():
            raise SystemExit(f"no page {page}")
        missing = toolchains.missing(name)
        if missing:
            skipped += 1
            print(f"skipped: {name}: this machine has no {', '.join(missing)}", flush=True)
            continue
        print(f"== {page.relative_to(ROOT)}", flush=True)
        begun = time.monotonic()
        try:
            if name == SERVER:
                compare_server_page(server_program)
            else:
                try_page(name, server_program)
        except (Failed, BadPage, AssertionError, OSError) as error:
            failed += 1
            print(f"FAILED: {page.relative_to(ROOT)}, {error}", flush=True)
        else:
            passed += 1
            print(f"   as written, in {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
