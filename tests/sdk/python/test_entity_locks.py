"""Critical sections over entities."""

from datetime import timedelta

from durabletask import history, task
from durabletask.entities import EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.waiting import eventually
from support.app import App, new_id
from support.counters import Account, counter
from support.histories import kinds, of_kind, only


def entities(count: int) -> list[EntityInstanceId]:
    stem = new_id("lock")
    return [EntityInstanceId("account", f"{stem}-{number}") for number in range(count)]


def names(ids: list[EntityInstanceId]) -> list[str]:
    return [str(id) for id in ids]


def locked_by(app: App, entity: EntityInstanceId) -> str | None:
    answer = app.stub.GetEntity(pb.GetEntityRequest(instanceId=str(entity)))
    assert answer.exists
    return answer.entity.lockedBy.value if answer.entity.HasField("lockedBy") else None


def holder(ctx: task.OrchestrationContext, locks: list[str]):
    """Locks, says so, and waits for an event that tells it how to end."""
    ids = [EntityInstanceId.parse(name) for name in locks]
    with (yield ctx.lock_entities(ids)):
        yield ctx.call_entity(ids[0], "deposit", 1)
        ctx.set_custom_status("holding")
        how = yield ctx.wait_for_external_event("end")
        if how == "fail":
            raise RuntimeError("as asked")
        if how == "again":
            ctx.continue_as_new(locks)
            return None
    ctx.set_custom_status("released")
    if how == "stay":
        yield ctx.wait_for_external_event("end")
    return how


def deposit(ctx: task.OrchestrationContext, name: str):
    return (yield ctx.call_entity(EntityInstanceId.parse(name), "deposit", 100))


def open_accounts(app: App, ids: list[EntityInstanceId]) -> None:
    """Gives each a state, so that it exists."""
    for id in ids:
        app.result(deposit, str(id))


def start_holder(app: App, ids: list[EntityInstanceId]) -> str:
    id = app.start(holder, names(ids))
    app.await_custom_status(id, "holding")
    return id


def test_c83_locked_and_released(app: App):
    app.worker([holder, deposit], entities=[Account])
    ids = entities(3)
    open_accounts(app, ids)
    id = start_holder(app, [ids[2], ids[0], ids[1], ids[0]])
    assert [locked_by(app, entity) for entity in ids] == [id] * 3
    app.client.raise_orchestration_event(id, "end", data="stay")
    app.await_custom_status(id, "released")
    eventually("all are free", lambda: [locked_by(app, entity) for entity in ids] == [None] * 3)
    assert app.status(id) == "RUNNING"
    app.client.raise_orchestration_event(id, "end")
    app.wait(id)
    events = app.client.get_orchestration_history(id)
    requested = only(events, history.EntityLockRequestedEvent)
    assert requested.lock_set == sorted(names(ids)) and requested.position == 0
    granted = only(events, history.EntityLockGrantedEvent)
    assert granted.critical_section_id == requested.critical_section_id
    unlocked = of_kind(events, history.EntityUnlockSentEvent)
    assert {event.critical_section_id for event in unlocked} == {requested.critical_section_id}
    assert {event.target_instance_id for event in unlocked} == set(names(ids))


def test_c84_others_wait_and_the_owner_goes_on(app: App):
    app.worker([holder, deposit], entities=[Account])
    (account,) = entities(1)
    open_accounts(app, [account])
    id = start_holder(app, [account])
    foreign = app.start(deposit, str(account))
    app.client.signal_entity(account, "deposit", 1000)
    app.await_status(foreign, "RUNNING")

    def backlog() -> bool:
        metadata = app.client.get_entity(account)
        return metadata is not None and metadata.backlog_queue_size >= 2

    eventually("both wait at the lock", backlog)
    state = app.client.get_entity(account)
    assert state is not None and state.get_typed_state() == 101
    assert app.status(foreign) == "RUNNING"
    app.client.raise_orchestration_event(id, "end", data="done")
    assert app.wait(foreign).get_output() in (201, 1201)

    def settled() -> bool:
        metadata = app.client.get_entity(account)
        return metadata is not None and metadata.get_typed_state() == 1201

    eventually("the signal was taken too", settled)


def test_c83_released_when_the_owner_completes_in_it(app: App):
    def ends_inside(ctx: task.OrchestrationContext, name: str):
        yield ctx.lock_entities([EntityInstanceId.parse(name)])
        return "without leaving"

    app.worker([ends_inside, deposit], entities=[Account])
    (account,) = entities(1)
    assert app.result(ends_inside, str(account)) == "without leaving"
    assert app.result(deposit, str(account)) == 100


def test_c83_released_when_the_owner_fails(app: App):
    app.worker([holder, deposit], entities=[Account])
    ids = entities(2)
    open_accounts(app, ids)
    id = start_holder(app, ids)
    app.client.raise_orchestration_event(id, "end", data="fail")
    assert app.wait(id).runtime_status.name == "FAILED"
    assert app.result(deposit, str(ids[0])) == 201 and app.result(deposit, str(ids[1])) == 200


