"""Payloads: large ones, strange ones, and those that go to a store of their own."""

import json
from typing import Any

import grpc
import pytest
from durabletask import history, task
from durabletask.client import OrchestrationQuery
from durabletask.entities import EntityInstanceId
from durabletask.grpc_options import GrpcChannelOptions

from harness.waiting import eventually
from support.app import App, new_id
from support.counters import counter
from support.histories import only
from support.payloads import MemoryPayloadStore

MB = 1024 * 1024
WIDE = GrpcChannelOptions(max_receive_message_length=100 * MB, max_send_message_length=100 * MB)


def length(_: task.ActivityContext, text: str) -> int:
    return len(text)


def repeat(_: task.ActivityContext, order: list[Any]) -> str:
    text, times = order
    return text * times


def echo(ctx: task.OrchestrationContext, input: Any):
    ctx.set_custom_status(input)
    event = yield ctx.wait_for_external_event("echo")
    passed = yield ctx.call_sub_orchestrator(same, input=event)
    return passed


def same(_: task.OrchestrationContext, input: Any):
    return input


@pytest.mark.parametrize(
    "value",
    [
        "\u0000 in the middle \u0000",
        "emoji 🦀🐘, CJK 漢字, combining e\u0301, right to left \u202eabc",
        "\\ \" ' / \b\f\n\r\t \u2028 \u2029 \ufeff \uffff",
        '{"looks": "like JSON"}',
        {"nested": [[[[{"deep": [None, True, 1e308, -0.0, 2**62]}]]]]},
        {"": {" ": {"\u0000": "\u0001"}}},
        "$$;-- drop table instances; %s {0}",
    ],
)
def test_c69_strange_values_come_back(app: App, value: Any):
    app.worker([echo, same])
    id = app.start(echo, value, tags={"strange": json.dumps(value).replace("\u0000", "")})
    app.client.raise_orchestration_event(id, "echo", data=value)
    state = app.wait(id)
    assert state.get_output() == value and state.get_input() == value and state.get_custom_status() == value


