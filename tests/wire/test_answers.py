"""Answers of workers: twice, late, without a token, in parts, half, without a history."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.errors import refused
from harness.server import Server
from harness.waiting import eventually
from kit.hub import ANY_SIZE, COMPLETED, CONTINUED, RUNNING, Hub, number, text
from kit.worker import Worker, call, complete, every_event, kinds, success

Code = grpc.StatusCode


def test_c42_twice_at_the_same_moment(hub: Hub, connect: Connect):
    """Ten connections send the same answer at once, for a turn and for an activity: one counts, none is refused."""
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    connections = [hub.connect() for _ in range(10)]
    answer = pb.OrchestratorResponse(instanceId=id, actions=[call(1)], completionToken=turn.completionToken)
    begun = [calls.begin("CompleteOrchestratorTask", answer) for calls in connections]
    assert [call.code() for call in begun] == [Code.OK] * 10
    activity = worker.activity()
    worker.nothing(0.3)
    result = pb.ActivityResponse(instanceId=id, taskId=1, result=text("1"), completionToken=activity.completionToken)
    begun = [calls.begin("CompleteActivityTask", result) for calls in connections]
    assert [call.code() for call in begun] == [Code.OK] * 10
    item = worker.turn()
    assert kinds(item.orchestratorRequest.newEvents) == ["orchestratorStarted", "taskCompleted"]
    worker.end_turn(item, complete(2))
    hub.wait(id)
    assert Counter(kinds(hub.history(id)))["taskScheduled"] == 1


def test_c42_after_the_end_and_after_continue_as_new(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    worker.end_turn(turn, call(1))
    activity = worker.activity()
    hub.raise_event(id)
    worker.end_turn(worker.turn(), complete(2, "1", CONTINUED))
    # The activity belongs to an execution that is no more.
    second = worker.turn()
    worker.end_activity(activity, '"old"')
    worker.end_turn(turn, complete(9, '"old"'))
    worker.nothing(0.4)
    worker.end_turn(second, complete(1, '"new"'))
    assert hub.wait(id).output.value == '"new"'
    for item in (turn, second):
        worker.end_turn(item, complete(9, '"late"'))
    worker.end_activity(activity, '"late"')
    hub.calls.PurgeInstances(pb.PurgeInstancesRequest(instanceId=id))
    worker.end_activity(activity, '"later"')
    worker.end_turn(second, complete(9, '"later"'))
    assert not hub.get(id).exists


def test_c43_without_a_token(hub: Hub, connect: Connect):
    """Found by instance and task; and by the newest item when an id was used again."""
    worker = connect()
    ids = [hub.start() for _ in range(3)]
    # All before the first answer, which brings activities.
    for item in [worker.turn() for _ in ids]:
        item.completionToken = ""
        worker.end_turn(item, call(1), call(2))
    activities = worker.activities(6)
    for item in activities:
        item.completionToken = ""
        key = f"{item.activityRequest.orchestrationInstance.instanceId}/{item.activityRequest.taskId}"
        worker.end_activity(item, f'"{key}"')
    heard: dict[str, set[str]] = {id: set() for id in ids}
    while any(len(results) < 2 for results in heard.values()):
        item = worker.turn()
        id = item.orchestratorRequest.instanceId
        events = item.orchestratorRequest.newEvents
        heard[id] |= {event.taskCompleted.result.value for event in events if event.HasField("taskCompleted")}
        item.completionToken = ""
        worker.end_turn(item, *([complete(3)] if len(heard[id]) == 2 else []))
    assert heard == {id: {f'"{id}/1"', f'"{id}/2"'} for id in ids}
    for id in ids:
        hub.wait(id)
    nobody = pb.ActivityResponse(instanceId="nobody", taskId=1, result=text("1"))
    hub.calls.CompleteActivityTask(nobody)
    hub.calls.CompleteOrchestratorTask(pb.OrchestratorResponse(instanceId="nobody", actions=[complete(1)]))


def test_c44_parts_of_an_answer(hub: Hub, connect: Connect):
    """A thousand actions in ten parts, one of them sent twice: committed together, in order, with the last one."""
    worker = connect(maxConcurrentActivityWorkItems=2000)
    id = hub.start()
    turn = worker.turn()
    for part in range(10):
        actions = [call(100 * part + n) for n in range(100)]
        last = part == 9
        for _ in range(2 if part == 4 else 1):
            worker.end_turn(
                turn, *actions, isPartial=not last, chunkIndex=number(part), customStatus=text(f"part {part}"),
                numEventsProcessed=number(0) if part else None,
            )  # fmt: skip
        if not last:
            assert hub.status(id) != RUNNING and worker.waiting == 0
    eventually("all came", lambda: worker.waiting == 1000)
    scheduled = [event.eventId for event in hub.history(id) if event.HasField("taskScheduled")]
    assert scheduled == list(range(1000))
    assert hub.state(id).customStatus.value == "part 9"
    assert sorted(item.activityRequest.taskId for item in worker.activities(1000)) == list(range(1000))
    hub.terminate(id)


def test_c44_parts_that_stay_alone_leave_no_trace(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), call(1, "never"), complete(2, '"never"'), isPartial=True, chunkIndex=number(0))
    worker.close()
    other = connect()
    item = other.turn()
    # Its parts begin anew.
    other.end_turn(item, call(5), isPartial=True, chunkIndex=number(0))
    other.end_turn(item, call(6), chunkIndex=number(1))
    assert sorted(item.activityRequest.taskId for item in other.activities(2)) == [5, 6]
    assert [event.eventId for event in hub.history(id) if event.HasField("taskScheduled")] == [5, 6]
    hub.terminate(id)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_c44_half_an_answer_is_none(server: Server, hub: Hub, connect: Connect, elsewhere: bool):
    """The stream breaks between two parts and the calls go on: the last part alone is nothing, whoever has the turn now."""
    first = connect()
    id = hub.start()
    turn = first.turn()
    first.end_turn(turn, call(1), isPartial=True, chunkIndex=number(0))
    if elsewhere:
        second = connect()
    first.close()
    left = 1 if elsewhere else 0
    server.await_workers(hub.name, left)
    if elsewhere:
        again = second.turn()
        # Its own first part does not complete what the other one says.
        second.end_turn(again, call(1), isPartial=True, chunkIndex=number(0))
    first.end_turn(turn, call(2), chunkIndex=number(1))
    if not elsewhere:
        second = connect()
        again = second.turn()
        second.end_turn(again, call(1), isPartial=True, chunkIndex=number(0))
    assert again.completionToken != turn.completionToken
    assert not [event for event in hub.history(id) if event.HasField("taskScheduled")]
    second.end_turn(again, call(2), call(3), chunkIndex=number(1))
    assert sorted(item.activityRequest.taskId for item in second.activities(3)) == [1, 2, 3]
    assert [event.eventId for event in hub.history(id) if event.HasField("taskScheduled")] == [1, 2, 3]
    hub.terminate(id)


def test_c44_a_turn_whose_parts_got_lost_comes_again(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), call(2), chunkIndex=number(1))
    worker.end_turn(worker.turn(), complete(1, '"whole"'))
    assert hub.wait(id).output.value == '"whole"'


def test_c44_the_whole_answer_of_a_worker_whose_stream_broke_counts(server: Server, hub: Hub, connect: Connect):
    first = connect()
    id = hub.start()
    turn = first.turn()
    second = connect()
    # Were there none for a moment, the turn would go back to the store, and come as another one.
    server.await_workers(hub.name, 2)
    first.close()
    again = second.turn()
    # What the first one does not have, it cannot give back.
    first.abandon(turn)
    first.end_turn(turn, requiresHistory=True)
    first.end_turn(turn, complete(1, '"first"'))
    second.end_turn(again, complete(1, '"second"'))
    assert hub.wait(id).output.value == '"first"'


@pytest.mark.parametrize("processed", [0, 1, 2, 3, 4, 5, 99])
def test_c45_some_of_the_events(hub: Hub, connect: Connect, processed: int):
    """What was not processed comes again, in order, before what came later."""
    id = hub.start()
    for name in "abc":
        hub.raise_event(id, name)
    worker = connect()
    item = worker.turn()
    assert [event.eventRaised.name for event in item.orchestratorRequest.newEvents[2:]] == ["a", "b", "c"]
    hub.raise_event(id, "later")
    answer = pb.OrchestratorResponse(
        instanceId=id, completionToken=item.completionToken, numEventsProcessed=number(processed), actions=[call(7, "x")]
    )
    hub.calls.CompleteOrchestratorTask(answer)
    # The first two are the beginning of the turn and of the execution.
    again = {0: "abc", 1: "abc", 2: "abc", 3: "bc", 4: "c"}.get(processed, "")
    wanted = [*again, "later"]
    names: list[str] = []
    while len(names) < len(wanted):
        item = worker.next()
        if item.HasField("activityRequest"):
            continue
        events = item.orchestratorRequest.newEvents
        names += [event.eventRaised.name for event in events if event.HasField("eventRaised")]
        assert kinds(every_event(item)).count("executionStarted") == 1
        worker.end_turn(item)
    assert names == wanted
    stored = hub.history(id)
    assert [event.eventRaised.name for event in stored if event.HasField("eventRaised")] == ["a", "b", "c", "later"]
    assert kinds(stored).count("taskScheduled") == 1
    hub.terminate(id)


def test_c46_without_the_history(hub: Hub, connect: Connect):
    """A worker that lost its session: nothing of its answer counts, and the item comes again, whole."""
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn())
    hub.raise_event(id, "a")
    item = worker.turn()
    worker.end_turn(item, complete(1, '"never"'), requiresHistory=True, customStatus=text("never"))
    again = worker.turn()
    assert kinds(again.orchestratorRequest.pastEvents) == ["orchestratorStarted", "executionStarted"]
    assert [event.eventRaised.name for event in again.orchestratorRequest.newEvents if event.HasField("eventRaised")] == ["a"]
    assert not hub.state(id).HasField("customStatus")
    # Who asks is told at once, however long it takes until the item comes again: two seconds, this time.
    begun = time.monotonic()
    worker.end_turn(again, requiresHistory=True)
    assert time.monotonic() - begun < 1.5
    worker.end_turn(worker.turn(), complete(1, '"whole"'))
    assert hub.wait(id).output.value == '"whole"'


def test_c47_long_histories_come_in_a_stream_of_their_own(hub: Hub, connect: Connect):
    """To those who can: the request has none of it then, and the stream has what is stored, at that turn."""
    plain, able = connect(options=ANY_SIZE), connect(capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
    plain.close()
    id = hub.start()
    large = "x" * 300_000
    able.end_turn(able.turn(), *[call(n, "act", large) for n in range(10)])
    able.activities(10)
    hub.raise_event(id, "a")
    item = able.turn()
    request = item.orchestratorRequest
    assert request.requiresHistoryStreaming and not request.pastEvents and kinds(request.newEvents)[1:] == ["eventRaised"]

    def stream(execution: str | None = None) -> list[pb.HistoryEvent]:
        chosen = {} if execution is None else {"executionId": text(execution)}
        return hub.history(id, forWorkItemProcessing=True, **chosen)

    past = stream(request.executionId.value)
    # What comes meanwhile is not part of it.
    hub.raise_event(id, "b")
    assert stream(request.executionId.value) == past == stream()
    assert past == hub.history(id) and kinds(past).count("taskScheduled") == 10
    refused(Code.NOT_FOUND, stream, "ab" * 16)
    able.end_turn(item)
    able.close()
    # One that cannot gets all of it in the request.
    plain = connect(options=ANY_SIZE)
    item = plain.next()
    while not item.HasField("orchestratorRequest"):
        item = plain.next()
    assert not item.orchestratorRequest.requiresHistoryStreaming
    assert kinds(item.orchestratorRequest.pastEvents).count("taskScheduled") == 10
    plain.end_turn(item, complete(99))
    hub.wait(id)
    refused(Code.NOT_FOUND, stream)
    refused(Code.NOT_FOUND, hub.history, "nobody")


def test_c48_never_two_at_once(hub: Hub, connect: Connect):
    """Four workers, twenty instances, events from all sides: no instance and no entity is with two of them."""
    workers = [connect() for _ in range(4)]
    ids = [hub.start() for _ in range(20)]
    entities = [f"@counter@{n}" for n in range(5)]
    busy: Counter[str] = Counter()
    lock, stop = threading.Lock(), threading.Event()
    broken: list[str] = []
    turns: Counter[str] = Counter()

    def work(worker: Worker) -> None:
        while not stop.is_set():
            if not worker.waiting:
                time.sleep(0.005)
                continue
            item = worker.next()
            turn = item.HasField("orchestratorRequest")
            id = item.orchestratorRequest.instanceId if turn else item.entityRequestV2.instanceId
            with lock:
                busy[id] += 1
                turns[id] += 1
                if busy[id] > 1:
                    broken.append(id)
            time.sleep(0.01)
            with lock:
                busy[id] -= 1
            if not turn:
                count = len(item.entityRequestV2.operationRequests)
                state = int(item.entityRequestV2.entityState.value or "0") + count
                worker.end_batch(item, [success("1")] * count, str(state))
                continue
            raised = kinds(every_event(item)).count("eventRaised")
            worker.end_turn(item, *([complete(1, str(raised))] if raised >= 10 else []))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        begun: list[Any] = []
        for _ in range(10):
            begun += [hub.calls.begin("RaiseEvent", pb.RaiseEventRequest(instanceId=id, name="e")) for id in ids]
            begun += [hub.calls.begin("SignalEntity", pb.SignalEntityRequest(instanceId=id, name="add")) for id in entities]
        assert {call.code() for call in begun} == {Code.OK}
        assert all(hub.wait(id).orchestrationStatus == COMPLETED for id in ids)
        eventually("all signals are counted", lambda: {hub.entity(id).entity.serializedState.value for id in entities} == {"10"})
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not broken and max(turns.values()) > 1
