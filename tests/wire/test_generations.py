"""Turns: events between instances, wide fan-outs, generations, traces, custom status."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf import timestamp_pb2

from conftest import Connect
from harness.errors import refused
from harness.waiting import PATIENCE
from kit.hub import COMPLETED, CONTINUED, PENDING, RUNNING, TERMINATED, Hub, moment, text
from kit.worker import call, complete, every_event, kinds, timer


def test_c61_events_between_instances(hub: Hub, connect: Connect):
    worker = connect()
    id, other = hub.start(), hub.start("other", scheduledStartTimestamp=moment(time.time() + 900))

    def send(number: int, target: str, name: str) -> pb.OrchestratorAction:
        to = pb.OrchestrationInstance(instanceId=target)
        return pb.OrchestratorAction(id=number, sendEvent=pb.SendEventAction(instance=to, name=name, data=text(name)))

    worker.end_turn(worker.turn(), send(1, "nobody", "lost"), send(2, id, "Self"), send(3, other, "x"), send(4, id, "self"))
    turn = worker.turn()
    events = [event for event in turn.orchestratorRequest.newEvents if event.HasField("eventRaised")]
    if len(events) < 2:
        worker.end_turn(turn)
        turn = worker.turn()
        events += [event for event in turn.orchestratorRequest.newEvents if event.HasField("eventRaised")]
    assert [(event.eventRaised.name, event.eventRaised.input.value) for event in events] == [("Self", "Self"), ("self", "self")]
    assert kinds(hub.history(id)).count("eventSent") == 4
    worker.end_turn(turn, complete(5))
    assert hub.wait(id).orchestrationStatus == COMPLETED and hub.status(other) == PENDING


def test_c62_one_terminates_another(hub: Hub, connect: Connect):
    """In a turn like any other, and together with its own end; one that is not there is no error."""
    worker = connect()
    victims = [hub.start("victim") for _ in range(2)]
    for _ in victims:
        worker.end_turn(worker.turn())
    killer = hub.start("killer")

    def terminate(number: int, victim: str) -> pb.OrchestratorAction:
        action = pb.TerminateOrchestrationAction(instanceId=victim, reason=text('"by another"'))
        return pb.OrchestratorAction(id=number, terminateOrchestration=action)

    worker.end_turn(worker.turn(), terminate(1, victims[0]), terminate(2, "nobody"))
    for last in (False, True):
        if last:
            hub.raise_event(killer)
            worker.end_turn(worker.turn(), terminate(3, victims[1]), complete(4))
        state = hub.wait(victims[last])
        assert (state.orchestrationStatus, state.output.value) == (TERMINATED, '"by another"')
    assert hub.wait(killer).orchestrationStatus == COMPLETED


def test_c49_what_is_scheduled_together_with_the_end_is_dropped(hub: Hub, connect: Connect):
    """It stands in the history, before the end; none of it runs, and nothing is left of it."""
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), call(1), timer(2, time.time() + 0.2), complete(3, '"done"'), call(4))
    assert hub.wait(id).output.value == '"done"'
    worker.nothing(1)
    assert hub.status(id) == COMPLETED
    assert kinds(hub.history(id)) == [
        "orchestratorStarted", "executionStarted", "taskScheduled", "timerCreated", "taskScheduled", "executionCompleted",
    ]  # fmt: skip
    assert hub.calls.PurgeInstances(pb.PurgeInstancesRequest(instanceId=id)).deletedInstanceCount == 1


@pytest.mark.parametrize("count", [1500])
def test_c63_a_wide_fan_out(hub: Hub, connect: Connect, count: int):
    """All in one turn, ids in no order: all scheduled by one commit, all run, all heard once."""
    worker = connect(maxConcurrentActivityWorkItems=500)
    id = hub.start()
    ids = [(n * 7919) % count for n in range(count)]
    worker.end_turn(worker.turn(), *[call(number, "act", str(number)) for number in ids])
    stored = hub.history(id)
    assert [event.eventId for event in stored if event.HasField("taskScheduled")] == ids
    answers: list[Any] = []
    heard: list[int] = []
    while len(heard) < count:
        item = worker.next()
        if item.HasField("activityRequest"):
            result = pb.ActivityResponse(
                instanceId=id, taskId=item.activityRequest.taskId, result=item.activityRequest.input,
                completionToken=item.completionToken,
            )  # fmt: skip
            answers.append(hub.calls.begin("CompleteActivityTask", result, 120))
            continue
        events = item.orchestratorRequest.newEvents
        done = [event.taskCompleted for event in events if event.HasField("taskCompleted")]
        assert all(event.result.value == str(event.taskScheduledId) for event in done)
        heard += [event.taskScheduledId for event in done]
        worker.end_turn(item, *([complete(count)] if len(heard) == count else []))
    assert sorted(heard) == list(range(count)) and {answer.code().name for answer in answers} == {"OK"}
    hub.wait(id)


def test_c64_generations(hub: Hub, connect: Connect):
    """What is carried comes first, then what came meanwhile; timers and activities of the old one are nobody's."""
    id = hub.start(input="0", tags={"t": "1"}, version=text("1"))
    for name in "ab":
        hub.raise_event(id, name)
    worker = connect()
    turn = worker.turn()
    events = [event for event in turn.orchestratorRequest.newEvents if event.HasField("eventRaised")]
    hub.raise_event(id, "late")
    created = hub.state(id).createdTimestamp
    again = complete(9, "1", CONTINUED, carryoverEvents=events, newVersion=text("2"))
    worker.end_turn(turn, call(1), timer(2, time.time() + 0.5), again)
    while (item := worker.next()).HasField("activityRequest"):
        worker.end_activity(item, '"stale"')
    names = [event.eventRaised.name for event in item.orchestratorRequest.newEvents if event.HasField("eventRaised")]
    assert names[:2] == ["a", "b"] and set(names[2:]) <= {"late"}
    started = item.orchestratorRequest.newEvents[1].executionStarted
    assert (started.name, started.input.value, started.version.value, dict(started.tags)) == ("orch", "1", "2", {"t": "1"})
    worker.end_turn(item)
    seen = names[2:]
    begun = time.monotonic()
    # The event may take its time; a timer of the old one has had a second more than it needed.
    while time.monotonic() < begun + (1.5 if seen == ["late"] else PATIENCE):
        if not worker.waiting:
            time.sleep(0.02)
            continue
        item = worker.next()
        if item.HasField("activityRequest"):
            worker.end_activity(item, '"stale"')
            continue
        assert not {"taskCompleted", "timerFired"} & set(kinds(every_event(item)))
        seen += [event.eventRaised.name for event in item.orchestratorRequest.newEvents if event.HasField("eventRaised")]
        worker.end_turn(item)
    assert seen == ["late"]
    state = hub.state(id)
    assert state.createdTimestamp == created and state.orchestrationStatus == RUNNING
    hub.terminate(id)


