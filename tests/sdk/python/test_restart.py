"""Restarting: under the same id or a new one."""

from typing import Any

import grpc
from durabletask import history, task

from harness.errors import refused
from support.app import App, new_id
from support.histories import of_kind, only


def describe(ctx: task.OrchestrationContext, input: Any):
    if input == "fail":
        raise RuntimeError("as asked")
    return [input, ctx.version]


def waits(ctx: task.OrchestrationContext, input: Any):
    got = yield ctx.wait_for_external_event("go")
    return [input, got]


def test_c73_the_same_id(app: App):
    app.worker([describe])
    id = app.start(describe, {"a": 1}, tags={"team": "red"}, version="1.1")
    first, execution = app.wait(id), app.raw_state(id).executionId.value
    assert app.client.restart_orchestration(id) == id
    second = app.wait(id)
    assert second.get_output() == [{"a": 1}, "1.1"] and second.created_at > first.created_at
    state = app.raw_state(id)
    assert state.executionId.value != execution
    assert dict(state.tags) == {"team": "red"} and state.version.value == "1.1"
    assert len(of_kind(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)) == 1


def test_c73_a_new_id(app: App):
    app.worker([describe])
    id = app.start(describe, {"a": 1}, tags={"team": "red"}, version="1.1")
    app.wait(id)
    new = app.client.restart_orchestration(id, restart_with_new_instance_id=True)
    assert new and new != id
    assert app.wait(new).get_output() == [{"a": 1}, "1.1"]
    started = only(app.client.get_orchestration_history(new), history.ExecutionStartedEvent)
    assert (started.name, started.tags, started.version) == ("describe", {"team": "red"}, "1.1")
    assert app.status(id) == "COMPLETED"


def test_c73_failed_and_terminated_ones(app: App):
    app.worker([describe, waits])
    failed = app.start(describe, "fail")
    assert app.wait(failed).runtime_status.name == "FAILED"
    assert app.client.restart_orchestration(failed) == failed
    assert app.wait(failed).runtime_status.name == "FAILED"
    ended = app.start(waits, "x")
    app.client.terminate_orchestration(ended)
    app.wait(ended)
    app.client.restart_orchestration(ended)
    app.client.raise_orchestration_event(ended, "go", data="y")
    assert app.wait(ended).get_output() == ["x", "y"]


def test_c73_running_and_suspended_ones_keep_their_id(app: App):
    app.worker([waits])
    id = app.start(waits, "x")
    app.await_status(id, "RUNNING")
    refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.restart_orchestration, id)
    app.client.suspend_orchestration(id)
    app.await_status(id, "SUSPENDED")
    refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.restart_orchestration, id)
    pending = app.start("nobody")
    refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.restart_orchestration, pending)


def test_c73_a_running_one_may_have_a_second_self(app: App):
    app.worker([waits])
    id = app.start(waits, "x")
    app.await_status(id, "RUNNING")
    new = app.client.restart_orchestration(id, restart_with_new_instance_id=True)
    assert new != id
    for each in (new, id):
        app.client.raise_orchestration_event(each, "go", data=each)
        assert app.wait(each).get_output() == ["x", each]


def test_c73_nobody(app: App):
    refused(grpc.StatusCode.NOT_FOUND, app.client.restart_orchestration, new_id())
    refused(grpc.StatusCode.NOT_FOUND, app.client.restart_orchestration, new_id(), restart_with_new_instance_id=True)


def test_a_restarted_child_has_no_parent(app: App):
    def parent(ctx: task.OrchestrationContext, child: str):
        return (yield ctx.call_sub_orchestrator(who, instance_id=child))

    def who(ctx: task.OrchestrationContext, _: Any):
        return ctx.parent_instance_id

    app.worker([parent, who])
    child = new_id("child")
    id = app.start(parent, child)
    assert app.wait(id).get_output() == id
    app.client.restart_orchestration(child)
    assert app.wait(child).get_output() is None
