"""Whether the harness notices what it is there to notice. No server is needed."""

import os
import tempfile
import time
import unittest
from pathlib import Path

import toolchains
from blocks import BadPage, Kind, first_missing, read
from terminal import CommandFailed, Terminal

PAGE = """# A page

```sh
not run
```

```python title=a/b.py
print("hello")
```

```sh run
python3 a/b.py
```

```text output
hello
```
"""


class Blocks(unittest.TestCase):
    def test_only_marked_blocks_are_taken(self) -> None:
        blocks = read(PAGE)
        self.assertEqual([block.kind for block in blocks], [Kind.FILE, Kind.RUN, Kind.OUTPUT])
        self.assertEqual((blocks[0].title, blocks[0].text, blocks[0].line), ("a/b.py", 'print("hello")\n', 8))

    def test_a_page_that_shows_nothing_is_refused(self) -> None:
        for bad in [PAGE.replace("sh run", "sh"), PAGE.replace("text output", "text"), PAGE + "```sh run\n"]:
            with self.assertRaises(BadPage):
                read(bad)

    def test_output_is_compared_in_order(self) -> None:
        printed = "one  1\ntwo\nthree 3 x\n"
        self.assertIsNone(first_missing("one 1\nthree … x\n", printed))
        self.assertEqual(first_missing("two\none 1\n", printed), "one 1")
        self.assertEqual(first_missing("four\n", printed), "four")
        self.assertEqual(first_missing("two\ntwo\n", printed), "two")


class Terminals(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.scratch, self.work = Path(place.name) / "scratch", Path(place.name) / "work"
        self.scratch.mkdir()
        self.work.mkdir()
        self.terminal = Terminal(self.scratch, self.work, dict(os.environ))
        self.addCleanup(self.terminal.close)

    def test_a_directory_and_a_variable_stay(self) -> None:
        self.terminal.run("mkdir inner && cd inner && export GREETING=hello", 10)
        self.terminal.write("file.txt", "content\n")
        self.terminal.run('cat file.txt; echo "$GREETING"', 10)
        self.assertEqual(self.terminal.printed(), ["content\nhello\n"])
        self.assertTrue((self.work / "inner" / "file.txt").exists())

    def test_a_failing_command_ends_its_block(self) -> None:
        with self.assertRaisesRegex(CommandFailed, "exit code 3"):
            self.terminal.run("echo before\n(exit 3)\necho after", 10)
        self.assertEqual(self.terminal.printed(), ["before\n"])

    def test_a_command_that_hangs_is_given_up(self) -> None:
        with self.assertRaisesRegex(CommandFailed, "not done"):
            self.terminal.run("sleep 60", 0.2)

    def test_the_shell_does_not_lose_its_commands_to_a_program(self) -> None:
        self.terminal.run("cat", 10)
        self.terminal.run("echo still here", 10)
        self.assertEqual(self.terminal.printed(), ["still here\n"])

    def test_closing_ends_what_runs_beside(self) -> None:
        self.terminal.start("echo $$; exec sleep 60")
        until = time.monotonic() + 10
        while not self.terminal.printed()[1].endswith("\n") and time.monotonic() < until:
            time.sleep(0.02)
        number = int(self.terminal.printed()[1])
        self.terminal.close()
        self.assertFalse(runs(number))


def runs(number: int) -> bool:
    """Whether the process lives; one that is only waited for does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Toolchains(unittest.TestCase):
    def test_the_git_dependency_is_replaced_once(self) -> None:
        line = 'everdure = { git = "https://example.org/x" }\n'
        text, change = toolchains.adapt("Cargo.toml", f"[dependencies]\n{line}", Path("/here"))
        self.assertEqual(text, '[dependencies]\neverdure = { path = "/here/crates/sdk" }\n')
        self.assertIsNotNone(change)
        for bad in ["", line + line]:
            with self.assertRaises(ValueError):
                toolchains.adapt("Cargo.toml", bad, Path("/here"))


if __name__ == "__main__":
    unittest.main()
