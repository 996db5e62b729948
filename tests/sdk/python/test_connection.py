"""Connections: without a hub, with options, with interceptors; how workers are limited."""

import logging
import threading
from typing import Any

import grpc
import pytest
from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.grpc_options import (
    GrpcChannelOptions,
    GrpcClientResiliencyOptions,
    GrpcRetryPolicyOptions,
    GrpcWorkerResiliencyOptions,
)
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from harness.server import Server
from harness.waiting import Gate, eventually
from support.app import LOGGER, App, new_id


def echo(_: task.OrchestrationContext, input: Any):
    return input


def test_c1_the_plainest_of_programs(server: Server):
    """No metadata, no options: the default hub."""
    name = new_id("plain")

    def plain(_: task.OrchestrationContext, input: Any):
        return input

    plain.__name__ = name
    with TaskHubGrpcWorker(host_address=f"http://{server.address}", logger=LOGGER) as worker:
        worker.add_orchestrator(plain)
        worker.use_work_item_filters()
        worker.start()
        with TaskHubGrpcClient(host_address=server.address, logger=LOGGER) as client:
            id = client.schedule_new_orchestration(plain, input="hello")
            state = client.wait_for_orchestration_completion(id, timeout=45)
            assert state is not None and state.get_output() == "hello" and id in str(state)
            assert client.purge_orchestration(id).deleted_instance_count == 1


def test_c1_the_default_hub_has_a_name(server: Server, new_app: Any):
    named = new_app(hub="default", keep_hub=True)
    with TaskHubGrpcClient(host_address=server.address, logger=LOGGER) as client:
        id = client.schedule_new_orchestration("nobody")
        assert named.status(id) == "PENDING"
        named.client.terminate_orchestration(id)
        named.wait(id)
        named.client.purge_orchestration(id)


def test_c1_hubs_that_are_fixed(server: Server, servers: Any):
    assert server.database_url
    fixed = servers(Server.serve(server.database_url, "127.0.0.1:0", "--hubs", "default,fixed-hub"))

    def ask(hub: str) -> Any:
        with TaskHubGrpcClient(host_address=fixed.address, metadata=[("taskhub", hub)], logger=LOGGER) as client:
            return client.get_orchestration_state("nobody")

    assert ask("fixed-hub") is None and ask("default") is None
    with pytest.raises(grpc.RpcError) as caught:
        ask("no-such-hub")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_all_the_options_of_a_channel(app: App):
    options = GrpcChannelOptions(
        max_receive_message_length=8 * 1024 * 1024,
        max_send_message_length=8 * 1024 * 1024,
        keepalive_time_ms=10_000,
        keepalive_timeout_ms=5_000,
        keepalive_permit_without_calls=True,
        retry_policy=GrpcRetryPolicyOptions(max_attempts=3, retryable_status_codes=["UNAVAILABLE"]),
        raw_options=[("grpc.primary_user_agent", "everdure-tests")],
    )
    resiliency = GrpcWorkerResiliencyOptions(
        hello_timeout_seconds=5, silent_disconnect_timeout_seconds=90, channel_recreate_failure_threshold=2,
        reconnect_backoff_base_seconds=0.1, reconnect_backoff_cap_seconds=0.2,
    )  # fmt: skip
    app.worker([echo], channel_options=options, resiliency_options=resiliency)
    client = app.new_client(
        channel_options=options,
        resiliency_options=GrpcClientResiliencyOptions(channel_recreate_failure_threshold=1),
        interceptors=[DefaultClientInterceptorImpl([("x-more", "metadata")])],
    )
    id = client.schedule_new_orchestration(echo, input="x" * 3_500_000)
    state = client.wait_for_orchestration_completion(id, timeout=45)
    assert state is not None and len(state.get_output()) == 3_500_000


def test_a_worker_that_hears_nothing_connects_anew(app: App):
    """Its patience is shorter than the server's pings: it takes the silence for a broken line, again and again."""
    restless = GrpcWorkerResiliencyOptions(
        silent_disconnect_timeout_seconds=0.3, reconnect_backoff_base_seconds=0.05, reconnect_backoff_cap_seconds=0.1
    )
    connections: list[str] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Waiting for work items" in record.getMessage():
                connections.append(record.getMessage())

    logger = logging.getLogger("everdure.tests.restless")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Watch())
    app.worker([echo], resiliency_options=restless, logger=logger)
    eventually("it has connected three times", lambda: len(connections) >= 3)
    for number in range(20):
        assert app.result(echo, number) == number


def test_a_channel_of_ones_own(app: App):
    channel = grpc.intercept_channel(grpc.insecure_channel(app.address), DefaultClientInterceptorImpl(app.metadata))
    with TaskHubGrpcWorker(channel=channel, logger=LOGGER) as worker:
        worker.add_orchestrator(echo)
        worker.start()
        client = TaskHubGrpcClient(channel=channel, logger=LOGGER)
        id = client.schedule_new_orchestration(echo, input=1)
        state = client.wait_for_orchestration_completion(id, timeout=45)
        assert state is not None and state.get_output() == 1
        client.close()
        assert app.status(id) == "COMPLETED"
    channel.close()


def test_c37_a_worker_has_no_more_at_once_than_it_allows(app: App):
    gate = Gate()
    now = peak = 0
    lock = threading.Lock()

    def busy(_: task.ActivityContext, number: int) -> int:
        nonlocal now, peak
        with lock:
            now += 1
            peak = max(peak, now)
        gate.enter()
        with lock:
            now -= 1
        return number

    def many(ctx: task.OrchestrationContext, count: int):
        return (yield task.when_all([ctx.call_activity(busy, input=number) for number in range(count)]))

    concurrency = ConcurrencyOptions(
        maximum_concurrent_activity_work_items=3,
        maximum_concurrent_orchestration_work_items=2,
        maximum_concurrent_entity_work_items=1,
        maximum_thread_pool_workers=8,
    )
    worker = app.worker([many], [busy], concurrency_options=concurrency)
    assert worker.concurrency_options is concurrency
    id = app.start(many, 20)
    gate.await_arrivals(3)
    assert len(gate.arrived()) == 3
    gate.open()
    assert app.wait(id).get_output() == list(range(20))
    assert peak <= 3


def test_what_a_running_worker_does_not_take(app: App):
    worker = app.worker([echo])
    for late in (
        lambda: worker.add_orchestrator(echo),
        lambda: worker.add_activity(echo),
        lambda: worker.add_entity(echo, "late"),
        lambda: worker.add_capability(pb.WORKER_CAPABILITY_LARGE_PAYLOADS),
        lambda: worker.configure_scheduled_tasks(),
        lambda: worker.start(),
    ):
        with pytest.raises(RuntimeError):
            late()
    other = TaskHubGrpcWorker(host_address=app.address, logger=LOGGER)
    assert other.add_orchestrator(echo) == "echo" and other.add_activity(echo) == "echo"
    assert other.add_entity(echo, "Echo") == "Echo"
    for twice in (
        lambda: other.add_orchestrator(echo),
        lambda: other.add_activity(echo),
        lambda: other.add_entity(echo),
    ):
        with pytest.raises(ValueError):
            twice()


def test_capabilities_that_a_worker_names(app: App):
    def set_up(worker: TaskHubGrpcWorker) -> None:
        worker.add_capability(pb.WORKER_CAPABILITY_LARGE_PAYLOADS)
        worker.add_capability(pb.WORKER_CAPABILITY_SCHEDULED_TASKS)

    app.worker([echo], before_start=set_up)
    assert app.result(echo, 1) == 1
