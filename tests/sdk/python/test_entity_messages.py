"""Delayed signals, and entities that signal others and start orchestrations."""

from datetime import datetime, timedelta, timezone
from typing import Any

from durabletask import history, task
from durabletask.entities import DurableEntity, EntityContext, EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.waiting import Gate, eventually
from support.app import App, new_id
from support.counters import counter
from support.histories import only


def soon(seconds: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


def clock(ctx: EntityContext, input: Any) -> None:
    """Writes down when it was told what."""
    now = datetime.now(timezone.utc).isoformat()
    ctx.set_state([*ctx.get_state(list, []), [input, now]])


def told(app: App, entity: EntityInstanceId, count: int) -> list[tuple[str, datetime]]:
    def entries() -> list[Any] | None:
        metadata = app.client.get_entity(entity)
        state = metadata.get_typed_state() if metadata else None
        return state if state and len(state) >= count else None

    found = eventually(f"{entity} was told {count} things", entries)
    return [(what, datetime.fromisoformat(when)) for what, when in found]


def test_c81_a_delayed_signal_of_a_client(app: App):
    app.worker(entities=[clock])
    # Connecting is not part of the time that the first signal has.
    app.server.await_workers(app.hub, 1)
    entity = EntityInstanceId("clock", new_id())
    due = soon(3)
    app.client.signal_entity(entity, "tell", "later", signal_time=due)
    assert app.client.get_entity(entity) is None
    assert app.client.get_all_entities() == []
    app.client.signal_entity(entity, "tell", "now")
    app.client.signal_entity(entity, "tell", "past", signal_time=datetime(2001, 1, 1, tzinfo=timezone.utc))
    (first, second, third) = told(app, entity, 3)
    assert [first[0], second[0], third[0]] == ["now", "past", "later"]
    assert first[1] < due <= third[1]


def test_c81_a_delayed_signal_of_an_orchestration(app: App):
    def delays(ctx: task.OrchestrationContext, key: str):
        due = ctx.current_utc_datetime + timedelta(seconds=1.2)
        ctx.signal_entity(EntityInstanceId("clock", key), "tell", "later", signal_time=due)
        yield ctx.create_timer(timedelta(0))
        return due.isoformat()

    app.worker([delays], entities=[clock])
    key = new_id()
    id = app.start(delays, key)
    due = datetime.fromisoformat(app.wait(id).get_output()).replace(tzinfo=timezone.utc)
    signaled = only(app.client.get_orchestration_history(id), history.EntityOperationSignaledEvent)
    assert signaled.scheduled_time is not None and signaled.scheduled_time.replace(tzinfo=timezone.utc) == due
    ((what, when),) = told(app, EntityInstanceId("clock", key), 1)
    assert what == "later" and when >= due


class Relay(DurableEntity):
    """Hands on what it is told."""

    def hand_on(self, order: dict[str, Any]) -> str:
        target = EntityInstanceId.parse(order["to"])
        self.signal_entity(target, order["operation"], order["input"])
        return "handed on"

    def remind_me(self, seconds: float) -> None:
        self.set_state("reminder set")
        me = self.entity_context.entity_id
        self.signal_entity(me, "ring", signal_time=datetime.now(timezone.utc) + timedelta(seconds=seconds))

    def ring(self) -> None:
        self.set_state("it rang")

    def start(self, order: dict[str, Any]) -> str:
        return self.schedule_new_orchestration(order["name"], order["input"], instance_id=order.get("id"))

    def fail(self, target: str) -> None:
        self.signal_entity(EntityInstanceId.parse(target), "add", 1000)
        self.schedule_new_orchestration("report", "never", instance_id=target.split("@")[2])
        raise RuntimeError("nothing of this may happen")


def report(ctx: task.OrchestrationContext, input: Any):
    return [input, ctx.parent_instance_id]


def ask(ctx: task.OrchestrationContext, question: list[Any]):
    entity, operation, input = question
    return (yield ctx.call_entity(EntityInstanceId.parse(entity), operation, input))


def test_c82_an_entity_signals_another(app: App):
    app.worker([ask], entities=[Relay, counter])
    target = EntityInstanceId("counter", new_id())
    relay = f"@relay@{new_id()}"
    for _ in range(3):
        order = {"to": str(target), "operation": "add", "input": 4}
        assert app.result(ask, [relay, "hand_on", order]) == "handed on"

    def twelve() -> bool:
        metadata = app.client.get_entity(target)
        return metadata is not None and metadata.get_typed_state() == 12

    eventually("all three signals arrived", twelve)


def test_c82_a_function_signals_too(app: App):
    def doubler(ctx: EntityContext, target: str) -> None:
        assert ctx.entity_id.entity == "doubler"
        ctx.signal_entity(EntityInstanceId.parse(target), "add", 1)
        ctx.signal_entity(EntityInstanceId.parse(target), "add", 1, signal_time=soon(0.5))
        ctx.schedule_new_orchestration("ask", [target, "add", 40], instance_id=f"by-{target.split('@')[2]}")

    app.worker([ask], entities=[doubler, counter])
    target = EntityInstanceId("counter", new_id())
    app.client.signal_entity(EntityInstanceId("doubler", "x"), "go", str(target))

    def all_there() -> bool:
        metadata = app.client.get_entity(target)
        return metadata is not None and metadata.get_typed_state() == 42

    eventually("two signals and a call", all_there)


def test_an_entity_reminds_itself(app: App):
    app.worker(entities=[Relay])
    relay = EntityInstanceId("relay", new_id())
    app.client.signal_entity(relay, "remind_me", 0.8)

    def says(text: str) -> bool:
        metadata = app.client.get_entity(relay)
        return metadata is not None and metadata.get_typed_state() == text

    eventually("it has set a reminder", lambda: says("reminder set") or says("it rang"))
    eventually("it rang", lambda: says("it rang"))


def test_c82_an_entity_starts_an_orchestration(app: App):
    app.worker([ask, report], entities=[Relay])
    relay, id = f"@relay@{new_id()}", new_id("started")
    assert app.result(ask, [relay, "start", {"name": "report", "input": {"n": 1}, "id": id}]) == id
    eventually("the orchestration is there", lambda: app.client.get_orchestration_state(id))
    assert app.wait(id).get_output() == [{"n": 1}, None]
    made = app.result(ask, [relay, "start", {"name": "report", "input": None}])
    eventually("the orchestration with a made id is there", lambda: app.client.get_orchestration_state(made))
    assert app.wait(made).get_output() == [None, None]


def test_an_entity_that_starts_an_id_twice_goes_on(app: App):
    app.worker([ask, report], entities=[Relay])
    relay, id = f"@relay@{new_id()}", new_id("started")
    order = {"name": "report", "input": "first", "id": id}
    for _ in range(2):
        assert app.result(ask, [relay, "start", order]) == id
    assert app.wait(id).get_output() == ["first", None]


def test_a_failed_operation_sends_nothing(app: App):
    app.worker([ask, report], entities=[Relay, counter])
    relay, target = f"@relay@{new_id()}", EntityInstanceId("counter", new_id())
    assert app.run(ask, [relay, "fail", str(target)]).runtime_status.name == "FAILED"
    assert app.result(ask, [relay, "hand_on", {"to": str(target), "operation": "add", "input": 1}]) == "handed on"

    def one() -> bool:
        metadata = app.client.get_entity(target)
        return metadata is not None and metadata.get_typed_state() == 1

    eventually("the good signal arrived", one)
    assert app.client.get_orchestration_state(target.key) is None


def test_what_waits_is_counted_and_not_lost_without_a_worker(app: App):
    entity = EntityInstanceId("counter", new_id())
    for _ in range(5):
        app.client.signal_entity(entity, "add", 1)
    id = app.start(ask, [str(entity), "add", 1])
    app.worker([ask], entities=[counter])
    assert app.wait(id).get_output() == 6


def test_the_backlog_of_an_entity(app: App):
    gate = Gate()

    def slow(ctx: EntityContext, input: Any) -> None:
        ctx.set_state(input)
        if input == "hold":
            gate.enter()

    app.worker(entities=[slow])
    entity = EntityInstanceId("slow", new_id())
    app.client.signal_entity(entity, "x", "begin")
    eventually("it exists", lambda: app.client.get_entity(entity))
    app.client.signal_entity(entity, "x", "hold")
    gate.await_arrivals()
    for number in range(7):
        app.client.signal_entity(entity, "x", number)
    metadata = app.client.get_entity(entity)
    assert metadata is not None and metadata.get_typed_state() == "begin" and metadata.backlog_queue_size >= 7
    gate.open()

    def worked_off() -> bool:
        metadata = app.client.get_entity(entity)
        return metadata is not None and metadata.backlog_queue_size == 0 and metadata.get_typed_state() == 6

    eventually("the backlog is worked off", worked_off)


def test_a_signal_with_an_id_counts_once(app: App):
    entity = EntityInstanceId("counter", new_id())
    request = pb.SignalEntityRequest(
        instanceId=str(entity), name="add", requestId="00000000-0000-4000-8000-000000000001"
    )
    request.input.value = "1"
    # Sent twice, as a client does that got no answer; and once more with an id that the server makes.
    app.stub.SignalEntity(request)
    app.stub.SignalEntity(request)
    request.requestId = ""
    app.stub.SignalEntity(request)
    app.worker([ask], entities=[counter])
    assert app.result(ask, [str(entity), "get", None]) == 2
