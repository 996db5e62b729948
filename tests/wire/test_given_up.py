"""Calls that their clients give up half way: what the server has begun, it finishes."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf import empty_pb2

from conftest import Connect
from harness.waiting import eventually
from kit.hub import Hub, new_id
from kit.worker import complete

Code = grpc.StatusCode


def test_a_start_that_was_given_up_runs_all_the_same(hub: Hub, connect: Connect):
    """Cancelled just around the time that a start takes: whatever was created is handed out, and at once."""
    worker = connect(maxConcurrentOrchestrationWorkItems=1000)
    patience = 0.01
    ids = [new_id() for _ in range(400)]
    given_up = 0
    for id in ids:
        call = hub.calls.begin("StartInstance", pb.CreateInstanceRequest(instanceId=id, name="orch"))
        time.sleep(patience)
        call.cancel()
        in_time = call.code() == Code.OK
        given_up += not in_time
        # Finds the time that a start takes here and now, however fast the machine is, and stays beside it.
        patience *= 0.93 if in_time else 1.07
    created = {id for id in ids if hub.get(id).exists}
    assert given_up
    came: set[str] = set()

    def all_came() -> bool:
        while worker.waiting:
            came.add(worker.next().orchestratorRequest.instanceId)
        return created <= came

    eventually("what was created is handed out", all_came, 20)


def test_a_hub_whose_deletion_was_given_up_is_gone(new_hub: Callable[..., Hub], connect: Connect):
    """Its worker, which had an item in hand, is sent away, and the next one works in a new hub of that name."""
    hub = new_hub()
    worker = connect(hub)
    before = hub.start()
    worker.turn()
    for call in ("DeleteTaskHub", "CreateTaskHub"):
        request = pb.DeleteTaskHubRequest() if call == "DeleteTaskHub" else pb.CreateTaskHubRequest(recreateIfExists=True)
        calls = hub.connect()
        # Now there is a connection: the request is at the server at once, which waits a second for the worker.
        calls.Hello(empty_pb2.Empty())
        given_up = calls.begin(call, request)
        time.sleep(0.3)
        given_up.cancel()
        assert given_up.code() == Code.CANCELLED
        worker.code()
        worker = connect(hub)
        assert not hub.get(before).exists
        before = hub.start()
        turn = worker.turn()
    worker.end_turn(turn, complete(1))
    hub.wait(before)
