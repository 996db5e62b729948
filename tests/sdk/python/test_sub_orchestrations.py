"""Sub-orchestrations: ids, parents, failures, retries."""

from datetime import timedelta
from typing import Any

from durabletask import history, task

from harness.waiting import eventually
from support.app import App, new_id
from support.histories import kinds, of_kind, only


def describe(ctx: task.OrchestrationContext, input: Any):
    return {"id": ctx.instance_id, "parent": ctx.parent_instance_id, "input": input, "version": ctx.version}


def test_a_child_has_a_default_id_and_knows_its_parent(app: App):
    def parent(ctx: task.OrchestrationContext, _: Any):
        first = yield ctx.call_sub_orchestrator(describe, input="a")
        second = yield ctx.call_sub_orchestrator("describe", input="b")
        return [ctx.parent_instance_id, first, second]

    app.worker([parent, describe])
    id = app.start(parent)
    of_parent, first, second = app.wait(id).get_output()
    assert of_parent is None
    assert first == {"id": f"{id}:0001", "parent": id, "input": "a", "version": None}
    assert second == {"id": f"{id}:0002", "parent": id, "input": "b", "version": None}


def test_c57_a_child_carries_where_it_comes_from(app: App):
    def parent(ctx: task.OrchestrationContext, child: str):
        yield ctx.call_sub_orchestrator(describe, instance_id=child, version="7")
        return "ok"

    app.worker([parent, describe])
    child = new_id("child")
    id = app.start(parent, child, version="3")
    assert app.wait(id).get_output() == "ok"
    started = only(app.client.get_orchestration_history(child), history.ExecutionStartedEvent)
    origin = started.parent_instance
    assert origin is not None and origin.orchestration_instance is not None
    assert (origin.name, origin.version, origin.task_scheduled_id) == ("parent", "3", 1)
    assert origin.orchestration_instance.instance_id == id
    assert origin.orchestration_instance.execution_id == app.raw_state(id).executionId.value
    assert started.version == "7"
    assert app.raw_state(child).parentInstanceId.value == id
    created = only(app.client.get_orchestration_history(id), history.SubOrchestrationInstanceCreatedEvent)
    assert (created.event_id, created.instance_id, created.name, created.version) == (1, child, "describe", "7")


def test_a_hundred_children_at_once(app: App):
    def parent(ctx: task.OrchestrationContext, count: int):
        results = yield task.when_all([ctx.call_sub_orchestrator(describe, input=number) for number in range(count)])
        return [result["input"] for result in results]

    app.worker([parent, describe])
    assert app.result(parent, 100) == list(range(100))


def test_descendants_of_four_generations(app: App):
    def nest(ctx: task.OrchestrationContext, depth: int):
        if depth == 0:
            return [ctx.instance_id]
        below = yield ctx.call_sub_orchestrator(nest, input=depth - 1)
        return [ctx.instance_id, *below]

    app.worker([nest])
    id = app.start(nest, 4)
    assert app.wait(id).get_output() == [id + ":0001" * depth for depth in range(5)]


def test_c55_the_failure_of_a_child_arrives_unchanged(app: App):
    def child(ctx: task.OrchestrationContext, _: Any):
        raise KeyError("what the child lacks")
        yield

    def parent(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_sub_orchestrator(child)

    app.worker([parent, child])
    id = app.start(parent)
    failure = app.wait(id).failure_details
    assert failure is not None and failure.is_caused_by(task.TaskFailedError)
    inner = failure.inner_failure
    assert inner is not None and inner.is_caused_by(KeyError)
    assert inner.message == "'what the child lacks'" and inner.stack_trace and "test_sub_orch" in inner.stack_trace
    of_child = app.client.get_orchestration_state(f"{id}:0001")
    assert of_child is not None and of_child.failure_details == inner


def test_c53_a_retried_child_has_the_same_id_and_replaces_the_failed_one(app: App):
    executions: list[str] = []

    def flaky(ctx: task.OrchestrationContext, input: int):
        if not ctx.is_replaying:
            executions.append(ctx.instance_id)
        if len(executions) < 3:
            raise RuntimeError(f"attempt {len(executions)}")
        return input * 2

    def parent(ctx: task.OrchestrationContext, child: str):
        policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=5)
        return (yield ctx.call_sub_orchestrator(flaky, input=21, instance_id=child, retry_policy=policy))

    app.worker([parent, flaky])
    child = new_id("child")
    id = app.start(parent, child)
    assert app.wait(id).get_output() == 42
    assert executions == [child] * 3
    events = app.client.get_orchestration_history(id)
    created = of_kind(events, history.SubOrchestrationInstanceCreatedEvent)
    assert [(event.event_id, event.instance_id) for event in created] == [(1, child)] * 3
    assert len(of_kind(events, history.SubOrchestrationInstanceFailedEvent)) == 2
    assert len(of_kind(events, history.TimerFiredEvent)) == 2
    assert app.status(child) == "COMPLETED"
    assert kinds(app.client.get_orchestration_history(child))[-1] == "ExecutionCompleted"


