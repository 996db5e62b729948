"""An app: one task hub of a server, with clients and workers that go when the test ends."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from durabletask.client import AsyncTaskHubGrpcClient, OrchestrationState, TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from durabletask.worker import GrpcWorkerResiliencyOptions, TaskHubGrpcWorker

from harness.server import Server
from harness.waiting import PATIENCE, eventually


# What the SDK logs goes to pytest, which shows it when a test fails, instead of straight to the terminal.
LOGGER = logging.getLogger("everdure.tests")

# A worker that lost its server asks again after moments, not after half a minute.
EAGER = GrpcWorkerResiliencyOptions(reconnect_backoff_base_seconds=0.2, reconnect_backoff_cap_seconds=1.0)


class HubOfStreams(grpc.aio.UnaryStreamClientInterceptor):
    """Names the task hub in streaming calls.

    The asynchronous client of 1.12.0 forgets its metadata there: grpc.aio registers an interceptor for one kind of call
    only, and the SDK's own is registered for those that answer once.
    """

    def __init__(self, hub: str):
        self._hub = hub

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("taskhub", self._hub))
        with_hub = grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )
        return await continuation(with_hub, request)


class Stopper:
    """Tidies up beside the tests: a worker takes a second or two to stop, which need not be waited for each time."""

    # How many apps may be on their way out at once: each still has its task hub open on the server.
    AT_ONCE = 6

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=self.AT_ONCE, thread_name_prefix="stopper")
        self._room = threading.Semaphore(self.AT_ONCE)
        self._stops: list[Future[None]] = []

    def stop(self, tidy_up: Callable[[], None]) -> None:
        self._room.acquire()
        stop = self._pool.submit(tidy_up)
        stop.add_done_callback(lambda _: self._room.release())
        self._stops.append(stop)

    def finish(self) -> None:
        """Waits for all, and fails if one failed."""
        for stop in self._stops:
            stop.result(timeout=120)
        self._pool.shutdown()


class App:
    """One task hub of one server, as a program sees it."""

    def __init__(self, server: Server, hub: str, stopper: Stopper, *, delete_hub: bool = True):
        self.server = server
        self.hub = hub
        self._delete_hub = delete_hub
        self._stopper = stopper
        self._clients: list[TaskHubGrpcClient] = []
        self._channels: list[grpc.Channel] = []
        self._workers: list[TaskHubGrpcWorker] = []
        self._client: TaskHubGrpcClient | None = None
        self._stub: Any = None

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("taskhub", self.hub)]

    @property
    def client(self) -> TaskHubGrpcClient:
        """The client that most tests need: the plain one, with the hub in its metadata."""
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def new_client(self, address: str | None = None, **options: Any) -> TaskHubGrpcClient:
        options.setdefault("logger", LOGGER)
        client = TaskHubGrpcClient(host_address=address or self.address, metadata=self.metadata, **options)
        self._clients.append(client)
        return client

    def async_client(self, **options: Any) -> AsyncTaskHubGrpcClient:
        """The asynchronous client; the test enters and leaves it."""
        options.setdefault("logger", LOGGER)
        options.setdefault("interceptors", [HubOfStreams(self.hub)])
        return AsyncTaskHubGrpcClient(host_address=self.address, metadata=self.metadata, **options)

    @property
    def stub(self) -> Any:
        """The SDK's own stub, for messages that its clients do not send."""
        if self._stub is None:
            self._stub = self.new_stub()
        return self._stub

    def new_stub(self, address: str | None = None) -> Any:
        channel = grpc.insecure_channel(address or self.address)
        self._channels.append(channel)
        with_hub = grpc.intercept_channel(channel, DefaultClientInterceptorImpl(self.metadata))
        return TaskHubSidecarServiceStub(with_hub)

    def worker(
        self,
        orchestrators: Iterable[Callable[..., Any]] = (),
        activities: Iterable[Callable[..., Any]] = (),
        entities: Iterable[Any] = (),
        *,
        address: str | None = None,
        before_start: Callable[[TaskHubGrpcWorker], None] | None = None,
        **options: Any,
    ) -> TaskHubGrpcWorker:
        """Starts a worker with these functions; `before_start` may set what is not an option."""
        options.setdefault("logger", LOGGER)
        options.setdefault("resiliency_options", EAGER)
        worker = TaskHubGrpcWorker(host_address=address or self.address, metadata=self.metadata, **options)
        return self.start_worker(worker, orchestrators, activities, entities, before_start)

    def start_worker(
        self,
        worker: TaskHubGrpcWorker,
        orchestrators: Iterable[Callable[..., Any]] = (),
        activities: Iterable[Callable[..., Any]] = (),
        entities: Iterable[Any] = (),
        before_start: Callable[[TaskHubGrpcWorker], None] | None = None,
    ) -> TaskHubGrpcWorker:
        for orchestrator in orchestrators:
            worker.add_orchestrator(orchestrator)
        for activity in activities:
            worker.add_activity(activity)
        for entity in entities:
            worker.add_entity(entity)
        if before_start:
            before_start(worker)
        worker.start()
        self._workers.append(worker)
        return worker

    def stop_worker(self, worker: TaskHubGrpcWorker) -> None:
        """Stops a worker and waits until it is gone."""
        self._workers.remove(worker)
        worker.stop()

    def start(self, orchestrator: Callable[..., Any] | str, input: Any = None, **options: Any) -> str:
        return self.client.schedule_new_orchestration(orchestrator, input=input, **options)

    def wait(self, instance_id: str, timeout: float = PATIENCE) -> OrchestrationState:
        """Waits for the end of an instance; it has to be there."""
        state = self.client.wait_for_orchestration_completion(instance_id, timeout=timeout)
        assert state is not None, f"{instance_id} does not exist"
        return state

    def run(self, orchestrator: Callable[..., Any] | str, input: Any = None, **options: Any) -> OrchestrationState:
        """Starts an instance and waits for its end, however it ends."""
        return self.wait(self.start(orchestrator, input, **options))

    def result(self, orchestrator: Callable[..., Any] | str, input: Any = None, **options: Any) -> Any:
        """Starts an instance, waits for its end, and returns its output; a failure is raised."""
        state = self.run(orchestrator, input, **options)
        state.raise_if_failed()
        assert state.runtime_status.name == "COMPLETED", state
        return state.get_output()

    def status(self, instance_id: str) -> str:
        """The status of an instance that has to be there."""
        state = self.client.get_orchestration_state(instance_id)
        assert state is not None, f"{instance_id} does not exist"
        return state.runtime_status.name

    def await_status(self, instance_id: str, status: str) -> None:
        eventually(f"{instance_id} is {status}", lambda: self.status(instance_id) == status)

    def await_custom_status(self, instance_id: str, status: Any) -> None:
        """Waits for what an orchestrator says about itself: the signal that it has come to a certain line."""

        def says() -> bool:
            state = self.client.get_orchestration_state(instance_id)
            return state is not None and state.get_custom_status() == status

        eventually(f"{instance_id} says {status!r}", says)

    def raw_state(self, instance_id: str, payloads: bool = True) -> pb.OrchestrationState:
        """The state as the server sent it, with what the SDK's own class leaves out."""
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=payloads)
        answer = self.stub.GetInstance(request)
        assert answer.exists, f"{instance_id} does not exist"
        return answer.orchestrationState

    def raw_history(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The history as the server sent it."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance_id)
        return [event for chunk in self.stub.StreamInstanceHistory(request) for event in chunk.events]

    def close(self) -> None:
        """Ends the app: its workers, then its hub with all that is in it, then its channels."""
        self._stopper.stop(self._tidy_up)

    def _tidy_up(self) -> None:
        for worker in self._workers:
            worker.stop()
        if self._delete_hub:
            self.stub.DeleteTaskHub(pb.DeleteTaskHubRequest(), timeout=60)
        for client in self._clients:
            client.close()
        for channel in self._channels:
            channel.close()


def new_hub() -> str:
    return f"hub-{uuid.uuid4().hex[:16]}"


def new_id(what: str = "instance") -> str:
    """An id that no other test has, for tests that name their instances."""
    return f"{what}-{uuid.uuid4().hex[:12]}"
