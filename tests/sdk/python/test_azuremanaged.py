"""The clients and the worker of the managed package, without TLS and with a credential of our own."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from azure.core.credentials import AccessToken
from durabletask import task
from durabletask.azuremanaged.client import AsyncDurableTaskSchedulerClient, DurableTaskSchedulerClient
from durabletask.azuremanaged.worker import DurableTaskSchedulerWorker
from durabletask.entities import EntityInstanceId
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl
from durabletask.worker import ConcurrencyOptions

from support.app import EAGER, LOGGER, App, new_hub, new_id
from support.counters import counter
from support.payloads import MemoryPayloadStore


def greet(_: task.ActivityContext, name: str) -> str:
    return f"Hello, {name}!"


def hello(ctx: task.OrchestrationContext, name: str):
    greeting = yield ctx.call_activity(greet, input=name)
    yield ctx.call_entity(EntityInstanceId("counter", "greetings"), "add", 1)
    return greeting


class Credential:
    """Gives tokens as an identity service would, and counts them."""

    def __init__(self) -> None:
        self.scopes: list[tuple[str, ...]] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.append(scopes)
        return AccessToken(f"token-{len(self.scopes)}", int(time.time()) + 3600)


class AsyncCredential(Credential):
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]
        return Credential.get_token(self, *scopes, **options)


class Watch(DefaultClientInterceptorImpl):
    """An interceptor of the program's own, which comes before the one of the managed package."""

    def __init__(self) -> None:
        super().__init__([("x-test", "watched")])


def managed(app: App, **options: Any) -> dict[str, Any]:
    return {
        "host_address": app.address,
        "taskhub": app.hub,
        "token_credential": None,
        "secure_channel": False,
        "logger": LOGGER,
        **options,
    }


def start_worker(app: App, **options: Any) -> DurableTaskSchedulerWorker:
    worker = DurableTaskSchedulerWorker(**managed(app, resiliency_options=EAGER, **options))
    app.start_worker(worker, [hello], [greet], [counter])
    return worker


def test_c1_client_and_worker(app: App):
    start_worker(app)
    with DurableTaskSchedulerClient(**managed(app, default_version="3.2")) as client:
        id = client.schedule_new_orchestration(hello, input="you")
        state = client.wait_for_orchestration_completion(id, timeout=45)
        assert state is not None and state.get_output() == "Hello, you!"
        metadata = client.get_entity(EntityInstanceId("counter", "greetings"))
        assert metadata is not None and metadata.get_typed_state() == 1
    # The plain client of the same hub sees the same instance.
    assert app.status(id) == "COMPLETED" and app.raw_state(id).version.value == "3.2"


def test_the_asynchronous_client(app: App):
    start_worker(app)

    async def run() -> None:
        async with AsyncDurableTaskSchedulerClient(**managed(app)) as client:
            id = await client.schedule_new_orchestration(hello, input="all")
            state = await client.wait_for_orchestration_completion(id, timeout=45)
            assert state is not None and state.get_output() == "Hello, all!"

    asyncio.run(run())


def test_credentials_are_asked_and_their_tokens_do_no_harm(app: App):
    for_worker, for_client, for_async = Credential(), Credential(), AsyncCredential()
    start_worker(app, token_credential=for_worker)
    options = managed(app, token_credential=for_client, resource_id="https://example.org/")
    with DurableTaskSchedulerClient(**options) as client:
        id = client.schedule_new_orchestration(hello, input="you")
        state = client.wait_for_orchestration_completion(id, timeout=45)
        assert state is not None and state.get_output() == "Hello, you!"

    async def ask() -> None:
        async with AsyncDurableTaskSchedulerClient(**managed(app, token_credential=for_async)) as client:
            found = await client.get_orchestration_state(id)
            assert found is not None and found.get_output() == "Hello, you!"

    asyncio.run(ask())
    assert for_worker.scopes == for_async.scopes == [("https://durabletask.io/.default",)]
    assert for_client.scopes == [("https://example.org/.default",)]


def test_options_that_the_managed_package_hands_on(app: App):
    store = MemoryPayloadStore()
    concurrency = ConcurrencyOptions(maximum_concurrent_activity_work_items=3, maximum_thread_pool_workers=4)
    worker = start_worker(app, payload_store=store, concurrency_options=concurrency, interceptors=[Watch()])
    assert worker.concurrency_options.maximum_concurrent_activity_work_items == 3
    with DurableTaskSchedulerClient(**managed(app, payload_store=store, interceptors=[Watch()])) as client:
        id = client.schedule_new_orchestration(hello, input="y" * 2000)
        state = client.wait_for_orchestration_completion(id, timeout=45)
        assert state is not None and state.get_output() == f"Hello, {'y' * 2000}!"
    assert store.payloads


def test_a_channel_of_ones_own(app: App):
    channel = grpc.intercept_channel(
        grpc.insecure_channel(app.address), DefaultClientInterceptorImpl([("taskhub", app.hub)])
    )
    start_worker(app)
    with DurableTaskSchedulerClient(**managed(app, channel=channel)) as client:
        id = client.schedule_new_orchestration(hello, input="you")
        state = client.wait_for_orchestration_completion(id, timeout=45)
        assert state is not None and state.get_output() == "Hello, you!"
    assert app.status(id) == "COMPLETED"
    channel.close()


def test_c91_two_hubs_see_nothing_of_each_other(app: App, new_app: Any):
    other = new_app(hub=new_hub())
    id = new_id()
    start_worker(app)
    app.start(hello, "one", instance_id=id)
    other.start(hello, "two", instance_id=id)
    assert app.wait(id).get_output() == "Hello, one!"
    assert other.status(id) == "PENDING"
    start_worker(other)
    assert other.wait(id).get_output() == "Hello, two!"
    for each, text in ((app, "one"), (other, "two")):
        assert [state.instance_id for state in each.client.get_all_orchestration_states()] == [id]
        assert each.client.list_instance_ids().items == [id]
        assert len(each.client.get_all_entities()) == 1
        assert f'"{text}"' in str(each.client.get_orchestration_history(id))
    assert app.client.purge_orchestration(id).deleted_instance_count == 1
    assert other.status(id) == "COMPLETED"
    assert len(other.client.get_all_entities()) == 1


def test_a_hub_has_to_be_named(app: App):
    for kind in (DurableTaskSchedulerClient, DurableTaskSchedulerWorker):
        with pytest.raises(ValueError):
            kind(**managed(app, taskhub=""))
