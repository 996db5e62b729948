"""Terminated: with output, recursive or not, before the start, with nobody there to hear it."""

from typing import Any

from durabletask import history, task

from harness.waiting import eventually
from support.app import App, new_id
from support.histories import only


def waits(ctx: task.OrchestrationContext, _: Any):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("never"))


def generations(ctx: task.OrchestrationContext, depth: int):
    """A chain of children; the last one waits."""
    ctx.set_custom_status("waiting")
    if depth == 0:
        return (yield ctx.wait_for_external_event("go"))
    return (yield ctx.call_sub_orchestrator(generations, input=depth - 1, instance_id=f"{ctx.instance_id}.{depth}"))


def start_family(app: App) -> tuple[str, str, str]:
    """A parent, its child and its grandchild, all of which are there and wait."""
    parent = app.start(generations, 2)
    family = parent, f"{parent}.2", f"{parent}.2.1"
    for member in family:
        eventually(f"{member} is there", lambda: app.client.get_orchestration_state(member))
        app.await_custom_status(member, "waiting")
    return family


def test_c30_the_output_becomes_the_output(app: App):
    app.worker([waits])
    id = app.start(waits)
    app.await_custom_status(id, "waiting")
    app.client.terminate_orchestration(id, output={"reason": "enough"})
    state = app.wait(id)
    assert state.runtime_status.name == "TERMINATED"
    assert state.get_output() == {"reason": "enough"}
    assert state.failure_details is None
    terminated = only(app.client.get_orchestration_history(id), history.ExecutionTerminatedEvent)
    assert terminated.input == '{"reason": "enough"}' and terminated.recurse


def test_c30_without_output(app: App):
    app.worker([waits])
    id = app.start(waits)
    app.await_custom_status(id, "waiting")
    app.client.terminate_orchestration(id, recursive=False)
    state = app.wait(id)
    assert state.runtime_status.name == "TERMINATED" and state.get_output() is None
    assert not only(app.client.get_orchestration_history(id), history.ExecutionTerminatedEvent).recurse


def test_c28_terminate_before_start_with_a_worker(app: App):
    id = app.start(waits)
    app.client.terminate_orchestration(id, output="early")
    app.worker([waits])
    state = app.wait(id)
    assert state.runtime_status.name == "TERMINATED" and state.get_output() == "early"


def test_c28_terminate_with_no_worker_at_all(app: App):
    id = app.start(waits)
    app.client.terminate_orchestration(id, output="unheard")
    state = app.wait(id)
    assert state.runtime_status.name == "TERMINATED" and state.get_output() == "unheard"


def test_c29_recursive_reaches_grandchildren(app: App):
    app.worker([generations])
    family = start_family(app)
    app.client.terminate_orchestration(family[0], output="all of you")
    for member in family:
        assert app.wait(member).runtime_status.name == "TERMINATED"


def test_c29_not_recursive_leaves_children_running(app: App):
    app.worker([generations])
    parent, child, grandchild = start_family(app)
    app.client.terminate_orchestration(parent, recursive=False)
    assert app.wait(parent).runtime_status.name == "TERMINATED"
    assert app.status(child) == app.status(grandchild) == "RUNNING"
    app.client.raise_orchestration_event(grandchild, "go", data="done")
    assert app.wait(child).get_output() == "done"
    assert app.status(parent) == "TERMINATED"


def test_c56_a_terminated_child_fails_its_parent(app: App):
    def parent(ctx: task.OrchestrationContext, child: str):
        try:
            yield ctx.call_sub_orchestrator(waits, instance_id=child)
        except task.TaskFailedError as error:
            return error.details.message
        return "no failure"

    app.worker([parent, waits])
    child = new_id("child")
    id = app.start(parent, child)
    eventually("the child is there", lambda: app.client.get_orchestration_state(child))
    app.client.terminate_orchestration(child, output="stop it")
    message = app.wait(id).get_output()
    assert message and message != "no failure"
    failed = only(app.client.get_orchestration_history(id), history.SubOrchestrationInstanceFailedEvent)
    assert failed.failure_details is not None and failed.failure_details.error_type


def test_terminating_nobody_and_the_dead_is_no_error(app: App):
    app.client.terminate_orchestration(new_id())
    app.worker([waits])
    id = app.start(waits)
    app.client.terminate_orchestration(id, output="first")
    app.wait(id)
    app.client.terminate_orchestration(id, output="second")
    assert app.wait(id).get_output() == "first"


def test_an_orchestration_that_goes_on_after_events_ends_at_once(app: App):
    def never_ends(ctx: task.OrchestrationContext, _: Any):
        while True:
            yield ctx.wait_for_external_event("more")

    app.worker([never_ends])
    id = app.start(never_ends)
    for _ in range(20):
        app.client.raise_orchestration_event(id, "more")
    app.client.terminate_orchestration(id, output="last")
    app.client.raise_orchestration_event(id, "more")
    assert app.wait(id).get_output() == "last"
