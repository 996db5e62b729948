"""Entities: state, calls, signals, failures."""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from durabletask import history, task
from durabletask.entities import DurableEntity, EntityContext, EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.errors import refused
from harness.waiting import eventually
from support.app import App, new_id
from support.counters import Account, counter
from support.histories import kinds, of_kind, only


def state_of(app: App, entity: EntityInstanceId) -> Any:
    """The state of an entity, or None when there is none."""
    metadata = app.client.get_entity(entity)
    return metadata.get_typed_state() if metadata else None


def await_state(app: App, entity: EntityInstanceId, state: Any) -> None:
    eventually(f"{entity} is {state!r}", lambda: state_of(app, entity) == state)


def call_all(ctx: task.OrchestrationContext, calls: list[list[Any]]):
    """Calls entity operations in turn: (entity, operation, input)."""
    results = []
    for entity, operation, input in calls:
        results.append((yield ctx.call_entity(EntityInstanceId.parse(entity), operation, input)))
    return results


def test_c78_a_signal_makes_the_entity(app: App):
    app.worker(entities=[counter])
    entity = EntityInstanceId("Counter", "Mixed Case/ünï")
    assert app.client.get_entity(entity) is None
    app.client.signal_entity(entity, "add", 5)
    await_state(app, entity, 5)
    metadata = app.client.get_entity(entity)
    assert metadata is not None
    assert (metadata.id.entity, metadata.id.key) == ("counter", "Mixed Case/ünï")
    assert metadata.includes_state and metadata.get_state() == "5" and metadata.get_state(int) == 5
    assert metadata.get_typed_state(int) == 5 and metadata.get_locked_by() is None
    assert metadata.backlog_queue_size == 0 and metadata.last_modified.year > 2000


def test_c78_signals_are_taken_in_order(app: App):
    def journal(ctx: EntityContext, input: Any):
        ctx.set_state([*ctx.get_state(list, []), input])

    entity = EntityInstanceId("journal", new_id())
    for number in range(60):
        app.client.signal_entity(entity, "write", number)
    app.worker(entities=[journal])
    await_state(app, entity, list(range(60)))


def test_c79_an_orchestration_calls(app: App):
    app.worker([call_all], entities=[counter])
    name = f"@counter@{new_id()}"
    id = app.start(call_all, [[name, "add", 5], [name, "add", -2], [name, "get", None]])
    assert app.wait(id).get_output() == [5, 3, 3]
    events = app.client.get_orchestration_history(id)
    called = of_kind(events, history.EntityOperationCalledEvent)
    assert [(event.event_id, event.operation, event.input) for event in called] == [
        (1, "add", "5"), (2, "add", "-2"), (3, "get", None),
    ]  # fmt: skip
    # The names of the caller are in the message only, not in the history.
    assert {event.target_instance_id for event in called} == {name}
    assert {(event.parent_instance_id, event.parent_execution_id) for event in called} == {(None, None)}
    completed = of_kind(events, history.EntityOperationCompletedEvent)
    assert [(event.request_id, event.output) for event in completed] == [
        (called[0].request_id, "5"), (called[1].request_id, "3"), (called[2].request_id, "3"),
    ]  # fmt: skip
    assert {event.event_id for event in completed} == {-1}


def test_c79_a_failed_operation_leaves_the_state(app: App):
    def tries(ctx: task.OrchestrationContext, key: str):
        account = EntityInstanceId("account", key)
        yield ctx.call_entity(account, "deposit", 10)
        try:
            yield ctx.call_entity(account, "withdraw", 50)
        except task.TaskFailedError as error:
            inner = error.details.inner_failure
            failure = [error.details.error_type, inner.error_type if inner else None, inner.message if inner else None]
        return [failure, (yield ctx.call_entity(account, "balance"))]

    app.worker([tries], entities=[Account])
    id = app.start(tries, new_id())
    failure, balance = app.wait(id).get_output()
    assert balance == 10
    assert failure[0].endswith("EntityOperationFailedException")
    assert failure[1:] == ["builtins.ValueError", "50 is more than 10"]
    failed = only(app.client.get_orchestration_history(id), history.EntityOperationFailedEvent)
    assert failed.failure_details is not None and failed.failure_details.is_caused_by(ValueError)
    assert failed.failure_details.stack_trace


def test_failed_signals_are_no_obstacle(app: App):
    app.worker(entities=[counter])
    entity = EntityInstanceId("counter", new_id())
    for operation, input in (("add", 1), ("fail", 99), ("nonsense", None), ("add", 1)):
        app.client.signal_entity(entity, operation, input)
    await_state(app, entity, 2)


def test_an_entity_that_nobody_has_registered_fails_its_callers(app: App):
    app.worker([call_all])
    state = app.run(call_all, [["@stranger@one", "get", None]])
    assert state.failure_details is not None and state.failure_details.inner_failure is not None
    assert "EntityNotRegisteredError" in str(state.failure_details)


def test_orchestrations_signal_and_do_not_wait(app: App):
    def signals(ctx: task.OrchestrationContext, key: str):
        entity = EntityInstanceId("counter", key)
        for number in range(1, 6):
            ctx.signal_entity(entity, "add", number)
        return (yield ctx.call_entity(entity, "get"))

    app.worker([signals], entities=[counter])
    id = app.start(signals, new_id())
    assert app.wait(id).get_output() == 15
    events = app.client.get_orchestration_history(id)
    signaled = of_kind(events, history.EntityOperationSignaledEvent)
    assert [(event.event_id, event.operation, event.input) for event in signaled] == [
        (number, "add", str(number)) for number in range(1, 6)
    ]
    assert len({event.request_id for event in signaled}) == 5


