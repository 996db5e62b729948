"""A shell that stands for the reader's terminal, and what runs in others meanwhile."""

import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

GRACE = 10


class CommandFailed(Exception):
    """A block of commands did not end well, or not in time."""


class Terminal:
    """One shell for a whole page: a directory that was changed, or a variable that was set, stays so."""

    def __init__(self, scratch: Path, work: Path, environment: dict[str, str]):
        self.scratch = scratch
        self.output = scratch / "terminal.log"
        self.others: list[Path] = []
        self.blocks = 0
        done, told = os.pipe()
        with self.output.open("wb") as log:
            self.shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-s"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=work,
                env=environment,
                pass_fds=(told,),
                start_new_session=True,
            )
        os.close(told)
        self.done, self.told = done, told
        self._do("set -e -o pipefail", GRACE)

    def run(self, commands: str, patience: float) -> None:
        """Runs the commands and waits for their end."""
        # Programs get no standard input, for it is where the shell's next commands come from.
        self._do(f"source {shlex.quote(str(self._keep(commands)))} </dev/null {self.told}>&-", patience)

    def start(self, commands: str) -> None:
        """Runs the commands beside the page, in the directory where it is now."""
        script = self._keep(commands)
        log = script.with_suffix(".log")
        self.others.append(log)
        self._do(f"bash -e {shlex.quote(str(script))} </dev/null >{shlex.quote(str(log))} 2>&1 {self.told}>&- &", GRACE)

    def write(self, title: str, text: str) -> None:
        """Writes a file where the shell is now."""
        parent = os.path.dirname(title) or "."
        copy = f"cp {shlex.quote(str(self._keep(text)))} {shlex.quote(title)}"
        self._do(f"mkdir -p {shlex.quote(parent)}; {copy}", GRACE)

    def printed(self) -> list[str]:
        """What was printed so far: in the terminal itself, then in each of the others."""
        logs = [self.output, *self.others]
        return [log.read_text(errors="replace") if log.exists() else "" for log in logs]

    def close(self) -> None:
        """Ends the shell with all that it started; once is enough."""
        if self.done < 0:
            return
        self._signal(signal.SIGTERM)
        until = time.monotonic() + GRACE
        while self._signal(0) and time.monotonic() < until:
            self.shell.poll()
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self.shell.wait()
        if self.shell.stdin:
            self.shell.stdin.close()
        os.close(self.done)
        self.done = -1

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.shell.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _keep(self, text: str) -> Path:
        self.blocks += 1
        place = self.scratch / f"block-{self.blocks}.sh"
        place.write_text(text)
        return place

    def _do(self, command: str, patience: float) -> None:
        """Has the shell do something, and waits until it has."""
        assert self.shell.stdin
        self.shell.stdin.write(f"{command}\necho >&{self.told}\n".encode())
        self.shell.stdin.flush()
        ready, _, _ = select.select([self.done], [], [], patience)
        if not ready:
            raise CommandFailed(f"not done after {patience:.0f} s")
        # The shell ends at a command that fails, and with it the pipe.
        if not os.read(self.done, 1):
            raise CommandFailed(f"a command failed with exit code {self.shell.wait()}")
