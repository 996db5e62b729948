"""Activities retried by policy."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from durabletask import history, task

from support.app import App
from support.histories import kinds, of_kind


class Flaky:
    """An activity that fails some times and remembers when it ran."""

    def __init__(self, failures: int):
        self.failures = failures
        self.runs: list[tuple[datetime, Any]] = []

    def activity(self, _: task.ActivityContext, input: Any) -> str:
        self.runs.append((datetime.now(), input))
        if len(self.runs) <= self.failures:
            raise ConnectionError(f"failure {len(self.runs)}")
        return f"success after {len(self.runs)}"

    def register(self):
        def flaky(ctx: task.ActivityContext, input: Any) -> str:
            return self.activity(ctx, input)

        return flaky


def policy(attempts: int, **options: Any) -> task.RetryPolicy:
    options.setdefault("first_retry_interval", timedelta(milliseconds=30))
    return task.RetryPolicy(max_number_of_attempts=attempts, **options)


def retried(policy: task.RetryPolicy, tags: dict[str, str] | None = None):
    def retries(ctx: task.OrchestrationContext, input: Any):
        try:
            return (yield ctx.call_activity("flaky", input=input, retry_policy=policy, tags=tags))
        except task.TaskFailedError as error:
            return {"gave up": error.details.message, "type": error.details.error_type}

    return retries


def delays(app: App, id: str) -> list[float]:
    """How long each timer between two attempts was, as the orchestrator asked for it."""
    events = app.client.get_orchestration_history(id)
    turn = None
    found = []
    for event in events:
        if isinstance(event, history.OrchestratorStartedEvent):
            turn = event.timestamp
        if isinstance(event, history.TimerCreatedEvent):
            assert turn is not None
            found.append(round((event.fire_at - turn).total_seconds(), 3))
    return found


def test_c52_each_attempt_stands_in_the_history_with_one_id(app: App):
    flaky = Flaky(failures=2)
    app.worker([retried(policy(5), tags={"k": "v"})], [flaky.register()])
    id = app.start("retries", {"payload": "ü"})
    assert app.wait(id).get_output() == "success after 3"
    assert [input for _, input in flaky.runs] == [{"payload": "ü"}] * 3
    events = app.client.get_orchestration_history(id)
    scheduled = of_kind(events, history.TaskScheduledEvent)
    assert [(event.event_id, event.name, event.tags) for event in scheduled] == [(1, "flaky", {"k": "v"})] * 3
    assert [event.task_scheduled_id for event in of_kind(events, history.TaskFailedEvent)] == [1, 1]
    assert [event.task_scheduled_id for event in of_kind(events, history.TaskCompletedEvent)] == [1]
    assert [event.timer_id for event in of_kind(events, history.TimerFiredEvent)] == [2, 3]


def test_the_last_failure_is_the_one_that_counts(app: App):
    flaky = Flaky(failures=99)
    app.worker([retried(policy(3))], [flaky.register()])
    assert app.result("retries") == {"gave up": "failure 3", "type": "builtins.ConnectionError"}
    assert len(flaky.runs) == 3


def test_one_attempt_is_no_retry(app: App):
    flaky = Flaky(failures=99)
    app.worker([retried(policy(1))], [flaky.register()])
    id = app.start("retries")
    assert app.wait(id).get_output()["gave up"] == "failure 1"
    assert "TimerCreated" not in kinds(app.client.get_orchestration_history(id))


def test_the_interval_grows_up_to_its_limit(app: App):
    flaky = Flaky(failures=4)
    growing = policy(
        6,
        first_retry_interval=timedelta(milliseconds=50),
        backoff_coefficient=3.0,
        max_retry_interval=timedelta(milliseconds=200),
    )
    app.worker([retried(growing)], [flaky.register()])
    id = app.start("retries")
    assert app.wait(id).get_output() == "success after 5"
    assert delays(app, id) == [0.05, 0.15, 0.2, 0.2]
    # What the timers promised was kept: no attempt came before its time.
    times = [time for time, _ in flaky.runs]
    gaps = [(later - earlier).total_seconds() for earlier, later in zip(times, times[1:])]
    assert all(gap >= due for gap, due in zip(gaps, (0.05, 0.15, 0.2, 0.2)))


def test_a_time_limit_ends_the_retries(app: App):
    """The SDK asks the wall clock, in replays too: only a limit that the first attempt exceeds is reliable with it."""
    runs: list[str] = []

    def slow_to_fail(_: task.ActivityContext, which: str) -> None:
        runs.append(which)
        time.sleep(0.3)
        raise TimeoutError("too slow")

    def limited(ctx: task.OrchestrationContext, milliseconds: int):
        limit = policy(3, retry_timeout=timedelta(milliseconds=milliseconds))
        try:
            yield ctx.call_activity(slow_to_fail, input=str(milliseconds), retry_policy=limit)
        except task.TaskFailedError as error:
            return error.details.message

    app.worker([limited], [slow_to_fail])
    assert app.result(limited, 200) == "too slow"
    assert app.result(limited, 3_600_000) == "too slow"
    assert runs == ["200"] + ["3600000"] * 3


def test_retries_side_by_side(app: App):
    runs: dict[int, int] = {}

    def unsteady(_: task.ActivityContext, number: int) -> int:
        runs[number] = runs.get(number, 0) + 1
        if runs[number] <= number % 3:
            raise OSError("not yet")
        return number

    def all_of_them(ctx: task.OrchestrationContext, count: int):
        calls = [ctx.call_activity(unsteady, input=number, retry_policy=policy(4)) for number in range(count)]
        return (yield task.when_all(calls))

    app.worker([all_of_them], [unsteady])
    assert app.result(all_of_them, 12) == list(range(12))
    assert [runs[number] for number in range(12)] == [1, 2, 3] * 4


def test_a_policy_says_what_it_does_not_take():
    full = policy(2, backoff_coefficient=None, max_retry_interval=timedelta(1), retry_timeout=timedelta(2))
    assert (full.max_number_of_attempts, full.first_retry_interval) == (2, timedelta(milliseconds=30))
    assert (full.backoff_coefficient, full.max_retry_interval, full.retry_timeout) == (None, timedelta(1), timedelta(2))
    for wrong in (
        {"max_number_of_attempts": 0},
        {"first_retry_interval": timedelta(-1)},
        {"backoff_coefficient": 0.5},
        {"max_retry_interval": timedelta(-1)},
        {"retry_timeout": timedelta(-1)},
    ):
        with pytest.raises(ValueError):
            task.RetryPolicy(**{"first_retry_interval": timedelta(0), "max_number_of_attempts": 2, **wrong})
