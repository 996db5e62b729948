"""Server processes: started on free ports, stopped or killed, and never left behind."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from harness.waiting import eventually

READY_WITHIN = 90.0


def binary() -> str:
    """The server under test; run.sh names it."""
    return os.environ["EVERDURE_BIN"]


class Server:
    """One `everdure dev` or `everdure serve` process, the address that it listens on, and what can be seen of it."""

    def __init__(self, arguments: list[str]):
        # The log goes to a file: nobody reads it while all is well, and a pipe that nobody reads fills up.
        self._log = tempfile.NamedTemporaryFile("w+", prefix="everdure-", suffix=".log", delete=False)
        self._process = subprocess.Popen(
            [binary(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={"EVERDURE_LOG": "warn", **os.environ, "RUST_BACKTRACE": "1"},
        )
        self.database_url: str | None = None
        self.address = ""
        # What it says on standard output, before it listens and after.
        self.said: list[str] = []
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        try:
            self._await_address(lines)
        except BaseException:
            self.kill()
            raise

    @classmethod
    def dev(cls, data_dir: Path | None = None, listen: str = "127.0.0.1:0", *arguments: str) -> Server:
        """A server with an embedded PostgreSQL; the data goes with the process unless it is given a directory."""
        keep = ["--data-dir", str(data_dir)] if data_dir else []
        return cls(["dev", "--json", "--listen", listen, *keep, *arguments])

    @classmethod
    def serve(cls, database_url: str, listen: str = "127.0.0.1:0", *arguments: str) -> Server:
        """A server on a database that is there already."""
        return cls(["serve", "--database-url", database_url, "--listen", listen, *arguments])

    def _read(self, lines: queue.Queue[str | None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line)
            lines.put(line)
        lines.put(None)

    def _await_address(self, lines: queue.Queue[str | None]) -> None:
        while not self.address:
            try:
                line = lines.get(timeout=READY_WITHIN)
            except queue.Empty:
                raise AssertionError(f"the server did not say where it listens:\n{self.log()}") from None
            if line is None:
                raise AssertionError(f"the server ended before it listened:\n{self.log()}")
            if line.startswith("{"):
                self.database_url = json.loads(line)["url"]
            if found := re.search(r"listening on (\S+:\d+)", line):
                self.address = found.group(1)

    def whole_log(self) -> str:
        """What the server said on standard error."""
        return Path(self._log.name).read_text(errors="replace")

    def log(self) -> str:
        """The end of it."""
        return self.whole_log()[-8000:]

    def panics(self) -> list[str]:
        """Threads that died: each with the line that says why."""
        lines = self.whole_log().splitlines()
        return [" ".join(lines[at : at + 2]) for at, line in enumerate(lines) if "panicked" in line]

    def assert_well(self) -> None:
        """Fails if the server is gone, or a thread of it died."""
        assert self.running, f"the server ended by itself:\n{self.log()}"
        assert not self.panics(), "\n".join(self.panics()[:10])

    @property
    def pid(self) -> int:
        """The process: the server's alone, for PostgreSQL has processes of its own."""
        return self._process.pid

    @property
    def port(self) -> str:
        return self.address.rsplit(":", 1)[1]

    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the server is gone")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def page(self, path: str) -> str:
        """What it says over plain HTTP."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """The status and the text of a page, also of one that tells of an error."""
        request = urllib.request.Request(f"http://{self.address}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the lines of a metric that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in self.page("/metrics").splitlines():
            if line.startswith((name + " ", name + "{")) and all(label in line for label in wanted):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def await_workers(self, hub: str, count: int) -> None:
        """Waits until a task hub has so many streams here: a client that opens or ends one is not told when it has."""
        eventually(f"{hub} has {count} workers", lambda: self.metric("everdure_connected_workers", hub=hub) == count)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process as a crash would: with no chance to say goodbye."""
        self._process.kill()
        self._end()

    def terminate(self) -> None:
        """Asks the process to end, and does not wait."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 60.0) -> int:
        """Waits for the end of the process and returns its exit code."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """Ends the process in the orderly way; one that does not follow is killed, and told about."""
        if not self.running:
            self._end()
            return
        self.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not end within a minute of SIGTERM") from None
        self._end()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self) -> None:
        self._process.wait()
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)
