"""Hostile workers and clients: streams that nobody reads, lists that are large, broken HTTP/2."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from google.protobuf import empty_pb2

from conftest import Connect
from harness.server import Server
from harness.waiting import eventually
from kit.fuzz import Fuzz
from kit.fortress import alive, hub  # noqa: F401 - fixtures
from kit.hub import ANY_SIZE, Hub
from kit.requests import raw_code
from kit.siege import MEGABYTE, Code
from kit.worker import Worker, call, complete

SEED = int(os.environ.get("EVERDURE_FUZZ_SEED", "20261126"))


def test_hundreds_of_streams_that_come_and_go(fort: Server, hub: Hub, connect: Connect):
    ids = [hub.start() for _ in range(5)]
    before = fort.open_files()
    calls = hub.connect()
    for round in range(10):
        streams = [calls.GetWorkItems(pb.GetWorkItemsRequest(maxConcurrentOrchestrationWorkItems=round)) for _ in range(40)]
        for stream in streams:
            stream.cancel()
    with grpc.insecure_channel(hub.address) as channel:
        dropped = [raw_code(channel, "GetWorkItems", b"", 0.05, metadata=hub.metadata) for _ in range(40)]
        assert set(dropped) <= {Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.OK}
    fort.await_workers(hub.name, 0)
    # Whatever they held for a moment is there for a worker that stays.
    worker = connect()
    for _ in ids:
        worker.end_turn(worker.turn(), complete(1))
    for id in ids:
        hub.wait(id)
    assert fort.open_files() < before + 100


def test_a_worker_that_never_reads(fort: Server, hub: Hub, connect: Connect):
    """It asks for two thousand million items and takes none: the server does not store up all that it could have."""
    large = "x" * 500_000
    before = fort.memory()
    calls = hub.connect(options=ANY_SIZE)
    greedy = 2**31 - 1
    stream = calls.GetWorkItems(pb.GetWorkItemsRequest(maxConcurrentOrchestrationWorkItems=greedy))
    ids = [hub.start(input=large) for _ in range(300)]
    eventually("items were handed out", lambda: fort.metric("everdure_items_in_flight", hub=hub.name) > 0)
    time.sleep(1)
    grown = (fort.memory() - before) // MEGABYTE
    stream.cancel()
    assert grown < 250, f"{grown} MB for a worker that never reads"
    worker = connect(options=ANY_SIZE)
    for _ in ids:
        worker.end_turn(worker.turn(), complete(1))


def test_lists_of_large_instances(fort: Server, hub: Hub):
    """What is asked for comes in pages of 4 MB: nobody has to hold all of it for that."""
    for _ in range(200):
        hub.start("nobody", "x" * 1_000_000)
    before = fort.memory()
    query = pb.InstanceQuery(maxInstanceCount=2**31 - 1)
    whole = pb.InstanceQuery(maxInstanceCount=2**31 - 1, fetchInputsAndOutputs=True)
    asked = [hub.calls.begin("QueryInstances", pb.QueryInstancesRequest(query=each)) for each in [query, whole] * 4]
    pages = [call.result() for call in asked]
    assert all(len(page.orchestrationState) == 200 for page in pages[::2])
    assert all(0 < len(page.orchestrationState) < 5 for page in pages[1::2])
    grown = (fort.memory() - before) // MEGABYTE
    assert grown < 300, f"{grown} MB for eight pages"


def test_clients_that_speak_something_else(fort: Server, hub: Hub):
    """Half a greeting, other protocols, lengths that lie, floods: on raw connections, many at a time."""
    host, port = fort.address.rsplit(":", 1)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def frame(kind: int, flags: int, stream: int, content: bytes, length: int | None = None) -> bytes:
        size = len(content) if length is None else length
        return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content

    settings = frame(4, 0, 0, b"")
    speeches = [
        b"", b"\0", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000, preface[:10],
        preface + settings + frame(0, 0, 0, b"", 2**24 - 1), preface + settings + frame(6, 0, 0, b"12345678") * 20_000,
        preface + settings * 20_000, preface + settings + frame(1, 4, 1, b"\xff" * 1000),
        preface + settings + frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\x82" * 16_000) * 500,
        preface + settings + b"".join(frame(1, 5, n, b"\x82\x86\x84") + frame(3, 0, n, b"\0\0\0\x08") for n in range(1, 9999, 2)),
        preface + settings + frame(8, 0, 0, struct.pack(">I", 2**31 - 1)) * 100, Fuzz(SEED).random.randbytes(100_000),
    ]  # fmt: skip
    silent: list[socket.socket] = []
    try:
        for speech in speeches * 5:
            connection = socket.create_connection((host, int(port)), timeout=10)
            silent.append(connection)
            try:
                connection.sendall(speech)
            except OSError:
                # Refused in the middle, as it may be.
                continue
        with grpc.insecure_channel(hub.address) as channel:
            TaskHubSidecarServiceStub(channel).Hello(empty_pb2.Empty(), timeout=30)
    finally:
        for connection in silent:
            connection.close()


def test_clients_that_are_slow(fort: Server, hub: Hub):
    """A history of 20 MB that its reader takes a chunk of and then nothing; six of them."""
    worker_calls = hub.connect(options=ANY_SIZE)
    worker = Worker(worker_calls)
    id = hub.start("big")
    item = worker.turn()
    large = "x" * 1_000_000
    worker.end_turn(item, *[call(number, "never", large) for number in range(1, 21)])
    worker.close()
    eventually("it is stored", lambda: len(hub.history(id)) > 20)
    before = fort.memory()
    streams = []
    for _ in range(6):
        calls = hub.connect()
        stream = calls.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=id), 60)
        next(stream)
        streams.append(stream)
    grown = (fort.memory() - before) // MEGABYTE
    for stream in streams:
        stream.cancel()
    assert grown < 400, f"{grown} MB for six readers of 20 MB"


def test_histories_that_nobody_reads(fort: Server, servers: Callable[[Server], Server], hub: Hub, connect: Connect):
    """Twenty-four readers that take a chunk and then nothing, of 12 MB in twelve turns: each holds little of it."""
    only_turns = pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name="orch")])
    worker = connect(options=ANY_SIZE, workItemFilters=only_turns)
    id = hub.start()
    for number in range(12):
        worker.end_turn(worker.turn(), call(number, "never", "x" * 1_000_000))
        hub.raise_event(id, "next")
    worker.close()
    # A new server: what the allocator of one that did much gives back meanwhile would hide what is added.
    fresh = servers(Server.serve(fort.database_url or ""))

    def read() -> Any:
        return hub.connect(fresh.address).StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=id), 60)

    count = sum(len(chunk.events) for chunk in read())
    before = fresh.memory()
    streams = [read() for _ in range(24)]
    begun = [len(next(stream).events) for stream in streams]
    time.sleep(1)
    grown = (fresh.memory() - before) // MEGABYTE
    # One that goes on reading gets the rest.
    rest = sum(len(chunk.events) for chunk in streams[0])
    for stream in streams:
        stream.cancel()
    assert begun[0] + rest == count > 24
    # All of it would be 288 MB at least.
    assert grown < 200, f"{grown} MB for twenty-four readers of 12 MB"
    fresh.assert_well()
