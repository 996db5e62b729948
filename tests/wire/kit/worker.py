"""A worker made by hand: it sees each work item as it comes, and answers what the test says."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.waiting import PATIENCE
from kit.hub import moment, text


class Worker:
    """One stream of work items."""

    def __init__(self, stub: Any, **request: Any):
        self.stub = stub
        self._stream = stub.GetWorkItems(pb.GetWorkItemsRequest(**request))
        self._items: queue.Queue[pb.WorkItem] = queue.Queue()
        # When an item came, by its token. A test that looks at items one after the other sees most of them later than that.
        self.came: dict[str, float] = {}
        self.pings = 0
        self.ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for item in self._stream:
                if item.HasField("healthPing"):
                    self.pings += 1
                else:
                    self.came[item.completionToken] = time.time()
                    self._items.put(item)
        except grpc.RpcError:
            # Cancelled by the test or ended by the server: nothing more will come.
            pass
        self.ended.set()

    def next(self, timeout: float = PATIENCE) -> pb.WorkItem:
        """The next work item, of whatever kind."""
        try:
            return self._items.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no work item came in {timeout:.0f} s") from None

    @property
    def waiting(self) -> int:
        """How many items have come that nobody has asked for."""
        return self._items.qsize()

    def _of(self, kind: str, timeout: float) -> pb.WorkItem:
        item = self.next(timeout)
        # Items may be large: what came is named, not shown.
        assert item.WhichOneof("request") == kind, f"came: {item.WhichOneof('request')}, expected: {kind}"
        return item

    def turn(self, timeout: float = PATIENCE) -> pb.WorkItem:
        return self._of("orchestratorRequest", timeout)

    def activity(self, timeout: float = PATIENCE) -> pb.WorkItem:
        return self._of("activityRequest", timeout)

    def batch(self, timeout: float = PATIENCE) -> pb.WorkItem:
        return self._of("entityRequestV2", timeout)

    def nothing(self, seconds: float = 1.0) -> None:
        """Fails if anything comes."""
        try:
            item = self._items.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"this should not have come: {item}")

    def end_turn(self, item: pb.WorkItem, *actions: pb.OrchestratorAction, **more: Any) -> None:
        """Answers a turn with these actions."""
        response = pb.OrchestratorResponse(
            instanceId=item.orchestratorRequest.instanceId,
            actions=actions,
            completionToken=item.completionToken,
            **more,
        )
        self.stub.CompleteOrchestratorTask(response)

    def end_activity(self, item: pb.WorkItem, result: str | None = None, **more: Any) -> None:
        request = item.activityRequest
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId,
            taskId=request.taskId,
            completionToken=item.completionToken,
            **more,
        )
        if result is not None:
            response.result.value = result
        self.stub.CompleteActivityTask(response)

    def end_batch(self, item: pb.WorkItem, results: list[pb.OperationResult], state: str | None, **more: Any) -> None:
        response = pb.EntityBatchResult(results=results, completionToken=item.completionToken, **more)
        if state is not None:
            response.entityState.value = state
        self.stub.CompleteEntityTask(response)

    def close(self) -> None:
        """Ends the stream, as a worker does that goes."""
        self._stream.cancel()
        self._reader.join(30)

    def code(self, timeout: float = PATIENCE) -> grpc.StatusCode:
        """Waits for the end of the stream, and says how it ended."""
        assert self.ended.wait(timeout), "the stream did not end"
        code: grpc.StatusCode = self._stream.code()
        return code

    def turns(self, count: int) -> list[pb.WorkItem]:
        return [self.turn() for _ in range(count)]

    def activities(self, count: int) -> list[pb.WorkItem]:
        return [self.activity() for _ in range(count)]

    def abandon(self, item: pb.WorkItem) -> None:
        if item.HasField("orchestratorRequest"):
            request: Any = pb.AbandonOrchestrationTaskRequest(completionToken=item.completionToken)
            self.stub.AbandonTaskOrchestratorWorkItem(request)
        elif item.HasField("activityRequest"):
            self.stub.AbandonTaskActivityWorkItem(pb.AbandonActivityTaskRequest(completionToken=item.completionToken))
        else:
            self.stub.AbandonTaskEntityWorkItem(pb.AbandonEntityTaskRequest(completionToken=item.completionToken))

    def turn_with(self, kind: str, timeout: float = PATIENCE) -> pb.WorkItem:
        """The next turn that brings an event of this kind; turns before it are answered with nothing."""
        deadline = time.monotonic() + timeout
        while True:
            item = self.turn(max(0.1, deadline - time.monotonic()))
            if kind in kinds(item.orchestratorRequest.newEvents):
                return item
            self.end_turn(item)


def call(id: int, name: str = "act", input: str | None = None, **more: Any) -> pb.OrchestratorAction:
    action = pb.OrchestratorAction(id=id, scheduleTask=pb.ScheduleTaskAction(name=name, **more))
    if input is not None:
        action.scheduleTask.input.value = input
    return action


def complete(
    id: int, result: str | None = None, status: Any = pb.ORCHESTRATION_STATUS_COMPLETED, **more: Any
) -> pb.OrchestratorAction:
    done = pb.CompleteOrchestrationAction(orchestrationStatus=status, **more)
    if result is not None:
        done.result.value = result
    return pb.OrchestratorAction(id=id, completeOrchestration=done)


def kinds(events: Any) -> list[str]:
    """The names of events as the wire has them."""
    return [event.WhichOneof("eventType") for event in events]


def success(result: str) -> pb.OperationResult:
    return pb.OperationResult(success=pb.OperationResultSuccess(result=text(result)))


def sub(id: int, instance: str = "", name: str = "child", **more: Any) -> pb.OrchestratorAction:
    action = pb.CreateSubOrchestrationAction(name=name, instanceId=instance, **more)
    return pb.OrchestratorAction(id=id, createSubOrchestration=action)


def timer(id: int, due: float) -> pb.OrchestratorAction:
    """A timer for a time in seconds since 1970."""
    return pb.OrchestratorAction(id=id, createTimer=pb.CreateTimerAction(fireAt=moment(due)))


def failure(kind: str = "Error", message: str = "why", **more: Any) -> pb.TaskFailureDetails:
    return pb.TaskFailureDetails(errorType=kind, errorMessage=message, **more)


def every_event(item: pb.WorkItem) -> list[pb.HistoryEvent]:
    request = item.orchestratorRequest
    return [*request.pastEvents, *request.newEvents]


Answer = Callable[[Worker, pb.WorkItem], None]


def play(worker: Worker, answer: Answer, until: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Answers whatever comes until a condition holds."""
    deadline = time.monotonic() + patience
    while not until():
        assert time.monotonic() < deadline, "what was played for did not come"
        for item in arrived(worker):
            answer(worker, item)


def arrived(worker: Worker, within: float = 0.1) -> Iterator[pb.WorkItem]:
    """What comes in moments."""
    try:
        while True:
            yield worker._items.get(timeout=within)
    except queue.Empty:
        return


def hello(worker: Worker, item: pb.WorkItem) -> None:
    """The smallest orchestration that uses everything once: one activity, and its result is the output."""
    if item.HasField("activityRequest"):
        worker.end_activity(item, item.activityRequest.input.value)
        return
    events = every_event(item)
    results = [event.taskCompleted.result.value for event in events if event.HasField("taskCompleted")]
    if results:
        worker.end_turn(item, complete(2, results[0]))
        return
    scheduled = any(event.HasField("taskScheduled") for event in events)
    started = next(event.executionStarted for event in events if event.HasField("executionStarted"))
    worker.end_turn(item, *([] if scheduled else [call(1, "echo", started.input.value)]))
