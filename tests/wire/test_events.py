"""Events, suspending, resuming, terminating, as a worker sees them."""

from __future__ import annotations

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf import duration_pb2

from conftest import Connect
from harness.errors import refused
from harness.waiting import eventually
from kit.hub import COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED, Hub, new_id, text
from kit.worker import Worker, complete, every_event, kinds, play, sub

Code = grpc.StatusCode


def suspend(hub: Hub, id: str, reason: str = "why") -> None:
    hub.calls.SuspendInstance(pb.SuspendRequest(instanceId=id, reason=text(reason)))


def resume(hub: Hub, id: str) -> None:
    hub.calls.ResumeInstance(pb.ResumeRequest(instanceId=id, reason=text("go on")))


def raised(item: pb.WorkItem) -> list[tuple[str, str]]:
    events = item.orchestratorRequest.newEvents
    return [(event.eventRaised.name, event.eventRaised.input.value) for event in events if event.HasField("eventRaised")]


def test_c24_c25_events_before_the_start_come_with_the_first_turn(hub: Hub, connect: Connect):
    id = hub.start()
    sent = [("go", "1"), ("GO", "2"), ("other", "3"), ("go", "4"), ("go", "")]
    for name, input in sent:
        hub.raise_event(id, name, input)
    item = connect().turn()
    assert kinds(item.orchestratorRequest.newEvents) == ["orchestratorStarted", "executionStarted"] + ["eventRaised"] * 5
    # In order, and spelled as they were: it is the SDKs that match names in any case.
    assert raised(item) == sent
    assert {event.eventId for event in item.orchestratorRequest.newEvents} == {-1}


def test_c25_events_while_a_turn_is_under_way_keep_their_order(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    for number in range(50):
        hub.raise_event(id, "e", str(number))
    worker.end_turn(turn)
    seen: list[str] = []
    while len(seen) < 50:
        turn = worker.turn()
        seen += [input for _, input in raised(turn)]
        worker.end_turn(turn)
    assert seen == [str(number) for number in range(50)]


def test_c26_events_to_nobody_and_to_what_has_ended(hub: Hub, connect: Connect):
    refused(Code.NOT_FOUND, hub.raise_event, "nobody")
    refused(Code.NOT_FOUND, suspend, hub, "nobody")
    refused(Code.NOT_FOUND, resume, hub, "nobody")
    hub.terminate("nobody")
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), complete(1, "out"))
    hub.wait(id)
    before = len(hub.history(id))
    hub.raise_event(id)
    suspend(hub, id)
    resume(hub, id)
    hub.terminate(id, "too late")
    worker.nothing(0.5)
    state = hub.state(id)
    assert (state.orchestrationStatus, state.output.value) == (COMPLETED, "out") and len(hub.history(id)) == before


def test_c27_the_status_changes_when_the_turn_is_committed(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn())
    suspend(hub, id)
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents) == ["orchestratorStarted", "executionSuspended"]
    assert turn.orchestratorRequest.newEvents[1].executionSuspended.input.value == "why"
    assert hub.status(id) == RUNNING
    worker.end_turn(turn)
    assert hub.status(id) == SUSPENDED
    # What comes meanwhile is delivered: it is the SDK that holds it back.
    hub.raise_event(id, "held", "1")
    turn = worker.turn()
    assert raised(turn) == [("held", "1")]
    worker.end_turn(turn)
    assert hub.status(id) == SUSPENDED
    resume(hub, id)
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents) == ["orchestratorStarted", "executionResumed"]
    worker.end_turn(turn)
    assert hub.status(id) == RUNNING
    # Both in one turn: the last one counts.
    turn = None
    hub.raise_event(id)
    turn = worker.turn()
    for step in (suspend, resume, suspend):
        step(hub, id)
    worker.end_turn(turn)
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents)[1:] == ["executionSuspended", "executionResumed", "executionSuspended"]
    worker.end_turn(turn)
    assert hub.status(id) == SUSPENDED


