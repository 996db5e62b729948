"""For how long what has ended is kept. First in the alphabet: what the second test waits for takes its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.database import everdure
from harness.server import Server
from harness.waiting import eventually
from kit.hub import COMPLETED, FAILED, Hub
from kit.worker import Worker, complete, failure, sub, success


@pytest.fixture(scope="session", autouse=True)
def aging(server: Server) -> Iterator[Hub]:
    """A hub in which completed instances are kept for a second, those of one name for long, and failed ones for ever."""
    hub, other = Hub(server.address), Hub(server.address)
    # A server looks at the hubs that it has open: one with a worker is.
    worker = Worker(hub.connect())
    for of, name in ((hub, "orch"), (hub, "kept"), (hub, "family"), (hub, "failed")):
        of.start(name, id=name)
        item = worker.turn()
        if name == "family":
            worker.end_turn(item, sub(1, "child"))
            worker.end_turn(worker.turn(), complete(1))
            item = worker.turn()
        status, details = (FAILED, failure()) if name == "failed" else (COMPLETED, None)
        worker.end_turn(item, complete(9, "1", status, failureDetails=details))
        of.wait(name)
    hub.start("running", id="running")
    worker.end_turn(worker.turn())
    hub.start("nobody", id="terminated")
    held = worker.turn()
    hub.terminate("terminated")
    worker.end_turn(held)
    hub.wait("terminated")
    hub.signal("@counter@1")
    worker.end_batch(worker.batch(), [success("1")], "1")
    second = Worker(other.connect())
    other.start(id="elsewhere")
    second.end_turn(second.turn(), complete(1))
    other.wait("elsewhere")
    for name, value in (
        ("retention.completed", "1s"), ("retention.completed/kept", "30d"), ("retention.terminated", "1h"),
    ):  # fmt: skip
        done = everdure("settings", "set", "--hub", hub.name, name, value, database_url=server.database_url)
        assert done.returncode == 0, done.stderr
    hub.neighbour = other  # type: ignore[attr-defined]
    yield hub
    for stream, of in ((worker, hub), (second, other)):
        stream.close()
        of.close(delete=True)


WRONG = [("retention.completed", "soon"), ("retention.nothing", "1s"), ("retention.failed", "-1s")]


@pytest.mark.parametrize("name, value", WRONG)
def test_c93_settings_that_make_no_sense(server: Server, aging: Hub, name: str, value: str):
    done = everdure("settings", "set", "--hub", aging.name, name, value, database_url=server.database_url)
    assert done.returncode != 0 and done.stderr


@pytest.mark.late
def test_c93_what_has_had_its_time_goes_and_nothing_else(aging: Hub):
    # A node looks once a minute.
    eventually("it was removed", lambda: not aging.get("orch").exists, timeout=140)
    eventually("the child goes as well", lambda: not aging.get("child").exists, timeout=70)
    eventually("and its parent", lambda: not aging.get("family").exists, timeout=70)
    assert {id for id in ("kept", "failed", "running", "terminated") if aging.get(id).exists} == {
        "kept", "failed", "running", "terminated",
    }  # fmt: skip
    assert aging.entity("@counter@1").exists
    neighbour: Hub = aging.neighbour  # type: ignore[attr-defined]
    assert neighbour.get("elsewhere").exists
    page = aging.calls.QueryInstances(pb.QueryInstancesRequest(query=pb.InstanceQuery()))
    assert {state.instanceId for state in page.orchestrationState} == {"kept", "failed", "running", "terminated"}
