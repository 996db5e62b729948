"""Entities on the wire: batches and their answers, locks, who waits, what is left over, queries."""

from __future__ import annotations

import time
import uuid
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.errors import refused
from harness.waiting import eventually
from kit.entities import Caller, locked_by, operations, run_batch
from kit.hub import COMPLETED, FAILED, TERMINATED, Hub, moment, number, text
from kit.worker import complete, failure, kinds, success

Code = grpc.StatusCode
E1, E2 = "@counter@1", "@counter@2"


def test_c78_a_signal_makes_the_entity(hub: Hub, connect: Connect):
    """With its name in lower case, without a state, and with an id for the request."""
    worker = connect()
    hub.signal("@COUNTER@Key", "Add", "5")
    item = worker.batch()
    request = item.entityRequestV2
    assert request.instanceId == "@counter@Key" and request.executionId and not request.HasField("entityState")
    (event,) = request.operationRequests
    signaled = event.entityOperationSignaled
    assert (signaled.operation, signaled.input.value) == ("Add", "5") and uuid.UUID(signaled.requestId)
    for name in "abc":
        hub.signal("@counter@Key", name)
    # What comes meanwhile waits for the end of the batch, and keeps its order.
    worker.nothing(0.3)
    worker.end_batch(item, [success("1")], "5")
    item = worker.batch()
    assert operations(item) == ["a", "b", "c"] and item.entityRequestV2.entityState.value == "5"
    worker.end_batch(item, [success("1")] * 3, "6")
    assert hub.entity("@counter@Key").entity.serializedState.value == "6"


def test_c79_failures_of_operations_pass_unchanged(hub: Hub, connect: Connect):
    worker = connect()
    caller = Caller(hub, worker)
    caller.send(caller.call(E1, "get"))
    details = failure("Broken", isNonRetriable=True, innerFailure=failure("Inner", stackTrace=text("at x")))
    details.properties["code"].number_value = 7
    failed = pb.OperationResult(failure=pb.OperationResultFailure(failureDetails=details))
    worker.end_batch(worker.batch(), [failed], "kept")
    caller.hears("entityOperationFailed")
    heard = caller.turn.orchestratorRequest.newEvents[1].entityOperationFailed
    assert heard.failureDetails == details
    assert hub.entity(E1).entity.serializedState.value == "kept"
    caller.send(complete(9))
    stored = [event.entityOperationCalled for event in hub.history(caller.id) if event.HasField("entityOperationCalled")]
    assert [event.requestId for event in stored] == [heard.requestId]


def test_c82_signals_and_starts_of_a_batch(hub: Hub, connect: Connect):
    worker = connect()
    hub.signal(E1)
    signal = pb.SendSignalAction(instanceId="@other@x", name="hey", input=text('"there"'))
    start = pb.StartNewOrchestrationAction(instanceId="started", name="orch", version=text("3"), input=text("1"))
    actions = [pb.OperationAction(sendSignal=signal), pb.OperationAction(startNewOrchestration=start)]
    worker.end_batch(worker.batch(), [success("1")], "1", actions=actions)
    items = [worker.next(), worker.next()]
    batch = next(item for item in items if item.HasField("entityRequestV2")).entityRequestV2
    event = batch.operationRequests[0].entityOperationSignaled
    assert batch.instanceId == "@other@x" and (event.operation, event.input.value) == ("hey", '"there"')
    assert uuid.UUID(event.requestId)
    turn = next(item for item in items if item.HasField("orchestratorRequest")).orchestratorRequest
    started = turn.newEvents[1].executionStarted
    assert turn.instanceId == "started" and (started.version.value, started.input.value) == ("3", "1")
    assert not started.HasField("parentInstance")


def test_c83_c84_others_wait_while_the_owner_works(hub: Hub, connect: Connect):
    worker = connect()
    hub.signal(E1, "first")
    run_batch(worker)
    owner = Caller(hub, worker)
    owner.send(owner.lock(E1, E2))
    owner.hears("entityLockGranted")
    assert owner.turn.orchestratorRequest.newEvents[1].entityLockGranted.criticalSectionId == owner.section
    assert locked_by(hub, E1) == owner.id
    other = Caller(hub, worker)
    other.send(other.call(E1, "foreign"))
    hub.signal(E1, "from a client")
    worker.nothing(0.5)
    assert hub.entity(E1).entity.backlogQueueSize == 2
    # The owner's calls and signals run, before what waits.
    owner.send(owner.call(E1, "own"))
    assert run_batch(worker) == ["own"]
    owner.hears("entityOperationCompleted")
    owner.send(owner.signal(E1, "own signal"))
    assert run_batch(worker) == ["own signal"]
    worker.nothing(0.3)
    hub.raise_event(owner.id)
    owner.hears("eventRaised")
    owner.send(owner.unlock(E1), owner.unlock(E2))
    done: list[str] = []
    while len(done) < 2:
        item = worker.next()
        if item.HasField("entityRequestV2"):
            done += operations(item)
            worker.end_batch(item, [success("1")] * len(operations(item)), '"kept"')
    assert done == ["foreign", "from a client"] and not locked_by(hub, E1)


