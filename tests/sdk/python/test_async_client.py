"""The asynchronous client: each of its calls."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from durabletask import history, task
from durabletask.client import EntityQuery, OrchestrationQuery, OrchestrationStatus
from durabletask.entities import EntityInstanceId

from support.app import App, new_id
from support.counters import counter
from support.histories import kinds, only
from support.payloads import MemoryPayloadStore


def run(test: Awaitable[None]) -> None:
    """Tests are plain functions; what they await runs in a loop of its own."""

    async def limited() -> None:
        await asyncio.wait_for(test, timeout=120)

    asyncio.run(limited())


def waits(ctx: task.OrchestrationContext, input: Any):
    if input == "fail":
        raise RuntimeError("as asked")
    ctx.set_custom_status("waiting")
    return [input, (yield ctx.wait_for_external_event("go"))]


async def refused(code: grpc.StatusCode, call: Awaitable[Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == code


def test_the_life_of_an_instance(app: App):
    app.worker([waits])

    async def life() -> None:
        async with app.async_client(default_version="1.5") as client:
            assert client.emit_trace_spans
            id = await client.schedule_new_orchestration(waits, input="in", tags={"a": "b"}, instance_id=new_id())
            started = await client.wait_for_orchestration_start(id, fetch_payloads=True, timeout=30)
            assert started is not None and started.get_input() == "in"
            await refused(grpc.StatusCode.ALREADY_EXISTS, client.schedule_new_orchestration(waits, instance_id=id))
            await client.suspend_orchestration(id, reason="pause")
            await client.raise_orchestration_event(id, "go", data={"x": 1})
            await client.resume_orchestration(id, reason="on")
            state = await client.wait_for_orchestration_completion(id, timeout=30)
            assert state is not None and state.get_output() == ["in", {"x": 1}]
            again = await client.get_orchestration_state(id)
            assert again == state
            bare = await client.get_orchestration_state(id, fetch_payloads=False)
            assert bare is not None and bare.serialized_output is None
            events = await client.get_orchestration_history(id)
            started_event = only(events, history.ExecutionStartedEvent)
            assert started_event.version == "1.5" and started_event.tags == {"a": "b"}
            assert kinds(events)[-1] == "ExecutionCompleted"
            assert await client.get_orchestration_state(new_id()) is None

    run(life())


def test_ends_and_new_beginnings(app: App):
    app.worker([waits])

    async def ends() -> None:
        async with app.async_client() as client:
            id = await client.schedule_new_orchestration("waits", input="x")
            await client.terminate_orchestration(id, output="stop", recursive=False)
            state = await client.wait_for_orchestration_completion(id, timeout=30)
            assert state is not None and state.runtime_status is OrchestrationStatus.TERMINATED
            assert await client.restart_orchestration(id) == id
            other = await client.restart_orchestration(id, restart_with_new_instance_id=True)
            for each in (id, other):
                await client.raise_orchestration_event(each, "go")
                state = await client.wait_for_orchestration_completion(each, timeout=30)
                assert state is not None and state.get_output() == ["x", None]
            failed = await client.schedule_new_orchestration(waits, input="fail")
            state = await client.wait_for_orchestration_completion(failed, timeout=30)
            assert state is not None and state.failure_details is not None
            await client.rewind_orchestration(failed, reason="once more")
            state = await client.wait_for_orchestration_completion(failed, timeout=30)
            assert state is not None and state.runtime_status is OrchestrationStatus.FAILED
            await refused(grpc.StatusCode.FAILED_PRECONDITION, client.rewind_orchestration(id))
            assert (await client.purge_orchestration(id)).deleted_instance_count == 1
            purged = await client.purge_orchestrations_by(
                created_time_to=datetime.now(timezone.utc) + timedelta(hours=1),
                runtime_status=[OrchestrationStatus.FAILED],
                timeout=timedelta(seconds=30),
            )
            assert purged.deleted_instance_count == 1

    run(ends())


def test_lists(app: App):
    app.worker([waits])

    async def lists() -> None:
        async with app.async_client() as client:
            ids = [await client.schedule_new_orchestration(waits, input="fail", instance_id=f"l{n}") for n in range(7)]
            for id in ids:
                await client.wait_for_orchestration_completion(id, timeout=30)
            query = OrchestrationQuery(max_instance_count=3, fetch_inputs_and_outputs=True, instance_id_prefix="l")
            states = await client.get_all_orchestration_states(query)
            assert sorted(state.instance_id for state in states) == ids
            assert {state.get_input() for state in states} == {"fail"}
            assert len(await client.get_all_orchestration_states()) == 7
            page = await client.list_instance_ids(page_size=5)
            rest = await client.list_instance_ids(page_size=5, continuation_token=page.continuation_token)
            assert sorted(page.items + rest.items) == ids and len(page.items) == 5

    run(lists())


def test_waits_end_with_their_time(app: App):
    async def waiting() -> None:
        async with app.async_client() as client:
            id = await client.schedule_new_orchestration("nobody")
            with pytest.raises(TimeoutError):
                await client.wait_for_orchestration_start(id, timeout=0.5)
            with pytest.raises(TimeoutError):
                await client.wait_for_orchestration_completion(id, timeout=0.5)

    run(waiting())


def test_c21_five_hundred_wait_for_their_own(app: App):
    app.worker([waits])

    async def many() -> None:
        async with app.async_client() as client:
            ids = [await client.schedule_new_orchestration(waits, input=number) for number in range(500)]
            waiting = [asyncio.create_task(client.wait_for_orchestration_completion(id, timeout=100)) for id in ids]
            for id in ids:
                await client.raise_orchestration_event(id, "go", data=id)
            states = await asyncio.gather(*waiting)
            outputs = [state.get_output() for state in states if state]
            assert outputs == [[number, id] for number, id in enumerate(ids)]

    run(many())


def test_c22_a_cancelled_wait(app: App):
    app.worker([waits])

    async def cancelled() -> None:
        async with app.async_client() as client:
            id = await client.schedule_new_orchestration(waits)
            waiting = [asyncio.create_task(client.wait_for_orchestration_completion(id)) for _ in range(20)]
            await client.wait_for_orchestration_start(id, timeout=30)
            for each in waiting[1:]:
                each.cancel()
            outcomes = await asyncio.gather(*waiting[1:], return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
            await client.raise_orchestration_event(id, "go")
            state = await waiting[0]
            assert state is not None and state.runtime_status is OrchestrationStatus.COMPLETED

    run(cancelled())


def test_entities(app: App):
    app.worker(entities=[counter])

    async def entities() -> None:
        async with app.async_client() as client:
            ids = [EntityInstanceId("counter", f"e{number}") for number in range(4)]
            for number, id in enumerate(ids):
                await client.signal_entity(id, "add", number)
            await client.signal_entity(ids[0], "add", 9, signal_time=datetime.now(timezone.utc) + timedelta(days=1))

            async def found() -> list[Any]:
                query = EntityQuery(instance_id_starts_with="@counter@e", page_size=3)
                return sorted(entity.get_typed_state() for entity in await client.get_all_entities(query))

            while await found() != [0, 1, 2, 3]:
                await asyncio.sleep(0.05)
            metadata = await client.get_entity(ids[3], include_state=True)
            assert metadata is not None and metadata.get_typed_state(int) == 3
            assert await client.get_entity(EntityInstanceId("counter", "none")) is None
            cleaned = await client.clean_entity_storage()
            assert (cleaned.empty_entities_removed, cleaned.orphaned_locks_released) == (0, 0)

    run(entities())


def test_a_payload_store(app: App):
    store = MemoryPayloadStore()
    app.worker([waits], payload_store=store)

    async def payloads() -> None:
        async with app.async_client(payload_store=store) as client:
            id = await client.schedule_new_orchestration(waits, input="i" * 3000)
            await client.raise_orchestration_event(id, "go", data="e" * 3000)
            state = await client.wait_for_orchestration_completion(id, timeout=30)
            assert state is not None and state.get_output() == ["i" * 3000, "e" * 3000]
            events = await client.get_orchestration_history(id)
            assert only(events, history.EventRaisedEvent).input == '"' + "e" * 3000 + '"'
            assert len(store.payloads) == 3

    run(payloads())
