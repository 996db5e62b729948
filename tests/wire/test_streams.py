"""A stream is a lease: what breaks it, what keeps it, and who gets what."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.server import Server
from harness.waiting import eventually
from kit.hub import PENDING, Hub, text
from kit.worker import Worker, call, complete, kinds, success


def filters(
    orchestrations: dict[str, list[str]] | None = None,
    activities: dict[str, list[str]] | None = None,
    entities: list[str] | None = None,
) -> pb.WorkItemFilters:
    return pb.WorkItemFilters(
        orchestrations=[pb.OrchestrationFilter(name=name, versions=v) for name, v in (orchestrations or {}).items()],
        activities=[pb.ActivityFilter(name=name, versions=v) for name, v in (activities or {}).items()],
        entities=[pb.EntityFilter(name=name) for name in entities or []],
    )


def test_c38_a_broken_stream_gives_back_every_kind_at_once(hub: Hub, connect: Connect):
    first = connect()
    id = hub.start()
    first.end_turn(first.turn(), call(1), call(2))
    activities = first.activities(2)
    waiting = hub.start()
    turn = first.turn()
    hub.signal("@counter@1")
    batch = first.batch()
    # A part of an answer that never becomes whole.
    first.end_turn(turn, call(7), isPartial=True)
    second = connect()
    second.nothing(0.3)
    begun = time.monotonic()
    first.close()
    back = [second.next(20) for _ in range(4)]
    # At once: no lease had to run out. Fifteen seconds is what a server's own takes.
    assert time.monotonic() - begun < 10
    count = Counter(item.WhichOneof("request") for item in back)
    assert count == {"activityRequest": 2, "orchestratorRequest": 1, "entityRequestV2": 1}
    for item in back:
        if item.HasField("activityRequest"):
            second.end_activity(item, '"second"')
        elif item.HasField("entityRequestV2"):
            second.end_batch(item, [success("1")], '"second"')
        else:
            assert item.orchestratorRequest.instanceId == waiting
            second.end_turn(item, complete(1, '"second"'))
    # The first one's answers come too late, whatever their tokens look like.
    for item in activities:
        second.end_activity(item, '"first"')
    second.end_turn(turn, complete(1, '"first"'))
    second.end_batch(batch, [success("1")], '"first"')
    assert hub.wait(waiting).output.value == '"second"'
    results: list[str] = []
    while len(results) < 2:
        item = second.turn()
        events = item.orchestratorRequest.newEvents
        results += [event.taskCompleted.result.value for event in events if event.HasField("taskCompleted")]
        second.end_turn(item)
    second.nothing(0.3)
    assert results == ['"second"'] * 2 and hub.entity("@counter@1").entity.serializedState.value == '"second"'
    hub.terminate(id)


def test_c38_what_was_answered_is_not_given_back(hub: Hub, connect: Connect):
    """Streams that break all the time: each turn's effect is there once, however often it was handed out."""
    id = hub.start()
    stop = threading.Event()
    handed_out = []

    def restless() -> None:
        while not stop.is_set():
            worker = Worker(hub.connect())
            if stop.wait(0.05):
                worker.close()
                return
            for _ in range(3):
                if worker.waiting:
                    item = worker.next()
                    handed_out.append(item)
                    if len(handed_out) % 2 and item.HasField("orchestratorRequest"):
                        # Answered while the stream goes.
                        threading.Thread(target=worker.close).start()
                        answer(worker, item)
            worker.close()

    def answer(worker: Worker, item: pb.WorkItem) -> None:
        past = kinds(item.orchestratorRequest.pastEvents)
        done = past.count("timerCreated")
        due = pb.CreateTimerAction()
        due.fireAt.seconds = 1
        step = pb.OrchestratorAction(id=done + 1, createTimer=due)
        worker.end_turn(item, step if done < 20 else complete(done + 1, str(done)))

    players = [threading.Thread(target=restless) for _ in range(2)]
    for player in players:
        player.start()
    try:
        state = hub.wait(id, 60)
    finally:
        stop.set()
        for player in players:
            player.join()
    history = hub.history(id)
    assert state.output.value == "20" and kinds(history).count("timerCreated") == 20
    assert kinds(history).count("timerFired") == 20 and kinds(history).count("executionCompleted") == 1
    ids = [event.eventId for event in history if event.HasField("timerCreated")]
    assert ids == list(range(1, 21))


