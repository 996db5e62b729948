"""Messages that no SDK sends: broken bytes, and valid messages with strange contents. All from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

NUMBERS = [0, 1, -1, 2, 100, 101, 2**31 - 1, -(2**31), 2**15, 77]
LONG_NUMBERS = [*NUMBERS, 2**63 - 1, -(2**63), 253_402_300_799, 253_402_300_800, -62_135_596_800, -62_135_596_801, 2**40]
REALS = [0.0, -0.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 5e-324]
TEXTS = [
    "", "\0", "a\0b", "@", "@@", "@a@", "@a@b", "x" * 100, "x" * 101, "ü" * 100, "\U0001f980" * 101, "\u202e\u0000\ufeff",
    "'; drop schema everdure cascade; --", "%_\\", "null", '"', "{", "\ud7ff\ue000", "1.1.1", "-1.-1.-1", "9" * 30 + ".1.1",
    "ffffffff" * 4, "\r\n\x01\x7f", " ", "../..", "2024-13-99",
]  # fmt: skip


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def field(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def block(number: int, content: bytes) -> bytes:
    """A field of bytes, a text or a message."""
    return field(number, 2) + varint(len(content)) + content


def nested(levels: int, path: tuple[int, ...], core: bytes = b"") -> bytes:
    """A message within a message, many levels deep."""
    content = core
    for _ in range(levels):
        for number in reversed(path):
            content = block(number, content)
        if len(content) > 60 << 20:
            break
    return content


class Fuzz:
    """Strange messages from one seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def noise(self) -> bytes:
        return self.random.randbytes(self.random.choice([0, 1, 2, 7, 40, 300, 4000]))

    def mutated(self, message: bytes) -> bytes:
        """A valid message with a wound: cut off, bits turned, a piece doubled or lost, a length that lies."""
        data = bytearray(message or b"\0")
        kind = self.random.randrange(6)
        at = self.random.randrange(len(data))
        if kind == 0:
            return bytes(data[:at])
        if kind == 1:
            for _ in range(self.random.randint(1, 8)):
                data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        elif kind == 2:
            end = self.random.randrange(at, len(data)) + 1
            data[at:at] = data[at:end] * self.random.choice([1, 2, 50])
        elif kind == 3:
            del data[at : at + self.random.randint(1, 9)]
        elif kind == 4:
            data += field(self.random.randint(1, 31), self.random.randrange(8)) + varint(self.random.choice(LONG_NUMBERS))
        else:
            data[at:at] = varint(2 ** self.random.randrange(64))
        return bytes(data)

    def strange(self, kind: type[Message], levels: int = 5) -> Message:
        """A message of this kind that can be decoded, with contents that no SDK sends."""
        message = kind()
        self._fill(message, levels)
        return message

    def _fill(self, message: Message, levels: int) -> None:
        for described in message.DESCRIPTOR.fields:
            if self.random.random() < 0.35:
                continue
            if described.message_type and levels <= 0:
                continue
            self._set(message, described, levels)

    def _set(self, message: Message, described: FieldDescriptor, levels: int) -> None:
        value: Any = getattr(message, described.name)
        if described.message_type and described.message_type.GetOptions().map_entry:
            key = self._scalar(described.message_type.fields_by_name["key"])
            inner = described.message_type.fields_by_name["value"]
            if inner.message_type:
                self._fill(value[key], levels - 1)
            else:
                value[key] = self._scalar(inner)
        elif described.is_repeated:
            for _ in range(self.random.choice([0, 1, 1, 2, 3])):
                if described.message_type:
                    self._fill(value.add(), levels - 1)
                else:
                    value.append(self._scalar(described))
        elif described.message_type:
            value.SetInParent()
            self._fill(value, levels - 1)
        else:
            setattr(message, described.name, self._scalar(described))

    def _scalar(self, described: FieldDescriptor) -> Any:
        kind = described.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            text = self.random.choice(TEXTS)
            return text.encode() if described.type == FieldDescriptor.TYPE_BYTES else text
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self.random.choice(REALS)
        if kind == FieldDescriptor.CPPTYPE_INT64:
            return self.random.choice(LONG_NUMBERS)
        # Numbers of enums, too: proto3 lets any pass.
        return self.random.choice(NUMBERS)


def texts_of(message: Message, path: tuple[FieldDescriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """The paths to all text fields of a kind of message, each kind of message at most once in a path."""
    for described in message.DESCRIPTOR.fields:
        if described.is_repeated:
            continue
        if described.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            yield (*path, described)
        elif described.message_type and all(described.message_type != step.message_type for step in path):
            yield from texts_of(described.message_type._concrete_class(), (*path, described))
