"""Fixtures of the hostile tests: a server of their own that is looked at after each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness.server import Server
from kit.hub import Hub
from kit.siege import Proof, Sender


@pytest.fixture
def hub(fort: Server, new_hub: Callable[..., Hub]) -> Hub:
    return new_hub(fort)


@pytest.fixture(autouse=True)
def alive(fort: Server) -> Iterator[None]:
    proof = Proof(fort)
    yield
    proof.check()


@pytest.fixture
def sender(hub: Hub) -> Iterator[Sender]:
    sender = Sender(hub)
    yield sender
    sender.channel.close()