@pytest.fixture(scope="session", autouse=True)
def long_held(server: object) -> object:
    """An activity, a turn and a batch in the hands of a worker since the beginning of the session."""
    hub = Hub(server.address)  # type: ignore[attr-defined]
    worker, other = Worker(hub.connect()), None
    id = hub.start(id="long")
    worker.end_turn(worker.turn(), call(1))
    held = [worker.activity()]
    hub.start(id="slow")
    held.append(worker.turn())
    hub.signal("@counter@slow")
    held.append(worker.batch())
    since = time.monotonic()
    other = Worker(hub.connect())
    yield hub, worker, other, held, since, id
    worker.close()
    other.close()
    hub.close(delete=True)


@pytest.mark.late
def test_c39_what_a_living_stream_holds_stays_there(long_held: tuple[Hub, Worker, Worker, list[pb.WorkItem], float, str]):
    """For longer than any lease of the server's: ten minutes would be no different from forty seconds."""
    hub, worker, other, held, since, id = long_held
    time.sleep(max(0.0, 40 - (time.monotonic() - since)))
    assert worker.waiting == 0 and other.waiting == 0
    activity, turn, batch = held
    worker.end_activity(activity, '"slow"')
    worker.end_turn(turn, complete(1, '"slow"'))
    worker.end_batch(batch, [success("1")], '"slow"')
    assert hub.wait("slow").output.value == '"slow"'
    assert hub.entity("@counter@slow").entity.serializedState.value == '"slow"'
    eventually("the result came", lambda: worker.waiting or other.waiting)
    taker = worker if worker.waiting else other
    item = taker.turn()
    assert item.orchestratorRequest.newEvents[1].taskCompleted.result.value == '"slow"'
    taker.end_turn(item, complete(2, '"done"'))
    assert hub.wait(id).output.value == '"done"'


def test_c40_names_versions_and_categories(hub: Hub, connect: Connect):
    plain, v2, other = hub.start("Greet"), hub.start("Greet", version=text("2")), hub.start("Other")
    empty = hub.start("Greet", version=text(""))
    two = connect(workItemFilters=filters({"Greet": ["2", "3"]}))
    assert two.turn().orchestratorRequest.instanceId == v2
    two.nothing(0.4)
    # Without a version is the same as with an empty one.
    none = connect(workItemFilters=filters({"Greet": [""]}))
    assert {item.orchestratorRequest.instanceId for item in none.turns(2)} == {plain, empty}
    none.nothing(0.3)
    nothing = connect(workItemFilters=filters())
    nothing.nothing(0.3)
    assert hub.status(other) == PENDING
    every = connect(workItemFilters=filters({"Other": []}))
    item = every.turn()
    assert item.orchestratorRequest.instanceId == other
    every.end_turn(item, complete(1))
    hub.wait(other)


def test_c40_activities_and_entities(hub: Hub, connect: Connect):
    """An activity goes by its own version if it has one, else by that of its orchestration."""
    orchestrator = connect(workItemFilters=filters({"orch": []}))
    id = hub.start(version=text("3"))
    own = pb.OrchestratorAction(id=2, scheduleTask=pb.ScheduleTaskAction(name="act", version=text("7")))
    blank = pb.OrchestratorAction(id=3, scheduleTask=pb.ScheduleTaskAction(name="act", version=text("")))
    orchestrator.end_turn(orchestrator.turn(), call(1, "act"), own, blank, call(4, "other"))
    hub.signal("@Counter@1")
    orchestrator.nothing(0.3)
    found = {}
    for version in ("3", "7", ""):
        worker = connect(workItemFilters=filters(activities={"act": [version]}))
        found[version] = worker.activity().activityRequest.taskId
        worker.nothing(0.3)
    assert found == {"3": 1, "7": 2, "": 3}
    worker = connect(workItemFilters=filters(entities=["COUNTER"]))
    assert worker.batch().entityRequestV2.instanceId == "@counter@1"
    worker.nothing(0.3)
    hub.terminate(id)


def test_c40_what_nobody_takes_holds_nothing_up(hub: Hub, connect: Connect):
    stuck = [hub.start("nobody") for _ in range(200)]
    worker = connect(workItemFilters=filters({"orch": []}))
    ids = [hub.start() for _ in range(20)]
    for _ in ids:
        worker.end_turn(worker.turn(), complete(1))
    for id in ids:
        hub.wait(id)
    assert hub.status(stuck[0]) == PENDING
    late = connect(workItemFilters=filters({"nobody": []}), maxConcurrentOrchestrationWorkItems=10)
    for _ in stuck:
        late.end_turn(late.turn(), complete(1))
    eventually("all are done", lambda: all(hub.status(id) != PENDING for id in stuck))


