"""Orchestrations that begin anew."""

from datetime import timedelta
from typing import Any

from durabletask import history, task

from harness.waiting import Gate, eventually
from support.app import App
from support.histories import kinds, of_kind, only


def test_c64_a_thousand_generations_without_waiting(app: App):
    def counter(ctx: task.OrchestrationContext, count: int):
        if count % 4 == 0:
            yield ctx.create_timer(timedelta(0))
        if count < 1000:
            ctx.continue_as_new(count + 1)
            return None
        return count

    app.worker([counter])
    id = app.start(counter, 1)
    assert app.wait(id, timeout=120).get_output() == 1000
    assert kinds(app.client.get_orchestration_history(id)) == [
        "OrchestratorStarted", "ExecutionStarted", "TimerCreated",
        "OrchestratorStarted", "TimerFired", "ExecutionCompleted",
    ]  # fmt: skip


def test_c23_c34_waiting_goes_on_and_the_execution_changes(app: App):
    def generation(ctx: task.OrchestrationContext, number: int):
        ctx.set_custom_status(f"generation {number}")
        yield ctx.wait_for_external_event("next")
        if number < 3:
            ctx.continue_as_new(number + 1)
            return None
        return "the last"

    app.worker([generation])
    id = app.start(generation, 1, tags={"kept": "yes"})
    created = None
    executions = set()
    for number in (1, 2, 3):
        app.await_custom_status(id, f"generation {number}")
        state = app.raw_state(id)
        assert len(state.executionId.value) == 32 and int(state.executionId.value, 16)
        executions.add(state.executionId.value)
        assert app.status(id) == "RUNNING"
        assert state.createdTimestamp == (created or state.createdTimestamp)
        created = state.createdTimestamp
        started = only(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)
        assert started.input == str(number) and started.tags == {"kept": "yes"}
        assert started.name == "generation" and started.parent_instance is None
        app.client.raise_orchestration_event(id, "next")
    assert app.wait(id).get_output() == "the last"
    assert len(executions) == 3
    assert dict(app.raw_state(id).tags) == {"kept": "yes"}


def collect(save: bool):
    """Takes one event per generation and hands the others on, or not."""

    def collector(ctx: task.OrchestrationContext, got: list[Any]):
        got = [*got, (yield ctx.wait_for_external_event("item"))]
        if got[-1] == "last":
            return got
        ctx.continue_as_new(got, save_events=save)

    return collector


def test_c64_saved_events_come_first_and_in_order(app: App):
    app.worker([collect(save=True)])
    id = app.start("collector", [])
    for number in range(40):
        app.client.raise_orchestration_event(id, "item", data=number)
    app.client.raise_orchestration_event(id, "item", data="last")
    assert app.wait(id).get_output() == [*range(40), "last"]


def test_events_that_came_in_one_batch_are_carried_over(app: App):
    id = app.start("collector", [])
    for number in range(5):
        app.client.raise_orchestration_event(id, "item", data=number)
    app.client.raise_orchestration_event(id, "item", data="last")
    # No worker was there until now: all six came with the first turn.
    app.worker([collect(save=True)])
    assert app.wait(id).get_output() == [0, 1, 2, 3, 4, "last"]
    events = app.client.get_orchestration_history(id)
    assert kinds(events)[:3] == ["OrchestratorStarted", "ExecutionStarted", "EventRaised"]
    assert [event.input for event in of_kind(events, history.EventRaisedEvent)] == ['"last"']


def test_events_that_are_not_saved_are_gone(app: App):
    id = app.start("collector", [])
    for item in ("kept", "lost", "lost too"):
        app.client.raise_orchestration_event(id, "item", data=item)
    app.worker([collect(save=False)])
    app.await_status(id, "RUNNING")
    app.client.raise_orchestration_event(id, "item", data="last")
    assert app.wait(id).get_output() == ["kept", "last"]


def test_c64_a_new_version(app: App):
    def evolving(ctx: task.OrchestrationContext, seen: list[Any]):
        seen = [*seen, ctx.version]
        yield ctx.create_timer(timedelta(0))
        if len(seen) == 1:
            ctx.continue_as_new(seen, new_version="2.0")
        elif len(seen) == 2:
            ctx.continue_as_new(seen)
        else:
            return seen

    app.worker([evolving])
    id = app.start(evolving, [], version="1.0")
    assert app.wait(id).get_output() == ["1.0", "2.0", "2.0"]
    assert only(app.client.get_orchestration_history(id), history.ExecutionStartedEvent).version == "2.0"
    assert app.raw_state(id).version.value == "2.0"


def test_c64_what_an_old_generation_left_open_is_dropped(app: App):
    gate = Gate()

    def slow(_: task.ActivityContext, number: int) -> str:
        gate.enter(number)
        return f"late result of {number}"

    def hasty(ctx: task.OrchestrationContext, number: int):
        ctx.set_custom_status(number)
        call = ctx.call_activity(slow, input=number)
        timer = ctx.create_timer(timedelta(seconds=1 if number == 1 else 3600))
        event = ctx.wait_for_external_event("next")
        # The first generation leaves its timer alone, however long the event takes; the second one takes what comes.
        first = yield task.when_any([call, event] if number == 1 else [call, timer, event])
        if first is event and number == 1:
            ctx.continue_as_new(2)
            return None
        return "event" if first is event else "leftover of another generation" if first is timer else first.get_result()

    def nap(ctx: task.OrchestrationContext, _: Any):
        yield ctx.create_timer(timedelta(seconds=1))

    app.worker([hasty, nap], [slow])
    id = app.start(hasty, 1)
    app.await_custom_status(id, 1)
    gate.await_arrivals(1)
    app.client.raise_orchestration_event(id, "next")
    app.await_custom_status(id, 2)
    gate.await_arrivals(2)
    # A timer as long as that of the first generation, and begun later: when it has fired, the other one was due.
    app.result(nap)
    gate.open()
    # Both results arrive now, with the same task id; only the one of the second generation may count.
    assert app.wait(id).get_output() == "late result of 2"


def test_the_custom_status_of_the_generations(app: App):
    def quiet_later(ctx: task.OrchestrationContext, number: int):
        if number == 1:
            ctx.set_custom_status("loud")
            ctx.continue_as_new(2)
            return None
        yield ctx.wait_for_external_event("end")
        return "ended"

    app.worker([quiet_later])
    id = app.start(quiet_later, 1)

    def second_generation() -> bool:
        started = of_kind(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)
        return bool(started) and started[0].input == "2" and app.status(id) == "RUNNING"

    eventually("the second generation has begun", second_generation)
    app.client.raise_orchestration_event(id, "end")
    state = app.wait(id)
    assert state.get_output() == "ended" and state.get_custom_status() is None
