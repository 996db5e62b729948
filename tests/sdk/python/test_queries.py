"""Instances found by what they are."""

from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationQuery, OrchestrationStatus
from durabletask.entities import EntityContext, EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.errors import refused
from harness.waiting import eventually
from support.app import App, new_id

S = OrchestrationStatus


def ends(_: task.OrchestrationContext, how: str):
    if how == "fail":
        raise RuntimeError("as asked")
    return how


def waits(ctx: task.OrchestrationContext, _: Any):
    return (yield ctx.wait_for_external_event("go"))


@pytest.fixture
def zoo(app: App) -> dict[str, str]:
    """One instance of every status; later ones are younger."""
    app.worker([ends, waits])
    ids = {name: f"zoo-{name.lower()}" for name in ("COMPLETED", "FAILED", "TERMINATED", "SUSPENDED", "RUNNING")}
    app.start(ends, "well", instance_id=ids["COMPLETED"])
    app.start(ends, "fail", instance_id=ids["FAILED"])
    for name in ("TERMINATED", "SUSPENDED", "RUNNING"):
        app.start(waits, name, instance_id=ids[name])
    app.client.terminate_orchestration(ids["TERMINATED"], output="out")
    app.client.suspend_orchestration(ids["SUSPENDED"])
    ids["PENDING"] = app.start(
        "nobody", instance_id="other-pending", start_at=datetime.now(timezone.utc) + timedelta(1)
    )
    for name, id in ids.items():
        app.await_status(id, name)
    return ids


def found(app: App, **query: Any) -> set[str]:
    return {state.instance_id for state in app.client.get_all_orchestration_states(OrchestrationQuery(**query))}


def test_c70_all_and_by_status(app: App, zoo: dict[str, str]):
    every = {state.instance_id: state.runtime_status for state in app.client.get_all_orchestration_states()}
    assert every == {id: getattr(S, name) for name, id in zoo.items()}
    assert all(type(status.value) is int and str(status) for status in every.values())
    for name, id in zoo.items():
        assert found(app, runtime_status=[getattr(S, name)]) == {id}
    assert found(app, runtime_status=[S.COMPLETED, S.RUNNING]) == {zoo["COMPLETED"], zoo["RUNNING"]}
    assert found(app, runtime_status=[S.CONTINUED_AS_NEW]) == set()


def test_c70_by_prefix(app: App, zoo: dict[str, str]):
    assert found(app, instance_id_prefix="zoo-") == set(zoo.values()) - {zoo["PENDING"]}
    assert found(app, instance_id_prefix="zoo-f") == {zoo["FAILED"]}
    assert found(app, instance_id_prefix="zoo%") == found(app, instance_id_prefix="zoo_") == set()
    assert found(app, instance_id_prefix="zoo-", runtime_status=[S.PENDING]) == set()


def test_c70_by_time_of_creation(app: App, zoo: dict[str, str]):
    created = {state.instance_id: state.created_at for state in app.client.get_all_orchestration_states()}
    middle = created[zoo["TERMINATED"]]
    younger = {id for id, time in created.items() if time >= middle}
    older = {id for id, time in created.items() if time <= middle}
    assert found(app, created_time_from=middle) == younger
    assert found(app, created_time_to=middle) == older
    assert found(app, created_time_from=middle, created_time_to=middle) == younger & older
    assert found(app, created_time_from=datetime(2999, 1, 1)) == set()


def test_c70_payloads_only_if_asked_for(app: App, zoo: dict[str, str]):
    bare = app.client.get_all_orchestration_states()
    assert {state.serialized_input for state in bare} == {None}
    full = OrchestrationQuery(fetch_inputs_and_outputs=True)
    states = {state.instance_id: state for state in app.client.get_all_orchestration_states(full)}
    assert states[zoo["COMPLETED"]].get_output() == "well" and states[zoo["COMPLETED"]].get_input() == "well"
    assert states[zoo["TERMINATED"]].get_output() == "out"
    failure = states[zoo["FAILED"]].failure_details
    assert failure is not None and failure.message == "as asked"


def test_c70_pages_are_stable(app: App):
    ids = {app.start("nobody", instance_id=f"page-{number:02}") for number in range(23)}
    for size in (1, 4, 23, 24, 2**31 - 1):
        query = pb.InstanceQuery(maxInstanceCount=size)
        seen: list[str] = []
        pages = 0
        while True:
            answer = app.stub.QueryInstances(pb.QueryInstancesRequest(query=query))
            assert len(answer.orchestrationState) <= size
            seen += [state.instanceId for state in answer.orchestrationState]
            pages += 1
            if not answer.continuationToken.value:
                break
            # What begins meanwhile must not push anything off the pages that are still to come.
            if pages == 2 and size == 4:
                app.start("nobody", instance_id="page-new")
            query.continuationToken.CopyFrom(answer.continuationToken)
        assert len(seen) == len(set(seen)) and ids <= set(seen)
    assert found(app, max_instance_count=5) >= ids


def test_c70_a_token_that_is_none(app: App):
    query = pb.InstanceQuery(maxInstanceCount=1)
    query.continuationToken.value = "nonsense"
    refused(grpc.StatusCode.INVALID_ARGUMENT, app.stub.QueryInstances, pb.QueryInstancesRequest(query=query))


def test_c70_entities_are_no_instances(app: App):
    def counter(ctx: EntityContext, _: Any):
        ctx.set_state(1)

    app.worker([ends], entities=[counter])
    app.result(ends, "well")
    entity = EntityInstanceId("counter", "one")
    app.client.signal_entity(entity, "add")
    eventually("the entity is there", lambda: app.client.get_entity(entity))
    assert [state.name for state in app.client.get_all_orchestration_states()] == ["ends"]
    assert app.client.get_orchestration_state(str(entity)) is None


def test_c71_ids_in_the_order_in_which_they_ended(app: App, zoo: dict[str, str]):
    page = app.client.list_instance_ids()
    times = {id: app.raw_state(id).completedTimestamp.ToDatetime() for id in page.items}
    assert set(page.items) == {zoo["COMPLETED"], zoo["FAILED"], zoo["TERMINATED"]}
    assert page.items == sorted(page.items, key=lambda id: (times[id], id))
    assert not page.continuation_token
    assert app.client.list_instance_ids(runtime_status=[S.FAILED]).items == [zoo["FAILED"]]
    first, last = times[page.items[0]], times[page.items[-1]]
    assert app.client.list_instance_ids(completed_time_from=first).items == page.items
    late = app.client.list_instance_ids(completed_time_from=last)
    assert late.items == [id for id in page.items if times[id] >= last]
    assert app.client.list_instance_ids(completed_time_to=first - timedelta(seconds=1)).items == []
    assert (
        app.client.list_instance_ids(completed_time_from=first, completed_time_to=last + timedelta(1)).items
        == page.items
    )


def test_c71_pages_of_ids(app: App):
    app.worker([ends])
    ids = [app.start(ends, "well", instance_id=new_id(f"ended-{number}")) for number in range(11)]
    for id in ids:
        app.wait(id)
    for size in (1, 3, 11, 50):
        seen: list[str] = []
        token: str | None = ""  # The Java client asks for the first page with an empty key.
        while True:
            page = app.client.list_instance_ids(page_size=size, continuation_token=token)
            assert len(page.items) <= size
            seen += page.items
            token = page.continuation_token
            if not token:
                break
        assert sorted(seen) == sorted(ids) and len(seen) == 11
