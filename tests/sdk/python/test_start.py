"""Starting: ids, times, tags, versions, and what happens when an id is taken."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
from durabletask import history, task
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.errors import refused
from harness.waiting import Gate
from support.app import App, new_id
from support.histories import of_kind, only

STATUSES = {
    name: getattr(pb, f"ORCHESTRATION_STATUS_{name}")
    for name in ("RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "PENDING", "SUSPENDED")
}


def reuse(*names: str) -> pb.OrchestrationIdReusePolicy:
    return pb.OrchestrationIdReusePolicy(replaceableStatus=[STATUSES[name] for name in names])


def echo(_: task.OrchestrationContext, input: Any):
    if input == "fail":
        raise RuntimeError("as asked")
    return input


def waits(ctx: task.OrchestrationContext, _: Any):
    return (yield ctx.wait_for_external_event("go"))


def test_c6_ids_given_and_made(app: App):
    app.worker([echo])
    id = new_id("orders/2024 ünïcode")
    assert app.start(echo, 1, instance_id=id) == id
    assert app.wait(id).instance_id == id
    assert uuid.UUID(app.start(echo, 1))
    answer = app.stub.StartInstance(pb.CreateInstanceRequest(name="echo"))
    assert answer.instanceId and app.wait(answer.instanceId).get_output() is None


def test_c7_ids_that_are_refused(app: App):
    start = app.client.schedule_new_orchestration
    assert app.start(echo, instance_id="x" * 100) == "x" * 100
    assert "length" in refused(grpc.StatusCode.INVALID_ARGUMENT, start, echo, instance_id="x" * 101)
    refused(grpc.StatusCode.INVALID_ARGUMENT, start, echo, instance_id="@counter@one")
    refused(grpc.StatusCode.INVALID_ARGUMENT, start, "", instance_id=new_id())


def test_c8_a_running_id_is_taken(app: App):
    app.worker([waits])
    id = app.start(waits)
    message = refused(grpc.StatusCode.ALREADY_EXISTS, app.client.schedule_new_orchestration, waits, instance_id=id)
    assert "orchestration instance already exists" in message
    app.await_status(id, "RUNNING")
    refused(grpc.StatusCode.ALREADY_EXISTS, app.client.schedule_new_orchestration, waits, instance_id=id)
    app.client.suspend_orchestration(id)
    app.await_status(id, "SUSPENDED")
    refused(grpc.StatusCode.ALREADY_EXISTS, app.client.schedule_new_orchestration, waits, instance_id=id)


def test_c9_an_id_that_has_ended_is_free(app: App):
    app.worker([echo])
    id = app.start(echo, "first", tags={"first": "yes"})
    first = app.wait(id)
    execution = app.raw_state(id).executionId.value
    app.start(echo, "second", instance_id=id)
    second = app.wait(id)
    assert second.get_output() == "second" and second.created_at > first.created_at
    assert app.raw_state(id).executionId.value != execution
    assert not app.raw_state(id).tags
    started = of_kind(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)
    assert [event.input for event in started] == ['"second"']


def test_c10_a_policy_that_lists_the_status(app: App):
    app.worker([echo, waits])
    id = new_id()
    for input, status in (("fine", "COMPLETED"), ("fail", "FAILED")):
        app.start(echo, input, instance_id=id, reuse_id_policy=reuse(status, "COMPLETED", "FAILED"))
        assert app.wait(id).runtime_status.name == status
        start = app.client.schedule_new_orchestration
        for refusing in (reuse(), reuse("TERMINATED")):
            refused(grpc.StatusCode.ALREADY_EXISTS, start, echo, instance_id=id, input=1, reuse_id_policy=refusing)
        app.start(echo, "again", instance_id=id, reuse_id_policy=reuse(status))
        assert app.wait(id).get_output() == "again"
    app.start(waits, instance_id=id)
    app.client.terminate_orchestration(id)
    app.wait(id)
    app.start(echo, "after the end", instance_id=id, reuse_id_policy=reuse("TERMINATED"))
    assert app.wait(id).get_output() == "after the end"


def test_c10_a_running_one_is_ended_and_replaced(app: App):
    gate = Gate()

    def slow(_: task.ActivityContext, which: str) -> str:
        if which == "old":
            gate.enter()
        return f"result of the {which} one"

    def calls(ctx: task.OrchestrationContext, which: str):
        return (yield ctx.call_activity(slow, input=which))

    app.worker([calls], [slow])
    id = app.start(calls, "old")
    gate.await_arrivals()
    execution = app.raw_state(id).executionId.value
    app.start(calls, "new", instance_id=id, reuse_id_policy=reuse("RUNNING", "TERMINATED"))
    assert app.raw_state(id).executionId.value != execution
    gate.open()
    assert app.wait(id).get_output() == "result of the new one"
    completed = of_kind(app.client.get_orchestration_history(id), history.TaskCompletedEvent)
    assert [event.result for event in completed] == ['"result of the new one"']


def test_c10_pending_and_suspended_ones_are_replaced(app: App):
    id = app.start(waits)
    app.start(waits, instance_id=id, reuse_id_policy=reuse("PENDING", "TERMINATED"))
    app.worker([waits])
    app.await_status(id, "RUNNING")
    refused(
        grpc.StatusCode.ALREADY_EXISTS, app.client.schedule_new_orchestration,
        waits, instance_id=id, reuse_id_policy=reuse("PENDING", "TERMINATED"),
    )  # fmt: skip
    app.client.suspend_orchestration(id)
    app.await_status(id, "SUSPENDED")
    app.start(waits, instance_id=id, reuse_id_policy=reuse("SUSPENDED", "TERMINATED"))
    app.client.raise_orchestration_event(id, "go", data="fresh")
    assert app.wait(id).get_output() == "fresh"


def test_c11_a_policy_that_cannot_be(app: App):
    expected = "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"
    for status in ("RUNNING", "PENDING", "SUSPENDED"):
        message = refused(
            grpc.StatusCode.INVALID_ARGUMENT, app.client.schedule_new_orchestration,
            echo, instance_id=new_id(), reuse_id_policy=reuse(status, "COMPLETED"),
        )  # fmt: skip
        assert expected in message


def test_c13_a_start_in_the_future(app: App):
    app.worker([echo])
    due = datetime.now(timezone.utc) + timedelta(seconds=3)
    id = app.start(echo, "on time", start_at=due)
    assert app.status(id) == "PENDING"
    assert app.raw_state(id).scheduledStartTimestamp.ToDatetime(timezone.utc) == due
    assert app.wait(id).get_output() == "on time"
    events = app.client.get_orchestration_history(id)
    started = only(events, history.ExecutionStartedEvent)
    assert started.scheduled_start_timestamp is not None
    assert started.scheduled_start_timestamp.replace(tzinfo=timezone.utc) == due
    assert events[0].timestamp.replace(tzinfo=timezone.utc) >= due


def test_c13_a_start_in_the_past_is_now(app: App):
    app.worker([echo])
    for past in (datetime(1970, 1, 1), datetime(2001, 2, 3, tzinfo=timezone.utc)):
        assert app.result(echo, "at once", start_at=past) == "at once"


def test_c14_what_was_given_arrives(app: App):
    app.worker([echo])
    tags = {"team": "ü", "empty": "", "a b": "c=d"}
    id = app.start(echo, {"x": 1}, tags=tags, version="1.2")
    app.wait(id)
    state = app.raw_state(id)
    assert dict(state.tags) == tags and state.version.value == "1.2"
    started = only(app.client.get_orchestration_history(id), history.ExecutionStartedEvent)
    assert (started.tags, started.version, started.input) == (tags, "1.2", '{"x": 1}')


def test_c14_what_was_not_given_stays_away(app: App):
    app.worker([echo])
    id = app.start(echo)
    app.wait(id)
    state = app.raw_state(id)
    assert not state.HasField("version") and not state.HasField("input") and not state.tags
    started = app.raw_history(id)[1].executionStarted
    assert not started.HasField("version") and not started.HasField("input") and not started.tags


def test_c14_empty_is_not_absent(app: App):
    app.worker([echo])
    request = pb.CreateInstanceRequest(instanceId=new_id(), name="echo")
    request.version.value = ""
    request.input.value = ""
    app.stub.StartInstance(request)
    app.wait(request.instanceId)
    started = app.raw_history(request.instanceId)[1].executionStarted
    assert started.HasField("version") and started.version.value == ""
    assert started.HasField("input") and started.input.value == ""


def test_c15_a_thousand_starts_of_one_id(app: App):
    id = new_id()

    def start(number: int) -> str:
        try:
            return app.start(waits, number, instance_id=id)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.ALREADY_EXISTS  # type: ignore[attr-defined]
            return ""

    with ThreadPoolExecutor(32) as pool:
        started = [answer for answer in pool.map(start, range(1000)) if answer]
    assert started == [id]
    assert app.status(id) == "PENDING"


def test_the_default_version_of_a_client(app: App):
    app.worker([echo])
    client = app.new_client(default_version="9.1")
    for given, expected in ((None, "9.1"), ("2", "2")):
        id = client.schedule_new_orchestration(echo, version=given)
        app.wait(id)
        assert app.raw_state(id).version.value == expected
