"""Everdure seen from the published Python SDK.

How the suite is organised:

- `run.sh` makes the virtual environment (`requirements.txt`, all pinned), names the server, and calls pytest.
- `tests/harness` has what other suites use as well: servers, waiting, refusals.
- `support/` is what tests share: `app.py` (one task hub with its clients and workers), `histories.py`, `counters.py`,
  `payloads.py`, `programs.py` (workers in processes of their own, to be killed).
- `test_*.py`, one topic each: what an orchestration can do (calls, timers, events, sub-orchestrations, retries,
  continue-as-new, entities), what a client can do with it (start, wait, query, suspend, terminate, rewind, restart,
  purge, history), what a worker can be told (versions, filters, converters, payload stores), the parts built on top
  (schedules, history export), and what happens when processes die or multiply.
- `test_nothing_forgotten.py` compares the suite with the public names of the packages.

A name like `test_c24_...` shows line 24 of the protocol's conformance checklist; `test_c24_c25_...` shows two. What the SDK's
own worker hides is for `tests/wire`.

One server with an embedded PostgreSQL lives for the session; each test has a task hub of its own on it (`app`).
Tests that end servers start their own (`servers`). Nothing is mocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.server import Server
from support.app import App, Stopper, new_hub
from support.programs import Programs

pytest_plugins = ["harness.fixtures"]


@pytest.fixture(scope="session")
def stopper(server: Server) -> Iterator[Stopper]:
    stopper = Stopper()
    yield stopper
    stopper.finish()


@pytest.fixture
def new_app(server: Server, stopper: Stopper) -> Iterator[Callable[..., App]]:
    """Makes apps: of other hubs, or of other servers."""
    apps: list[App] = []

    def make(of: Server | None = None, hub: str | None = None, keep_hub: bool = False) -> App:
        # The hub of another server goes with that server's database.
        app = App(of or server, hub or new_hub(), stopper, delete_hub=of is None and not keep_hub)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.close()


@pytest.fixture
def app(new_app: Callable[..., App]) -> App:
    """A task hub of its own on the server of the session."""
    return new_app()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Workers in processes of their own."""
    programs = Programs(tmp_path)
    yield programs
    programs.end()
