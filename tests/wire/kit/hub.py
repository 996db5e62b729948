"""One task hub as the protocol shows it: its calls, each with a deadline, and what most tests do with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from google.protobuf import timestamp_pb2, wrappers_pb2

from harness.waiting import PATIENCE

SERVICE = "TaskHubSidecarService"
STREAMS = ("GetWorkItems", "StreamInstanceHistory")

RUNNING = pb.ORCHESTRATION_STATUS_RUNNING
COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED
CONTINUED = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
FAILED = pb.ORCHESTRATION_STATUS_FAILED
CANCELED = pb.ORCHESTRATION_STATUS_CANCELED
TERMINATED = pb.ORCHESTRATION_STATUS_TERMINATED
PENDING = pb.ORCHESTRATION_STATUS_PENDING
SUSPENDED = pb.ORCHESTRATION_STATUS_SUSPENDED

# A client that takes messages of any size, for what is not about sizes; `None` is the usual 4 MB.
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def text(value: str) -> wrappers_pb2.StringValue:
    return wrappers_pb2.StringValue(value=value)


def number(value: int) -> wrappers_pb2.Int32Value:
    return wrappers_pb2.Int32Value(value=value)


def moment(seconds: float) -> timestamp_pb2.Timestamp:
    """A time, in seconds since 1970."""
    whole = int(seconds // 1)
    return timestamp_pb2.Timestamp(seconds=whole, nanos=int((seconds - whole) * 1e6) * 1000)


def seconds(time: timestamp_pb2.Timestamp) -> float:
    return time.seconds + time.nanos / 1e9


def new_id(what: str = "instance") -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


class Calls:
    """The calls of the service, by their names, with a deadline: a call that hangs fails the test."""

    def __init__(self, channel: grpc.Channel, metadata: list[tuple[str, str]]):
        self._stub = TaskHubSidecarServiceStub(channel)
        self._metadata = metadata

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)
        usual = None if name in STREAMS else PATIENCE

        def call(request: Any, timeout: float | None = usual, **more: Any) -> Any:
            return method(request, timeout=timeout, metadata=self._metadata, **more)

        return call

    def begin(self, name: str, request: Any, timeout: float | None = PATIENCE) -> Any:
        """Begins a call and does not wait for its end."""
        return getattr(self._stub, name).future(request, timeout=timeout, metadata=self._metadata)


class Hub:
    """A task hub on one server."""

    def __init__(self, address: str, name: str | None = None, options: Any = None):
        self.address = address
        self.name = f"hub-{uuid.uuid4().hex[:16]}" if name is None else name
        self._channels: list[grpc.Channel] = []
        self.calls = self.connect(options=options)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("taskhub", self.name)] if self.name else []

    def connect(self, address: str | None = None, options: Any = None) -> Calls:
        """The calls on a connection of their own, perhaps to another server."""
        alone = [("grpc.use_local_subchannel_pool", 1), *(options or [])]
        channel = grpc.insecure_channel(address or self.address, options=alone)
        self._channels.append(channel)
        return Calls(channel, self.metadata)

    def start(self, name: str = "orch", input: str | None = None, id: str | None = None, **more: Any) -> str:
        request = pb.CreateInstanceRequest(instanceId=new_id() if id is None else id, name=name, **more)
        if input is not None:
            request.input.value = input
        return str(self.calls.StartInstance(request).instanceId)

    def get(self, id: str, payloads: bool = True) -> pb.GetInstanceResponse:
        return self.calls.GetInstance(pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=payloads))

    def state(self, id: str, payloads: bool = True) -> pb.OrchestrationState:
        """The state of an instance that has to be there."""
        answer = self.get(id, payloads)
        assert answer.exists, f"{id} does not exist"
        return answer.orchestrationState

    def status(self, id: str) -> int:
        return int(self.state(id, payloads=False).orchestrationStatus)

    def wait(self, id: str, timeout: float = PATIENCE) -> pb.OrchestrationState:
        """Waits for the end of an instance."""
        request = pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=True)
        answer = self.calls.WaitForInstanceCompletion(request, timeout)
        assert answer.exists, f"{id} does not exist"
        return answer.orchestrationState

    def history(self, id: str, **more: Any) -> list[pb.HistoryEvent]:
        request = pb.StreamInstanceHistoryRequest(instanceId=id, **more)
        return [event for chunk in self.calls.StreamInstanceHistory(request, 60) for event in chunk.events]

    def raise_event(self, id: str, name: str = "event", input: str | None = None) -> None:
        request = pb.RaiseEventRequest(instanceId=id, name=name)
        if input is not None:
            request.input.value = input
        self.calls.RaiseEvent(request)

    def terminate(self, id: str, output: str | None = None, recursive: bool = False) -> None:
        request = pb.TerminateRequest(instanceId=id, recursive=recursive)
        if output is not None:
            request.output.value = output
        self.calls.TerminateInstance(request)

    def signal(self, entity: str, operation: str = "add", input: str | None = None, **more: Any) -> None:
        request = pb.SignalEntityRequest(instanceId=entity, name=operation, **more)
        if input is not None:
            request.input.value = input
        self.calls.SignalEntity(request)

    def entity(self, id: str) -> pb.GetEntityResponse:
        return self.calls.GetEntity(pb.GetEntityRequest(instanceId=id, includeState=True))

    def close(self, delete: bool) -> None:
        """Gives back what the hub has on the server, if that server goes on, and the connections."""
        if delete:
            self.calls.DeleteTaskHub(pb.DeleteTaskHubRequest(), 60)
        for channel in self._channels:
            channel.close()
