"""A server that stops in good order."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.errors import refused
from harness.server import Server
from harness.waiting import eventually
from kit.hub import Hub
from kit.worker import complete, failure

Code = grpc.StatusCode


def test_c94_a_server_that_stops_lets_workers_finish(pair: tuple[Server, Server], new_hub: Any, connect: Connect):
    """It hands out nothing new, takes answers, ends streams and waits; what was not answered goes to the other."""
    stopping, other = pair
    hub = new_hub(stopping)
    elsewhere = new_hub(other, hub.name)
    worker = connect(hub)
    answered = hub.start(id="answered")
    turn = worker.turn()
    hub.start(id="not-answered")
    abandoned = worker.turn()
    waiting = hub.calls.begin("WaitForInstanceCompletion", pb.GetInstanceRequest(instanceId="not-answered"), 100)
    unary = hub.connect()
    hub.status(answered)
    stopping.terminate()
    begun = time.monotonic()
    # New ones are for the other server, from now on.
    late = elsewhere.start(id="late")
    worker.nothing(1)
    worker.end_turn(turn, complete(1, '"in time"'))
    assert elsewhere.wait(answered).output.value == '"in time"'
    worker.code()
    heir = connect(elsewhere)
    ids = set()
    while ids != {"not-answered", late}:
        item = heir.turn()
        ids.add(item.orchestratorRequest.instanceId)
        heir.end_turn(item, complete(1, '"heir"'))
    assert stopping.wait() == 0
    assert time.monotonic() - begun < 40
    assert elsewhere.wait("not-answered").output.value == '"heir"'
    # Who waited there was told to come again, or was told the end.
    assert waiting.code() in (Code.UNAVAILABLE, Code.OK)
    refused(Code.UNAVAILABLE, unary.GetInstance, pb.GetInstanceRequest(instanceId=answered), 20)
    # The old answer, sent to the other: of a server that is gone, and of no effect.
    late_answer = [complete(1, '"late"')]
    elsewhere.calls.CompleteOrchestratorTask(
        pb.OrchestratorResponse(instanceId="not-answered", actions=late_answer, completionToken=abandoned.completionToken)
    )
    assert elsewhere.state("not-answered").output.value == '"heir"'
    elsewhere.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())


def test_c94_a_server_that_stops_opens_no_hub(servers: Any, server: Server, new_hub: Any, connect: Connect):
    """Nobody would give back what a worker of such a hub was handed."""
    stopping = servers(Server.serve(server.database_url or "", "127.0.0.1:0", "--drain", "5"))
    hub, late = new_hub(stopping), new_hub(stopping)
    worker = connect(hub)
    hub.start()
    item = worker.turn()
    stopping.terminate()
    eventually("it stops", lambda: stopping.ask("/readyz")[0] == 503)
    refused(Code.UNAVAILABLE, late.start)
    assert connect(late).code() == Code.UNAVAILABLE
    # Those that are open go on until the end.
    worker.end_turn(item, complete(1))
    assert stopping.wait() == 0


WHAT = ["nothing", "idle stream", "given back", "batch given back", "failed batch", "strange batch", "waiting client"]


@pytest.mark.parametrize("what", WHAT)
def test_c94_a_stop_waits_for_workers_only(servers: Any, server: Server, new_hub: Any, connect: Connect, what: str):
    """Nothing that needs no answer of a worker holds a stop up: not a stream, a wait, a connection, or a back-off."""
    stopping = servers(Server.serve(server.database_url or "", "127.0.0.1:0", "--drain", "12"))
    hub = new_hub(stopping)
    id = hub.start()
    if what == "idle stream":
        connect(hub, workItemFilters=pb.WorkItemFilters()).nothing(0.2)
    elif what == "given back":
        worker = connect(hub)
        for _ in range(4):
            worker.abandon(worker.turn())
        worker.close()
    elif "batch" in what:
        worker = connect(hub, workItemFilters=pb.WorkItemFilters(entities=[pb.EntityFilter(name="e")]))
        for number in range(3):
            hub.signal(f"@e@{number}")
        # What comes of a strange one is nobody's fault but the operation's, which has failed then.
        for _ in range(3 if what == "strange batch" else 6):
            item = worker.batch()
            if what == "batch given back":
                worker.abandon(item)
            elif what == "failed batch":
                worker.end_batch(item, [], None, failureDetails=failure())
            else:
                # An action without content, and results for operations that there were not.
                worker.end_batch(item, [pb.OperationResult()] * 3, "1", actions=[pb.OperationAction()])
        worker.close()
    elif what == "waiting client":
        hub.calls.begin("WaitForInstanceCompletion", pb.GetInstanceRequest(instanceId=id), 100)
        hub.status(id)
    begun = time.monotonic()
    stopping.terminate()
    assert stopping.wait() == 0
    assert time.monotonic() - begun < 7
    Hub(server.address, hub.name).close(delete=True)
