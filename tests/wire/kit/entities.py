"""Entities on the wire: what orchestrations send to them, and batches that are worked off."""

from __future__ import annotations

import uuid
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

from kit.hub import Hub, text
from kit.worker import Worker, kinds, success


def entity_action(id: int, **message: Any) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, sendEntityMessage=pb.SendEntityMessageAction(**message))


class Caller:
    """An orchestration that does one thing with entities in each of its turns."""

    def __init__(self, hub: Hub, worker: Worker):
        self.hub, self.worker = hub, worker
        self.id = hub.start()
        self.turn = worker.turn()
        assert self.turn.orchestratorRequest.instanceId == self.id
        self.execution = self.turn.orchestratorRequest.executionId.value
        self.section = str(uuid.uuid4())
        self.last = 0

    def _next(self) -> int:
        self.last += 1
        return self.last

    def send(self, *actions: pb.OrchestratorAction) -> None:
        self.worker.end_turn(self.turn, *actions)

    def lock(self, *entities: str) -> pb.OrchestratorAction:
        event = pb.EntityLockRequestedEvent(
            criticalSectionId=self.section, lockSet=sorted(entities), position=0, parentInstanceId=text(self.id)
        )
        return entity_action(self._next(), entityLockRequested=event)

    def unlock(self, entity: str) -> pb.OrchestratorAction:
        event = pb.EntityUnlockSentEvent(
            criticalSectionId=self.section, targetInstanceId=text(entity), parentInstanceId=text(self.id)
        )
        return entity_action(self._next(), entityUnlockSent=event)

    def call(self, entity: str, operation: str) -> pb.OrchestratorAction:
        event = pb.EntityOperationCalledEvent(
            requestId=str(uuid.uuid4()), operation=operation, targetInstanceId=text(entity), input=text("1"),
            parentInstanceId=text(self.id), parentExecutionId=text(self.execution),
        )  # fmt: skip
        return entity_action(self._next(), entityOperationCalled=event)

    def signal(self, entity: str, operation: str) -> pb.OrchestratorAction:
        event = pb.EntityOperationSignaledEvent(
            requestId=str(uuid.uuid4()), operation=operation, targetInstanceId=text(entity), input=text("1")
        )
        return entity_action(self._next(), entityOperationSignaled=event)

    def hears(self, kind: str) -> None:
        """The next turn brings this, and nothing else."""
        self.turn = self.worker.turn()
        request = self.turn.orchestratorRequest
        assert request.instanceId == self.id and kinds(request.newEvents) == ["orchestratorStarted", kind]


def operations(item: pb.WorkItem) -> list[str]:
    events = item.entityRequestV2.operationRequests
    return [getattr(event, event.WhichOneof("eventType")).operation for event in events]


def run_batch(worker: Worker, state: str = '"kept"') -> list[str]:
    item = worker.batch()
    done = operations(item)
    worker.end_batch(item, [success("1")] * len(done), state)
    return done


def locked_by(hub: Hub, entity: str) -> str:
    return str(hub.entity(entity).entity.lockedBy.value)