def test_c83_released_when_the_owner_is_terminated(app: App):
    app.worker([holder, deposit], entities=[Account])
    ids = entities(2)
    open_accounts(app, ids)
    id = start_holder(app, ids)
    app.client.terminate_orchestration(id)
    assert app.wait(id).runtime_status.name == "TERMINATED"
    assert app.result(deposit, str(ids[1])) == 200 and app.result(deposit, str(ids[0])) == 201
    assert locked_by(app, ids[0]) is None


def test_c83_released_when_a_waiting_one_is_terminated(app: App):
    """The second owner is still in the queue when it ends; the third must not wait for it."""
    app.worker([holder, deposit], entities=[Account])
    ids = entities(2)
    open_accounts(app, ids)
    first = start_holder(app, ids[:1])
    second = app.start(holder, names(ids))
    app.await_status(second, "RUNNING")
    third = app.start(holder, names(ids))
    app.await_status(third, "RUNNING")
    app.client.terminate_orchestration(second)
    app.wait(second)
    app.client.raise_orchestration_event(first, "end", data="done")
    app.wait(first)
    app.await_custom_status(third, "holding")
    assert [locked_by(app, entity) for entity in ids] == [third] * 2
    app.client.raise_orchestration_event(third, "end", data="done")
    assert app.wait(third).get_output() == "done"


def test_c83_released_when_the_owner_begins_anew(app: App):
    app.worker([holder, deposit], entities=[Account])
    ids = entities(1)
    open_accounts(app, ids)
    id = start_holder(app, ids)
    execution = app.raw_state(id).executionId.value
    app.client.raise_orchestration_event(id, "end", data="again")
    eventually("the second generation runs", lambda: app.raw_state(id).executionId.value != execution)

    def holds_again() -> bool:
        # Its custom status may still be the one of the first generation; its history is its own.
        return "EntityOperationCompleted" in kinds(app.client.get_orchestration_history(id))

    eventually("it holds the lock again", holds_again)
    assert locked_by(app, ids[0]) == id
    app.client.raise_orchestration_event(id, "end", data="done")
    assert app.wait(id).get_output() == "done"
    assert app.result(deposit, str(ids[0])) == 202


def test_c83_released_when_the_owner_is_purged_after_termination(app: App):
    app.worker([holder, deposit], entities=[Account])
    ids = entities(1)
    open_accounts(app, ids)
    id = start_holder(app, ids)
    app.client.terminate_orchestration(id)
    app.wait(id)
    assert app.client.purge_orchestration(id).deleted_instance_count == 1
    assert app.result(deposit, str(ids[0])) == 201
    cleaned = app.client.clean_entity_storage()
    assert cleaned.orphaned_locks_released == 0


def transfer(ctx: task.OrchestrationContext, order: list[str]):
    """Moves one from an account to another, in steps that others must not see."""
    source, target = (EntityInstanceId.parse(name) for name in order)
    with (yield ctx.lock_entities([source, target])):
        balance = yield ctx.call_entity(source, "balance")
        yield ctx.create_timer(timedelta(0))
        yield ctx.call_entity(source, "withdraw", 1)
        assert (yield ctx.call_entity(source, "balance")) == balance - 1, "somebody was in between"
        yield ctx.call_entity(target, "deposit", 1)
    return "moved"


def test_c83_opposite_orders_neither_block_nor_mix(app: App):
    app.worker([transfer, deposit], entities=[Account])
    ids = entities(3)
    open_accounts(app, ids)
    pairs = [[a, b] for a in names(ids) for b in names(ids) if a != b] * 4
    started = [app.start(transfer, pair) for pair in pairs]
    for id in started:
        state = app.wait(id, timeout=90)
        state.raise_if_failed()
        assert state.get_output() == "moved"
    balances = [app.client.get_entity(entity).get_typed_state() for entity in ids]  # type: ignore[union-attr]
    # As many moved to each account as from it.
    assert balances == [100, 100, 100]
    # The last unlock is on its way when its sender has ended.
    eventually("all are free", lambda: [locked_by(app, entity) for entity in ids] == [None] * 3)


def test_what_must_not_be_done_inside(app: App):
    def breaks_rules(ctx: task.OrchestrationContext, order: list[str]):
        inside, outside = (EntityInstanceId.parse(name) for name in order)
        complaints = []
        with (yield ctx.lock_entities([inside])):
            for forbidden in (
                lambda: ctx.call_entity(outside, "balance"),
                lambda: ctx.signal_entity(inside, "deposit", 1),
                lambda: ctx.lock_entities([outside]),
            ):
                try:
                    forbidden()
                except RuntimeError as error:
                    complaints.append(str(error))
            ctx.signal_entity(outside, "deposit", 5)
            yield ctx.call_entity(inside, "deposit", 2)
        return [len(complaints), (yield ctx.call_entity(outside, "balance"))]

    app.worker([breaks_rules], entities=[Account])
    assert app.result(breaks_rules, names(entities(2))) == [3, 5]


def test_locks_on_entities_that_do_not_exist_yet(app: App):
    def locks(ctx: task.OrchestrationContext, keys: list[str]):
        ids = [EntityInstanceId("counter", key) for key in keys]
        with (yield ctx.lock_entities(ids)):
            yield task.when_all([ctx.call_entity(id, "add", 1) for id in ids])
        return "done"

    app.worker([locks], entities=[counter])
    keys = [new_id() for _ in range(5)]
    assert app.result(locks, keys) == "done"
