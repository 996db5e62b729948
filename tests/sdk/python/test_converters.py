"""How values become text and values again."""

import enum
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from durabletask import task
from durabletask.entities import EntityInstanceId
from durabletask.serialization import DataConverter, JsonDataConverter

from support.app import App, new_id


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Item:
    name: str
    size: Size = Size.SMALL


@dataclass
class Order:
    items: list[Item]
    by_name: dict[str, Item] = field(default_factory=dict)
    note: str | None = None


class Money:
    """A class that says itself how it is written."""

    def __init__(self, amount: Decimal, currency: str):
        self.amount, self.currency = amount, currency

    def to_json(self) -> Any:
        return {"amount": str(self.amount), "currency": self.currency}

    @classmethod
    def from_json(cls, value: Any) -> "Money":
        return cls(Decimal(value["amount"]), value["currency"])


ORDER = Order([Item("nuts"), Item("bolts", Size.LARGE)], {"nuts": Item("nuts")})


def price(_: task.ActivityContext, order: Order) -> Money:
    assert isinstance(order, Order) and isinstance(order.items[0], Item)
    return Money(Decimal("12.30") * len(order.items), "EUR")


def priced(ctx: task.OrchestrationContext, order: Order):
    assert isinstance(order, Order)
    by_annotation = yield ctx.call_activity(price, input=order)
    by_hint = yield ctx.call_activity("price", input=order, return_type=Money)
    raw = yield ctx.call_activity("price", input=order)
    passed = yield ctx.call_sub_orchestrator(identity, input=order, return_type=Order)
    assert isinstance(by_annotation, Money) and isinstance(by_hint, Money)
    assert passed == order and passed.items[1].size is Size.LARGE
    ctx.set_custom_status(by_hint)
    return [by_annotation.amount == by_hint.amount, raw]


def identity(_: task.OrchestrationContext, input: Any):
    return input


def test_types_are_found_by_annotation_and_by_hint(app: App):
    app.worker([priced, identity], [price])
    state = app.run(priced, ORDER)
    state.raise_if_failed()
    assert state.get_output() == [True, {"amount": "24.60", "currency": "EUR"}]
    assert state.get_input(Order) == ORDER and state.get_input() != ORDER
    status = state.get_custom_status(Money)
    assert isinstance(status, Money) and status.amount == Decimal("24.60")


def test_namespaces_become_plain(app: App):
    app.worker([identity])
    state = app.run(identity, SimpleNamespace(a=1, b=SimpleNamespace(c=[2])))
    assert state.get_output() == {"a": 1, "b": {"c": [2]}}


class TimeConverter(DataConverter):
    """A converter with a format of its own: marked text, and instants written as such."""

    def serialize(self, value: Any) -> str | None:
        if value is None:
            return None

        def encode(other: Any) -> Any:
            assert isinstance(other, datetime)
            return {"$time": other.isoformat()}

        return "own:" + json.dumps(value, default=encode, sort_keys=True)

    def deserialize(self, data: str | None, target_type: type | None = None) -> Any:
        if not data:
            return None
        assert data.startswith("own:"), data

        def decode(found: dict[str, Any]) -> Any:
            return datetime.fromisoformat(found["$time"]) if set(found) == {"$time"} else found

        return self.coerce(json.loads(data[4:], object_hook=decode), target_type)

    def coerce(self, value: Any, target_type: type | None = None) -> Any:
        return value

    def can_reconstruct(self, target_type: Any) -> bool:
        return target_type is datetime


def test_a_converter_of_ones_own_is_used_everywhere(app: App):
    now = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)

    def later(_: task.ActivityContext, time: datetime) -> datetime:
        assert isinstance(time, datetime)
        return time.replace(year=2030)

    def remembers(ctx: Any, input: Any) -> Any:
        ctx.set_state(input)
        return ctx.get_state()

    def times(ctx: task.OrchestrationContext, time: datetime):
        ctx.set_custom_status({"now": time})
        moved = yield ctx.call_activity(later, input=time)
        event = yield ctx.wait_for_external_event("time")
        kept = yield ctx.call_entity(EntityInstanceId("remembers", ctx.instance_id), "keep", [moved])
        ctx.signal_entity(EntityInstanceId("remembers", ctx.instance_id), "keep", moved)
        child = yield ctx.call_sub_orchestrator(identity, input=kept)
        return {"moved": moved, "event": event, "child": child}

    converter = TimeConverter()
    app.worker([times, identity], [later], [remembers], data_converter=converter)
    client = app.new_client(data_converter=converter)
    id = client.schedule_new_orchestration(times, input=now)
    client.raise_orchestration_event(id, "time", data=now)
    state = client.wait_for_orchestration_completion(id, timeout=45)
    assert state is not None
    state.raise_if_failed()
    moved = now.replace(year=2030)
    assert state.get_output() == {"moved": moved, "event": now, "child": [moved]}
    assert state.get_custom_status() == {"now": now}
    assert state.serialized_input is not None and state.serialized_input.startswith("own:")
    metadata = client.get_entity(EntityInstanceId("remembers", id))
    assert metadata is not None and metadata.get_typed_state() in ([moved], moved)


def test_the_default_converter_by_itself():
    converter = JsonDataConverter()
    assert (
        converter.serialize(None) is None and converter.deserialize(None) is None and converter.deserialize("") is None
    )
    assert converter.deserialize(converter.serialize(ORDER), Order) == ORDER
    assert converter.coerce({"name": "x", "size": "l"}, Item) == Item("x", Size.LARGE)
    assert converter.coerce("neither small nor large", Size) == "neither small nor large"
    assert converter.can_reconstruct(Order) and converter.can_reconstruct(list[Money])
    assert not converter.can_reconstruct(int)


def test_instances_with_ids_of_any_kind_keep_their_values_apart(app: App):
    app.worker([identity])
    ids = [new_id(prefix) for prefix in ("a", "a-", "A", "ä", "a%", "a_", "a'", 'a"', "a b", "a/b", "a\\b", "🦀")]
    for id in ids:
        app.start(identity, id, instance_id=id)
    assert [app.wait(id).get_output() for id in ids] == ids
