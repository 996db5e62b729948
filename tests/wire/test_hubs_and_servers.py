"""Task hubs apart from each other; several servers on one database."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.errors import refused
from harness.server import Server
from kit.hub import COMPLETED, PENDING, TERMINATED, Hub, number
from kit.worker import Worker, call, complete, every_event, kinds, success, timer

Code = grpc.StatusCode


def test_c91_the_same_ids_in_two_hubs_are_two_things(hub: Hub, new_hub: Callable[..., Hub], connect: Connect):
    """In every call: what one hub does, the other does not see."""
    other = new_hub()
    workers = {"one": connect(hub), "two": connect(other)}
    for name, of in (("one", hub), ("two", other)):
        of.start(id="same", input=name)
        of.start(id="only-" + name)
        of.signal("@counter@same", "op", name)
    items: dict[str, dict[str, pb.WorkItem]] = {}
    for name, worker in workers.items():
        mine = [worker.next() for _ in range(3)]
        items[name] = {item.orchestratorRequest.instanceId or item.entityRequestV2.instanceId: item for item in mine}
        assert set(items[name]) == {"same", "only-" + name, "@counter@same"}
        started = items[name]["same"].orchestratorRequest.newEvents[1].executionStarted
        assert started.input.value == name
        signaled = items[name]["@counter@same"].entityRequestV2.operationRequests[0].entityOperationSignaled
        assert signaled.input.value == name
        worker.nothing(0.2)
    first, second = items["one"], items["two"]
    workers["one"].end_turn(first["same"], complete(1, '"one"'))
    workers["one"].end_batch(first["@counter@same"], [success("1")], '"one"')
    assert hub.wait("same").output.value == '"one"'
    # Reads
    assert other.status("same") == PENDING and not other.entity("@counter@same").exists
    assert not other.get("only-one").exists and not hub.get("only-two").exists
    refused(Code.NOT_FOUND, other.history, "only-one")
    for of, name in ((hub, "one"), (other, "two")):
        page = of.calls.QueryInstances(pb.QueryInstancesRequest(query=pb.InstanceQuery()))
        assert {state.instanceId for state in page.orchestrationState} == {"same", "only-" + name}
    assert list(hub.calls.ListInstanceIds(pb.ListInstanceIdsRequest()).instanceIds) == ["same"]
    assert not other.calls.ListInstanceIds(pb.ListInstanceIdsRequest()).instanceIds
    assert len(hub.calls.QueryEntities(pb.QueryEntitiesRequest(query=pb.EntityQuery())).entities) == 1
    assert not other.calls.QueryEntities(pb.QueryEntitiesRequest(query=pb.EntityQuery())).entities
    # Tokens: of another hub, they are of nobody.
    foreign = second["same"]
    answer = pb.OrchestratorResponse(instanceId="same", actions=[complete(1)], completionToken=foreign.completionToken)
    hub.calls.CompleteOrchestratorTask(answer)
    assert other.status("same") == PENDING
    # Changes
    for change in (hub.raise_event, hub.terminate):
        change("same")
    refused(Code.NOT_FOUND, hub.raise_event, "only-two")
    hub.calls.RestartInstance(pb.RestartInstanceRequest(instanceId="same"))
    refused(Code.FAILED_PRECONDITION, other.calls.RestartInstance, pb.RestartInstanceRequest(instanceId="same"))
    refused(Code.NOT_FOUND, other.calls.RestartInstance, pb.RestartInstanceRequest(instanceId="only-one"))
    refused(Code.NOT_FOUND, other.calls.RewindInstance, pb.RewindInstanceRequest(instanceId="only-one"))
    batch = pb.InstanceBatch(instanceIds=["only-one"])
    skip = pb.SkipGracefulOrchestrationTerminationsRequest(instanceBatch=batch)
    assert list(other.calls.SkipGracefulOrchestrationTerminations(skip).unterminatedInstanceIds) == ["only-one"]
    workers["two"].end_turn(second["same"], complete(1, '"two"'))
    assert other.wait("same").output.value == '"two"'
    everything = pb.PurgeInstanceFilter(runtimeStatus=[COMPLETED, TERMINATED])
    assert other.calls.PurgeInstances(pb.PurgeInstancesRequest(purgeInstanceFilter=everything)).deletedInstanceCount == 1
    assert hub.get("same").exists and not other.get("same").exists
    other.calls.CreateTaskHub(pb.CreateTaskHubRequest(recreateIfExists=True))
    assert hub.get("only-one").exists and hub.entity("@counter@same").exists
    other.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())
    assert hub.get("same").exists


def test_c76_hubs_are_made_wiped_and_deleted(hub: Hub, new_hub: Callable[..., Hub]):
    """Each as often as one likes, and nothing of it touches another hub."""
    other = new_hub()
    kept = hub.start("nobody")
    for _ in range(2):
        other.calls.CreateTaskHub(pb.CreateTaskHubRequest())
    id = other.start("nobody")
    other.calls.CreateTaskHub(pb.CreateTaskHubRequest(recreateIfExists=False))
    assert other.status(id) == PENDING
    other.calls.CreateTaskHub(pb.CreateTaskHubRequest(recreateIfExists=True))
    assert not other.get(id).exists
    other.start("nobody", id=id)
    for _ in range(2):
        other.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())
    assert not other.get(id).exists and hub.status(kept) == PENDING


def test_c76_deleting_a_hub_holds_no_other_up(hub: Hub, new_hub: Callable[..., Hub], connect: Connect):
    """Even if a worker of the deleted one has work in hand."""
    longest = []
    for _ in range(3):
        doomed = new_hub()
        doomed.start()
        connect(doomed).turn()
        calls = doomed.connect()
        deleted = calls.begin("DeleteTaskHub", pb.DeleteTaskHubRequest(), 60)
        times = [0.0]
        while not deleted.done():
            begun = time.monotonic()
            hub.get("anything")
            times.append(time.monotonic() - begun)
        assert deleted.code() == Code.OK
        longest.append(max(times))
    # A busy machine may hold up a call now and then; a lock would hold one up each time.
    assert min(longest) < 0.5, longest


def test_c76_so_many_hubs_are_open_at_once(servers: Any, server: Server, new_hub: Any, connect: Connect):
    """One that nobody uses is closed for another; when all are in use, the next one is refused, and the rest goes on."""
    small = servers(Server.serve(server.database_url or "", "127.0.0.1:0", "--max-hubs", "3"))
    for _ in range(8):
        new_hub(small).start()
    hubs = [new_hub(small) for _ in range(3)]
    busy = [connect(hub) for hub in hubs]
    # One that came later than the fourth would find its place taken.
    for hub in hubs:
        small.await_workers(hub.name, 1)
    another = new_hub(small)
    assert "--max-hubs" in refused(Code.RESOURCE_EXHAUSTED, another.start)
    new_hub(small, "").get("the default hub is always there")
    hubs[0].start()
    busy[0].end_turn(busy[0].turn(), complete(1))
    busy[1].close()
    another.start()


def test_c92_answers_that_reach_the_other_server(hub: Hub, second_server: Server, connect: Connect):
    """Of each kind, with a token and without, in parts, and what is given back: all of it counts."""
    worker = connect()
    worker.nothing(0.2)
    there = hub.connect(second_server.address)
    here, worker.stub = worker.stub, there
    id = hub.start()
    hub.signal("@counter@1")
    items = [worker.next(), worker.next()]
    turn = next(item for item in items if item.HasField("orchestratorRequest"))
    batch = next(item for item in items if item.HasField("entityRequestV2"))
    worker.end_batch(batch, [success("1")], '"there"')
    assert hub.entity("@counter@1").entity.serializedState.value == '"there"'
    worker.end_turn(turn, call(1), isPartial=True, chunkIndex=number(0))
    worker.end_turn(turn, call(2), chunkIndex=number(1))
    activities = worker.activities(2)
    worker.end_activity(activities[0], '"there"')
    turn = worker.turn_with("taskCompleted")
    worker.end_turn(turn)
    # Half there, half here.
    worker.abandon(activities[1])
    again = worker.activity()
    worker.stub = here
    worker.end_activity(again, '"here"')
    worker.stub = there
    item = worker.turn_with("taskCompleted")
    worker.end_turn(item, complete(3, '"done"'))
    assert hub.wait(id).output.value == '"done"'
    worker.end_turn(item, complete(3, '"twice"'))
    assert hub.state(id).output.value == '"done"'


def test_c92_both_servers_hand_out_and_nothing_twice(hub: Hub, second_server: Server, connect: Connect):
    """Two workers on each server; starts, events and waits by both: each turn and each activity is done once."""
    workers = [connect(address=address) for address in (None, second_server.address) for _ in range(2)]
    there = hub.connect(second_server.address)
    stop = threading.Event()
    lock = threading.Lock()
    activities: Counter[str] = Counter()
    active: Counter[str] = Counter()
    broken: list[str] = []

    def work(worker: Worker) -> None:
        while not stop.is_set():
            if not worker.waiting:
                time.sleep(0.005)
                continue
            item = worker.next()
            if item.HasField("activityRequest"):
                with lock:
                    activities[item.activityRequest.orchestrationInstance.instanceId] += 1
                worker.end_activity(item, "1")
                continue
            id = item.orchestratorRequest.instanceId
            with lock:
                active[id] += 1
                if active[id] > 1:
                    broken.append(id)
            time.sleep(0.002)
            events = [*item.orchestratorRequest.pastEvents, *item.orchestratorRequest.newEvents]
            done = kinds(events).count("taskCompleted")
            with lock:
                active[id] -= 1
            first = not item.orchestratorRequest.pastEvents
            worker.end_turn(item, *([call(1), call(2)] if first else [complete(3, str(done))] if done == 2 else []))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        ids = [f"i-{n}" for n in range(60)]
        starts = [
            (hub.calls if n % 2 else there).begin("StartInstance", pb.CreateInstanceRequest(instanceId=id, name="orch"))
            for n, id in enumerate(ids)
        ]
        assert {start.code() for start in starts} == {Code.OK}
        # Each is waited for at the server where it was not started.
        waits = [
            (there if n % 2 else hub.calls).begin("WaitForInstanceCompletion", pb.GetInstanceRequest(instanceId=id))
            for n, id in enumerate(ids)
        ]
        assert {wait.result().orchestrationState.orchestrationStatus for wait in waits} == {COMPLETED}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not broken and activities == Counter({id: 2 for id in ids})
    for id in ids[:10]:
        assert Counter(kinds(hub.history(id)))["taskCompleted"] == 2


def test_c92_a_server_dies_and_the_other_takes_over(pair: tuple[Server, Server], new_hub: Any, connect: Connect):
    dying, other = pair
    hub = new_hub(dying)
    elsewhere = new_hub(other, hub.name)
    worker = connect(hub)
    # What the dying one holds: a turn, an activity, a batch, a timer that has not fired.
    id = hub.start(id="activity")
    worker.end_turn(worker.turn(), call(1), timer(2, time.time() + 1))
    worker.activity()
    hub.start(id="turn")
    assert worker.turn().orchestratorRequest.instanceId == "turn"
    hub.signal("@counter@1")
    worker.batch()
    begun = time.monotonic()
    dying.kill()
    waiting = elsewhere.calls.begin("WaitForInstanceCompletion", pb.GetInstanceRequest(instanceId="turn"), 100)
    assert worker.code() != Code.OK
    heir = connect(elsewhere)
    done: set[str] = set()
    while done != {"activity", "turn", "batch"}:
        item = heir.next(60)
        if item.HasField("activityRequest"):
            heir.end_activity(item, "1")
        elif item.HasField("entityRequestV2"):
            heir.end_batch(item, [success("1")], "1")
            done.add("batch")
        elif item.orchestratorRequest.instanceId == id and not {"taskCompleted", "timerFired"} <= set(kinds(every_event(item))):
            heir.end_turn(item)
        else:
            done.add(item.orchestratorRequest.instanceId)
            heir.end_turn(item, complete(3, '"heir"'))
    # A lease is fifteen seconds: then, at the latest, what it held goes on.
    assert time.monotonic() - begun < 45
    assert waiting.result().orchestrationState.orchestrationStatus == COMPLETED
    assert elsewhere.wait(id).output.value == '"heir"' and elsewhere.entity("@counter@1").exists
    elsewhere.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())
