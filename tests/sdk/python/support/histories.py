"""Histories in short: what happened, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from durabletask import history

E = TypeVar("E", bound=history.HistoryEvent)


def kinds(events: Sequence[history.HistoryEvent]) -> list[str]:
    """The names of the events, without the word that they all end in."""
    return [type(event).__name__.removesuffix("Event") for event in events]


def of_kind(events: Sequence[history.HistoryEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def only(events: Sequence[history.HistoryEvent], kind: type[E]) -> E:
    """The one event of this kind."""
    found = of_kind(events, kind)
    assert len(found) == 1, f"{len(found)} events of {kind.__name__} in {kinds(events)}"
    return found[0]
