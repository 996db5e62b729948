"""Entities listed, in pages, and cleaned up."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from durabletask import task
from durabletask.client import EntityQuery
from durabletask.entities import EntityContext, EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.waiting import eventually
from support.app import App
from support.counters import counter


def gauge(ctx: EntityContext, input: Any) -> None:
    ctx.set_state(input)


def write_all(ctx: task.OrchestrationContext, entities: list[str]):
    for position, name in enumerate(entities):
        yield ctx.call_entity(EntityInstanceId.parse(name), "set", position)


@pytest.fixture
def shelf(app: App) -> list[str]:
    """Twelve entities of two names, written one after the other."""
    app.worker([write_all], entities=[counter, gauge])
    names = [f"@{name}@{key}" for name in ("counter", "gauge") for key in ("a1", "a2", "A3", "b1", "b_2", "b%3")]
    app.result(write_all, names)
    return names


def found(app: App, **query: Any) -> list[str]:
    return sorted(str(entity.id) for entity in app.client.get_all_entities(EntityQuery(**query)))


def test_c86_all_of_them(app: App, shelf: list[str]):
    entities = app.client.get_all_entities()
    assert sorted(str(entity.id) for entity in entities) == sorted(shelf)
    assert sorted(entity.get_typed_state(int) for entity in entities) == list(range(12))
    bare = app.client.get_all_entities(EntityQuery(include_state=False))
    assert len(bare) == 12 and {entity.get_state() for entity in bare} == {None}


def test_c86_by_prefix(app: App, shelf: list[str]):
    counters = sorted(name for name in shelf if name.startswith("@counter"))
    assert found(app, instance_id_starts_with="@counter") == counters
    assert found(app, instance_id_starts_with="@COUNTER@") == counters
    assert found(app, instance_id_starts_with="@counter@a") == ["@counter@a1", "@counter@a2"]
    assert found(app, instance_id_starts_with="@Counter@A") == ["@counter@A3"]
    assert found(app, instance_id_starts_with="@gauge@b_") == ["@gauge@b_2"]
    assert found(app, instance_id_starts_with="@gauge@b%") == ["@gauge@b%3"]
    assert found(app, instance_id_starts_with="@nothing") == []


def test_c86_by_time(app: App, shelf: list[str]):
    times = {str(entity.id): entity.last_modified for entity in app.client.get_all_entities()}
    middle = times[shelf[6]]
    assert found(app, last_modified_from=middle) == sorted(name for name, time in times.items() if time >= middle)
    assert found(app, last_modified_to=middle) == sorted(name for name, time in times.items() if time <= middle)
    assert found(app, last_modified_from=datetime.now(timezone.utc) + timedelta(days=1)) == []


def test_c86_in_pages(app: App, shelf: list[str]):
    assert found(app, page_size=5) == sorted(shelf)
    query = pb.EntityQuery()
    query.pageSize.value = 5
    sizes = []
    while True:
        answer = app.stub.QueryEntities(pb.QueryEntitiesRequest(query=query))
        sizes.append(len(answer.entities))
        if not answer.continuationToken.value:
            break
        query.continuationToken.CopyFrom(answer.continuationToken)
    assert sum(sizes) == 12 and max(sizes) <= 5


def test_c86_transient_ones_only_if_asked_for(app: App, shelf: list[str]):
    later = datetime.now(timezone.utc) + timedelta(days=1)
    entity = EntityInstanceId("counter", "not yet")
    app.client.signal_entity(entity, "set", 1, signal_time=later)
    assert found(app) == sorted(shelf)
    assert found(app, include_transient=True) == sorted([*shelf, str(entity)])
    assert app.client.get_entity(entity) is None


def test_c85_nothing_is_left_to_clean(app: App, shelf: list[str]):
    for name in shelf[:6]:
        app.client.signal_entity(EntityInstanceId.parse(name), "delete")
    eventually("six are left", lambda: found(app) == sorted(shelf[6:]))
    for options in ({}, {"remove_empty_entities": False}, {"release_orphaned_locks": False}):
        cleaned = app.client.clean_entity_storage(**options)
        assert (cleaned.empty_entities_removed, cleaned.orphaned_locks_released) == (0, 0)
    assert found(app) == sorted(shelf[6:])


def test_c40_entities_are_filtered(app: App):
    def first(ctx: EntityContext, _: Any) -> None:
        ctx.set_state("first")

    def second(ctx: EntityContext, _: Any) -> None:
        ctx.set_state("second")

    app.worker(entities=[first], before_start=lambda worker: worker.use_work_item_filters())
    for name in ("second", "first"):
        app.client.signal_entity(EntityInstanceId(name, "x"), "go")
    eventually("the first was served", lambda: found(app) == ["@first@x"])
    app.worker(entities=[second], before_start=lambda worker: worker.use_work_item_filters())
    eventually("the second was served by the worker that knows it", lambda: found(app) == ["@first@x", "@second@x"])
