"""Work items: what is in them, how many at once, and the signs of life between them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.server import Server
from harness.waiting import eventually
from kit.hub import CONTINUED, FAILED, Hub, new_id, seconds
from kit.worker import Worker, call, complete, every_event, failure, kinds, sub, timer

NEVER_SENT = {"orchestratorCompleted", "executionCompleted", "executionRewound", "genericEvent", "historyState", "continueAsNew"}


def bits(events: Iterable[pb.HistoryEvent]) -> list[bytes]:
    return [event.SerializeToString(deterministic=True) for event in events]


def check(item: pb.WorkItem, stored: list[pb.HistoryEvent]) -> None:
    """What holds for every turn."""
    request = item.orchestratorRequest
    assert item.completionToken
    assert kinds(request.newEvents)[0] == "orchestratorStarted" and len(request.newEvents) > 1
    assert request.HasField("entityParameters") and request.entityParameters.HasField("entityMessageReorderWindow")
    assert len(request.executionId.value) == 32 and set(request.executionId.value) <= set("0123456789abcdef")
    assert not NEVER_SENT & set(kinds(every_event(item)))
    if not request.pastEvents:
        assert kinds(request.newEvents)[1] == "executionStarted"
    assert kinds(every_event(item)).count("executionStarted") == 1
    assert bits(request.pastEvents) == bits(stored)
    times = [seconds(event.timestamp) for event in every_event(item) if event.HasField("orchestratorStarted")]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert all(event.HasField("timestamp") for event in every_event(item))
    assert all(event.eventId == -1 for event in request.newEvents)


def test_c31_to_c35_every_turn_of_a_long_story(hub: Hub, connect: Connect):
    """Activity, timer, child, event, failure, suspension; after each turn, what is sent as past is what is stored."""
    worker = connect()
    id, child = hub.start(input='"\u00fc"'), new_id("child")
    item = worker.turn()
    check(item, [])
    sent = bits(item.orchestratorRequest.newEvents)
    first = item.orchestratorRequest.executionId.value
    worker.end_turn(item, call(0, "act", tags={"a": "1"}), timer(1, time.time() + 0.2), sub(2, child), call(3, "bad"))
    for _ in range(3):
        item = worker.next()
        if item.HasField("activityRequest"):
            assert item.activityRequest.orchestrationInstance.executionId.value == first
            if item.activityRequest.name == "act":
                worker.end_activity(item, "1")
            else:
                worker.end_activity(item, failureDetails=failure())
        elif item.orchestratorRequest.instanceId == child:
            worker.end_turn(item, complete(1, '"child"'))
        else:
            check(item, hub.history(id))
            sent += bits(item.orchestratorRequest.newEvents)
            worker.end_turn(item)
    hub.raise_event(id, "last", "9")
    hub.calls.SuspendInstance(pb.SuspendRequest(instanceId=id))
    hub.calls.ResumeInstance(pb.ResumeRequest(instanceId=id))
    wanted = Counter({
        "taskCompleted": 1, "taskFailed": 1, "timerFired": 1, "subOrchestrationInstanceCompleted": 1, "eventRaised": 1,
        "executionSuspended": 1, "executionResumed": 1, "executionStarted": 1, "taskScheduled": 2, "timerCreated": 1,
        "subOrchestrationInstanceCreated": 1,
    })  # fmt: skip
    while True:
        item = worker.next()
        if item.HasField("activityRequest"):
            answer = {"result": "1"} if item.activityRequest.name == "act" else {"failureDetails": failure()}
            worker.end_activity(item, **answer)
            continue
        if item.orchestratorRequest.instanceId == child:
            worker.end_turn(item, complete(1, '"child"'))
            continue
        check(item, hub.history(id))
        sent += bits(item.orchestratorRequest.newEvents)
        seen = Counter(kinds(every_event(item)))
        del seen["orchestratorStarted"]
        if seen == wanted:
            break
        worker.end_turn(item)
    worker.end_turn(item, complete(9, '"done"'))
    hub.wait(id)
    # What was sent as new is what now stands there, in that order.
    stored = iter(bits(hub.history(id)))
    assert all(event in stored for event in sent)


def test_c34_the_execution_id_changes_with_each_execution(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()

    def next_id() -> tuple[pb.WorkItem, str]:
        item = worker.turn()
        found = item.orchestratorRequest.executionId.value
        assert hub.state(id).executionId.value == found
        started = next(event for event in every_event(item) if event.HasField("executionStarted"))
        assert started.executionStarted.orchestrationInstance.executionId.value == found
        return item, found

    item, created = next_id()
    worker.end_turn(item, complete(1, "1", CONTINUED))
    item, continued = next_id()
    worker.end_turn(item, complete(1, "1"))
    hub.wait(id)
    hub.calls.RestartInstance(pb.RestartInstanceRequest(instanceId=id))
    item, restarted = next_id()
    worker.end_turn(item, complete(1, "1"))
    hub.wait(id)
    hub.start(id=id)
    item, replaced = next_id()
    worker.end_turn(item, call(1))
    worker.end_activity(worker.activity(), failureDetails=failure())
    worker.end_turn(worker.turn(), complete(2, None, FAILED, failureDetails=failure()))
    hub.wait(id)
    hub.calls.RewindInstance(pb.RewindInstanceRequest(instanceId=id))
    # What failed runs again: the server may start it by itself, or have the orchestration schedule it anew.
    if (item := worker.next()).HasField("orchestratorRequest"):
        worker.end_turn(item, call(1))
        item = worker.activity()
    worker.end_activity(item, "1")
    item, rewound = next_id()
    assert not NEVER_SENT & set(kinds(every_event(item)))
    worker.end_turn(item, complete(3, "1"))
    hub.wait(id)
    assert len({created, continued, restarted, replaced, rewound}) == 5


@pytest.fixture(scope="session", autouse=True)
def idle(server: Server) -> object:
    """A stream on which nothing happens, open from the beginning of the session."""
    hub = Hub(server.address)
    stream = Worker(hub.connect())
    opened = time.monotonic()
    yield stream, opened
    stream.close()
    hub.close(delete=True)


@pytest.mark.late
def test_c36_a_quiet_stream_shows_signs_of_life(idle: tuple[Worker, float]):
    stream, opened = idle
    eventually("a ping came", lambda: stream.pings >= 1, timeout=60)
    # One in each half minute, give or take what a busy machine takes.
    due = int((time.monotonic() - opened) // 30)
    eventually(f"{due} pings came", lambda: stream.pings >= due, timeout=20)
    assert stream.waiting == 0 and not stream.ended.is_set()


def test_c37_limits_of_each_kind_hold_for_each_stream(hub: Hub, connect: Connect):
    limits = {
        "maxConcurrentOrchestrationWorkItems": 2, "maxConcurrentActivityWorkItems": 3, "maxConcurrentEntityWorkItems": 1,
    }  # fmt: skip
    seed = connect()
    id = hub.start()
    seed.end_turn(seed.turn(), *[call(number) for number in range(20)])
    eventually("activities came", lambda: seed.waiting == 20)
    seed.close()
    workers = [connect(**limits), connect(**limits)]
    for number in range(6):
        hub.start()
        hub.signal(f"@counter@{number}")
    held: list[list[pb.WorkItem]] = [[], []]
    for at, worker in enumerate(workers):
        held[at] = [worker.next() for _ in range(6)]
        count = Counter(item.WhichOneof("request") for item in held[at])
        assert count == {"orchestratorRequest": 2, "activityRequest": 3, "entityRequestV2": 1}
    for worker in workers:
        worker.nothing(0.5)
    # One answered, of each kind: one more of that kind, for that stream.
    kinds_seen = ("activityRequest", "orchestratorRequest", "entityRequestV2")
    for kind in kinds_seen:
        item = next(item for item in held[0] if item.WhichOneof("request") == kind)
        if kind == "activityRequest":
            workers[0].end_activity(item, "1")
        elif kind == "orchestratorRequest":
            workers[0].end_turn(item, complete(1))
        else:
            workers[0].end_batch(item, [pb.OperationResult(success=pb.OperationResultSuccess())], "1")
        assert workers[0].next().WhichOneof("request") == kind
        workers[0].nothing(0.2)
        workers[1].nothing(0.2)
    hub.terminate(id)


def test_c37_zero_and_less_are_the_default(hub: Hub, connect: Connect):
    for wanted in (0, -1, -(2**31)):
        worker = connect(maxConcurrentOrchestrationWorkItems=wanted)
        ids = {hub.start() for _ in range(40)}
        items = worker.turns(40)
        assert {item.orchestratorRequest.instanceId for item in items} == ids
        for item in items:
            worker.end_turn(item, complete(1))
        worker.close()
