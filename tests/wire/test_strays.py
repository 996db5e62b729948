"""Answers and questions that a balancer brings to another server than the one that they are for."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.database import query
from harness.errors import refused
from harness.server import Server
from kit.hub import ANY_SIZE, Hub, text
from kit.worker import Worker, call, complete

Code = grpc.StatusCode


def answer(item: pb.WorkItem, token: bool = True) -> pb.OrchestratorResponse:
    id = item.orchestratorRequest.instanceId
    token_of_it = item.completionToken if token else ""
    return pb.OrchestratorResponse(instanceId=id, actions=[complete(1, '"x"')], completionToken=token_of_it)


@pytest.mark.parametrize("leads_to", ["nowhere", "the wrong server"])
def test_c92_an_answer_is_not_lost_when_its_server_is_not_found(
    server: Server, second_server: Server, hub: Hub, new_hub: Any, connect: Connect, leads_to: str
):
    """The server lives, and its address is missing, or is that of another: the worker is told to send again."""
    elsewhere = new_hub(second_server, hub.name)
    worker = connect(elsewhere)
    worker.nothing(0.2)
    hub.get("opens the hub on both")
    id = elsewhere.start()
    item = worker.turn()
    address = "null" if leads_to == "nowhere" else f"'{server.address}'"
    nodes = f"where hub_id = (select hub_id from everdure.task_hubs where name = '{hub.name}')"
    assert server.database_url
    query(server.database_url, f"update everdure.nodes set address = {address} {nodes}")
    refused(Code.UNAVAILABLE, hub.calls.CompleteOrchestratorTask, answer(item))
    refused(Code.UNAVAILABLE, hub.calls.CompleteOrchestratorTask, answer(item, token=False))
    abandoned = pb.AbandonOrchestrationTaskRequest(completionToken=item.completionToken)
    refused(Code.UNAVAILABLE, hub.calls.AbandonTaskOrchestratorWorkItem, abandoned)
    query(server.database_url, f"update everdure.nodes set address = '{second_server.address}' {nodes}")
    hub.calls.CompleteOrchestratorTask(answer(item))
    assert hub.wait(id).output.value == '"x"'


@pytest.mark.late
def test_c92_a_frozen_server_holds_no_answer_up(pair: tuple[Server, Server], new_hub: Any, connect: Connect):
    """Its connections live on and say nothing: the answer gets one all the same, and the turn goes to another worker."""
    frozen, other = pair
    hub = new_hub(other)
    elsewhere = new_hub(frozen, hub.name)
    worker = connect(elsewhere)
    worker.nothing(0.2)
    id = elsewhere.start()
    item = worker.turn()
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        sent = hub.calls.begin("CompleteOrchestratorTask", answer(item), 60)
        # Of a server that has lost its lease by then, nobody waits.
        assert sent.code() in (Code.UNAVAILABLE, Code.OK)
        assert time.monotonic() - begun < 25
        heir = connect(hub)
        heir.end_turn(heir.turn(), complete(1, '"heir"'))
        assert hub.wait(id).output.value == '"heir"'
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    hub.calls.DeleteTaskHub(pb.DeleteTaskHubRequest(), 60)


def test_c47_a_long_history_comes_from_any_server(hub: Hub, second_server: Server, connect: Connect):
    """Of a turn that another server handed out, the history is what is stored; without such a turn, there is none."""
    worker: Worker = connect(capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
    there = hub.connect(second_server.address, options=ANY_SIZE)
    id = hub.start()
    large = "x" * 300_000
    worker.end_turn(worker.turn(), *[call(number, "act", large) for number in range(10)])
    worker.activities(10)
    hub.raise_event(id, "a")
    item = worker.turn()
    assert item.orchestratorRequest.requiresHistoryStreaming
    execution = item.orchestratorRequest.executionId.value

    def events(calls: Any, **more: Any) -> list[pb.HistoryEvent]:
        request = pb.StreamInstanceHistoryRequest(instanceId=id, forWorkItemProcessing=True, **more)
        return [event for chunk in calls.StreamInstanceHistory(request, 60) for event in chunk.events]

    here = events(hub.calls)
    assert len(here) == 12 and events(there) == here == events(there, executionId=text(execution))
    refused(Code.NOT_FOUND, events, there, executionId=text("ab" * 16))
    worker.end_turn(item, complete(99))
    hub.wait(id)
    refused(Code.NOT_FOUND, events, there)
