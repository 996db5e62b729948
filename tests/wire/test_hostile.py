"""Hostile and malformed messages: whatever is sent, the server answers, goes on, and stays small.

EVERDURE_FUZZ_MESSAGES is how many messages the seeded parts send together; EVERDURE_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.server import Server
from kit.fuzz import TEXTS, Fuzz, block, field, nested, texts_of, varint
from kit.fortress import alive, hub, sender  # noqa: F401 - fixtures
from kit.hub import Hub, new_id, text
from kit.requests import raw_code, valid_requests
from kit.siege import EXPECTED, MEGABYTE, WAITS, Code, Sender

MESSAGES = int(os.environ.get("EVERDURE_FUZZ_MESSAGES", "3000"))
SEED = int(os.environ.get("EVERDURE_FUZZ_SEED", "20261126"))


def share(part: float) -> int:
    return max(1, int(MESSAGES * part / len(valid_requests())))


def test_noise(sender: Sender):
    fuzz = Fuzz(SEED)
    for name in valid_requests():
        for _ in range(share(0.2) if name not in WAITS else 3):
            sender.send(name, fuzz.noise())


def test_wounded_messages(sender: Sender):
    fuzz = Fuzz(SEED + 1)
    for name, request in valid_requests().items():
        if name in ("CreateTaskHub", "DeleteTaskHub"):
            continue
        for _ in range(share(0.4) if name not in WAITS else 5):
            sender.send(name, fuzz.mutated(request.SerializeToString()))
    # Some do no harm, most do not decode: both have to be there, or the wounds are of the wrong size.
    assert {code for _, code in sender.codes} >= {Code.OK, Code.INTERNAL}


def test_strange_contents(sender: Sender):
    fuzz = Fuzz(SEED + 2)
    for name, request in valid_requests().items():
        if name in ("CreateTaskHub", "DeleteTaskHub", "Hello"):
            continue
        for _ in range(share(0.4) if name not in WAITS else 5):
            sender.send(name, fuzz.strange(type(request)).SerializeToString())


def test_every_text_field_with_every_strange_text(sender: Sender):
    """U+0000, ids that are too long, other scripts, quotes: in each field in turn, the rest being valid."""
    rng = Fuzz(SEED + 3).random
    for name, request in valid_requests().items():
        for path in texts_of(request):
            for value in ["\0", *rng.sample(TEXTS, 2 if name not in WAITS else 0)]:
                changed = type(request)()
                changed.CopyFrom(request)
                part: Any = changed
                for step in path[:-1]:
                    part = getattr(part, step.name)
                setattr(part, path[-1].name, value.encode() if path[-1].type == path[-1].TYPE_BYTES else value)
                sender.send(name, changed.SerializeToString())


def test_texts_that_are_no_utf8(sender: Sender):
    for name in valid_requests():
        for number in range(1, 5):
            for broken in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"a\xf5"):
                sender.send(name, block(number, broken))


@pytest.mark.parametrize("size", [1, 99, 100, 101, 1000, 100_000])
def test_ids_of_all_sizes(hub: Hub, sender: Sender, size: int):
    for id in ("x" * size, "\u00fc" * size, "@" + "x" * (size - 1)):
        for name, request in valid_requests().items():
            if "instanceId" in request.DESCRIPTOR.fields_by_name and name not in WAITS:
                request.instanceId = id
                code = sender.send(name, request.SerializeToString())
                if name == "StartInstance" and not id.startswith("@"):
                    assert code == (Code.OK if size <= 100 else Code.INVALID_ARGUMENT)


def test_lengths_that_lie(sender: Sender):
    for name in valid_requests():
        for length in (2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1):
            sender.send(name, field(1, 2) + varint(length) + b"x")


def test_failures_ten_thousand_deep(hub: Hub, connect: Connect, sender: Sender):
    """`innerFailure` in itself, from an activity, an orchestration and an entity; and lists in lists as properties."""
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn())
    deep_failure = nested(10_000, (4,), block(1, b"E"))
    # Value.list_value = 6, ListValue.values = 1; in properties (6) of a failure, under the key "k".
    deep_value = block(6, block(1, b"k") + block(2, nested(5_000, (6, 1))))
    for details in (deep_failure, deep_value):
        sender.send("CompleteActivityTask", block(1, id.encode()) + field(2, 0) + varint(1) + block(4, details))
        ended = block(6, field(1, 0) + varint(3) + block(6, details))
        sender.send("CompleteOrchestratorTask", block(1, id.encode()) + block(2, ended))
        sender.send("CompleteEntityTask", block(1, block(2, block(1, details))))
    # Carried events that carry events: CompleteOrchestrationAction.carryoverEvents has history, which has states.
    sender.send("CompleteOrchestratorTask", block(1, id.encode()) + block(2, nested(3_000, (6, 5, 19, 1))))
    assert hub.get(id).exists


@pytest.mark.parametrize("megabytes", [1, 15, 17, 40, 63, 65, 100])
def test_giant_messages(sender: Sender, megabytes: int):
    """Up to the limit of a message they are looked at; above it they are refused unread."""
    giant = b"x" * (megabytes * MEGABYTE)
    for name, number in (("StartInstance", 1), ("StartInstance", 2), ("RaiseEvent", 2), ("SignalEntity", 1)):
        code = sender.send(name, block(number, giant), timeout=60)
        if megabytes >= 65:
            assert code == Code.RESOURCE_EXHAUSTED


def test_messages_of_tiny_elements(fort: Server, hub: Hub, sender: Sender):
    """Two bytes each on the wire, and hundreds in memory: more than anybody means is refused before it is decoded."""
    before = fort.memory()
    peak = 0
    for name, tag in (("CompleteOrchestratorTask", b"\x12\0"), ("CompleteEntityTask", b"\x0a\0")):
        code = sender.send(name, tag * (2 * MEGABYTE), timeout=60)
        assert code == Code.RESOURCE_EXHAUSTED
        # Carried over to the next execution: the same, a level deeper.
        carried = block(2, block(6, b"\x2a\0" * (2 * MEGABYTE)))
        if name == "CompleteOrchestratorTask":
            assert sender.send(name, carried, timeout=60) == Code.RESOURCE_EXHAUSTED
        peak = max(peak, fort.memory())
    assert (peak - before) // MEGABYTE < 150, f"{(peak - before) // MEGABYTE} MB"
    assert hub.get("anything").exists is False


def test_giant_payloads(hub: Hub, sender: Sender):
    id = hub.start("waits")
    for megabytes in (16.5, 30, 62):
        request = pb.RaiseEventRequest(instanceId=id, name="e", input=text("x" * int(megabytes * MEGABYTE)))
        assert sender.send("RaiseEvent", request.SerializeToString(), timeout=60) == Code.INVALID_ARGUMENT
    many = pb.CreateInstanceRequest(instanceId=new_id(), name="orch")
    for number in range(100_000):
        many.tags[f"tag-{number}"] = "x"
    assert sender.send("StartInstance", many.SerializeToString()) == Code.INVALID_ARGUMENT


def test_batches_up_to_their_limit(sender: Sender):
    for count in (0, 1, 500, 501, 100_000):
        ids = pb.InstanceBatch(instanceIds=[f"id-{number}" for number in range(count)])
        expected = Code.OK if count <= 500 else Code.INVALID_ARGUMENT
        purge = pb.PurgeInstancesRequest(instanceBatch=ids)
        skip = pb.SkipGracefulOrchestrationTerminationsRequest(instanceBatch=ids)
        assert sender.send("PurgeInstances", purge.SerializeToString()) == expected
        assert sender.send("SkipGracefulOrchestrationTerminations", skip.SerializeToString()) == expected


def test_times_of_no_calendar(hub: Hub, sender: Sender):
    for seconds in (2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801, -1, 0):
        for nanos in (0, 999_999_999, 1_000_000_000, -1, 2**31 - 1):
            time_of = block_time(seconds, nanos)
            sender.send("StartInstance", block(1, new_id().encode()) + block(2, b"o") + block(5, time_of))
            sender.send("QueryInstances", block(1, block(2, time_of) + block(3, time_of)))
            sender.send("ListInstanceIds", block(2, time_of) + block(3, time_of))
            sender.send("PurgeInstances", block(2, block(1, time_of) + block(2, time_of) + block(4, time_of)))
            sender.send("SignalEntity", block(1, b"@e@k") + block(2, b"op") + block(5, time_of))
            sender.send("QueryEntities", block(1, block(2, time_of) + block(3, time_of)))


def block_time(seconds: int, nanos: int) -> bytes:
    return field(1, 0) + varint(seconds) + field(2, 0) + varint(nanos)


def test_hubs_of_strange_names(fort: Server, sender: Sender):
    # Python sends visible ASCII only; the rest is for a connection of bytes.
    names = ["", " ", "x" * 100, "x" * 101, "x" * 8000, "a/b", "..", "'", '"', "%", "\\", "a;b", "DEFAULT"]
    request = valid_requests()["GetInstance"].SerializeToString()
    for name in names:
        code = raw_code(sender.channel, "GetInstance", request, timeout=30, metadata=[("taskhub", name)])
        assert code in EXPECTED, (name, code)
    several = [("taskhub", "one"), ("taskhub", "two")]
    assert raw_code(sender.channel, "GetInstance", b"", timeout=30, metadata=several) in EXPECTED
