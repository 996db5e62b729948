"""Activities called in sequence and in parallel, and what an orchestration knows about itself."""

from datetime import datetime
from typing import Any

from durabletask import history, task

from support.app import App
from support.histories import kinds, of_kind, only


def greet(_: task.ActivityContext, city: str) -> str:
    return f"Hello, {city}!"


def square(_: task.ActivityContext, number: int) -> int:
    return number * number


def test_a_sequence_of_activities(app: App):
    def hello_cities(ctx: task.OrchestrationContext, cities: list[str]):
        greetings = []
        for city in cities:
            greetings.append((yield ctx.call_activity(greet, input=city)))
        return greetings

    app.worker([hello_cities], [greet])
    greetings = app.result(hello_cities, ["Tokyo", "Seattle", "London", "Paris", "Delhi"])
    assert greetings == [f"Hello, {city}!" for city in ("Tokyo", "Seattle", "London", "Paris", "Delhi")]


def test_an_orchestrator_without_steps(app: App):
    def plain(_: task.OrchestrationContext, input: Any):
        return {"got": input}

    app.worker([plain])
    assert app.result(plain, [1, None, "two"]) == {"got": [1, None, "two"]}
    assert app.result(plain) == {"got": None}


def test_activities_by_name_and_with_every_json_value(app: App):
    values = [None, True, 0, -1.5, "", "text", [], {"a": {"b": [1]}}]

    def echo(_: task.ActivityContext, value: Any) -> Any:
        return value

    def echo_all(ctx: task.OrchestrationContext, _: Any):
        results = []
        for value in values:
            results.append((yield ctx.call_activity("echo", input=value)))
        return results

    app.worker([echo_all], [echo])
    assert app.result(echo_all) == values


def test_c63_fan_out_of_a_thousand(app: App):
    def fan_out(ctx: task.OrchestrationContext, count: int):
        squares = yield task.when_all([ctx.call_activity(square, input=number) for number in range(count)])
        return sum(squares)

    app.worker([fan_out], [square])
    id = app.start(fan_out, 1000)
    assert app.wait(id, timeout=120).get_output() == sum(number * number for number in range(1000))
    events = app.client.get_orchestration_history(id)
    scheduled = of_kind(events, history.TaskScheduledEvent)
    completed = of_kind(events, history.TaskCompletedEvent)
    assert sorted(event.event_id for event in scheduled) == list(range(1, 1001))
    assert sorted(event.task_scheduled_id for event in completed) == list(range(1, 1001))


def test_when_all_waits_for_the_last_and_raises_the_first_failure(app: App):
    def odd_only(_: task.ActivityContext, number: int) -> int:
        if number % 2 == 0:
            raise ValueError(f"{number} is even")
        return number

    def all_of(ctx: task.OrchestrationContext, numbers: list[int]):
        tasks = [ctx.call_activity(odd_only, input=number) for number in numbers]
        together = task.when_all(tasks)
        try:
            return (yield together)
        except task.TaskFailedError as error:
            return {
                "message": error.details.message,
                "finished": together.get_completed_tasks(),
                "failed": [each.is_failed for each in together.get_tasks()],
                "pending": together.pending_tasks,
            }

    app.worker([all_of], [odd_only])
    assert app.result(all_of, [1, 3, 5]) == [1, 3, 5]
    outcome = app.result(all_of, [1, 4, 3])
    assert outcome == {"message": "4 is even", "finished": 3, "failed": [False, True, False], "pending": 0}


def test_when_any_returns_the_first_and_the_others_go_on(app: App):
    def race(ctx: task.OrchestrationContext, _: Any):
        slow = ctx.wait_for_external_event("slow")
        fast = ctx.call_activity(greet, input="you")
        first = yield task.when_any([slow, fast])
        assert first is fast and not slow.is_complete
        ctx.set_custom_status("fast was first")
        return [first.get_result(), (yield slow)]

    app.worker([race], [greet])
    id = app.start(race)
    app.await_custom_status(id, "fast was first")
    app.client.raise_orchestration_event(id, "slow", data="late")
    assert app.wait(id).get_output() == ["Hello, you!", "late"]


def test_when_any_of_when_alls(app: App):
    def nested(ctx: task.OrchestrationContext, _: Any):
        never = ctx.wait_for_external_event("never")
        both = task.when_all([ctx.call_activity(square, input=number) for number in (2, 3)])
        first = yield task.when_any([task.when_all([never]), both])
        return first.get_result()

    app.worker([nested], [square])
    assert app.result(nested) == [4, 9]


