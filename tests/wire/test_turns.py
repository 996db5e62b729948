"""Turns: what becomes of each action, and of children."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.waiting import eventually
from kit.entities import Caller
from kit.hub import COMPLETED, CONTINUED, FAILED, RUNNING, TERMINATED, Hub, moment, new_id, text
from kit.worker import call, complete, every_event, failure, kinds, sub, timer

TRACE = pb.TraceContext(traceParent=f"00-{'12' * 16}-{'34' * 8}-01", spanID="34" * 8, traceState=text("a=b"))


def test_c49_c50_each_action_becomes_its_event(hub: Hub, connect: Connect):
    """With all that the action said, the id that it gave, in the order of the answer; what comes in carries -1."""
    worker = connect()
    id, child = hub.start(tags={"own": "1", "both": "parent"}), new_id("child")
    target = hub.start("target", scheduledStartTimestamp=moment(time.time() + 900))
    turn = worker.turn()
    task = pb.ScheduleTaskAction(name="act", version=text(""), input=text(""), tags={"t": "1"}, parentTraceContext=TRACE)
    send = pb.SendEventAction(instance=pb.OrchestrationInstance(instanceId=target), name="Ev", data=text("1"))
    due = time.time() + 900
    actions = [
        pb.OrchestratorAction(id=2**31 - 1, scheduleTask=task),
        sub(0, child, version=text("2"), input=text("6"), parentTraceContext=TRACE, tags={"c": "1", "both": "child"}),
        timer(5, due),
        pb.OrchestratorAction(id=5, sendEvent=send),
        sub(3),
    ]
    worker.end_turn(turn, *actions)
    eventually("it is stored", lambda: hub.status(id) == RUNNING)
    events = hub.history(id)[2:]
    assert [(event.eventId, event.WhichOneof("eventType")) for event in events] == [
        (2**31 - 1, "taskScheduled"), (0, "subOrchestrationInstanceCreated"), (5, "timerCreated"), (5, "eventSent"),
        (3, "subOrchestrationInstanceCreated"),
    ]  # fmt: skip
    assert all(event.timestamp.seconds for event in events)
    scheduled = events[0].taskScheduled
    assert (scheduled.name, dict(scheduled.tags), scheduled.parentTraceContext) == ("act", {"t": "1"}, TRACE)
    assert scheduled.HasField("version") and scheduled.HasField("input") and not scheduled.input.value
    created = events[1].subOrchestrationInstanceCreated
    assert (created.instanceId, created.name, created.version.value, created.input.value) == (child, "child", "2", "6")
    assert created.parentTraceContext == TRACE
    assert events[2].timerCreated.fireAt == moment(due)
    sent = events[3].eventSent
    assert (sent.instanceId, sent.name, sent.input.value) == (target, "Ev", "1")
    # A child without an id gets one, and it is the same everywhere.
    made = events[4].subOrchestrationInstanceCreated.instanceId
    assert made and hub.state(made).parentInstanceId.value == id
    seen = {}
    for _ in range(3):
        item = worker.next()
        if item.HasField("activityRequest"):
            request = item.activityRequest
            assert (request.taskId, dict(request.tags), request.parentTraceContext) == (2**31 - 1, {"t": "1"}, TRACE)
            assert request.HasField("version") and request.HasField("input")
            worker.end_activity(item, "1")
        else:
            seen[item.orchestratorRequest.instanceId] = item.orchestratorRequest.newEvents[1].executionStarted
            worker.end_turn(item)
    assert set(seen) == {child, made}
    assert dict(seen[child].tags) == {"own": "1", "c": "1", "both": "child"} and seen[child].parentTraceContext == TRACE
    assert {event.eventId for event in worker.turn_with("taskCompleted").orchestratorRequest.newEvents} == {-1}


def test_c49_what_is_sent_to_entities_becomes_an_event_too(hub: Hub, connect: Connect):
    worker = connect()
    caller = Caller(hub, worker)
    caller.send(caller.call("@e@1", "op"), caller.signal("@e@2", "sig"), caller.lock("@e@3"), caller.unlock("@e@3"))
    eventually("it is stored", lambda: hub.status(caller.id) == RUNNING)
    events = hub.history(caller.id)[2:6]
    assert [(event.eventId, event.WhichOneof("eventType")) for event in events] == [
        (1, "entityOperationCalled"), (2, "entityOperationSignaled"), (3, "entityLockRequested"), (4, "entityUnlockSent"),
    ]  # fmt: skip
    called, signaled, requested, unlocked = events
    assert called.entityOperationCalled.targetInstanceId.value == "@e@1" and called.entityOperationCalled.operation == "op"
    assert signaled.entityOperationSignaled.targetInstanceId.value == "@e@2"
    assert list(requested.entityLockRequested.lockSet) == ["@e@3"]
    assert unlocked.entityUnlockSent.criticalSectionId == requested.entityLockRequested.criticalSectionId == caller.section


UNUSABLE = {
    "a sub-orchestration": (sub(7, "x" * 101), "length of 101"),
    "a timer": (pb.OrchestratorAction(id=7, createTimer=pb.CreateTimerAction()), "without a time"),
    "an event": (pb.OrchestratorAction(id=7, sendEvent=pb.SendEventAction(name="e")), "without a target"),
    "an event: to an entity": (
        pb.OrchestratorAction(
            id=7, sendEvent=pb.SendEventAction(instance=pb.OrchestrationInstance(instanceId="@counter@1"), name="op")
        ),
        "ConfigureForAzureManaged",
    ),
    "the end": (complete(7, None, RUNNING), "status 0"),
    "a message to an entity": (
        pb.OrchestratorAction(
            id=7,
            sendEntityMessage=pb.SendEntityMessageAction(
                entityLockRequested=pb.EntityLockRequestedEvent(criticalSectionId="c")
            ),
        ),
        "without an entity",
    ),
    "of an unknown kind": (pb.OrchestratorAction(id=7), "does not know"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_c49_an_action_that_makes_no_sense_fails_its_orchestration(hub: Hub, connect: Connect, what: str):
    """At once, for its code would say the same again; nothing else of the turn counts. A parent hears of it."""
    worker = connect()
    action, why = UNUSABLE[what]
    parent, id = hub.start(), new_id("child")
    worker.end_turn(worker.turn(), sub(1, id))
    worker.end_turn(worker.turn(), call(6), action)
    state = hub.wait(id)
    assert state.orchestrationStatus == FAILED and state.failureDetails.errorType == "InvalidAction"
    message = state.failureDetails.errorMessage
    assert f"action 7, {what.partition(':')[0]}," in message and why in message, message
    assert kinds(hub.history(id))[2:] == ["executionCompleted"]
    turn = worker.turn()
    assert turn.orchestratorRequest.newEvents[1].subOrchestrationInstanceFailed.failureDetails == state.failureDetails
    worker.end_turn(turn, complete(2))
    hub.wait(parent)


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CONTINUED])
def test_c49_the_end_counts_last_wherever_it_stands(hub: Hub, connect: Connect, status: int):
    """The SDK of Go sends the actions of a turn in any order."""
    worker = connect()
    id, child, target = hub.start(), new_id("child"), hub.start("target")
    turns = {turn.orchestratorRequest.instanceId: turn for turn in worker.turns(2)}
    send = pb.SendEventAction(instance=pb.OrchestrationInstance(instanceId=target), name="e", data=text("1"))
    worker.end_turn(turns[target])
    worker.end_turn(turns[id], complete(3, "1", status), sub(1, child), pb.OrchestratorAction(id=2, sendEvent=send))
    awaited = {child, target, *({id} if status == CONTINUED else set())}
    while awaited:
        turn = worker.turn()
        awaited.remove(turn.orchestratorRequest.instanceId)
        worker.end_turn(turn, complete(9, "9"))
    assert hub.wait(id).orchestrationStatus == (COMPLETED if status == CONTINUED else status)
    assert hub.wait(child).output.value == hub.wait(target).output.value == "9"


def test_c51_the_twelve_events_of_the_reference(hub: Hub, connect: Connect):
    worker = connect()
    id, child = hub.start(), new_id("child")
    worker.end_turn(worker.turn(), call(1))
    worker.end_activity(worker.activity(), "1")
    worker.end_turn(worker.turn(), timer(2, time.time() + 0.1))
    worker.end_turn(worker.turn(), sub(3, child))
    worker.end_turn(worker.turn(), complete(1, '"c"'))
    worker.end_turn(worker.turn(), complete(4, '"done"'))
    hub.wait(id)
    events = hub.history(id)
    assert kinds(events) == [
        "orchestratorStarted", "executionStarted", "taskScheduled", "orchestratorStarted", "taskCompleted", "timerCreated",
        "orchestratorStarted", "timerFired", "subOrchestrationInstanceCreated", "orchestratorStarted",
        "subOrchestrationInstanceCompleted", "executionCompleted",
    ]  # fmt: skip
    assert events[4].taskCompleted.taskScheduledId == 1 and events[7].timerFired.timerId == 2
    assert events[7].timerFired.fireAt == events[5].timerCreated.fireAt
    assert events[10].subOrchestrationInstanceCompleted.taskScheduledId == 3
    assert events[11].eventId == 4 and events[11].executionCompleted.orchestrationStatus == COMPLETED


def test_c52_one_id_for_each_attempt(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), call(1))
    for attempt in range(3):
        activity = worker.activity()
        assert activity.activityRequest.taskId == 1
        if attempt < 2:
            worker.end_activity(activity, failureDetails=failure("E", str(attempt)))
            worker.end_turn(worker.turn(), call(1))
        else:
            worker.end_activity(activity, '"third"')
    turn = worker.turn()
    assert turn.orchestratorRequest.newEvents[1].taskCompleted.result.value == '"third"'
    worker.end_turn(turn, complete(2, '"third"'))
    assert hub.wait(id).output.value == '"third"'
    count = Counter(kinds(hub.history(id)))
    assert (count["taskScheduled"], count["taskFailed"], count["taskCompleted"]) == (3, 2, 1)


def test_c53_c54_children_whose_id_is_taken(hub: Hub, connect: Connect):
    worker = connect()
    parent, child = hub.start(), new_id("child")
    worker.end_turn(worker.turn(), sub(1, child))
    first = worker.turn()
    worker.end_turn(first, complete(1, None, FAILED, failureDetails=failure("First", "no")))
    turn = worker.turn()
    failed = turn.orchestratorRequest.newEvents[1].subOrchestrationInstanceFailed
    assert failed.taskScheduledId == 1 and failed.failureDetails == failure("First", "no")
    worker.end_turn(turn, sub(1, child))
    second = worker.turn()
    request = second.orchestratorRequest
    assert request.instanceId == child and not request.pastEvents
    assert request.executionId.value != first.orchestratorRequest.executionId.value
    worker.end_turn(second, complete(1, '"second"'))
    turn = worker.turn()
    assert turn.orchestratorRequest.newEvents[1].subOrchestrationInstanceCompleted.result.value == '"second"'
    taken = hub.start("stranger")
    worker.end_turn(worker.turn())
    worker.end_turn(turn, sub(2, taken), sub(3, parent))
    heard: dict[int, pb.TaskFailureDetails] = {}
    while len(heard) < 2:
        turn = worker.turn_with("subOrchestrationInstanceFailed")
        for event in turn.orchestratorRequest.newEvents:
            if event.HasField("subOrchestrationInstanceFailed"):
                failed = event.subOrchestrationInstanceFailed
                heard[failed.taskScheduledId] = failed.failureDetails
        worker.end_turn(turn, *([complete(9)] if len(heard) == 2 else []))
    assert set(heard) == {2, 3} and all("already exists" in details.errorMessage for details in heard.values())
    assert hub.status(taken) == RUNNING and hub.wait(parent).orchestrationStatus == COMPLETED


def deep_failure() -> pb.TaskFailureDetails:
    details = failure("Outer", "\u00fc\n\"'", stackTrace=text(""), isNonRetriable=True)
    details.properties["number"].number_value = 1.5
    details.properties["null"].null_value = 0  # type: ignore[assignment]
    details.properties["list"].list_value.values.add().struct_value.fields["x"].bool_value = True
    inner = details
    for level in range(20):
        inner = inner.innerFailure
        inner.CopyFrom(failure(f"Inner{level}", "", stackTrace=text(f"at {level}")))
    return details


def test_c55_failures_pass_unchanged(hub: Hub, connect: Connect):
    """From an activity to a child, from the child to its parent, from there to the client, with twenty inner ones."""
    worker = connect()
    details = deep_failure()
    id, child = hub.start(), new_id("child")
    worker.end_turn(worker.turn(), sub(1, child))
    worker.end_turn(worker.turn(), call(1))
    worker.end_activity(worker.activity(), failureDetails=details)
    for field in ("taskFailed", "subOrchestrationInstanceFailed"):
        turn = worker.turn()
        passed = getattr(turn.orchestratorRequest.newEvents[1], field).failureDetails
        assert passed == details
        worker.end_turn(turn, complete(2, None, FAILED, failureDetails=passed))
    assert hub.wait(id).failureDetails == hub.state(child).failureDetails == details
    assert hub.history(id)[-1].executionCompleted.failureDetails == details


def test_c56_a_terminated_child_fails_its_call(hub: Hub, connect: Connect):
    worker = connect()
    hub.start()
    ids = [new_id("child") for _ in range(2)]
    worker.end_turn(worker.turn(), sub(1, ids[0]), sub(2, ids[1]))
    turns = worker.turns(2)
    # One has run, the other has not.
    ran = turns[0].orchestratorRequest.instanceId
    worker.end_turn(turns[0])
    eventually("it runs", lambda: hub.status(ran) == RUNNING)
    for id in ids:
        hub.terminate(id, '"stop"')
    worker.end_turn(turns[1])
    heard = set()
    while len(heard) < 2:
        item = worker.turn()
        for event in item.orchestratorRequest.newEvents:
            if event.HasField("subOrchestrationInstanceFailed"):
                heard.add(event.subOrchestrationInstanceFailed.taskScheduledId)
                assert event.subOrchestrationInstanceFailed.failureDetails.errorType
        ended = "executionTerminated" in kinds(every_event(item))
        worker.end_turn(item, *([complete(1, '"stop"', TERMINATED)] if ended else []))
    assert heard == {1, 2} and all(hub.status(id) == TERMINATED for id in ids)


def test_c57_c58_what_a_child_knows_of_its_parent(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start("Parent", version=text("7"))
    turn = worker.turn()
    child, orphan = new_id("child"), new_id("orphan")
    worker.end_turn(turn, sub(11, child), sub(12, orphan, tags={"FireAndForget": "", "kept": "1"}))
    for item in worker.turns(2):
        request = item.orchestratorRequest
        started = request.newEvents[1].executionStarted
        if request.instanceId == child:
            parent = started.parentInstance
            assert (parent.name.value, parent.version.value, parent.taskScheduledId) == ("Parent", "7", 11)
            assert parent.orchestrationInstance.instanceId == id
            assert parent.orchestrationInstance.executionId == turn.orchestratorRequest.executionId
            assert hub.state(child).parentInstanceId.value == id
        else:
            assert dict(started.tags) == {"kept": "1"}
        worker.end_turn(item, complete(1, '"r"'))
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents) == ["orchestratorStarted", "subOrchestrationInstanceCompleted"]
    assert turn.orchestratorRequest.newEvents[1].subOrchestrationInstanceCompleted.taskScheduledId == 11
    worker.end_turn(turn)
    worker.nothing(0.5)
    assert hub.wait(orphan).output.value == '"r"'
    hub.terminate(id)
