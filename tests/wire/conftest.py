"""Everdure seen on the wire: raw calls and a worker made by hand, so that each test decides what is said and when.

- `run.sh` makes the virtual environment (shared with tests/sdk/python, which has the compiled messages), and calls pytest.
- `tests/harness` has what other suites use as well: servers, their database, waiting, refusals.
- `kit/` is what tests share: `hub.py` (a task hub and its calls), `worker.py` (a stream of work items), `entities.py`
  (operations of entities), `fuzz.py` (hostile messages).
- `test_*.py`, one topic each. A name like `test_c38_...` shows line 38 of the list in docs/protocol.md.

One server with an embedded PostgreSQL lives for the session; each test has a task hub of its own on it. Tests that end
servers start their own. Nothing is mocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.server import Server
from kit.hub import Hub
from kit.worker import Worker

pytest_plugins = ["harness.fixtures"]

Connect = Callable[..., Worker]


@pytest.fixture(scope="session")
def fort() -> Iterator[Server]:
    """A server of its own for hostile messages: its memory and its log tell of nothing else."""
    server = Server.dev()
    yield server
    assert server.running, f"the server ended by itself:\n{server.log()}"
    server.stop()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Streams that end with the test, before its hub does."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def new_hub(server: Server) -> Iterator[Callable[..., Hub]]:
    """Makes task hubs: on the server of the session, or on another."""
    hubs: list[tuple[Hub, bool]] = []

    def make(of: Server | None = None, name: str | None = None, options: Any = None) -> Hub:
        hub = Hub((of or server).address, name, options)
        # Those of another server go with it.
        hubs.append((hub, of is None and hub.name != ""))
        return hub

    yield make
    for hub, delete in hubs:
        hub.close(delete)


@pytest.fixture
def hub(new_hub: Callable[..., Hub]) -> Hub:
    return new_hub()


@pytest.fixture
def connect(hub: Hub, workers: list[Worker]) -> Connect:
    """Opens a stream of work items, each on a connection of its own; `to` names another hub or server."""

    def connect(to: Hub | None = None, address: str | None = None, options: Any = None, **request: Any) -> Worker:
        workers.append(Worker((to or hub).connect(address, options), **request))
        return workers[-1]

    return connect


@pytest.fixture
def pair(servers: Callable[[Server], Server], server: Server) -> tuple[Server, Server]:
    """Two servers on one database, which may end."""
    assert server.database_url
    url = server.database_url
    first, second = (servers(Server.serve(url, "127.0.0.1:0", "--drain", "5")) for _ in range(2))
    return first, second
