"""Histories as clients read them."""

import json
from datetime import timedelta
from typing import Any

import grpc
from durabletask import history, task
from durabletask.grpc_options import GrpcChannelOptions
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.errors import refused
from harness.waiting import eventually
from support.app import App, new_id
from support.histories import kinds, of_kind, only


def double(_: task.ActivityContext, number: int) -> int:
    return number * 2


def child(_: task.OrchestrationContext, input: Any):
    return input


def reference(ctx: task.OrchestrationContext, _: Any):
    doubled = yield ctx.call_activity(double, input=4)
    yield ctx.create_timer(timedelta(milliseconds=100))
    return (yield ctx.call_sub_orchestrator(child, input=doubled))


def test_c49_c51_the_twelve_events_of_the_reference(app: App):
    app.worker([reference, child], [double])
    id = app.start(reference, "in", version="1")
    assert app.wait(id).get_output() == 8
    events = app.client.get_orchestration_history(id)
    assert kinds(events) == [
        "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
        "OrchestratorStarted", "TaskCompleted", "TimerCreated",
        "OrchestratorStarted", "TimerFired", "SubOrchestrationInstanceCreated",
        "OrchestratorStarted", "SubOrchestrationInstanceCompleted", "ExecutionCompleted",
    ]  # fmt: skip
    assert [event.event_id for event in events] == [-1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4]
    assert all(event.timestamp.year > 2000 for event in events)
    turns = [event.timestamp for event in of_kind(events, history.OrchestratorStartedEvent)]
    assert turns == sorted(set(turns)) and len(turns) == 4
    started = only(events, history.ExecutionStartedEvent)
    assert started.orchestration_instance is not None
    assert started.orchestration_instance.instance_id == id
    assert started.orchestration_instance.execution_id == app.raw_state(id).executionId.value
    assert only(events, history.TaskCompletedEvent).task_scheduled_id == 1
    assert only(events, history.TimerFiredEvent).timer_id == 2
    assert only(events, history.SubOrchestrationInstanceCompletedEvent).task_scheduled_id == 3
    completed = only(events, history.ExecutionCompletedEvent)
    assert completed.result == "8" and completed.orchestration_status == pb.ORCHESTRATION_STATUS_COMPLETED


def test_events_become_dictionaries(app: App):
    app.worker([reference, child], [double])
    id = app.start(reference, {"in": "put"})
    app.wait(id)
    for event in app.client.get_orchestration_history(id):
        as_dict = event.to_dict()
        assert as_dict == history.to_dict(event)
        assert as_dict["event_id"] == event.event_id and json.dumps(as_dict)


def test_the_history_of_a_certain_execution(app: App):
    app.worker([child])
    id = app.start(child, 1)
    app.wait(id)
    execution = app.raw_state(id).executionId.value
    assert kinds(app.client.get_orchestration_history(id, execution_id=execution))[-1] == "ExecutionCompleted"


def test_c75_nobody_has_no_history(app: App):
    refused(grpc.StatusCode.NOT_FOUND, app.client.get_orchestration_history, new_id())


def test_c75_a_long_history_comes_in_chunks(app: App):
    def echo(_: task.ActivityContext, text: str) -> str:
        return text

    def bulky(ctx: task.OrchestrationContext, count: int):
        yield task.when_all([ctx.call_activity(echo, input=f"{number}:" + "x" * 20_000) for number in range(count)])

    # With pages of 20 kB twice per activity it has some 8 MB, which is more than one message of gRPC carries.
    app.worker([bulky], [echo], channel_options=GrpcChannelOptions(max_receive_message_length=64 * 1024 * 1024))
    id = app.start(bulky, 200)
    app.wait(id, timeout=90)
    events = app.client.get_orchestration_history(id)
    assert kinds(events).count("TaskCompleted") == kinds(events).count("TaskScheduled") == 200
    chunks = list(app.stub.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=id)))
    assert len(chunks) > 1 and max(chunk.ByteSize() for chunk in chunks) < 4 * 1024 * 1024
    assert sum(len(chunk.events) for chunk in chunks) == len(events)


def test_the_history_while_it_runs(app: App):
    def waits(ctx: task.OrchestrationContext, _: Any):
        yield ctx.wait_for_external_event("a")
        yield ctx.wait_for_external_event("b")

    app.worker([waits])
    id = app.start(waits)
    app.await_status(id, "RUNNING")
    assert kinds(app.client.get_orchestration_history(id)) == ["OrchestratorStarted", "ExecutionStarted"]
    app.client.raise_orchestration_event(id, "a")
    eventually(
        "the event stands in the history", lambda: "EventRaised" in kinds(app.client.get_orchestration_history(id))
    )
    app.client.raise_orchestration_event(id, "b")
    app.wait(id)


def test_the_history_of_one_that_never_ran(app: App):
    id = app.start("nobody")
    assert kinds(app.client.get_orchestration_history(id)) == []
