"""Events from outside and from other orchestrations."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from durabletask import history, task

from harness.errors import refused
from support.app import App, new_id
from support.histories import kinds, of_kind, only


def collect(ctx: task.OrchestrationContext, names: list[str]):
    ctx.set_custom_status("waiting")
    received = []
    for name in names:
        received.append((yield ctx.wait_for_external_event(name)))
    return received


def test_c24_event_before_start_comes_with_the_first_batch(app: App):
    id = app.start(collect, ["go"])
    app.client.raise_orchestration_event(id, "go", data={"early": True})
    app.worker([collect])
    assert app.wait(id).get_output() == [{"early": True}]
    events = app.client.get_orchestration_history(id)
    assert kinds(events) == ["OrchestratorStarted", "ExecutionStarted", "EventRaised", "ExecutionCompleted"]


def test_an_event_for_one_who_waits(app: App):
    app.worker([collect])
    id = app.start(collect, ["go"])
    app.await_custom_status(id, "waiting")
    app.client.raise_orchestration_event(id, "go", data=[1, "two", None])
    assert app.wait(id).get_output() == [[1, "two", None]]


def test_an_event_without_data(app: App):
    app.worker([collect])
    id = app.start(collect, ["go", "go"])
    app.client.raise_orchestration_event(id, "go")
    app.client.raise_orchestration_event(id, "go", data="")
    assert app.wait(id).get_output() == [None, ""]
    raised = of_kind(app.client.get_orchestration_history(id), history.EventRaisedEvent)
    assert [event.input for event in raised] == [None, '""']


def test_c25_events_of_one_name_keep_their_order_in_any_case(app: App):
    app.worker([collect])
    id = app.start(collect, ["Step", "STEP", "step", "sTeP"])
    for number, name in enumerate(("step", "Step", "STEP", "stEP")):
        app.client.raise_orchestration_event(id, name, data=number)
    assert app.wait(id).get_output() == [0, 1, 2, 3]
    raised = of_kind(app.client.get_orchestration_history(id), history.EventRaisedEvent)
    assert [event.name for event in raised] == ["step", "Step", "STEP", "stEP"]


def test_early_events_of_other_names_are_kept_for_later(app: App):
    app.worker([collect])
    id = app.start(collect, ["first", "second", "first"])
    for name, data in (("second", "s"), ("first", "f1"), ("first", "f2")):
        app.client.raise_orchestration_event(id, name, data=data)
    assert app.wait(id).get_output() == ["f1", "s", "f2"]


def test_hundreds_of_events_are_all_seen_once_and_in_order(app: App):
    app.worker([collect])
    id = app.start(collect, ["n"] * 300)
    for number in range(300):
        app.client.raise_orchestration_event(id, "n", data=number)
    assert app.wait(id).get_output() == list(range(300))


def test_waits_made_together_are_served_in_order(app: App):
    def pair(ctx: task.OrchestrationContext, _: Any):
        waits = [ctx.wait_for_external_event("x") for _ in range(3)]
        waits[1].cancel()
        ctx.set_custom_status("waiting")
        yield task.when_all([waits[0], waits[2]])
        return [waits[0].get_result(), waits[2].result]

    app.worker([pair])
    id = app.start(pair)
    app.await_custom_status(id, "waiting")
    app.client.raise_orchestration_event(id, "x", data="one")
    app.client.raise_orchestration_event(id, "x", data="two")
    assert app.wait(id).get_output() == ["one", "two"]


@dataclass
class Order:
    item: str
    count: int


def test_an_event_of_a_type(app: App):
    def typed(ctx: task.OrchestrationContext, _: Any):
        order = yield ctx.wait_for_external_event("order", data_type=Order)
        return f"{type(order).__name__} of {order.count} {order.item}"

    app.worker([typed])
    id = app.start(typed)
    app.client.raise_orchestration_event(id, "order", data=Order("nuts", 7))
    assert app.wait(id).get_output() == "Order of 7 nuts"


def test_c26_events_to_nobody_and_to_the_dead(app: App):
    unknown = new_id("unknown")
    refused(grpc.StatusCode.NOT_FOUND, app.client.raise_orchestration_event, unknown, "x")
    app.worker([collect])
    id = app.start(collect, [])
    app.wait(id)
    before = app.client.get_orchestration_history(id)
    app.client.raise_orchestration_event(id, "x", data=1)
    assert app.client.get_orchestration_history(id) == before
    assert app.status(id) == "COMPLETED"


def test_c61_one_orchestration_sends_to_another(app: App):
    def sender(ctx: task.OrchestrationContext, target: str):
        ctx.send_event(target, "Hello", data={"from": ctx.instance_id})
        ctx.send_event(new_id("missing"), "lost")
        yield ctx.create_timer(timedelta(0))
        return "sent"

    # An id made anew in each replay would be another target each time.
    missing = new_id("missing")

    def steady_sender(ctx: task.OrchestrationContext, target: str):
        ctx.send_event(target, "Hello", data={"from": ctx.instance_id})
        ctx.send_event(missing, "lost")
        yield ctx.create_timer(timedelta(0))
        return "sent"

    app.worker([sender, steady_sender, collect])
    receiver = app.start(collect, ["hello"])
    id = app.start(steady_sender, receiver)
    assert app.wait(id).get_output() == "sent"
    assert app.wait(receiver).get_output() == [{"from": id}]
    events = app.client.get_orchestration_history(id)
    sent = of_kind(events, history.EventSentEvent)
    assert [(event.event_id, event.instance_id, event.name) for event in sent] == [
        (1, receiver, "Hello"),
        (2, missing, "lost"),
    ]
    assert app.client.get_orchestration_state(missing) is None
    failed = app.run(sender, receiver).failure_details
    assert failed is not None and failed.is_caused_by("NonDeterminismError")


def test_c61_an_event_to_oneself(app: App):
    def talks_to_itself(ctx: task.OrchestrationContext, _: Any):
        ctx.send_event(ctx.instance_id, "echo", data="me")
        return (yield ctx.wait_for_external_event("echo"))

    app.worker([talks_to_itself])
    id = app.start(talks_to_itself)
    assert app.wait(id).get_output() == "me"
    events = app.client.get_orchestration_history(id)
    assert only(events, history.EventSentEvent).instance_id == id
    assert only(events, history.EventRaisedEvent).input == '"me"'


def test_c61_the_last_turn_may_send(app: App):
    def last_words(ctx: task.OrchestrationContext, target: str):
        ctx.send_event(target, "bye", data="gone")
        return "done"
        yield

    app.worker([last_words, collect])
    receiver = app.start(collect, ["bye"])
    assert app.result(last_words, receiver) == "done"
    assert app.wait(receiver).get_output() == ["gone"]
