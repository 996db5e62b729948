"""What a client sees of an instance, and waits for."""

import threading
from datetime import datetime, timezone
from typing import Any

import pytest
from durabletask import task

from harness.waiting import Gate, eventually
from support.app import App, new_id


def waits(ctx: task.OrchestrationContext, _: Any):
    return (yield ctx.wait_for_external_event("go"))


def echo(_: task.OrchestrationContext, input: Any):
    return input


def test_c16_an_unknown_instance(app: App):
    assert app.client.get_orchestration_state(new_id()) is None
    assert app.client.get_orchestration_state(new_id(), fetch_payloads=False) is None


def test_c17_payloads_only_if_asked_for(app: App):
    def talks(ctx: task.OrchestrationContext, input: Any):
        ctx.set_custom_status({"step": 1})
        return f"of {input}"

    app.worker([talks])
    id = app.start(talks, "in")
    app.wait(id)
    full = app.client.get_orchestration_state(id)
    assert full is not None
    assert (full.get_input(), full.get_output(), full.get_custom_status()) == ("in", "of in", {"step": 1})
    bare = app.client.get_orchestration_state(id, fetch_payloads=False)
    assert bare is not None and bare.runtime_status.name == "COMPLETED" and bare.name == "talks"
    assert (bare.serialized_input, bare.serialized_output, bare.serialized_custom_status) == (None, None, None)
    waited = app.client.wait_for_orchestration_completion(id, fetch_payloads=False)
    assert waited is not None and waited.serialized_output is None


def test_c18_times(app: App):
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    app.worker([waits])
    id = app.start(waits)
    app.await_status(id, "RUNNING")
    running = app.raw_state(id)
    assert running.HasField("createdTimestamp") and running.HasField("lastUpdatedTimestamp")
    assert not running.HasField("completedTimestamp")
    app.client.raise_orchestration_event(id, "go")
    state = app.wait(id)
    ended = app.raw_state(id)
    assert ended.completedTimestamp.ToDatetime() >= state.created_at
    assert state.last_updated_at >= ended.completedTimestamp.ToDatetime()
    assert state.last_updated_at > running.lastUpdatedTimestamp.ToDatetime()
    assert state.created_at == running.createdTimestamp.ToDatetime()
    # One machine, one clock: a start is not before the call.
    assert abs((state.created_at - before).total_seconds()) < 60


def test_c19_pending_until_the_first_turn_is_committed(app: App):
    gate = Gate()

    def slow_to_begin(ctx: task.OrchestrationContext, _: Any):
        gate.enter()
        yield ctx.wait_for_external_event("go")

    id = app.start(slow_to_begin)
    assert app.status(id) == "PENDING"
    app.worker([slow_to_begin])
    gate.await_arrivals()
    # The worker has it; but nothing of it is durable yet.
    assert app.status(id) == "PENDING"
    with pytest.raises(TimeoutError):
        app.client.wait_for_orchestration_start(id, timeout=1)
    gate.open()
    started = app.client.wait_for_orchestration_start(id, timeout=30)
    assert started is not None and started.runtime_status.name == "RUNNING"


def test_c20_waiting_for_the_start_of_one_that_has_ended(app: App):
    app.worker([echo])
    id = app.start(echo, "x")
    app.wait(id)
    started = app.client.wait_for_orchestration_start(id, fetch_payloads=True, timeout=30)
    assert started is not None and started.runtime_status.name == "COMPLETED"
    assert started.get_output() == "x"


def test_c22_a_wait_ends_with_its_time(app: App):
    app.worker([waits])
    id = app.start(waits)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            app.client.wait_for_orchestration_completion(id, timeout=0.2)
    app.client.raise_orchestration_event(id, "go", data=1)
    assert app.wait(id).get_output() == 1


def test_waiting_for_an_unknown_instance(app: App):
    """It may still come: the server waits for a while, and then says that there is none."""
    with pytest.raises(TimeoutError):
        app.client.wait_for_orchestration_completion(new_id(), timeout=1)
    assert app.client.wait_for_orchestration_completion(new_id(), timeout=45) is None


def test_c21_many_wait_for_one(app: App):
    app.worker([waits])
    id = app.start(waits)
    outputs: list[Any] = []

    def wait() -> None:
        outputs.append(app.wait(id).get_output())

    waiters = [threading.Thread(target=wait) for _ in range(50)]
    for waiter in waiters:
        waiter.start()
    app.client.raise_orchestration_event(id, "go", data="all of you")
    for waiter in waiters:
        waiter.join(60)
    assert outputs == ["all of you"] * 50


def test_c66_the_custom_status_is_seen_changed_and_cleared(app: App):
    def says(ctx: task.OrchestrationContext, statuses: list[Any]):
        for status in statuses:
            ctx.set_custom_status(status)
            yield ctx.wait_for_external_event("next")

    app.worker([says])
    statuses = [{"progress": 0.5}, "text", [1, 2], "", 0, False]
    id = app.start(says, [*statuses, None])
    for status in statuses:
        app.await_custom_status(id, status)
        state = app.client.get_orchestration_state(id)
        assert state is not None and state.serialized_custom_status is not None
        app.client.raise_orchestration_event(id, "next")

    def cleared() -> bool:
        state = app.client.get_orchestration_state(id)
        return state is not None and state.serialized_custom_status is None

    eventually("the custom status is cleared", cleared)
    assert app.status(id) == "RUNNING"
    app.client.raise_orchestration_event(id, "next")
    assert app.wait(id).serialized_custom_status is None


def test_the_last_custom_status_stays(app: App):
    def ends(ctx: task.OrchestrationContext, fail: bool):
        ctx.set_custom_status("about to end")
        if fail:
            raise RuntimeError("as asked")
        return "ended"

    app.worker([ends])
    assert app.run(ends, False).get_custom_status() == "about to end"
    failed = app.run(ends, True)
    assert failed.runtime_status.name == "FAILED" and failed.get_custom_status() == "about to end"
