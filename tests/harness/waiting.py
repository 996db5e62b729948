"""Waiting for conditions, with a name for what did not come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")

PATIENCE = 45.0


def eventually(what: str, condition: Callable[[], T | Literal[False] | None], timeout: float = PATIENCE) -> T:
    """Asks `condition` again and again until it is true, and returns what it said."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s in vain: {what}")
        time.sleep(0.05)


class Gate:
    """Something that activities wait at until the test opens it; the test sees who has arrived."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._arrived: list[object] = []

    def enter(self, who: object = None) -> None:
        """Called by user code: says that it is there, and waits."""
        with self._lock:
            self._arrived.append(who)
        if not self._opened.wait(PATIENCE):
            raise AssertionError("the test never opened the gate")

    def arrived(self) -> list[object]:
        with self._lock:
            return list(self._arrived)

    def await_arrivals(self, count: int = 1) -> list[object]:
        return eventually(f"{count} at the gate", lambda: len(self.arrived()) >= count and self.arrived())

    def open(self) -> None:
        self._opened.set()