@pytest.mark.parametrize("kind", ["turn", "activity", "batch"])
def test_c41_what_is_given_back_comes_later_each_time(hub: Hub, connect: Connect, kind: str):
    worker = connect()
    if kind == "batch":
        hub.signal("@counter@1")
    else:
        hub.start()
    if kind == "activity":
        worker.end_turn(worker.turn(), call(1))
    waits, tokens = [], []
    item = worker.next()
    for _ in range(3):
        begun = time.monotonic()
        worker.abandon(item)
        # Given back twice is given back once.
        worker.abandon(item)
        tokens.append(item.completionToken)
        item = worker.next()
        waits.append(time.monotonic() - begun)
    # About 1, 2 and 4 seconds: a worker that takes nothing does not spin, and does not wait for ever.
    assert waits[0] > 0.5 and waits[1] > 1.2 and waits[2] > 2.5 and waits[0] < waits[1] < waits[2], waits
    assert len({*tokens, item.completionToken}) == 4
    if kind == "turn":
        worker.end_turn(item, complete(1))
    elif kind == "activity":
        worker.end_activity(item, "1")
        worker.end_turn(worker.turn(), complete(2))
    else:
        worker.end_batch(item, [success("1")], "1")
        assert hub.entity("@counter@1").exists


def test_c41_giving_back_is_no_failed_attempt(hub: Hub, connect: Connect):
    """Others go on meanwhile, the answer to what was given back is nobody's, and history shows nothing of it."""
    worker = connect()
    id = hub.start(id="rejected")
    rejected = worker.turn()
    worker.abandon(rejected)
    others = {hub.start() for _ in range(10)}
    ended: list[str] = []
    while len(ended) < 11:
        item = worker.turn()
        ended.append(item.orchestratorRequest.instanceId)
        if ended[-1] == id:
            worker.end_turn(rejected, complete(1, '"stale"'))
        worker.end_turn(item, complete(1, '"fresh"'))
    assert set(ended) == {*others, id}
    assert {hub.wait(ended_id).output.value for ended_id in ended} == {'"fresh"'}
    assert kinds(hub.history(id)) == ["orchestratorStarted", "executionStarted", "executionCompleted"]


def test_c41_c42_tokens_of_nothing(hub: Hub):
    """To give back, or to answer, what nobody has is no error."""
    for token in ("", "nonsense", "1.1.1", "1.1.1.1", "00" * 16, "\U0001f980"):
        hub.calls.AbandonTaskOrchestratorWorkItem(pb.AbandonOrchestrationTaskRequest(completionToken=token))
        hub.calls.AbandonTaskActivityWorkItem(pb.AbandonActivityTaskRequest(completionToken=token))
        hub.calls.AbandonTaskEntityWorkItem(pb.AbandonEntityTaskRequest(completionToken=token))
        hub.calls.CompleteOrchestratorTask(pb.OrchestratorResponse(instanceId="nobody", completionToken=token))
        hub.calls.CompleteActivityTask(pb.ActivityResponse(instanceId="nobody", taskId=1, completionToken=token))
        hub.calls.CompleteEntityTask(pb.EntityBatchResult(completionToken=token))


def test_c41_who_gives_back_does_not_keep_another_idle(hub: Hub, connect: Connect):
    """Of two that take the same, one gives everything back: the other one is asked next."""
    workers = [connect(), connect()]
    for kind in ("turn", "activity", "batch"):
        if kind == "batch":
            hub.signal("@counter@1")
        else:
            id = hub.start()
        if kind == "activity":
            eventually("it came", lambda: any(worker.waiting for worker in workers))
            taker = next(worker for worker in workers if worker.waiting)
            taker.end_turn(taker.turn(), call(1))
        eventually("it came", lambda: any(worker.waiting for worker in workers))
        bad, good = workers if workers[0].waiting else reversed(workers)
        bad.abandon(bad.next())
        item = good.next(4)
        bad.nothing(0.1)
        if kind == "turn":
            good.end_turn(item, complete(1))
        elif kind == "activity":
            hub.terminate(id)
        else:
            good.end_batch(item, [success("1")], "1")


def test_c41_equals_take_turns(server: Server, hub: Hub, connect: Connect):
    workers = [connect(), connect()]
    server.await_workers(hub.name, 2)
    came = []
    for _ in range(6):
        hub.start()
        eventually("it came", lambda: any(worker.waiting for worker in workers))
        taker = 0 if workers[0].waiting else 1
        workers[taker].end_turn(workers[taker].turn(), complete(1))
        came.append(taker)
    assert came.count(0) == 3, came
