"""An operation that does something impossible fails; its neighbours in the batch, which are others', do not."""

from __future__ import annotations

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from kit.entities import Caller, operations
from kit.hub import Hub
from kit.worker import Worker, complete, success

E1 = "@counter@1"


def answer(worker: Worker, item: pb.WorkItem, bad: pb.OperationAction | None) -> None:
    """Counts `add`; what `poison` answers cannot be stored, or what it does cannot be done."""
    state = int(item.entityRequestV2.entityState.value or 0)
    results, actions = [], []
    for name in operations(item):
        state += name == "add"
        results.append(success('"\0"' if name == "poison" and bad is None else "1"))
        if name == "poison" and bad is not None:
            actions.append(bad)
    worker.end_batch(item, results, str(state), actions=actions)


IMPOSSIBLE = {
    "a result with U+0000": None,
    "a signal to an id that is too long": pb.OperationAction(
        sendSignal=pb.SendSignalAction(instanceId="@counter@" + "x" * 200, name="add")
    ),
    "a start under the id of an entity": pb.OperationAction(
        startNewOrchestration=pb.StartNewOrchestrationAction(instanceId="@counter@2", name="orch")
    ),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_only_the_operation_at_fault_fails(hub: Hub, connect: Connect, what: str):
    worker = connect()
    hub.signal(E1, "add")
    first = worker.batch()
    for _ in range(3):
        hub.signal(E1, "add")
    caller = Caller(hub, worker)
    caller.send(caller.call(E1, "poison"))
    for _ in range(3):
        hub.signal(E1, "add")
    worker.end_batch(first, [success("1")], "1")
    told = None
    while told is None or hub.entity(E1).entity.serializedState.value != "7":
        item = worker.next()
        if item.HasField("entityRequestV2"):
            answer(worker, item, IMPOSSIBLE[what])
        else:
            told = caller.turn = item
    (heard,) = [event for event in told.orchestratorRequest.newEvents if event.HasField("entityOperationFailed")]
    kind = heard.entityOperationFailed.failureDetails.errorType
    assert kind == ("InvalidAction" if IMPOSSIBLE[what] else "InvalidResult")
    caller.send(complete(9))
    assert not hub.entity("@counter@2").exists and not hub.get("@counter@2").exists