@pytest.mark.parametrize("end", ["complete", "fail", "terminate", "continue"])
def test_c83_locks_end_with_their_owner(hub: Hub, connect: Connect, end: str):
    worker = connect()
    for entity in (E1, E2):
        hub.signal(entity)
        run_batch(worker)
    owner = Caller(hub, worker)
    owner.send(owner.lock(E1, E2))
    owner.hears("entityLockGranted")
    assert locked_by(hub, E1) == locked_by(hub, E2) == owner.id
    hub.signal(E2, "waits")
    if end == "terminate":
        hub.terminate(owner.id)
        owner.send()
    else:
        status = {"complete": COMPLETED, "fail": FAILED, "continue": pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW}[end]
        owner.send(complete(9, "1", status, failureDetails=failure() if end == "fail" else None))
    done = []
    deadline = time.monotonic() + 30
    while "waits" not in done and time.monotonic() < deadline:
        item = worker.next()
        if item.HasField("entityRequestV2"):
            done += operations(item)
            worker.end_batch(item, [success("1")], '"kept"')
        elif "executionTerminated" in kinds(item.orchestratorRequest.newEvents):
            worker.end_turn(item, complete(9, None, TERMINATED))
    assert done == ["waits"]
    eventually("both are free", lambda: not locked_by(hub, E1) and not locked_by(hub, E2))


def test_c85_nothing_is_left_of_what_has_no_state(hub: Hub, connect: Connect):
    worker = connect()
    hub.signal(E1)
    run_batch(worker)
    assert hub.entity(E1).exists
    hub.signal(E1, "delete")
    item = worker.batch()
    worker.end_batch(item, [success("1")], None)
    eventually("it is gone", lambda: not hub.entity(E1).exists)
    answer = hub.calls.CleanEntityStorage(pb.CleanEntityStorageRequest(removeEmptyEntities=True, releaseOrphanedLocks=True))
    assert (answer.emptyEntitiesRemoved, answer.orphanedLocksReleased) == (0, 0)
    assert not answer.continuationToken.value
    query = pb.QueryEntitiesRequest(query=pb.EntityQuery(includeTransient=True))
    assert not hub.calls.QueryEntities(query).entities
    # It can be made again, and knows nothing of what it was.
    hub.signal(E1)
    item = worker.batch()
    assert not item.entityRequestV2.HasField("entityState")
    worker.end_batch(item, [success("1")], "1")
    # A state that is set, but empty, is none.
    hub.signal(E1)
    worker.end_batch(worker.batch(), [success("1")], "")
    eventually("it is gone again", lambda: not hub.entity(E1).exists)


def test_c86_queries(hub: Hub, connect: Connect):
    worker = connect()
    names = ["@alpha@a1", "@alpha@A2", "@alphabet@a1", "@beta@a%", "@beta@a_"]
    for name in names:
        hub.signal(name)
        run_batch(worker)
    between = time.time()
    hub.signal("@alpha@a1")
    run_batch(worker)
    hub.signal("@beta@empty", scheduledTime=moment(time.time() + 900))

    def ask(**query: Any) -> list[str]:
        found, token = [], ""
        while True:
            query["continuationToken"] = text(token)
            page = hub.calls.QueryEntities(pb.QueryEntitiesRequest(query=pb.EntityQuery(**query)))
            size = query.get("pageSize")
            assert size is None or len(page.entities) <= size.value
            found += [entity.instanceId for entity in page.entities]
            token = page.continuationToken.value
            if not token:
                return found

    assert sorted(ask()) == sorted(names)
    assert len(ask(pageSize=number(2))) == 5 and len(set(ask(pageSize=number(1)))) == 5
    assert set(ask(instanceIdStartsWith=text("@ALPHA@"))) == {"@alpha@a1", "@alpha@A2"}
    assert set(ask(instanceIdStartsWith=text("@Alpha"))) == {"@alpha@a1", "@alpha@A2", "@alphabet@a1"}
    # Keys keep their case, and nothing in a prefix is a wildcard.
    assert ask(instanceIdStartsWith=text("@alpha@A")) == ["@alpha@A2"]
    for odd in ("@beta@a_", "@beta@a%"):
        assert ask(instanceIdStartsWith=text(odd)) == [odd]
    assert ask(lastModifiedFrom=moment(between)) == ["@alpha@a1"]
    assert set(ask(lastModifiedTo=moment(between))) == set(names) - {"@alpha@a1"}
    assert sorted(ask(includeTransient=True)) == sorted([*names, "@beta@empty"])
    for include in (True, False):
        query = pb.QueryEntitiesRequest(query=pb.EntityQuery(includeState=include))
        page = hub.calls.QueryEntities(query)
        assert {entity.HasField("serializedState") for entity in page.entities} == {include}
        assert all(entity.HasField("lastModifiedTime") for entity in page.entities)


