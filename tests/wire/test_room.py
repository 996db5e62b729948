"""Workers that have no room: what waits for them keeps no other worker idle, here or at another server."""

from __future__ import annotations

import time
from collections.abc import Callable

from conftest import Connect
from harness.database import transactions
from harness.server import Server
from harness.waiting import eventually
from kit.hub import PENDING, Hub, text
from kit.worker import Worker, call, complete
from test_streams import filters


def fan_out(worker: Worker, hub: Hub, name: str, count: int) -> None:
    hub.start()
    worker.end_turn(worker.turn(), *[call(n, name) for n in range(1, count + 1)])


def test_c40_many_activities_for_a_busy_worker_keep_no_other_idle(hub: Hub, connect: Connect):
    orchestrator = connect(workItemFilters=filters({"orch": []}))
    slow = connect(maxConcurrentActivityWorkItems=1, workItemFilters=filters(activities={"slow": []}))
    fan_out(orchestrator, hub, "slow", 300)
    slow.activity()
    # Before anybody takes these, so that they wait in the database.
    fan_out(orchestrator, hub, "fast", 3)
    fast = connect(maxConcurrentActivityWorkItems=10, workItemFilters=filters(activities={"fast": []}))
    assert {item.activityRequest.name for item in fast.activities(3)} == {"fast"}
    slow.nothing(0.1)


def test_c40_rows_of_one_name_keep_no_worker_for_another_idle(server: Server, hub: Hub, connect: Connect):
    """All of it waits in the database when the workers come, the many before the few."""
    orchestrator = connect(workItemFilters=filters({"orch": []}))
    fan_out(orchestrator, hub, "slow", 300)
    fan_out(orchestrator, hub, "fast", 3)
    slow = connect(maxConcurrentActivityWorkItems=1, workItemFilters=filters(activities={"slow": []}))
    slow.activity()
    fast = connect(maxConcurrentActivityWorkItems=10, workItemFilters=filters(activities={"fast": []}))
    fast.activities(3)
    # One place, one item; the next one when it is free. One claim may follow the other before its item has arrived.
    slow.nothing(0.1)
    assert server.metric("everdure_items_waiting", hub=hub.name, kind="activity") < 10


def test_c40_orchestrations_of_one_name_keep_no_worker_for_another_idle(hub: Hub, connect: Connect):
    for _ in range(300):
        hub.start("slow")
    few = [hub.start("fast") for _ in range(5)]
    slow = connect(maxConcurrentOrchestrationWorkItems=1, workItemFilters=filters({"slow": []}))
    slow.turn()
    fast = connect(maxConcurrentOrchestrationWorkItems=10, workItemFilters=filters({"fast": []}))
    assert {item.orchestratorRequest.instanceId for item in fast.turns(5)} == set(few)
    slow.nothing(0.1)


def test_c40_a_server_takes_no_more_than_its_workers_have_room_for(
    hub: Hub, new_hub: Callable[..., Hub], second_server: Server, connect: Connect
):
    """Room for entities is none for orchestrations. What one server does not take is for the workers of the other."""
    ids = [hub.start() for _ in range(150)]
    busy = connect(maxConcurrentOrchestrationWorkItems=1)
    held = busy.turn().orchestratorRequest.instanceId
    there = new_hub(second_server, hub.name)
    idle = connect(there)
    # Starts that reach the first server as well.
    ids += [hub.start() for _ in range(20)]
    for _ in range(len(ids) - 1):
        idle.end_turn(idle.turn(), complete(1))
    assert [id for id in ids if hub.status(id) == PENDING] == [held]
    busy.nothing(0.1)


def test_c40_activities_go_where_there_is_room(
    hub: Hub, new_hub: Callable[..., Hub], second_server: Server, connect: Connect
):
    """The server that runs an orchestration keeps no more of its activities than its workers take."""
    there = new_hub(second_server, hub.name)
    there.get("anything")
    orchestrator = connect(workItemFilters=filters({"orch": []}))
    # Nobody tells when a server hears of the other: with its next sign of life.
    time.sleep(6)
    here = connect(maxConcurrentActivityWorkItems=1, workItemFilters=filters(activities={"act": []}))
    other = connect(there, maxConcurrentActivityWorkItems=100, workItemFilters=filters(activities={"act": []}))
    fan_out(orchestrator, hub, "act", 50)
    here.activity()
    other.activities(49)
    here.nothing(0.1)


def test_c40_a_place_that_becomes_free_is_filled_at_once(hub: Hub, connect: Connect):
    ids = [hub.start() for _ in range(40)]
    worker = connect(maxConcurrentOrchestrationWorkItems=1)
    begun = time.monotonic()
    for _ in ids:
        worker.end_turn(worker.turn(), complete(1))
    # The server looks by itself once a second.
    assert time.monotonic() - begun < 20
    eventually("all are done", lambda: all(hub.status(id) != PENDING for id in ids))


def test_c40_what_waits_at_one_server_goes_to_another_that_comes(
    hub: Hub, new_hub: Callable[..., Hub], second_server: Server, connect: Connect
):
    """While it is alone, a server keeps activities for the workers that it has."""
    orchestrator = connect(workItemFilters=filters({"orch": []}))
    takes = filters(activities={"act": []})
    here = connect(maxConcurrentActivityWorkItems=1, workItemFilters=takes)
    fan_out(orchestrator, hub, "act", 50)
    here.activity()
    other = connect(new_hub(second_server, hub.name), maxConcurrentActivityWorkItems=100, workItemFilters=takes)
    other.activities(49)
    here.nothing(0.1)


def test_c40_a_version_that_nobody_takes_is_not_asked_for_without_pause(server: Server, hub: Hub, connect: Connect):
    assert server.database_url
    worker = connect(workItemFilters=filters({"Greet": ["2"]}))

    def in_three_seconds() -> int:
        before = transactions(server.database_url or "")
        worker.nothing(3)
        return transactions(server.database_url or "") - before

    # The hubs of other tests are not idle either.
    worker.nothing(2)
    at_rest = in_three_seconds()
    hub.start("Greet", version=text("1"))
    worker.nothing(3)
    assert in_three_seconds() - at_rest < 150
    mine = hub.start("Greet", version=text("2"))
    assert worker.turn().orchestratorRequest.instanceId == mine
