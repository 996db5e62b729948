"""Starts: ids, reuse, times, and what reaches the first turn."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.errors import refused
from harness.waiting import eventually
from kit.hub import (
    CANCELED, COMPLETED, CONTINUED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED, Hub, moment, new_id, seconds, text,
)  # fmt: skip
from kit.worker import call, complete, kinds, timer

Code = grpc.StatusCode
EVERY = [RUNNING, COMPLETED, CONTINUED, FAILED, CANCELED, TERMINATED, PENDING, SUSPENDED]
EXCLUDES = "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"


def policy(*statuses: int, action: int | None = None) -> pb.OrchestrationIdReusePolicy:
    """With an action it is the message of the Go SDK: field 2, which is reserved since."""
    known = pb.OrchestrationIdReusePolicy(replaceableStatus=statuses).SerializeToString()
    old = b"" if action is None else bytes([0x10, action])
    return pb.OrchestrationIdReusePolicy.FromString(known + old)


def test_c6_the_id_comes_back_or_is_made(hub: Hub):
    assert hub.start("orch", id="my-id") == "my-id"
    made = {hub.start("orch", id="") for _ in range(5)}
    assert len(made) == 5 and "" not in made
    assert all(hub.state(id).name == "orch" for id in made)


def test_c7_ids_that_are_refused(hub: Hub):
    assert hub.start(id="x" * 100) == "x" * 100
    # Characters are counted, not bytes.
    assert hub.start(id="\u00fc" * 100) == "\u00fc" * 100
    for id in ("x" * 101, "\u00fc" * 101):
        assert "length" in refused(Code.INVALID_ARGUMENT, hub.start, id=id)
    for id in ("@", "@counter@1"):
        refused(Code.INVALID_ARGUMENT, hub.start, id=id)
    refused(Code.INVALID_ARGUMENT, hub.start, name="")


def test_c8_c9_the_same_id_again(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start(input="1")
    said = "orchestration instance already exists"
    assert said in refused(Code.ALREADY_EXISTS, hub.start, id=id)
    turn = worker.turn()
    assert said in refused(Code.ALREADY_EXISTS, hub.start, id=id)
    worker.end_turn(turn, complete(1, '"first"'))
    before = hub.wait(id)
    assert hub.start(id=id, input="2") == id
    after = hub.state(id)
    assert seconds(after.createdTimestamp) > seconds(before.createdTimestamp)
    assert after.executionId.value != before.executionId.value
    assert after.orchestrationStatus == PENDING and not after.HasField("output") and not after.HasField("completedTimestamp")
    request = worker.turn().orchestratorRequest
    assert kinds(request.newEvents) == ["orchestratorStarted", "executionStarted"] and not request.pastEvents
    assert request.newEvents[1].executionStarted.input.value == "2"


def test_c10_a_running_one_is_replaced_and_its_past_comes_too_late(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start(input="old")
    worker.end_turn(worker.turn(), call(1, "act"), timer(2, time.time() + 1.5))
    late = worker.activity()
    hub.raise_event(id, "held")
    held = worker.turn()
    old = hub.state(id).executionId.value
    replaced = policy(*EVERY)
    assert hub.start(id=id, input="new", orchestrationIdReusePolicy=replaced) == id
    turn = worker.turn()
    request = turn.orchestratorRequest
    assert request.executionId.value != old and not request.pastEvents
    assert request.newEvents[1].executionStarted.input.value == "new"
    assert kinds(request.newEvents) == ["orchestratorStarted", "executionStarted"]
    # The same id of an activity as in the old execution: its result must not be taken for this one's.
    worker.end_turn(turn, call(1, "act"))
    fresh = worker.activity()
    worker.end_activity(late, '"late"')
    worker.end_turn(held, complete(9, '"late"'))
    worker.nothing(2)  # The timer of the old execution would be due.
    worker.end_activity(fresh, '"fresh"')
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents) == ["orchestratorStarted", "taskCompleted"]
    assert turn.orchestratorRequest.newEvents[1].taskCompleted.result.value == '"fresh"'
    worker.end_turn(turn, complete(2, '"done"'))
    assert hub.wait(id).output.value == '"done"'


def test_c10_only_what_is_listed_is_replaced(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), complete(1))
    hub.wait(id)
    for nothing in (policy(), policy(FAILED), policy(FAILED, TERMINATED), policy(RUNNING, TERMINATED)):
        refused(Code.ALREADY_EXISTS, hub.start, id=id, orchestrationIdReusePolicy=nothing)
    assert hub.start(id=id, orchestrationIdReusePolicy=policy(COMPLETED)) == id
    assert hub.status(id) == PENDING
    # A policy for what is not there is a start like any other.
    assert hub.start(id=new_id(), orchestrationIdReusePolicy=policy())


@pytest.mark.parametrize("live", [RUNNING, PENDING, SUSPENDED])
def test_c11_a_policy_that_contradicts_itself(hub: Hub, live: int):
    for listed in ([live], [live, COMPLETED, FAILED, CANCELED]):
        said = refused(Code.INVALID_ARGUMENT, hub.start, orchestrationIdReusePolicy=policy(*listed))
        assert said == EXCLUDES
    assert hub.start(orchestrationIdReusePolicy=policy(live, TERMINATED))


def test_c12_the_actions_of_the_go_sdk(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start(input="first")
    worker.end_turn(worker.turn())
    eventually("it runs", lambda: hub.status(id) == RUNNING)
    ignore, terminate = 1, 2
    assert hub.start(id=id, input="x", orchestrationIdReusePolicy=policy(RUNNING, action=ignore)) == id
    assert hub.state(id).input.value == "first"
    worker.nothing(0.5)
    # What the list does not name is an error, whatever the action.
    refused(Code.ALREADY_EXISTS, hub.start, id=id, orchestrationIdReusePolicy=policy(COMPLETED, action=ignore))
    refused(Code.ALREADY_EXISTS, hub.start, id=id, orchestrationIdReusePolicy=policy(COMPLETED, action=terminate))
    assert hub.start(id=id, input="second", orchestrationIdReusePolicy=policy(RUNNING, action=terminate)) == id
    turn = worker.turn()
    assert turn.orchestratorRequest.newEvents[1].executionStarted.input.value == "second"
    worker.end_turn(turn, complete(1))
    hub.wait(id)


def test_c13_a_start_in_the_past_is_now(hub: Hub, connect: Connect):
    worker = connect()
    for start in (0.0, 1.5, time.time() - 100):
        hub.start(scheduledStartTimestamp=moment(start))
        worker.end_turn(worker.turn(), complete(1))


def test_c13_a_start_in_the_future_waits_for_it(hub: Hub, connect: Connect):
    worker = connect()
    due = {hub.start(scheduledStartTimestamp=moment(at)): at for at in [time.time() + 2.5 + n * 0.2 for n in range(5)]}
    for id, at in due.items():
        state = hub.state(id)
        assert state.orchestrationStatus == PENDING
        assert abs(seconds(state.scheduledStartTimestamp) - at) < 0.001
    # An event does not wake it before its time.
    hub.raise_event(next(iter(due)), "early")
    lateness = []
    for _ in due:
        turn = worker.turn()
        arrived = worker.came[turn.completionToken]
        request = turn.orchestratorRequest
        at = due[request.instanceId]
        # By the database's clock, which is this machine's.
        assert seconds(request.newEvents[0].timestamp) >= at - 0.000001
        assert arrived >= at - 0.001
        assert abs(seconds(request.newEvents[1].executionStarted.scheduledStartTimestamp) - at) < 0.001
        lateness.append(arrived - at)
        worker.end_turn(turn, complete(1))
    # Due 200 ms apart: of a server that looks once a second, the third best is 400 ms late at least.
    assert sorted(lateness)[2] < 0.35, lateness


def test_c14_what_was_given_reaches_the_first_turn_and_the_state(hub: Hub, connect: Connect):
    worker = connect()
    trace = pb.TraceContext(traceParent=f"00-{'ab' * 16}-{'cd' * 8}-01", spanID="cd" * 8, traceState=text("k=v"))
    id = hub.start(
        "Orch", "", version=text(""), tags={"a": "", "\u00fc": "2"}, parentTraceContext=trace, executionId=text("ab" * 16),
        requestTime=moment(time.time()),
    )  # fmt: skip
    request = worker.turn().orchestratorRequest
    started = request.newEvents[1].executionStarted
    assert (started.name, started.HasField("input"), started.input.value) == ("Orch", True, "")
    assert started.HasField("version") and started.version.value == ""
    assert dict(started.tags) == {"a": "", "\u00fc": "2"} and started.parentTraceContext == trace
    assert request.executionId.value == started.orchestrationInstance.executionId.value == "ab" * 16
    assert started.orchestrationInstance.instanceId == id and not started.HasField("parentInstance")
    state = hub.state(id)
    assert (state.name, state.HasField("input"), dict(state.tags)) == ("Orch", True, {"a": "", "\u00fc": "2"})
    assert state.HasField("version") and state.executionId.value == "ab" * 16


def test_c14_what_was_not_given_is_not_there(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    started = worker.turn().orchestratorRequest.newEvents[1].executionStarted
    for name in ("version", "input", "parentInstance", "scheduledStartTimestamp", "parentTraceContext"):
        assert not started.HasField(name), name
    state = hub.state(id)
    for name in ("version", "input", "output", "customStatus", "failureDetails", "parentInstanceId", "completedTimestamp"):
        assert not state.HasField(name), name
    assert not state.tags and not started.tags


def test_c15_a_thousand_starts_of_one_id(hub: Hub, connect: Connect):
    """From several connections at once: one succeeds, and it runs once."""
    connections = [hub.connect() for _ in range(4)]
    requests = [pb.CreateInstanceRequest(instanceId="one", name="orch", input=text(str(n))) for n in range(1000)]
    begun = [connections[n % 4].begin("StartInstance", request, 120) for n, request in enumerate(requests)]
    codes: list[Any] = [start.code() for start in begun]
    assert codes.count(Code.OK) == 1 and codes.count(Code.ALREADY_EXISTS) == 999
    winner = str(codes.index(Code.OK))
    worker = connect()
    turn = worker.turn()
    assert turn.orchestratorRequest.newEvents[1].executionStarted.input.value == winner == hub.state("one").input.value
    worker.end_turn(turn, complete(1))
    hub.wait("one")
    worker.nothing(0.5)
