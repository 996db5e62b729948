"""Reads the parts of a page that are run, in their order.

A page is Markdown; what stands behind the three backticks says what a block is:

    python title=worker.py    a file, written into the directory that the reader is in by then
    sh run                    commands, in the reader's terminal
    sh run background         commands, in a terminal of their own, which go on while the page goes on
    text output               lines that the commands before have printed; "…" stands for anything

All other blocks are only read.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

FENCE = re.compile(r"^(`{3,})(.*)$")
TITLE = re.compile(r"(?:^|\s)title=(\S+)")


class Kind(Enum):
    """What is done with a block."""

    FILE = auto()
    RUN = auto()
    BACKGROUND = auto()
    OUTPUT = auto()


@dataclass(frozen=True)
class Block:
    """A part of a page, with the number of its first line."""

    kind: Kind
    text: str
    line: int
    title: str = ""


class BadPage(Exception):
    """The page cannot be run as it is."""


def kind_of(info: str) -> tuple[Kind, str] | None:
    """What the words behind the backticks ask for; None when the block is only read."""
    words = info.split()
    title = TITLE.search(info)
    if title:
        return Kind.FILE, title.group(1)
    if words[:2] == ["text", "output"]:
        return Kind.OUTPUT, ""
    if words[:1] in (["sh"], ["bash"]) and "run" in words[1:]:
        return (Kind.BACKGROUND if "background" in words else Kind.RUN), ""
    return None


def read(page: str) -> list[Block]:
    """The blocks of a page that are written, run or compared."""
    blocks = []
    lines = page.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if not opening:
            continue
        begin = number
        while number < len(lines) and lines[number].rstrip() != opening.group(1):
            number += 1
        if number == len(lines):
            raise BadPage(f"line {begin}: the block is not closed")
        found = kind_of(opening.group(2))
        if found:
            kind, title = found
            text = "\n".join(lines[begin:number]) + "\n"
            blocks.append(Block(kind, text, begin + 1, title))
        number += 1
    if not any(block.kind is Kind.RUN for block in blocks):
        raise BadPage("nothing on the page is run")
    if not any(block.kind is Kind.OUTPUT for block in blocks):
        raise BadPage("no output on the page is compared")
    return blocks


def squeeze(line: str) -> str:
    """The line without what only aligns it."""
    return " ".join(line.split())


def pattern(line: str) -> re.Pattern[str]:
    """What finds an expected line in one that was printed."""
    return re.compile(".*?".join(re.escape(part.strip()) for part in squeeze(line).split("…")))


def first_missing(expected: str, printed: str) -> str | None:
    """The first expected line that is not in the output, in the order of the page; None when all are there."""
    rest = iter([squeeze(line) for line in printed.splitlines()])
    for line in expected.splitlines():
        if not line.strip(" …"):
            continue
        wanted = pattern(line)
        if not any(wanted.search(candidate) for candidate in rest):
            return line
    return None
