"""Timers, seen at the moment in which they come; payloads of all sizes, to the byte."""

from __future__ import annotations

import json
import time

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.database import everdure
from harness.errors import refused
from harness.server import Server
from kit.hub import ANY_SIZE, RUNNING, Hub, seconds, text
from kit.worker import call, complete, kinds, success, timer
from test_streams import filters


def test_c59_timers_are_never_early_and_hardly_late(hub: Hub, connect: Connect):
    """Forty timers, begun at different moments while other work goes on, and due within a second."""
    worker = connect()
    ids = [hub.start() for _ in range(40)]
    due: dict[str, float] = {}
    lateness: list[float] = []
    # First turns and those whose timer has fired come as they come.
    while len(lateness) < len(ids):
        item = worker.turn()
        request = item.orchestratorRequest
        if "timerFired" not in kinds(request.newEvents):
            # Apart from each other: those due at one moment could all be lucky with a server that looks once a second.
            due[request.instanceId] = time.time() + 0.2 + len(due) / 50
            worker.end_turn(item, timer(1, due[request.instanceId]))
            continue
        fired = next(event.timerFired for event in request.newEvents if event.HasField("timerFired"))
        at = seconds(fired.fireAt)
        assert abs(at - due[request.instanceId]) < 0.001 and fired.timerId == 1
        # Neither by the clock that history keeps, nor by this machine's.
        came = worker.came[item.completionToken]
        assert seconds(request.newEvents[0].timestamp) >= at and came >= at
        lateness.append(came - at)
        worker.end_turn(item, complete(2))
    # On an idle machine all of them; on a busy one at least the better half.
    assert sorted(lateness)[len(lateness) // 2] < 0.4, lateness


def test_c60_years_away_and_long_gone(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    far = [time.time() + years * 365.25 * 86400 for years in (1, 10, 100, 1000, 7900)]
    actions = [timer(number, due) for number, due in enumerate(far)]
    actions += [timer(10, 0), timer(11, 1), timer(12, time.time() - 86400), timer(13, -62_135_596_800)]
    worker.end_turn(worker.turn(), *actions)
    fired: set[int] = set()
    while len(fired) < 4:
        item = worker.turn()
        fired |= {event.timerFired.timerId for event in item.orchestratorRequest.newEvents if event.HasField("timerFired")}
        worker.end_turn(item)
    assert fired == {10, 11, 12, 13}
    worker.nothing(0.5)
    stored = [event.timerCreated.fireAt for event in hub.history(id) if event.HasField("timerCreated")]
    assert [action.createTimer.fireAt for action in actions] == stored
    assert hub.status(id) == RUNNING
    hub.terminate(id)


ODD = {
    "nul escape": json.dumps("\0a\0"),
    "emoji": '"\U0001f980\U0001f468\u200d\U0001f469\u200d\U0001f467"',
    "no json": "{ not json, 'at' all \\u0000",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\u0085\u2028\ufeff\ufffe\uffff",
    "spaces": "  \r\n\t ",
    "numbers": "12345678901234567890.123456789012345678901234567890e-400",
    "keys twice": '{"b":1,"a":2,"b":3}',
    "edges": "\ud7ff\ue000\U0010ffff",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_c69_every_text_is_kept_to_the_byte(hub: Hub, connect: Connect, value: str):
    """In an input, an event, an activity both ways, a status, an output, an entity."""
    id = hub.start(input=value)
    hub.raise_event(id, "e", value)
    worker = connect()
    item = worker.turn()
    assert item.orchestratorRequest.newEvents[1].executionStarted.input.value == value
    worker.end_turn(item, call(1, input=value), customStatus=text(value))
    assert hub.state(id).customStatus.value == value
    found = False
    while not found:
        item = worker.next()
        if item.HasField("activityRequest"):
            assert item.activityRequest.input.value == value
            worker.end_activity(item, value)
            continue
        new = item.orchestratorRequest.newEvents
        found = "taskCompleted" in kinds(new)
        if found:
            assert next(event.taskCompleted for event in new if event.HasField("taskCompleted")).result.value == value
            worker.end_turn(item, complete(2, value))
        else:
            worker.end_turn(item)
    state = hub.wait(id)
    assert state.input.value == state.output.value == value
    events = hub.history(id)
    assert next(event.eventRaised for event in events if event.HasField("eventRaised")).input.value == value
    hub.signal("@e@1", "op", value)
    item = worker.batch()
    assert item.entityRequestV2.operationRequests[0].entityOperationSignaled.input.value == value
    worker.end_batch(item, [success(value)], value)
    assert hub.entity("@e@1").entity.serializedState.value == value


def test_c69_an_empty_result_is_not_an_absent_one(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), call(1), call(2))
    for item in worker.activities(2):
        worker.end_activity(item, "" if item.activityRequest.taskId == 1 else None)
    found: dict[int, bool] = {}
    while len(found) < 2:
        item = worker.turn()
        done = [event.taskCompleted for event in item.orchestratorRequest.newEvents if event.HasField("taskCompleted")]
        found |= {event.taskScheduledId: event.HasField("result") for event in done}
        worker.end_turn(item, *([complete(3)] if len(found) == 2 else []))
    assert found == {1: True, 2: False}
    assert not hub.wait(id).HasField("output")


def test_c69_a_real_nul_is_refused_at_the_door(hub: Hub, connect: Connect):
    """PostgreSQL's text cannot hold it: the caller is told, and an activity's result that has one fails it."""
    code = grpc.StatusCode.INVALID_ARGUMENT
    assert "U+0000" in refused(code, hub.start, input="a\0b")
    worker = connect()
    id = hub.start()
    refused(code, hub.raise_event, id, "e", "a\0b")
    refused(code, hub.terminate, id, "a\0b")
    worker.end_turn(worker.turn(), call(1))
    worker.end_activity(worker.activity(), "a\0b")
    turn = worker.turn()
    assert "U+0000" in turn.orchestratorRequest.newEvents[1].taskFailed.failureDetails.errorMessage
    worker.end_turn(turn, complete(2))
    hub.wait(id)


@pytest.mark.parametrize("megabytes", [1, 10])
def test_c69_large_payloads(hub: Hub, connect: Connect, megabytes: int):
    large = '"' + "x\u00fc" * (megabytes * 1024 * 1024 // 3) + '"'
    worker = connect(options=ANY_SIZE)
    id = hub.start(input=large)
    worker.end_turn(worker.turn(), call(1, input=large))
    item = worker.activity()
    assert item.activityRequest.input.value == large
    worker.end_activity(item, large)
    item = worker.turn()
    assert item.orchestratorRequest.newEvents[1].taskCompleted.result.value == large
    worker.end_turn(item, complete(2, large))
    calls = hub.connect(options=ANY_SIZE)
    request = pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=True)
    state = calls.WaitForInstanceCompletion(request).orchestrationState
    assert state.input.value == state.output.value == large


def test_c69_an_activity_above_its_workers_limit_is_set_aside(server: Server, hub: Hub, connect: Connect):
    """Each time it is tried, it breaks the stream, and its neighbours are handed out anew: not without end."""
    id = hub.start()
    setting = ["attempts.activity", "2", "--hub", hub.name]
    done = everdure("settings", "set", *setting, database_url=server.database_url)
    assert done.returncode == 0, done.stderr
    orchestrator = connect(options=ANY_SIZE, workItemFilters=filters({"orch": []}))
    orchestrator.end_turn(orchestrator.turn(), call(1, "long"), call(2, "big", "x" * (5 << 20)))
    takes = filters(activities={"long": [], "big": []})
    usual = connect(workItemFilters=takes)
    deadline = time.monotonic() + 60
    breaks = 0
    while "work item of" not in poison(server, hub):
        assert time.monotonic() < deadline, f"not set aside after {breaks} attempts"
        if usual.ended.wait(0.2):
            breaks += 1
            usual = connect(workItemFilters=takes)
    if usual.ended.wait(1):
        usual = connect(workItemFilters=takes)
    usual.end_activity(usual.activity(), "1")
    assert orchestrator.turn().orchestratorRequest.newEvents[1].taskCompleted.taskScheduledId == 1
    assert not usual.ended.is_set()
    hub.terminate(id)


def poison(server: Server, hub: Hub) -> str:
    return everdure("poison", "list", "--full", "--hub", hub.name, database_url=server.database_url).stdout