def test_c69_a_megabyte_through_everything(app: App):
    def heavy(ctx: task.OrchestrationContext, text: str):
        assert (yield ctx.call_activity(length, input=text)) == MB
        longer = yield ctx.call_activity(repeat, input=["ü", MB // 2])
        return longer + (yield ctx.wait_for_external_event("more"))

    app.worker([heavy], [length, repeat], channel_options=WIDE)
    client = app.new_client(channel_options=WIDE)
    id = client.schedule_new_orchestration(heavy, input="x" * MB)
    client.raise_orchestration_event(id, "more", data="y" * MB)
    state = client.wait_for_orchestration_completion(id, timeout=90)
    assert state is not None and state.get_output() == "ü" * (MB // 2) + "y" * MB
    assert state.get_input() == "x" * MB


def test_c5_c69_ten_megabytes(app: App):
    app.worker([same], channel_options=WIDE)
    client = app.new_client(channel_options=WIDE)
    id = client.schedule_new_orchestration(same, input="z" * (10 * MB))
    state = client.wait_for_orchestration_completion(id, timeout=90)
    assert state is not None and state.get_output() == "z" * (10 * MB)


def test_c5_pages_stay_below_the_limit_of_plain_clients(app: App):
    """Twelve instances of 1.5 MB each: more than one message of 4 MB carries, and still every page fits one."""
    app.worker([same])
    ids = {app.start(same, "q" * (MB * 3 // 4)) for _ in range(12)}
    for id in ids:
        app.wait(id)
    query = OrchestrationQuery(fetch_inputs_and_outputs=True)
    states = app.client.get_all_orchestration_states(query)
    assert {state.instance_id for state in states} == ids
    assert {len(state.get_output()) for state in states} == {MB * 3 // 4}


def test_a_message_that_is_too_large_is_refused(app: App):
    client = app.new_client(channel_options=WIDE)
    with pytest.raises(grpc.RpcError) as caught:
        client.schedule_new_orchestration(same, input="w" * (70 * MB))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert app.client.get_all_orchestration_states() == []


def test_a_payload_store_keeps_large_ones_away(app: App):
    def heavy(ctx: task.OrchestrationContext, text: str):
        ctx.set_custom_status("s" * 4000)
        counted = yield ctx.call_activity(length, input=text + "!")
        repeated = yield ctx.call_activity(repeat, input=["r", 9000])
        event = yield ctx.wait_for_external_event("more")
        passed = yield ctx.call_sub_orchestrator(same, input="c" * 3000)
        return [counted, repeated, event, passed]

    store = MemoryPayloadStore()
    app.worker([heavy, same], [length, repeat], payload_store=store)
    client = app.new_client(payload_store=store)
    id = client.schedule_new_orchestration(heavy, input="i" * 5000)
    client.raise_orchestration_event(id, "more", data="e" * 2000)
    state = client.wait_for_orchestration_completion(id, timeout=45)
    assert state is not None
    state.raise_if_failed()
    assert state.get_output() == [5001, "r" * 9000, "e" * 2000, "c" * 3000]
    assert state.get_input() == "i" * 5000 and state.get_custom_status() == "s" * 4000
    # What the server has are tokens; a client with the store sees the payloads in histories and lists too.
    raw = app.client.get_orchestration_state(id)
    assert raw is not None and raw.serialized_output is not None and store.is_known_token(raw.serialized_output)
    assert raw.serialized_input is not None and store.owners[raw.serialized_input] == id
    started = only(client.get_orchestration_history(id), history.ExecutionStartedEvent)
    assert started.input == json.dumps("i" * 5000)
    plain = only(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)
    assert plain.input == raw.serialized_input
    query = OrchestrationQuery(fetch_inputs_and_outputs=True, instance_id_prefix=id)
    listed = {each.instance_id: each.get_output() for each in client.get_all_orchestration_states(query)}
    assert listed == {id: state.get_output(), f"{id}:0003": "c" * 3000}
    fetched = client.get_orchestration_state(id)
    assert fetched is not None and fetched.get_output() == state.get_output()


def test_a_payload_store_for_ends_and_starts(app: App):
    def waits(ctx: task.OrchestrationContext, _: Any):
        yield ctx.wait_for_external_event("never")

    store = MemoryPayloadStore()
    app.worker([waits], payload_store=store)
    client = app.new_client(payload_store=store)
    id = client.schedule_new_orchestration(waits, input="w" * 2000)
    started = client.wait_for_orchestration_start(id, fetch_payloads=True)
    assert started is not None and started.get_input() == "w" * 2000
    client.terminate_orchestration(id, output="t" * 2000)
    state = client.wait_for_orchestration_completion(id)
    assert state is not None and state.runtime_status.name == "TERMINATED" and state.get_output() == "t" * 2000


def test_a_payload_store_for_entities(app: App):
    def sets(ctx: task.OrchestrationContext, key: str):
        entity = EntityInstanceId("counter", key)
        yield ctx.call_entity(entity, "set", "l" * 5000)
        return (yield ctx.call_entity(entity, "get"))

    def text(ctx: Any, input: Any) -> Any:
        if ctx.operation == "set":
            ctx.set_state(input)
        return ctx.get_state()

    text.__name__ = "counter"
    store = MemoryPayloadStore()
    app.worker([sets], entities=[text], payload_store=store)
    client = app.new_client(payload_store=store)
    key = new_id()
    id = client.schedule_new_orchestration(sets, input=key)
    state = client.wait_for_orchestration_completion(id)
    assert state is not None and state.get_output() == "l" * 5000
    entity = EntityInstanceId("counter", key)
    metadata = client.get_entity(entity)
    assert metadata is not None and metadata.get_typed_state() == "l" * 5000
    plain = app.client.get_entity(entity)
    assert plain is not None and store.is_known_token(plain.get_state())
    client.signal_entity(entity, "set", "m" * 6000)

    def changed() -> bool:
        return [each.get_typed_state() for each in client.get_all_entities()] == ["m" * 6000]

    eventually("the signal was taken", changed)


def test_large_entity_states(app: App):
    def text(ctx: Any, input: Any) -> Any:
        ctx.set_state((ctx.get_state() or "") + input)
        return len(ctx.get_state())

    def appends(ctx: task.OrchestrationContext, key: str):
        for _ in range(3):
            size = yield ctx.call_entity(EntityInstanceId("text", key), "append", "v" * (MB // 2))
        return size

    app.worker([appends], entities=[text, counter])
    key = new_id()
    assert app.result(appends, key) == 3 * MB // 2
    metadata = app.client.get_entity(EntityInstanceId("text", key))
    assert metadata is not None and len(metadata.get_typed_state()) == 3 * MB // 2
