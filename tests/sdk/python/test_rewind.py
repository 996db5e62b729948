"""Rewinding what failed to where it was still well."""

from datetime import timedelta
from typing import Any

import grpc
from durabletask import history, task

from harness.errors import refused
from support.app import App, new_id
from support.histories import kinds, of_kind, only


class Repairable:
    """Activities of which one is broken until it is repaired; counts what ran."""

    def __init__(self) -> None:
        self.broken = True
        self.runs: list[str] = []

    def activities(self):
        def works(_: task.ActivityContext, name: str) -> str:
            self.runs.append(name)
            return f"{name} done"

        def breaks(_: task.ActivityContext, name: str) -> str:
            self.runs.append(name)
            if self.broken:
                raise RuntimeError("broken")
            return f"{name} done"

        return [works, breaks]


def steps(ctx: task.OrchestrationContext, _: Any):
    first = yield ctx.call_activity("works", input="first")
    second = yield ctx.call_activity("breaks", input="second")
    third = yield ctx.call_activity("works", input="third")
    return [first, second, third]


def test_c74_a_failed_activity_runs_again_and_the_others_do_not(app: App):
    plant = Repairable()
    app.worker([steps], plant.activities())
    id = app.start(steps, tags={"kept": "yes"})
    assert app.wait(id).runtime_status.name == "FAILED"
    execution = app.raw_state(id).executionId.value
    plant.broken = False
    app.client.rewind_orchestration(id, reason="repaired")
    state = app.wait(id)
    assert state.runtime_status.name == "COMPLETED" and state.failure_details is None
    assert state.get_output() == ["first done", "second done", "third done"]
    assert plant.runs == ["first", "second", "second", "third"]
    assert app.raw_state(id).executionId.value != execution
    assert dict(app.raw_state(id).tags) == {"kept": "yes"}
    events = app.client.get_orchestration_history(id)
    assert only(events, history.ExecutionRewoundEvent).reason == "repaired"
    assert "TaskFailed" not in kinds(events)
    assert len(of_kind(events, history.ExecutionCompletedEvent)) == 1


def test_c74_twice_in_a_row(app: App):
    plant = Repairable()
    app.worker([steps], plant.activities())
    id = app.start(steps)
    for _ in range(2):
        assert app.wait(id).runtime_status.name == "FAILED"
        app.client.rewind_orchestration(id)
    assert app.wait(id).runtime_status.name == "FAILED"
    plant.broken = False
    app.client.rewind_orchestration(id, reason="at last")
    assert app.wait(id).get_output() == ["first done", "second done", "third done"]
    assert plant.runs == ["first", *["second"] * 4, "third"]


def test_c74_a_failed_child_is_rewound_with_its_parent(app: App):
    plant = Repairable()

    def parent(ctx: task.OrchestrationContext, child: str):
        before = yield ctx.call_activity("works", input="parent")
        return [before, (yield ctx.call_sub_orchestrator(steps, instance_id=child))]

    app.worker([parent, steps], plant.activities())
    child = new_id("child")
    id = app.start(parent, child)
    assert app.wait(id).runtime_status.name == "FAILED"
    assert app.status(child) == "FAILED"
    plant.broken = False
    app.client.rewind_orchestration(id, reason="repaired")
    assert app.wait(id).get_output() == ["parent done", ["first done", "second done", "third done"]]
    assert app.status(child) == "COMPLETED"
    assert plant.runs == ["parent", "first", "second", "second", "third"]
    rewound = only(app.client.get_orchestration_history(child), history.ExecutionRewoundEvent)
    assert rewound.reason == "repaired"


def test_c74_a_purged_child_is_made_again(app: App):
    plant = Repairable()

    def parent(ctx: task.OrchestrationContext, child: str):
        return (yield ctx.call_sub_orchestrator(steps, instance_id=child))

    app.worker([parent, steps], plant.activities())
    child = new_id("child")
    id = app.start(parent, child)
    assert app.wait(id).runtime_status.name == "FAILED"
    assert app.client.purge_orchestration(child).deleted_instance_count == 1
    plant.broken = False
    app.client.rewind_orchestration(id)
    assert app.wait(id).get_output() == ["first done", "second done", "third done"]


def test_c74_failures_side_by_side(app: App):
    plant = Repairable()

    def side_by_side(ctx: task.OrchestrationContext, _: Any):
        calls = [
            ctx.call_activity(kind, input=f"{kind} {number}") for number in range(3) for kind in ("works", "breaks")
        ]
        yield ctx.create_timer(timedelta(0))
        return (yield task.when_all(calls))

    app.worker([side_by_side], plant.activities())
    id = app.start(side_by_side)
    assert app.wait(id).runtime_status.name == "FAILED"
    plant.broken = False
    app.client.rewind_orchestration(id)
    output = app.wait(id).get_output()
    assert output == [f"{kind} {number} done" for number in range(3) for kind in ("works", "breaks")]
    assert sorted(plant.runs) == sorted([f"works {n}" for n in range(3)] + [f"breaks {n}" for n in range(3)] * 2)


def test_c74_what_has_not_failed(app: App):
    def waits(ctx: task.OrchestrationContext, _: Any):
        return (yield ctx.wait_for_external_event("go"))

    app.worker([waits])
    id = app.start(waits)
    app.await_status(id, "RUNNING")
    message = refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.rewind_orchestration, id).lower()
    assert any(word in message for word in ("not allow", "precondition", "running"))
    app.client.raise_orchestration_event(id, "go")
    app.wait(id)
    refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.rewind_orchestration, id)
    ended = app.start(waits)
    app.client.terminate_orchestration(ended)
    app.wait(ended)
    refused(grpc.StatusCode.FAILED_PRECONDITION, app.client.rewind_orchestration, ended)


def test_c74_nobody(app: App):
    refused(grpc.StatusCode.NOT_FOUND, app.client.rewind_orchestration, new_id())


def test_c74_an_orchestrator_that_failed_by_itself(app: App):
    broken = [True]

    def own_fault(ctx: task.OrchestrationContext, _: Any):
        got = yield ctx.wait_for_external_event("go")
        if broken[0]:
            raise ValueError("a bug in the code")
        return got

    app.worker([own_fault])
    id = app.start(own_fault)
    app.client.raise_orchestration_event(id, "go", data="kept")
    assert app.wait(id).runtime_status.name == "FAILED"
    broken[0] = False
    app.client.rewind_orchestration(id)
    assert app.wait(id).get_output() == "kept"