def test_c27_a_terminal_status_wins(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    suspend(hub, id)
    worker.end_turn(turn)
    turn = worker.turn()
    worker.end_turn(turn, complete(1, "out"))
    assert hub.wait(id).orchestrationStatus == COMPLETED and hub.status(id) == COMPLETED


def test_c27_before_the_start(hub: Hub, connect: Connect):
    id = hub.start()
    suspend(hub, id)
    worker = connect()
    turn = worker.turn()
    assert kinds(turn.orchestratorRequest.newEvents) == ["orchestratorStarted", "executionStarted", "executionSuspended"]
    worker.end_turn(turn)
    assert hub.status(id) == SUSPENDED
    resume(hub, id)
    worker.end_turn(worker.turn(), complete(1))
    assert hub.wait(id).orchestrationStatus == COMPLETED


def test_c28_before_the_start(hub: Hub, connect: Connect):
    """Without any worker, and with one that would take it: either way nothing runs, and the output is kept."""
    alone = hub.start()
    hub.terminate(alone, '"stop"')
    state = hub.wait(alone)
    assert (state.orchestrationStatus, state.output.value) == (TERMINATED, '"stop"')
    worker = connect()
    worker.nothing(0.3)
    id = hub.start()
    turn = worker.turn()
    hub.terminate(id, '"now"')
    assert hub.status(id) == PENDING
    worker.end_turn(turn)
    end_terminated(hub, worker, id)
    assert hub.state(id).output.value == '"now"'


@pytest.mark.parametrize("commit_first", [False, True])
def test_c28_just_after_the_last_worker_has_gone(hub: Hub, connect: Connect, commit_first: bool):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    if commit_first:
        worker.end_turn(turn)
        eventually("it runs", lambda: hub.status(id) == RUNNING)
    worker.close()
    hub.terminate(id, '"stop"')
    if commit_first:
        # One that has run may need a worker to end: as soon as there is one, it does.
        end_terminated(hub, connect(), id)
    state = hub.wait(id, 20)
    assert (state.orchestrationStatus, state.output.value) == (TERMINATED, '"stop"')


def end_terminated(hub: Hub, worker: Worker, *ids: str) -> None:
    """Waits until these are terminated: by the server itself, or by a worker that is told to."""

    def answer(worker: Worker, item: pb.WorkItem) -> None:
        ends = [event for event in every_event(item) if event.HasField("executionTerminated")]
        outputs = [event.executionTerminated.input.value for event in ends]
        worker.end_turn(item, *[complete(99, output, TERMINATED) for output in outputs])

    play(worker, answer, lambda: all(hub.status(id) == TERMINATED for id in ids))


def family(hub: Hub, worker: Worker) -> list[str]:
    """A parent, its child and its grandchild, all of which have run."""
    ids = [hub.start(id=new_id("parent")), new_id("child"), new_id("grandchild")]
    worker.end_turn(worker.turn(), sub(1, ids[1]))
    worker.end_turn(worker.turn(), sub(1, ids[2]))
    worker.end_turn(worker.turn())
    eventually("all run", lambda: all(hub.status(id) == RUNNING for id in ids))
    return ids


def test_c29_c30_recursive_or_not(hub: Hub, connect: Connect):
    worker = connect()
    ids = family(hub, worker)
    hub.terminate(ids[0], '"all"', recursive=True)
    end_terminated(hub, worker, *ids)
    assert hub.state(ids[0]).output.value == '"all"'
    ids = family(hub, worker)
    hub.terminate(ids[0], '"one"')
    end_terminated(hub, worker, ids[0])
    assert hub.wait(ids[0]).output.value == '"one"'
    assert hub.status(ids[1]) == hub.status(ids[2]) == RUNNING
    # They end as they would; nobody waits for them.
    hub.raise_event(ids[2])
    worker.end_turn(worker.turn(), complete(9, '"own"'))
    worker.end_turn(worker.turn_with("subOrchestrationInstanceCompleted"), complete(9, '"own"'))
    assert hub.wait(ids[1]).orchestrationStatus == COMPLETED
    worker.nothing(0.5)
    assert hub.state(ids[0]).orchestrationStatus == TERMINATED


def test_c30_without_an_output(hub: Hub):
    id = hub.start("nobody")
    hub.terminate(id)
    state = hub.wait(id)
    assert state.orchestrationStatus == TERMINATED and not state.HasField("failureDetails") and not state.output.value


def skip_graceful(hub: Hub, *ids: str) -> set[str]:
    batch = pb.InstanceBatch(instanceIds=ids)
    request = pb.SkipGracefulOrchestrationTerminationsRequest(instanceBatch=batch, reason=text('"why"'))
    return set(hub.calls.SkipGracefulOrchestrationTerminations(request).unterminatedInstanceIds)


def await_terminated(hub: Hub, id: str) -> None:
    """A busy server says so before it is; but it needs no worker for it."""
    eventually("it is terminated", lambda: hub.status(id) == TERMINATED, timeout=10)


def test_c77_terminated_without_grace(hub: Hub, connect: Connect):
    worker = connect()
    running = hub.start()
    worker.end_turn(worker.turn())
    ended = hub.start()
    worker.end_turn(worker.turn(), complete(1))
    hub.wait(ended)
    worker.close()
    pending = hub.start()
    assert skip_graceful(hub, running, pending, ended, "nobody", "@counter@x") == {ended, "nobody", "@counter@x"}
    for id in (running, pending):
        await_terminated(hub, id)
    assert hub.status(ended) == COMPLETED
    refused(Code.INVALID_ARGUMENT, skip_graceful, hub, *[f"id-{number}" for number in range(501)])


def test_c77_even_when_a_worker_holds_the_turn(hub: Hub, connect: Connect):
    worker = connect()
    id = hub.start()
    turn = worker.turn()
    assert skip_graceful(hub, id) == set()
    await_terminated(hub, id)
    worker.end_turn(turn, complete(1, '"too late"'))
    assert hub.state(id).orchestrationStatus == TERMINATED and hub.state(id).output.value != '"too late"'


def test_c72_a_purge_by_filter_stops_when_its_time_is_over(hub: Hub):
    """It says so, and what it removed is removed."""
    ids = [new_id() for _ in range(520)]
    starts = [hub.calls.begin("StartInstance", pb.CreateInstanceRequest(instanceId=id, name="nobody")) for id in ids]
    assert {start.code() for start in starts} == {Code.OK}
    assert skip_graceful(hub, *ids[:500]) == skip_graceful(hub, *ids[500:]) == set()
    short = pb.PurgeInstanceFilter(timeout=duration_pb2.Duration(nanos=1))
    first = hub.calls.PurgeInstances(pb.PurgeInstancesRequest(purgeInstanceFilter=short))
    assert 0 < first.deletedInstanceCount < 520 and first.HasField("isComplete") and not first.isComplete.value
    left = sum(hub.get(id).exists for id in ids)
    assert left == 520 - first.deletedInstanceCount
    rest = hub.calls.PurgeInstances(pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter()))
    assert rest.deletedInstanceCount == left and rest.isComplete.value


def test_c72_a_recursive_filter_takes_children_that_have_ended(hub: Hub, connect: Connect):
    """Whatever state they ended in."""
    worker = connect()
    id = hub.start()
    worker.end_turn(worker.turn(), sub(1, f"{id}:child"))
    worker.end_turn(worker.turn(), complete(1))
    worker.end_turn(worker.turn(), complete(2, status=FAILED))
    eventually("both have ended", lambda: hub.status(id) == FAILED)
    failed = pb.PurgeInstanceFilter(runtimeStatus=[FAILED])
    answer = hub.calls.PurgeInstances(pb.PurgeInstancesRequest(purgeInstanceFilter=failed, recursive=True))
    assert answer.deletedInstanceCount == 2 and answer.isComplete.value
    assert not hub.get(id).exists and not hub.get(f"{id}:child").exists