def test_retries_of_a_child_end(app: App):
    def hopeless(ctx: task.OrchestrationContext, _: Any):
        raise RuntimeError("again")
        yield

    def parent(ctx: task.OrchestrationContext, _: Any):
        policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=20), max_number_of_attempts=3)
        try:
            yield ctx.call_sub_orchestrator(hopeless, retry_policy=policy)
        except task.TaskFailedError as error:
            return error.details.message

    app.worker([parent, hopeless])
    id = app.start(parent)
    assert app.wait(id).get_output() == "again"
    failed = of_kind(app.client.get_orchestration_history(id), history.SubOrchestrationInstanceFailedEvent)
    assert len(failed) == 3


def test_c54_an_id_taken_by_one_that_runs_fails_the_call(app: App):
    def waits(ctx: task.OrchestrationContext, _: Any):
        return (yield ctx.wait_for_external_event("go"))

    def parent(ctx: task.OrchestrationContext, child: str):
        try:
            yield ctx.call_sub_orchestrator(waits, instance_id=child)
        except task.TaskFailedError as error:
            return f"failed: {error.details.message}"
        return "replaced it"

    app.worker([parent, waits])
    taken = app.start(waits)
    app.await_status(taken, "RUNNING")
    output = app.result(parent, taken)
    assert output.startswith("failed: ") and "already exists" in output
    app.client.raise_orchestration_event(taken, "go", data="untouched")
    assert app.wait(taken).get_output() == "untouched"


def test_a_child_that_outlives_its_parent(app: App):
    def waits(ctx: task.OrchestrationContext, _: Any):
        return (yield ctx.wait_for_external_event("go"))

    def leaves(ctx: task.OrchestrationContext, child: str):
        ctx.call_sub_orchestrator(waits, instance_id=child)
        yield ctx.create_timer(timedelta(0))
        return "left"

    app.worker([leaves, waits])
    child = new_id("child")
    assert app.result(leaves, child) == "left"
    app.client.raise_orchestration_event(child, "go", data="on its own")
    assert app.wait(child).get_output() == "on its own"


def test_a_child_started_in_the_last_turn(app: App):
    def leaves(ctx: task.OrchestrationContext, child: str):
        ctx.call_sub_orchestrator(describe, instance_id=child, input="orphan")
        return "left"
        yield

    app.worker([leaves, describe])
    child = new_id("child")
    assert app.result(leaves, child) == "left"
    eventually("the child of the last turn is there", lambda: app.client.get_orchestration_state(child), timeout=20)
    assert app.wait(child).get_output()["input"] == "orphan"


def test_a_child_that_continues_as_new_answers_once(app: App):
    def counts_down(ctx: task.OrchestrationContext, count: int):
        yield ctx.create_timer(timedelta(0))
        if count > 0:
            ctx.continue_as_new(count - 1)
            return None
        return [ctx.parent_instance_id, "lift-off"]

    def parent(ctx: task.OrchestrationContext, _: Any):
        return (yield ctx.call_sub_orchestrator(counts_down, input=5))

    app.worker([parent, counts_down])
    id = app.start(parent)
    assert app.wait(id).get_output() == [id, "lift-off"]
    assert len(of_kind(app.client.get_orchestration_history(id), history.SubOrchestrationInstanceCompletedEvent)) == 1