def test_signals_of_the_last_turn_are_sent(app: App):
    def leaves(ctx: task.OrchestrationContext, key: str):
        ctx.signal_entity(EntityInstanceId("counter", key), "add", 8)
        return "left"
        yield

    app.worker([leaves], entities=[counter])
    key = new_id()
    assert app.result(leaves, key) == "left"
    await_state(app, EntityInstanceId("counter", key), 8)


@dataclass
class Order:
    item: str
    count: int = 1


class Basket(DurableEntity):
    """An entity that keeps typed things."""

    def put(self, order: Order) -> str:
        assert isinstance(order, Order)
        self.set_state([*self.get_state(list, []), order])
        return f"{order.count} {order.item}"

    def inspect(self) -> list[str]:
        context = self.entity_context
        return [str(context.entity_id), context.operation, context.orchestration_id]

    def last(self) -> Any:
        return self.get_state(list, [])[-1]


def test_types_of_operations(app: App):
    def shops(ctx: task.OrchestrationContext, name: str):
        basket = EntityInstanceId.parse(name)
        put = yield ctx.call_entity(basket, "put", Order("nuts", 3), return_type=str)
        last = yield ctx.call_entity(basket, "last", return_type=Order)
        return [put, type(last).__name__, last.item, (yield ctx.call_entity(basket, "inspect"))]

    app.worker([shops], entities=[Basket])
    name = f"@basket@{new_id()}"
    assert app.result(shops, name) == ["3 nuts", "Order", "nuts", [name, "inspect", name]]
    metadata = app.client.get_entity(EntityInstanceId.parse(name))
    assert metadata is not None and metadata.get_typed_state(list[Order]) == [Order("nuts", 3)]


def test_c85_what_is_deleted_is_gone(app: App):
    app.worker([call_all], entities=[counter, Account])
    by_function, by_class = (EntityInstanceId(name, new_id()) for name in ("counter", "account"))
    calls = [[str(by_function), "add", 1], [str(by_class), "deposit", 1]]
    app.result(call_all, calls)
    assert state_of(app, by_function) == state_of(app, by_class) == 1
    app.result(call_all, [[str(by_function), "delete", None], [str(by_class), "delete", None]])
    assert app.client.get_entity(by_function) is None and app.client.get_entity(by_class) is None
    assert app.client.get_all_entities() == []
    assert app.result(call_all, calls) == [1, 1]
    cleaned = app.client.clean_entity_storage()
    assert (cleaned.empty_entities_removed, cleaned.orphaned_locks_released) == (0, 0)


def test_c80_an_entity_without_state_does_not_exist(app: App):
    app.worker([call_all], entities=[counter])
    entity = EntityInstanceId("counter", new_id())
    assert app.result(call_all, [[str(entity), "get", None]]) == [0]
    assert app.client.get_entity(entity) is None
    assert app.client.get_entity(entity, include_state=False) is None


def test_c80_the_state_only_if_asked_for(app: App):
    app.worker([call_all], entities=[counter])
    entity = EntityInstanceId("counter", new_id())
    app.result(call_all, [[str(entity), "add", 3]])
    metadata = app.client.get_entity(entity, include_state=False)
    assert metadata is not None and not metadata.includes_state and metadata.get_state() is None
    raw = app.stub.GetEntity(pb.GetEntityRequest(instanceId=str(entity), includeState=False))
    assert raw.exists and not raw.entity.HasField("serializedState") and not raw.entity.HasField("lockedBy")


def test_an_entity_is_purged(app: App):
    app.worker([call_all], entities=[counter])
    entity = EntityInstanceId("counter", new_id())
    app.result(call_all, [[str(entity), "add", 3]])
    answer = app.stub.PurgeInstances(pb.PurgeInstancesRequest(instanceId=str(entity)))
    assert answer.deletedInstanceCount == 1
    assert app.client.get_entity(entity) is None


def test_c89_a_key_that_is_too_long(app: App):
    entity = EntityInstanceId("counter", "k" * 100)
    assert "length" in refused(grpc.StatusCode.INVALID_ARGUMENT, app.client.signal_entity, entity, "add", 1)


def test_names_of_entities():
    id = EntityInstanceId("Counter", "Key")
    assert str(id) == "@counter@Key" and id == EntityInstanceId.parse("@COUNTER@Key") != EntityInstanceId(
        "counter", "key"
    )
    assert EntityInstanceId("a", "z") < EntityInstanceId("b", "a")
    for name, key in (("", "k"), ("n", ""), ("n@", "k"), ("n", "k@")):
        with pytest.raises(ValueError):
            EntityInstanceId(name, key)
    for text in ("counter", "@counter"):
        with pytest.raises(ValueError):
            EntityInstanceId.parse(text)


def test_calls_of_many_orchestrations_are_all_answered(app: App):
    app.worker([call_all], entities=[counter])
    names = [f"@counter@{new_id()}" for _ in range(5)]
    ids = [app.start(call_all, [[name, "add", number] for name in names]) for number in range(1, 9)]
    for id in ids:
        app.wait(id).raise_if_failed()
        assert kinds(app.client.get_orchestration_history(id)).count("EntityOperationCompleted") == 5
    assert [state_of(app, EntityInstanceId.parse(name)) for name in names] == [36] * 5