def test_c87_c88_batches_half_done_and_failed(hub: Hub, connect: Connect):
    for name in "abcd":
        hub.signal(E1, name)
    worker = connect()
    item = worker.batch()
    assert operations(item) == ["a", "b", "c", "d"]
    worker.end_batch(item, [success("1")] * 2, "2")
    item = worker.batch()
    assert operations(item) == ["c", "d"] and item.entityRequestV2.entityState.value == "2"
    # The worker as a whole could not: nothing counts, and it comes again later.
    begun = time.monotonic()
    worker.end_batch(item, [], "broken", failureDetails=failure("Framework", "cannot"))
    item = worker.batch()
    assert time.monotonic() - begun > 0.1
    assert operations(item) == ["c", "d"] and item.entityRequestV2.entityState.value == "2"
    worker.end_batch(item, [success("1")] * 2, "4")
    worker.nothing(0.3)
    assert hub.entity(E1).entity.serializedState.value == "4"


def test_c89_ids_of_entities(hub: Hub):
    assert "length" in refused(Code.INVALID_ARGUMENT, hub.signal, "@counter@" + "k" * 92)
    hub.signal("@counter@" + "k" * 91)
    for wrong in ("counter", "", "@", "@counter", "@@key", "no@entity@x"):
        refused(Code.INVALID_ARGUMENT, hub.signal, wrong)


def test_c90_batches_say_who_calls(hub: Hub, connect: Connect):
    worker = connect()
    caller = Caller(hub, worker)
    caller.send(caller.call("@Counter@Key", "op"))
    item = worker.next()
    assert item.WhichOneof("request") == "entityRequestV2"
    request = item.entityRequestV2
    assert request.instanceId == "@counter@Key" and request.executionId
    called = request.operationRequests[0].entityOperationCalled
    assert (called.parentInstanceId.value, called.parentExecutionId.value) == (caller.id, caller.execution)
    assert called.input.value == "1" and uuid.UUID(called.requestId)
    worker.end_batch(item, [success('"r"')], "1")
    caller.hears("entityOperationCompleted")
    heard = caller.turn.orchestratorRequest.newEvents[1].entityOperationCompleted
    assert (heard.requestId, heard.output.value) == (called.requestId, '"r"')
    caller.send(complete(9))
    hub.wait(caller.id)
    stored = [event.entityOperationCalled for event in hub.history(caller.id) if event.HasField("entityOperationCalled")]
    # What only messages need is not kept.
    assert not stored[0].HasField("parentInstanceId") and not stored[0].HasField("parentExecutionId")


def test_an_entity_is_no_orchestration(hub: Hub, connect: Connect):
    """No call for orchestrations takes its id for one, and none waits for what never comes."""
    worker = connect()
    hub.signal(E1)
    worker.end_batch(worker.batch(), [success("1")], "1")
    for new_id in (False, True):
        again = pb.RestartInstanceRequest(instanceId=E1, restartWithNewInstanceId=new_id)
        assert "entity" in refused(Code.INVALID_ARGUMENT, hub.calls.RestartInstance, again)
    for wait in (hub.calls.GetInstance, hub.calls.WaitForInstanceStart, hub.calls.WaitForInstanceCompletion):
        assert not wait(pb.GetInstanceRequest(instanceId=E1), timeout=5).exists
    refused(Code.NOT_FOUND, hub.history, E1)
    worker.nothing(0.2)
