"""The connection: hubs, the sign of life, fields that nobody knows, plaintext, sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from google.protobuf import empty_pb2

from conftest import Connect
from harness.database import everdure, transactions
from harness.errors import refused
from harness.server import Server
from harness.waiting import eventually
from kit.hub import ANY_SIZE, SERVICE, Hub, new_id, text
from kit.requests import raw_code, valid_requests
from kit.worker import call, complete

Code = grpc.StatusCode


def test_c1_without_a_header_it_is_the_default_hub(new_hub: Callable[..., Hub]):
    unnamed, default, other = new_hub(name=""), new_hub(name="default"), new_hub()
    id = unnamed.start("nobody")
    assert unnamed.get(id).exists and default.get(id).exists
    assert not other.get(id).exists
    unnamed.terminate(id)


def test_c1_hubs_that_are_not_served_are_not_found(server: Server, servers: Callable[..., Server], new_hub: Any):
    assert server.database_url
    fixed = servers(Server.serve(server.database_url, "127.0.0.1:0", "--hubs", "fixed-a,fixed-b"))
    allowed, unknown = new_hub(fixed, "fixed-a"), new_hub(fixed, "somewhere-else")
    id = allowed.start("nobody")
    assert allowed.get(id).exists
    for name, request in valid_requests().items():
        call = getattr(unknown.calls, name)
        if name == "Hello":
            call(request)
        elif name in ("GetWorkItems", "StreamInstanceHistory"):
            refused(Code.NOT_FOUND, lambda: list(call(request, 30)))
        else:
            assert "somewhere-else" in refused(Code.NOT_FOUND, call, request), name
    allowed.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())


def test_c2_hello_answers_at_once_and_asks_no_database(server: Server, hub: Hub):
    assert server.database_url
    hub.start("nobody")
    # Sessions count what they did when they have been idle for a second: what was before is to be counted before.
    time.sleep(2)
    before, since = transactions(server.database_url), time.monotonic()
    times = []
    for _ in range(1000):
        begun = time.monotonic()
        assert hub.calls.Hello(empty_pb2.Empty(), 30) == empty_pb2.Empty()
        times.append(time.monotonic() - begun)
    # Most are far below; a busy machine may hold up some.
    assert sorted(times)[len(times) // 2] < 0.1
    # That of 1,000 calls would show.
    time.sleep(2)
    during, elapsed = transactions(server.database_url), time.monotonic() - since
    # The hubs of other tests give signs of life meanwhile: as many as in the same time without calls.
    time.sleep(elapsed)
    at_rest = transactions(server.database_url) - during
    assert during - before - at_rest < 500


def test_c3_fields_that_nobody_knows_change_nothing(hub: Hub):
    """Each call gives the same code with and without fields of a later version: text, numbers, messages, groups."""
    unknown = b"\xfa\x3f\x05hello" + b"\xf8\x3f\x2a" + b"\xfd\x3f\x01\x02\x03\x04" + b"\xf9\x3f\x01\x02\x03\x04\x05\x06\x07\x08"
    unknown += b"\xf3\x3f\xf8\x3f\x01\xf4\x3f"
    with grpc.insecure_channel(hub.address) as channel:
        # One of them is in the messages of an SDK already; the stream works all the same.
        hub.start("known")
        asked = pb.GetWorkItemsRequest(worker_instance_id="worker-1").SerializeToString() + unknown
        items = channel.unary_stream(f"/{SERVICE}/GetWorkItems")(asked, metadata=hub.metadata, timeout=30)
        assert pb.WorkItem.FromString(next(items)).orchestratorRequest.newEvents[1].executionStarted.name == "known"
        items.cancel()
        for name, request in valid_requests().items():
            # What waits is given up soon.
            timeout = 1.0 if name == "GetWorkItems" or name.startswith("WaitFor") else 30.0
            codes = []
            for extra in (b"", unknown):
                if isinstance(request, pb.CreateInstanceRequest):
                    request.instanceId = new_id()
                sent = request.SerializeToString() + extra
                codes.append(raw_code(channel, name, sent, timeout=timeout, metadata=hub.metadata))
            assert codes[0] == codes[1], f"{name}: {codes}"


def test_c4_plaintext_works_and_tls_is_not_there_yet(hub: Hub):
    """Neither TLS nor bearer tokens are checked yet: a token that comes is ignored, and other machines need a flag."""
    with grpc.insecure_channel(hub.address) as channel:
        stub = TaskHubSidecarServiceStub(channel)
        bearer = [*hub.metadata, ("authorization", "Bearer nobody-checks-this")]
        request = pb.CreateInstanceRequest(instanceId="with-a-token", name="nobody")
        assert stub.StartInstance(request, metadata=bearer, timeout=30).instanceId == "with-a-token"
    with grpc.secure_channel(hub.address, grpc.ssl_channel_credentials()) as channel:
        refused(Code.UNAVAILABLE, TaskHubSidecarServiceStub(channel).Hello, empty_pb2.Empty(), timeout=30)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_c4_other_machines_need_a_flag(server: Server, address: str):
    assert server.database_url
    done = everdure("serve", "--listen", address, "--database-url", server.database_url)
    assert done.returncode != 0
    assert "--allow-remote" in done.stderr, done.stderr


def test_c4_the_flag_opens_the_port_to_others(server: Server, servers: Callable[..., Server], new_hub: Any):
    assert server.database_url
    open_to_all = servers(Server.serve(server.database_url, "0.0.0.0:0", "--allow-remote"))
    port = open_to_all.address.rsplit(":", 1)[1]
    open_to_all.address = f"127.0.0.1:{port}"
    hub = new_hub(open_to_all)
    id = hub.start("nobody")
    assert hub.get(id).exists
    assert any("authentication" in line for line in open_to_all.said), open_to_all.said
    hub.calls.DeleteTaskHub(pb.DeleteTaskHubRequest())


def test_c5_an_answer_of_sixty_megabytes_is_taken(hub: Hub, connect: Connect):
    worker = connect(options=ANY_SIZE, maxConcurrentActivityWorkItems=1)
    id = hub.start()
    large = "x" * 15_000_000
    worker.end_turn(worker.turn(), *[call(number, input=large) for number in range(1, 5)])
    done_with = 0
    while done_with < 4:
        item = worker.next()
        if item.HasField("activityRequest"):
            assert len(item.activityRequest.input.value) == len(large)
            worker.end_activity(item, "1")
            done_with += 1
        else:
            worker.end_turn(item)
    done = [event for event in hub_history(hub, id) if event.HasField("taskScheduled")]
    assert [len(event.taskScheduled.input.value) for event in done] == [15_000_000] * 4
    hub.terminate(id)


def hub_history(hub: Hub, id: str) -> list[pb.HistoryEvent]:
    calls = hub.connect(options=ANY_SIZE)
    chunks = calls.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=id), 60)
    return [event for chunk in chunks for event in chunk.events]


def test_c5_what_is_larger_than_the_limit_is_refused_as_such(hub: Hub):
    request = pb.CreateInstanceRequest(instanceId="large", name="orch", input=text("x" * (65 << 20)))
    calls = hub.connect(options=ANY_SIZE)
    refused(Code.RESOURCE_EXHAUSTED, calls.StartInstance, request)
    # Below the limit of messages, above that of payloads: the client is told which.
    request.input.value = "x" * (17 << 20)
    assert "input" in refused(Code.INVALID_ARGUMENT, calls.StartInstance, request)
    assert not hub.get("large").exists


def test_c5_what_is_sent_stays_below_four_megabytes(hub: Hub, connect: Connect):
    """A client with the usual limit reads lists and histories that are far larger, in pages and chunks."""
    worker = connect()
    large = '"' + "x" * 900_000 + '"'
    ids = {hub.start(input=large) for _ in range(8)}
    # All turns first: an answer brings activities, which may overtake them.
    for item in worker.turns(len(ids)):
        worker.end_turn(item, *[call(number, input=large) for number in range(1, 3)])
    for item in worker.activities(16):
        worker.end_activity(item, "1")
    eventually("turns came", lambda: worker.waiting >= 1)
    found: set[str] = set()
    token, pages = "", 0
    while True:
        query = pb.InstanceQuery(maxInstanceCount=1000, fetchInputsAndOutputs=True, continuationToken=text(token))
        page = hub.calls.QueryInstances(pb.QueryInstancesRequest(query=query))
        assert page.ByteSize() < 4 << 20
        found.update(state.instanceId for state in page.orchestrationState)
        pages, token = pages + 1, page.continuationToken.value
        if not token:
            break
    assert found == ids and pages > 1
    # All 16 results in one history of more than 4 MB: eight activities of one instance.
    id = hub.start("long")
    turn = next(item for item in iter(worker.turn, None) if item.orchestratorRequest.instanceId == id)
    worker.end_turn(turn, *[call(number, input=large) for number in range(1, 9)])
    eventually("the history is long", lambda: len(hub.history(id)) >= 10)
    chunks = list(hub.calls.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=id), 60))
    assert len(chunks) > 1 and all(chunk.ByteSize() < 4 << 20 for chunk in chunks)
    assert sum(len(chunk.events) for chunk in chunks) == 10


def test_c5_a_turn_and_a_batch_of_many_large_messages_are_cut(hub: Hub, connect: Connect):
    """Each message fits; all of them together would not: a worker with the usual limit gets them bit by bit."""
    large = "x" * 1_000_000
    id = hub.start()
    for number in range(8):
        hub.raise_event(id, str(number), large)
        hub.signal("@counter@1", str(number), large)
    worker = connect(maxConcurrentOrchestrationWorkItems=1, maxConcurrentEntityWorkItems=1)
    events: list[str] = []
    operations: list[str] = []
    while len(operations) < 8 or len(events) < 8:
        item = worker.next()
        if item.HasField("entityRequestV2"):
            batch = [event.entityOperationSignaled for event in item.entityRequestV2.operationRequests]
            operations += [event.operation for event in batch]
            results = [pb.OperationResult(success=pb.OperationResultSuccess())] * len(batch)
            worker.end_batch(item, results, "1")
        else:
            new = item.orchestratorRequest.newEvents
            events += [event.eventRaised.name for event in new if event.HasField("eventRaised")]
            # What is left comes with an execution that has not all of this behind it.
            status = pb.ORCHESTRATION_STATUS_COMPLETED if len(events) == 8 else pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
            worker.end_turn(item, complete(1, "1", status))
    assert events == operations == [str(number) for number in range(8)]
    hub.wait(id)