def test_an_activity_knows_where_it_belongs(app: App):
    def who(ctx: task.ActivityContext, _: Any):
        return [ctx.orchestration_id, ctx.task_id]

    def ask(ctx: task.OrchestrationContext, _: Any):
        first = yield ctx.call_activity(who)
        second = yield ctx.call_activity(who)
        return [ctx.instance_id, first, second]

    app.worker([ask], [who])
    id = app.start(ask)
    assert app.wait(id).get_output() == [id, [id, 1], [id, 2]]


def test_time_and_uuids_are_the_same_in_every_replay(app: App):
    seen: list[tuple[datetime, str]] = []

    def steady(ctx: task.OrchestrationContext, _: Any):
        seen.append((ctx.current_utc_datetime, ctx.new_uuid()))
        uuids = [ctx.new_uuid(), ctx.new_uuid()]
        yield ctx.call_activity(greet, input="once")
        later = ctx.current_utc_datetime
        yield ctx.call_activity(greet, input="twice")
        return [uuids, later > seen[0][0], ctx.current_utc_datetime > later]

    app.worker([steady], [greet])
    uuids, second_is_later, third_is_later = app.result(steady)
    assert len(seen) == 3 and len(set(seen)) == 1
    assert len({seen[0][1], *uuids}) == 3
    assert second_is_later and third_is_later


def test_replaying_says_whether_the_event_is_old(app: App):
    seen: list[tuple[str, bool]] = []

    def watch(ctx: task.OrchestrationContext, _: Any):
        seen.append(("start", ctx.is_replaying))
        yield ctx.call_activity(greet, input="a")
        seen.append(("after one", ctx.is_replaying))
        yield ctx.call_activity(greet, input="b")
        seen.append(("after two", ctx.is_replaying))

    app.worker([watch], [greet])
    app.result(watch)
    assert [step for step in seen if not step[1]] == [("start", False), ("after one", False), ("after two", False)]
    assert [name for name, replaying in seen if replaying] == ["start", "start", "after one"]


def test_activity_tags_reach_the_history(app: App):
    def tagged(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(greet, input="x", tags={"team": "red", "empty": ""})

    app.worker([tagged], [greet])
    id = app.start(tagged)
    app.wait(id)
    scheduled = only(app.client.get_orchestration_history(id), history.TaskScheduledEvent)
    assert scheduled.tags == {"team": "red", "empty": ""}
    assert scheduled.name == "greet" and scheduled.input == '"x"' and scheduled.version is None


def test_unknown_functions_fail_the_instance(app: App):
    def calls_nobody(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity("nobody")

    app.worker([calls_nobody])
    failure = app.run(calls_nobody).failure_details
    assert failure is not None and failure.inner_failure is not None
    assert failure.inner_failure.is_caused_by("ActivityNotRegisteredError")
    unknown = app.run("no_such_orchestrator")
    assert unknown.runtime_status.name == "FAILED"
    assert unknown.failure_details is not None
    assert unknown.failure_details.is_caused_by("OrchestratorNotRegisteredError")


def test_activities_scheduled_in_the_last_turn_are_dropped(app: App):
    ran: list[str] = []

    def note(_: task.ActivityContext, text: str) -> None:
        ran.append(text)

    def leave(ctx: task.OrchestrationContext, _: Any):
        ctx.call_activity(note, input="left behind")
        return "gone"
        yield

    def stay(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(note, input="waited for")

    app.worker([leave, stay], [note])
    id = app.start(leave)
    assert app.wait(id).get_output() == "gone"
    # Whatever was to run for the first would be ahead of what the others have run.
    for _ in range(3):
        app.result(stay)
    assert ran == ["waited for"] * 3
    assert app.client.purge_orchestration(id).deleted_instance_count == 1


def test_a_changed_orchestrator_is_found_out(app: App):
    calls = ["first", "second"]

    def fickle(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(calls.pop(0), input="x")
        return "never"

    def first(_: task.ActivityContext, __: Any) -> str:
        return "done"

    app.worker([fickle], [first])
    failure = app.run(fickle).failure_details
    assert failure is not None and failure.is_caused_by(task.NonDeterminismError)


def test_c50_events_from_outside_carry_minus_one(app: App):
    def two_steps(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(greet, input="a")
        yield ctx.call_activity(greet, input="b")

    app.worker([two_steps], [greet])
    id = app.start(two_steps)
    app.wait(id)
    events = app.client.get_orchestration_history(id)
    assert kinds(events) == [
        "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
        "OrchestratorStarted", "TaskCompleted", "TaskScheduled",
        "OrchestratorStarted", "TaskCompleted", "ExecutionCompleted",
    ]  # fmt: skip
    assert [event.event_id for event in events] == [-1, -1, 1, -1, -1, 2, -1, -1, 3]