def test_c75_the_history_is_that_of_the_execution_that_is_asked_for(hub: Hub, connect: Connect):
    """Of none, the current one's; one that never was, and one that is not kept, are not found."""
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    first = turn.orchestratorRequest.executionId.value
    assert kinds(hub.history(id, executionId=text(first))) == kinds(hub.history(id))
    worker.end_turn(turn, complete(1, '"next"', CONTINUED))
    turn = worker.turn()
    worker.end_turn(turn, complete(1))
    hub.wait(id)
    current = turn.orchestratorRequest.executionId.value
    whole = hub.history(id)
    assert hub.history(id, executionId=text(current)) == whole == hub.history(id, executionId=text(""))
    for execution in (first, "ab" * 16, "none"):
        refused(grpc.StatusCode.NOT_FOUND, hub.history, id, executionId=text(execution))


def test_c65_traces_stay_where_they_belong(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    own = pb.OrchestrationTraceContext(
        spanID=text("00f067aa0ba902b7"), spanStartTime=timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=123_456_789)
    )
    turn = worker.turn()
    assert not turn.orchestratorRequest.HasField("orchestrationTraceContext")
    worker.end_turn(turn, orchestrationTraceContext=own)
    hub.raise_event(id)
    turn = worker.turn()
    assert turn.orchestratorRequest.orchestrationTraceContext == own
    # It is there for another worker, too.
    worker.close()
    worker = connect()
    turn = worker.turn()
    assert turn.orchestratorRequest.orchestrationTraceContext == own
    worker.end_turn(turn, complete(1, "1", CONTINUED), orchestrationTraceContext=own)
    turn = worker.turn()
    assert not turn.orchestratorRequest.HasField("orchestrationTraceContext")
    worker.end_turn(turn, complete(1))
    hub.wait(id)


def test_c66_each_turn_replaces_the_custom_status(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()

    def turn(status: str | None) -> Any:
        item = worker.turn()
        worker.end_turn(item, **({} if status is None else {"customStatus": text(status)}))
        state = hub.state(id)
        hub.raise_event(id)
        return state.customStatus.value if state.HasField("customStatus") else None

    assert [turn(status) for status in ('"one"', '""', '{"a":1}')] == ['"one"', '""', '{"a":1}']
    assert turn(None) is None
    assert not turn("")
    assert turn('"last"') == '"last"'
    worker.end_turn(worker.turn(), complete(1), customStatus=text('"end"'))
    assert hub.wait(id).customStatus.value == '"end"'
