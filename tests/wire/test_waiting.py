"""Looking at instances and waiting for them."""

from __future__ import annotations

import time
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.database import transactions
from harness.errors import refused
from harness.server import Server
from harness.waiting import eventually
from kit.hub import CONTINUED, PENDING, RUNNING, TERMINATED, Hub, moment, seconds, text
from kit.worker import complete, failure

Code = grpc.StatusCode
WAITERS = 1000


def get(id: str) -> pb.GetInstanceRequest:
    return pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=True)


def test_c16_c17_what_a_look_shows(hub: Hub, connect: Connect):
    for id in ("nobody", "", "@counter@1", "x" * 500):
        assert not hub.get(id).exists
        assert not hub.get(id).HasField("orchestrationState")
    worker = connect()
    id = hub.start(input="in")
    details = failure("My.Error", "broke", stackTrace=text("at x"))
    status = pb.ORCHESTRATION_STATUS_FAILED
    worker.end_turn(worker.turn(), complete(1, None, status, failureDetails=details), customStatus=text("custom"))
    hub.wait(id)
    other = hub.start(input="in")
    worker.end_turn(worker.turn(), complete(1, "out"))
    hub.wait(other)
    for ended in (id, other):
        bare = hub.state(ended, payloads=False)
        assert not any(bare.HasField(name) for name in ("input", "output", "customStatus"))
        assert bare.name == "orch" and hub.state(ended).input.value == "in"
    failed, whole = hub.state(id), hub.state(other)
    assert failed.customStatus.value == "custom" and failed.failureDetails == details
    assert failed.orchestrationStatus == status and whole.output.value == "out"


def test_c18_times(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    first = hub.state(id)
    assert first.HasField("createdTimestamp") and first.HasField("lastUpdatedTimestamp")
    turn = worker.turn()
    worker.end_turn(turn)
    eventually("the turn moved it", lambda: seconds(hub.state(id).lastUpdatedTimestamp) > seconds(first.lastUpdatedTimestamp))
    assert not hub.state(id).HasField("completedTimestamp")
    before = time.time()
    hub.raise_event(id)
    worker.end_turn(worker.turn(), complete(1))
    state = hub.wait(id)
    assert state.createdTimestamp == first.createdTimestamp
    assert seconds(state.lastUpdatedTimestamp) >= seconds(state.completedTimestamp) - 0.000001
    # One clock of one machine, give or take its steps.
    assert seconds(state.completedTimestamp) >= before - 1


def test_c19_pending_until_the_first_turn_is_committed(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    assert hub.status(id) == PENDING
    refused(Code.DEADLINE_EXCEEDED, hub.calls.WaitForInstanceStart, get(id), 1)
    assert hub.status(id) == PENDING
    waiting = hub.calls.begin("WaitForInstanceStart", get(id))
    worker.end_turn(turn)
    assert waiting.result().orchestrationState.orchestrationStatus == RUNNING


def test_c20_a_finished_one_has_started(hub: Hub, connect: Connect):
    worker = connect()
    done = hub.start()
    worker.end_turn(worker.turn(), complete(1, "out"))
    hub.wait(done)
    killed = hub.start("nobody-has-this", scheduledStartTimestamp=moment(time.time() + 3600))
    hub.terminate(killed)
    hub.wait(killed)
    for id, status in ((done, pb.ORCHESTRATION_STATUS_COMPLETED), (killed, TERMINATED)):
        for name in ("WaitForInstanceStart", "WaitForInstanceCompletion"):
            state = getattr(hub.calls, name)(get(id), 30).orchestrationState
            assert state.orchestrationStatus == status
    assert not hub.calls.WaitForInstanceStart(pb.GetInstanceRequest(instanceId=done)).orchestrationState.HasField("output")


def test_c21_waiting_costs_no_queries(server: Server, hub: Hub, connect: Connect):
    """A thousand clients wait for seconds: the database does no more than without them; then all are woken."""
    assert server.database_url
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    worker.end_turn(turn)
    eventually("it runs", lambda: hub.status(id) == RUNNING)

    def quiet_seconds(count: float) -> int:
        """Transactions of some seconds in which no test does anything; sessions report theirs after a second or so."""
        time.sleep(1.5)
        before = transactions(server.database_url or "")
        time.sleep(count)
        return transactions(server.database_url or "") - before

    alone = quiet_seconds(4)
    connections = [hub.connect() for _ in range(10)]
    waits = [connections[n % 10].begin("WaitForInstanceCompletion", get(id), 150) for n in range(WAITERS)]
    # Each looks once when it begins; when that is over, it only waits.
    eventually("all wait", lambda: quiet_seconds(1) < WAITERS / 10)
    crowded = quiet_seconds(4)
    assert crowded < alone + WAITERS / 10, f"{crowded} transactions with {WAITERS} waiting clients, {alone} without"
    assert not any(wait.done() for wait in waits)
    hub.raise_event(id)
    turn = worker.turn()
    begun = time.monotonic()
    worker.end_turn(turn, complete(1, "out"))
    states = [wait.result().orchestrationState for wait in waits]
    assert {state.output.value for state in states} == {"out"}
    assert time.monotonic() - begun < 30


def test_c21_a_waiter_hears_of_the_end_at_once(hub: Hub, connect: Connect):
    worker = connect()
    times = []
    for _ in range(10):
        id = hub.start()
        turn = worker.turn()
        waiting = hub.calls.begin("WaitForInstanceCompletion", get(id))
        worker.end_turn(turn, complete(1))
        committed = time.monotonic()
        waiting.result()
        times.append(time.monotonic() - committed)
    # The answer to the worker comes after the commit: from then on, a busy machine may take its time, but not always.
    assert min(times) < 0.05, times


def test_c22_waits_that_end_before_the_instance_does(server: Server, hub: Hub):
    id = hub.start("nobody")
    begun = time.monotonic()
    for name in ("WaitForInstanceStart", "WaitForInstanceCompletion"):
        refused(Code.DEADLINE_EXCEEDED, getattr(hub.calls, name), get(id), 0.5)
    assert time.monotonic() - begun >= 0.9
    # Given up, by the thousand: what they held on the server goes with them.
    rounds = []
    for _ in range(4):
        calls = hub.connect()
        waits: list[Any] = [calls.begin("WaitForInstanceCompletion", get(id), 100) for _ in range(WAITERS)]
        hub.status(id)
        for wait in waits:
            wait.cancel()
        assert {wait.code() for wait in waits} == {Code.CANCELLED}
        hub.status(id)
        rounds.append(server.memory())
    assert rounds[-1] - rounds[0] < 60 << 20, [size >> 20 for size in rounds]
    hub.terminate(id)


def test_c23_waiting_goes_on_over_generations(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start(input="0")
    waiting = hub.calls.begin("WaitForInstanceCompletion", get(id))
    for generation in range(1, 4):
        turn = worker.turn()
        assert not waiting.done()
        worker.end_turn(turn, complete(1, str(generation), CONTINUED))
        eventually("it goes on", lambda: hub.state(id).input.value == str(generation))  # noqa: B023
        assert hub.status(id) == RUNNING
    worker.end_turn(worker.turn(), complete(1, "end"))
    assert waiting.result().orchestrationState.output.value == "end"
