"""What the hostile tests share: what a caller may be told, a sender of bytes, and the proof that the server goes on."""

from __future__ import annotations

from collections import Counter

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.server import Server
from kit.hub import ANY_SIZE, Hub
from kit.requests import raw_answer
from kit.worker import Worker, hello, play

Code = grpc.StatusCode
MEGABYTE = 1 << 20

# What a caller may be told. UNKNOWN and INTERNAL would say that the server did not expect this.
EXPECTED = {
    Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.RESOURCE_EXHAUSTED,
}  # fmt: skip
# Calls that wait are ended by their deadline.
WAITS = ("WaitForInstanceStart", "WaitForInstanceCompletion", "GetWorkItems")


class Sender:
    """Sends bytes to calls, with a deadline each, and counts what came back."""

    def __init__(self, hub: Hub):
        self.channel = grpc.insecure_channel(hub.address, options=ANY_SIZE)
        self.metadata = hub.metadata
        self.codes: Counter[tuple[str, Code]] = Counter()

    def send(self, name: str, message: bytes, timeout: float = 30) -> Code:
        waits = name in WAITS
        patience = 0.2 if waits else timeout
        code, said = raw_answer(self.channel, name, message, patience, metadata=self.metadata)
        self.codes[name, code] += 1
        allowed = EXPECTED | ({Code.DEADLINE_EXCEEDED, Code.CANCELLED} if waits else set())
        # What is no message at all gets the status that gRPC libraries have for it.
        if code == Code.INTERNAL and "decode" in said:
            return code
        assert code in allowed, f"{name} answered {code} ({said}) to {len(message)} bytes: {message[:200].hex()}"
        return code


def run_hello(hub: Hub) -> None:
    """One orchestration with an activity, from end to end."""
    worker = Worker(hub.connect())
    try:
        id = hub.start("hello", '"hi"')
        request = pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=True)
        done = hub.calls.begin("WaitForInstanceCompletion", request)
        play(worker, hello, done.done)
        assert done.result().orchestrationState.output.value == '"hi"'
    finally:
        worker.close()


class Proof:
    """Taken before; checked after: the server answers, works from end to end, lost no thread, and is not large."""

    def __init__(self, server: Server):
        self.server = server
        self.panics = len(server.panics())
        self._work()
        self.memory = server.memory()

    def _work(self) -> None:
        hub = Hub(self.server.address)
        run_hello(hub)
        hub.close(delete=True)

    def check(self, megabytes: int = 400) -> None:
        panics = self.server.panics()[self.panics :]
        assert not panics, "\n".join(panics[:10])
        self._work()
        assert self.server.running, self.server.log()
        # Allocators keep what they once had; what must not be is growth with the size or the number of messages.
        grown = (self.server.memory() - self.memory) // MEGABYTE
        assert grown < megabytes, f"the server has grown by {grown} MB"
