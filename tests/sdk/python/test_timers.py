"""Durable timers: short, split, absolute, past, years ahead, cancelled."""

from datetime import datetime, timedelta, timezone
from typing import Any

from durabletask import history, task
from durabletask.azuremanaged.worker import DurableTaskSchedulerWorker

from support.app import App
from support.histories import kinds, of_kind, only


def sleeper(ctx: task.OrchestrationContext, seconds: float):
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(seconds=seconds))
    return (ctx.current_utc_datetime - before).total_seconds()


def test_c59_a_short_timer_is_not_early(app: App):
    app.worker([sleeper])
    id = app.start(sleeper, 0.8)
    assert app.wait(id).get_output() >= 0.8
    events = app.client.get_orchestration_history(id)
    assert kinds(events) == [
        "OrchestratorStarted", "ExecutionStarted", "TimerCreated",
        "OrchestratorStarted", "TimerFired", "ExecutionCompleted",
    ]  # fmt: skip
    created, fired = only(events, history.TimerCreatedEvent), only(events, history.TimerFiredEvent)
    assert fired.timer_id == created.event_id == 1
    assert fired.fire_at == created.fire_at
    assert fired.timestamp >= created.fire_at


def test_a_long_timer_is_split(app: App):
    worker = app.worker([sleeper], maximum_timer_interval=timedelta(seconds=0.5))
    assert worker.maximum_timer_interval == timedelta(seconds=0.5)
    id = app.start(sleeper, 1.6)
    assert app.wait(id).get_output() >= 1.6
    events = app.client.get_orchestration_history(id)
    created = of_kind(events, history.TimerCreatedEvent)
    # Three pieces of half a second and the rest: each begins when the one before was due.
    assert [event.event_id for event in created] == [1, 2, 3, 4]
    steps = [later.fire_at - earlier.fire_at for earlier, later in zip(created, created[1:])]
    assert steps[:2] == [timedelta(seconds=0.5)] * 2
    assert timedelta(0) < steps[2] <= timedelta(seconds=0.5)
    assert [event.timer_id for event in of_kind(events, history.TimerFiredEvent)] == [1, 2, 3, 4]


def test_the_default_split_is_three_days(app: App):
    def long_sleep(ctx: task.OrchestrationContext, _: Any):
        yield ctx.create_timer(timedelta(days=10))

    app.worker([long_sleep])
    id = app.start(long_sleep)
    app.await_status(id, "RUNNING")
    events = app.client.get_orchestration_history(id)
    started, created = only(events, history.ExecutionStartedEvent), only(events, history.TimerCreatedEvent)
    assert timedelta(days=2.9) < created.fire_at - started.timestamp < timedelta(days=3.1)


def test_c60_a_timer_of_years_waits(app: App):
    def patient(ctx: task.OrchestrationContext, _: Any):
        due = datetime(2999, 12, 31, tzinfo=timezone.utc)
        first = yield task.when_any([ctx.create_timer(due), ctx.wait_for_external_event("enough")])
        return first.get_result()

    # The managed worker never splits: the far date goes to the server as it is.
    worker = DurableTaskSchedulerWorker(
        host_address=app.address, taskhub=app.hub, token_credential=None, secure_channel=False
    )
    assert worker.maximum_timer_interval is None
    app.start_worker(worker, [patient])
    id = app.start(patient)
    app.await_status(id, "RUNNING")
    created = only(app.client.get_orchestration_history(id), history.TimerCreatedEvent)
    assert created.fire_at.replace(tzinfo=timezone.utc) == datetime(2999, 12, 31, tzinfo=timezone.utc)
    app.client.raise_orchestration_event(id, "enough", data="woken")
    assert app.wait(id).get_output() == "woken"


def test_c60_past_and_zero_timers_fire_at_once(app: App):
    def impatient(ctx: task.OrchestrationContext, _: Any):
        yield ctx.create_timer(datetime(2001, 1, 1))
        yield ctx.create_timer(datetime(2001, 1, 1, tzinfo=timezone(timedelta(hours=9))))
        yield ctx.create_timer(timedelta(0))
        yield ctx.create_timer(timedelta(seconds=-5))
        return "through"

    app.worker([impatient])
    assert app.result(impatient) == "through"


def test_an_absolute_time_in_another_zone(app: App):
    def until(ctx: task.OrchestrationContext, _: Any):
        zone = timezone(timedelta(hours=-7))
        due = ctx.current_utc_datetime + timedelta(seconds=0.6)
        yield ctx.create_timer(due.replace(tzinfo=timezone.utc).astimezone(zone))
        return ctx.current_utc_datetime >= due

    app.worker([until])
    assert app.result(until) is True


def test_a_cancelled_timer_holds_nothing_up(app: App):
    def approval(ctx: task.OrchestrationContext, _: Any):
        deadline = ctx.create_timer(timedelta(days=1))
        answer = ctx.wait_for_external_event("answer")
        ctx.set_custom_status("asked")
        first = yield task.when_any([deadline, answer])
        assert first is answer
        assert deadline.cancel() and deadline.is_cancelled and not deadline.cancel()
        return answer.get_result()

    app.worker([approval])
    id = app.start(approval)
    app.await_custom_status(id, "asked")
    app.client.raise_orchestration_event(id, "answer", data="yes")
    assert app.wait(id).get_output() == "yes"


def test_a_timer_cancelled_before_it_was_sent_is_never_made(app: App):
    def indecisive(ctx: task.OrchestrationContext, _: Any):
        timer = ctx.create_timer(timedelta(days=1))
        timer.cancel()
        yield ctx.create_timer(timedelta(0))
        try:
            timer.get_result()
        except task.TaskCancelledError:
            return "cancelled"

    app.worker([indecisive])
    id = app.start(indecisive)
    assert app.wait(id).get_output() == "cancelled"
    assert only(app.client.get_orchestration_history(id), history.TimerCreatedEvent).event_id == 2


def test_a_time_limit_on_an_event(app: App):
    def limited(ctx: task.OrchestrationContext, _: Any):
        event = ctx.wait_for_external_event("never")
        limit = ctx.create_timer(timedelta(seconds=0.3))
        first = yield task.when_any([event, limit])
        if first is limit:
            return ["too late", event.cancel(), event.is_cancelled]
        return "in time"

    app.worker([limited])
    assert app.result(limited) == ["too late", True, True]


def test_many_timers_in_one_turn_fire_in_the_order_in_which_they_are_due(app: App):
    def several(ctx: task.OrchestrationContext, _: Any):
        fired = []
        timers = {name: ctx.create_timer(timedelta(seconds=due)) for name, due in (("c", 0.9), ("a", 0.3), ("b", 0.6))}
        while timers:
            first = yield task.when_any(list(timers.values()))
            name = next(name for name, timer in timers.items() if timer is first)
            fired.append(name)
            del timers[name]
        return fired

    app.worker([several])
    assert app.result(several) == ["a", "b", "c"]
