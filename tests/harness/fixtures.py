"""Fixtures of every suite: a server for the session, others for a test, a place for their data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server of the session."""
    server = Server.dev()
    yield server
    server.assert_well()
    server.stop()


@pytest.fixture(scope="session")
def second_server(server: Server) -> Iterator[Server]:
    """Another server on the database of the first."""
    assert server.database_url
    second = Server.serve(server.database_url)
    yield second
    second.assert_well()
    second.stop()


@pytest.fixture
def servers(data_dir: Path) -> Iterator[Callable[[Server], Server]]:
    """Keeps servers that a test starts, and ends what the test left running."""
    # Asked for so that it goes after them: without its files a database ends by itself, and the server waits for it.
    del data_dir
    # The last one first: a server that uses another one's database goes before it. One that fails to stop
    # leaves no other running.
    with ExitStack() as kept:
        yield kept.enter_context


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Where a server keeps its data: a directory that PostgreSQL's account can reach, too, when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="everdure-data-") as parent:
        Path(parent).chmod(0o711)
        yield Path(parent) / "data"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "late: runs after all others")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for something that takes its time comes last, when most of that time has passed."""
    items.sort(key=lambda item: item.get_closest_marker("late") is not None)
