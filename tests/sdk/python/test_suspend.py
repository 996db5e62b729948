"""Suspended and resumed."""

from typing import Any

import grpc
from durabletask import history, task

from harness.errors import refused
from harness.waiting import Gate, eventually
from support.app import App, new_id
from support.histories import kinds, only


def one_event(ctx: task.OrchestrationContext, _: Any):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("go"))


def test_c27_suspend_holds_back_what_comes(app: App):
    app.worker([one_event])
    id = app.start(one_event)
    app.await_custom_status(id, "waiting")
    app.client.suspend_orchestration(id, reason="lunch")
    app.await_status(id, "SUSPENDED")
    app.client.raise_orchestration_event(id, "go", data="held back")
    # Waiting for the end has to last; this is the one place where time itself is the condition.
    try:
        app.client.wait_for_orchestration_completion(id, timeout=1)
        raise AssertionError("a suspended orchestration went on")
    except TimeoutError:
        assert app.status(id) == "SUSPENDED"
    app.client.resume_orchestration(id, reason="back")
    assert app.wait(id).get_output() == "held back"
    events = app.client.get_orchestration_history(id)
    assert only(events, history.ExecutionSuspendedEvent).input == "lunch"
    assert only(events, history.ExecutionResumedEvent).input == "back"


def test_c27_without_a_reason_and_back_again(app: App):
    app.worker([one_event])
    id = app.start(one_event)
    app.await_custom_status(id, "waiting")
    for _ in range(2):
        app.client.suspend_orchestration(id)
        app.await_status(id, "SUSPENDED")
        app.client.resume_orchestration(id)
        app.await_status(id, "RUNNING")
    app.client.raise_orchestration_event(id, "go", data=1)
    assert app.wait(id).get_output() == 1
    reasons = [event.input for event in app.client.get_orchestration_history(id) if hasattr(event, "input")]
    assert reasons[1:5] == [None] * 4


def test_c27_suspend_before_start(app: App):
    id = app.start(one_event)
    app.client.suspend_orchestration(id, reason="not yet")
    app.worker([one_event])
    app.await_status(id, "SUSPENDED")
    app.client.raise_orchestration_event(id, "go", data="early")
    app.client.resume_orchestration(id)
    assert app.wait(id).get_output() == "early"
    assert kinds(app.client.get_orchestration_history(id))[:3] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "ExecutionSuspended",
    ]


def test_c27_activities_finish_while_suspended(app: App):
    gate = Gate()

    def work(_: task.ActivityContext, __: Any) -> str:
        gate.enter()
        return "worked"

    def busy(ctx: task.OrchestrationContext, _: Any):
        return (yield ctx.call_activity(work))

    app.worker([busy], [work])
    id = app.start(busy)
    gate.await_arrivals()
    app.client.suspend_orchestration(id)
    app.await_status(id, "SUSPENDED")
    gate.open()

    def task_completed() -> bool:
        return "TaskCompleted" in kinds(app.client.get_orchestration_history(id))

    eventually("the result stands in the history", task_completed)
    assert app.status(id) == "SUSPENDED"
    app.client.resume_orchestration(id)
    assert app.wait(id).get_output() == "worked"


def test_c27_a_terminal_status_wins(app: App):
    app.worker([one_event])
    id = app.start(one_event)
    app.await_custom_status(id, "waiting")
    app.client.suspend_orchestration(id)
    app.await_status(id, "SUSPENDED")
    app.client.terminate_orchestration(id, output="over")
    assert app.wait(id).runtime_status.name == "TERMINATED"
    app.client.suspend_orchestration(id)
    app.client.resume_orchestration(id)
    assert app.status(id) == "TERMINATED"


def test_c27_unknown_instances(app: App):
    refused(grpc.StatusCode.NOT_FOUND, app.client.suspend_orchestration, new_id())
    refused(grpc.StatusCode.NOT_FOUND, app.client.resume_orchestration, new_id())
