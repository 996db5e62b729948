"""Purging in each form."""

from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.errors import refused
from support.app import App, new_id


def ends(_: task.OrchestrationContext, how: str):
    if how == "fail":
        raise RuntimeError("as asked")
    return how


def waits(ctx: task.OrchestrationContext, _: Any):
    return (yield ctx.wait_for_external_event("go"))


def family(ctx: task.OrchestrationContext, depth: int):
    if depth:
        yield task.when_all([ctx.call_sub_orchestrator(family, input=depth - 1) for _ in range(2)])
    return depth


def gone(app: App, id: str) -> bool:
    return app.client.get_orchestration_state(id) is None


def test_c72_one_by_id(app: App):
    app.worker([ends])
    id = app.start(ends, "well")
    app.wait(id)
    result = app.client.purge_orchestration(id)
    assert result.deleted_instance_count == 1 and result.is_complete is not False
    assert gone(app, id)
    refused(grpc.StatusCode.NOT_FOUND, app.client.get_orchestration_history, id)
    assert app.client.purge_orchestration(id).deleted_instance_count == 0


def test_c72_unknown_and_living_ones_stay(app: App):
    app.worker([waits])
    assert app.client.purge_orchestration(new_id()).deleted_instance_count == 0
    id = app.start(waits)
    app.await_status(id, "RUNNING")
    assert app.client.purge_orchestration(id).deleted_instance_count == 0
    app.client.raise_orchestration_event(id, "go", data="alive")
    assert app.wait(id).get_output() == "alive"
    assert app.client.purge_orchestration(id).deleted_instance_count == 1


def test_c72_with_the_whole_family(app: App):
    app.worker([family])
    id = app.start(family, 2)
    app.wait(id)
    members = [id, f"{id}:0001", f"{id}:0002", f"{id}:0001:0001", f"{id}:0002:0002"]
    assert not any(gone(app, member) for member in members)
    assert app.client.purge_orchestration(id, recursive=True).deleted_instance_count == 7
    assert all(gone(app, member) for member in members)


def test_c72_without_the_family(app: App):
    app.worker([family])
    id = app.start(family, 1)
    app.wait(id)
    assert app.client.purge_orchestration(id, recursive=False).deleted_instance_count == 1
    assert gone(app, id) and not gone(app, f"{id}:0001")


def test_c72_by_filter(app: App):
    app.worker([ends, waits])
    fine = [app.start(ends, "well") for _ in range(3)]
    failed = [app.start(ends, "fail") for _ in range(2)]
    living = app.start(waits)
    for id in fine + failed:
        app.wait(id)
    created = max(app.wait(id).created_at for id in fine + failed)
    by = app.client.purge_orchestrations_by
    assert by(created_time_to=datetime(2001, 1, 1)).deleted_instance_count == 0
    assert by(created_time_from=datetime(2999, 1, 1)).deleted_instance_count == 0
    result = by(runtime_status=[OrchestrationStatus.FAILED], created_time_to=created)
    assert result.deleted_instance_count == 2 and result.is_complete is not False
    assert all(gone(app, id) for id in failed) and not any(gone(app, id) for id in fine)
    result = by(created_time_from=datetime(2001, 1, 1), recursive=True, timeout=timedelta(seconds=30))
    assert result.deleted_instance_count == 3 and result.is_complete
    assert all(gone(app, id) for id in fine) and not gone(app, living)
    with pytest.raises(ValueError):
        by(timeout=timedelta(0))


def test_c72_a_filter_without_bounds(app: App):
    app.worker([ends, waits])
    for _ in range(5):
        app.run(ends, "well")
    living = app.start(waits)
    assert app.client.purge_orchestrations_by().deleted_instance_count == 5
    assert app.client.purge_orchestrations_by(runtime_status=[OrchestrationStatus.RUNNING]).deleted_instance_count == 0
    assert [state.instance_id for state in app.client.get_all_orchestration_states()] == [living]


def test_c72_a_filter_with_families(app: App):
    app.worker([family])
    id = app.start(family, 1)
    app.wait(id)
    assert app.client.purge_orchestrations_by(recursive=True).deleted_instance_count == 3
    assert gone(app, f"{id}:0001")


def test_c72_a_batch(app: App):
    app.worker([ends, waits])
    ids = [app.start(ends, "well") for _ in range(4)]
    for id in ids:
        app.wait(id)
    living = app.start(waits)
    batch = pb.InstanceBatch(instanceIds=[*ids[:3], living, new_id()])
    answer = app.stub.PurgeInstances(pb.PurgeInstancesRequest(instanceBatch=batch))
    assert answer.deletedInstanceCount == 3 and answer.isComplete.value
    assert [gone(app, id) for id in ids] == [True, True, True, False]
    assert not gone(app, living)


def test_c72_a_batch_that_is_too_large(app: App):
    batch = pb.InstanceBatch(instanceIds=[f"id-{number}" for number in range(501)])
    refused(grpc.StatusCode.INVALID_ARGUMENT, app.stub.PurgeInstances, pb.PurgeInstancesRequest(instanceBatch=batch))
    batch = pb.InstanceBatch(instanceIds=[f"id-{number}" for number in range(500)])
    answer = app.stub.PurgeInstances(pb.PurgeInstancesRequest(instanceBatch=batch))
    assert answer.deletedInstanceCount == 0


def test_a_purged_id_is_new(app: App):
    app.worker([waits])
    id = app.start(waits)
    app.client.raise_orchestration_event(id, "go", data="first")
    app.wait(id)
    app.client.raise_orchestration_event(id, "go", data="dropped")
    app.client.purge_orchestration(id)
    app.start(waits, instance_id=id)
    app.client.raise_orchestration_event(id, "go", data="second")
    assert app.wait(id).get_output() == "second"
