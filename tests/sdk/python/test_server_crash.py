"""Servers that are killed, restarted, and asked to end, while workers and clients stay."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from durabletask import history, task
from durabletask.client import OrchestrationState
from durabletask.entities import EntityInstanceId
from durabletask.grpc_options import GrpcChannelOptions

from harness.server import Server
from harness.waiting import Gate, eventually
from support.app import App, Stopper, new_hub
from support.counters import counter
from support.histories import of_kind

# gRPC waits longer and longer between attempts to connect; here the server is always back soon.
PERSISTENT = GrpcChannelOptions(raw_options=[("grpc.max_reconnect_backoff_ms", 500)])

Keep = Callable[[Server], Server]
NewApp = Callable[..., App]


def wait_through(app: App, id: str, seconds: float = 90) -> OrchestrationState:
    """Waits for the end of an instance over any number of servers that go away."""
    client = app.new_client(channel_options=PERSISTENT)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = client.wait_for_orchestration_completion(id, timeout=seconds)
            assert state is not None, f"{id} is lost"
            return state
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error  # type: ignore[attr-defined]
            time.sleep(0.1)
    raise AssertionError(f"{id} did not end in {seconds} s")


class Work:
    """Activities that count their runs, one of which waits at a gate."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.runs: list[str] = []

    def functions(self) -> tuple[list[Any], list[Any]]:
        def quick(_: task.ActivityContext, name: str) -> str:
            self.runs.append(name)
            return f"{name} done"

        def slow(_: task.ActivityContext, name: str) -> str:
            self.runs.append(name)
            self.gate.enter()
            return f"{name} done"

        def steps(ctx: task.OrchestrationContext, _: Any):
            first = yield ctx.call_activity(quick, input="first")
            timer = ctx.create_timer(timedelta(seconds=1))
            second = yield ctx.call_activity(slow, input="second")
            yield timer
            event = yield ctx.wait_for_external_event("go")
            total = yield ctx.call_entity(EntityInstanceId("counter", ctx.instance_id), "add", 4)
            return [first, second, event, total]

        return [steps], [quick, slow]


class Crash:
    """An app on a server of its own that can be killed and started again at the same address."""

    def __init__(self, database_url: str, app: App):
        self._url = database_url
        self.app = app

    @classmethod
    def begin(cls, server: Server, stopper: Stopper) -> Crash:
        assert server.database_url
        own = Server.serve(server.database_url)
        return cls(server.database_url, App(own, new_hub(), stopper, delete_hub=False))

    def kill_and_restart(self) -> None:
        address = self.app.server.address
        self.app.server.kill()
        self.app.server = Server.serve(self._url, address)

    def end(self) -> None:
        self.app.close()
        self.app.server.stop()


@pytest.fixture
def crash(server: Server, stopper: Stopper) -> Iterator[Crash]:
    crash = Crash.begin(server, stopper)
    yield crash
    crash.end()


@pytest.fixture(scope="module", autouse=True)
def killed_in_an_activity(server: Server, stopper: Stopper) -> Iterator[tuple[Crash, Work, str]]:
    """Killed when the tests of this file begin: the lease of the dead server passes beside the other tests."""
    crash, work = Crash.begin(server, stopper), Work()
    crash.app.worker(*work.functions(), entities=[counter], channel_options=PERSISTENT)
    id = crash.app.start("steps")
    work.gate.await_arrivals()
    crash.app.client.raise_orchestration_event(id, "go", data="before the crash")
    crash.kill_and_restart()
    work.gate.open()
    yield crash, work, id
    crash.end()


def test_c67_the_server_is_killed_again_and_again(crash: Crash):
    app = crash.app

    runs: list[int] = []

    def add_one(_: task.ActivityContext, number: int) -> int:
        runs.append(number)
        return number + 1

    def chain(ctx: task.OrchestrationContext, number: int):
        for _ in range(8):
            number = yield ctx.call_activity(add_one, input=number)
            yield ctx.create_timer(timedelta(milliseconds=150))
        yield ctx.call_entity(EntityInstanceId("counter", "total"), "add", 1)
        return number

    app.worker([chain], [add_one], [counter], channel_options=PERSISTENT)
    ids = [app.start(chain, number * 100) for number in range(30)]
    for _ in range(3):
        # In the middle of the work; what is hit is left to chance, and nothing may be lost or doubled.
        enough = len(runs) + 40
        eventually("work goes on", lambda: len(runs) >= enough)  # noqa: B023
        crash.kill_and_restart()
    for number, id in enumerate(ids):
        assert wait_through(app, id).get_output() == number * 100 + 8
    client = app.new_client()
    for id in ids:
        events = client.get_orchestration_history(id)
        assert len(of_kind(events, history.TaskCompletedEvent)) == 8
        assert len(of_kind(events, history.TimerFiredEvent)) == 8
    metadata = client.get_entity(EntityInstanceId("counter", "total"))
    assert metadata is not None and metadata.get_typed_state() == 30


def test_c67_the_data_stays_in_its_directory(data_dir: Path, servers: Keep, new_app: NewApp):
    """`everdure dev --data-dir`, killed with its PostgreSQL and all, and started again."""
    first = servers(Server.dev(data_dir))
    app = new_app(of=first)
    work = Work()
    # A filter keeps its hands off the instance that is to wait.
    app.worker(
        *work.functions(), entities=[counter], channel_options=PERSISTENT,
        before_start=lambda worker: worker.use_work_item_filters(),
    )  # fmt: skip
    done = app.start("steps")
    app.client.raise_orchestration_event(done, "go", data=1)
    work.gate.await_arrivals()
    waiting = app.start("nobody", {"kept": True}, tags={"kept": "yes"})
    first.kill()
    second = servers(Server.dev(data_dir, first.address))
    assert second.database_url == first.database_url
    app.server = second
    work.gate.open()
    assert wait_through(app, done).get_output() == ["first done", "second done", 1, 4]
    state = app.new_client().get_orchestration_state(waiting)
    assert state is not None and state.get_input() == {"kept": True} and state.runtime_status.name == "PENDING"


def test_c68_the_database_is_restarted(data_dir: Path, servers: Keep, new_app: NewApp):
    """A server and its workers live through a restart of PostgreSQL."""
    database = servers(Server.dev(data_dir))
    assert database.database_url
    server = servers(Server.serve(database.database_url))
    app = new_app(of=server)
    work = Work()
    app.worker(*work.functions(), entities=[counter], channel_options=PERSISTENT)
    id = app.start("steps")
    work.gate.await_arrivals()
    database.stop()
    again = servers(Server.dev(data_dir))
    assert again.database_url == database.database_url
    work.gate.open()

    def raise_event() -> None:
        app.client.raise_orchestration_event(id, "go", data="after")

    deadline = time.monotonic() + 60
    while True:
        try:
            raise_event()
            break
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error  # type: ignore[attr-defined]
            assert time.monotonic() < deadline, "the server never found its database again"
            time.sleep(0.2)
    assert wait_through(app, id).get_output() == ["first done", "second done", "after", 4]
    assert server.running
    # Servers end before the database that they use.
    server.stop()


def ready(server: Server) -> bool:
    """Whether a balancer would send anybody there."""
    try:
        server.page("/readyz")
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return False
    return True


def test_c94_a_server_that_ends_lets_workers_finish(server: Server, servers: Keep, new_app: NewApp):
    assert server.database_url
    app = new_app(of=servers(Server.serve(server.database_url)))
    work = Work()
    app.worker(*work.functions(), entities=[counter], channel_options=PERSISTENT)
    id = app.start("steps")
    app.client.raise_orchestration_event(id, "go", data="x")
    work.gate.await_arrivals()
    ending = app.server
    ending.terminate()
    # While it drains, nobody new comes in, but what is in flight may be handed in.
    eventually("it drains", lambda: not ready(ending))
    work.gate.open()
    assert ending.wait(60) == 0
    app.server = servers(Server.serve(server.database_url, ending.address))
    assert wait_through(app, id).get_output() == ["first done", "second done", "x", 4]
    assert work.runs.count("first") == work.runs.count("second") == 1


def test_c67_the_server_is_killed_in_an_activity(killed_in_an_activity: tuple[Crash, Work, str]):
    crash, work, id = killed_in_an_activity
    assert wait_through(crash.app, id).get_output() == ["first done", "second done", "before the crash", 4]
    # The result of the second may have come to the new server in time, or it ran again.
    assert work.runs.count("first") == 1 and work.runs.count("second") <= 2
    events = crash.app.new_client().get_orchestration_history(id)
    assert [event.result for event in of_kind(events, history.TaskCompletedEvent)] == ['"first done"', '"second done"']
