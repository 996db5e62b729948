"""Hostile workers: wrong tokens, and strange answers to real items."""

from __future__ import annotations

import os
import time
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.server import Server
from kit.fuzz import Fuzz
from kit.fortress import alive, hub, sender  # noqa: F401 - fixtures
from kit.hub import Hub, text
from kit.siege import Code, Sender
from kit.worker import call, complete, failure, success, timer

MESSAGES = int(os.environ.get("EVERDURE_FUZZ_MESSAGES", "3000"))
SEED = int(os.environ.get("EVERDURE_FUZZ_SEED", "20261126"))


def fuzz_filter() -> pb.WorkItemFilters:
    """Takes what the tests start, and none of what strange answers start."""
    return pb.WorkItemFilters(
        orchestrations=[pb.OrchestrationFilter(name="fuzz")],
        activities=[pb.ActivityFilter(name="fuzz")],
        entities=[pb.EntityFilter(name="fuzz")],
    )


def test_names_that_the_store_cannot_look_for(hub: Hub, connect: Connect):
    """Filters with U+0000, and with more names than anybody has, are refused: they would stop the claims of the hub."""
    worker = connect()
    hub.start()
    worker.end_turn(worker.turn(), timer(1, time.time() + 1))
    strange = [
        pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name="a\0b")]),
        pb.WorkItemFilters(activities=[pb.ActivityFilter(name="a", versions=["1", "\0"])]),
        pb.WorkItemFilters(entities=[pb.EntityFilter(name="\0")]),
        pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name=f"n-{number}") for number in range(20_000)]),
    ]
    for filters in strange:
        assert connect(workItemFilters=filters).code() == Code.INVALID_ARGUMENT
    item = worker.turn_with("timerFired")
    worker.end_turn(item, complete(2))


def test_strange_answers_to_real_turns(hub: Hub, connect: Connect, sender: Sender):
    fuzz = Fuzz(SEED + 10)
    worker = connect(workItemFilters=fuzz_filter())
    count = max(20, MESSAGES // 20)
    for _ in range(count):
        id = hub.start("fuzz")
        item = worker.turn()
        answer: Any = fuzz.strange(pb.OrchestratorResponse)
        answer.completionToken, answer.instanceId = item.completionToken, id
        answer.requiresHistory, answer.isPartial = False, False
        sender.send("CompleteOrchestratorTask", answer.SerializeToString())
        # What it was not told to do right, it may be told again, or not at all.
        hub.terminate(id)
        if worker.waiting:
            worker.end_turn(worker.turn(), complete(1))


def test_wounded_answers_to_real_turns(hub: Hub, connect: Connect, sender: Sender):
    fuzz = Fuzz(SEED + 11)
    worker = connect(workItemFilters=fuzz_filter())
    for _ in range(max(20, MESSAGES // 20)):
        hub.start("fuzz")
        item = worker.turn()
        actions = [call(1, "fuzz-other", "1", tags={"a": "b"}), complete(2, "x" * 50)]
        valid = pb.OrchestratorResponse(completionToken=item.completionToken, actions=actions, customStatus=text("s"))
        sender.send("CompleteOrchestratorTask", fuzz.mutated(valid.SerializeToString()))
        worker.end_turn(item, complete(9))


def test_strange_answers_to_real_activities(hub: Hub, connect: Connect, sender: Sender):
    fuzz = Fuzz(SEED + 12)
    worker = connect(workItemFilters=fuzz_filter())
    count = max(20, MESSAGES // 40)
    id = hub.start("fuzz")
    worker.end_turn(worker.turn(), *[call(number, "fuzz") for number in range(1, count + 1)])
    answered, heard = 0, 0
    while heard < count:
        item = worker.next()
        if item.HasField("activityRequest"):
            answer: Any = fuzz.strange(pb.ActivityResponse, levels=8)
            answer.completionToken = item.completionToken
            assert sender.send("CompleteActivityTask", answer.SerializeToString()) == Code.OK
            answered += 1
        else:
            events = item.orchestratorRequest.newEvents
            heard += sum(event.HasField("taskCompleted") or event.HasField("taskFailed") for event in events)
            worker.end_turn(item, *([complete(count + 1)] if heard == count else []))
    # Each has come to the orchestration, as a result or as a failure, and none twice.
    assert answered == count == heard
    hub.wait(id)


def test_strange_answers_to_real_batches(hub: Hub, connect: Connect, sender: Sender):
    fuzz = Fuzz(SEED + 13)
    worker = connect(workItemFilters=fuzz_filter())
    for number in range(max(20, MESSAGES // 40)):
        hub.signal(f"@fuzz@{number}")
        item = worker.batch()
        answer: Any = fuzz.strange(pb.EntityBatchResult)
        answer.completionToken, answer.requiresState = item.completionToken, False
        sender.send("CompleteEntityTask", answer.SerializeToString())


def test_failures_of_batches_that_cannot_be_stored(hub: Hub, connect: Connect):
    """U+0000 in what a worker says went wrong: the batch comes again all the same."""
    worker = connect()
    hub.signal("@fuzz@nul")
    worker.end_batch(worker.batch(), [], None, failureDetails=failure("a\0b", "c\0d"))
    worker.end_batch(worker.batch(20), [success("1")], "1")
    assert hub.entity("@fuzz@nul").exists


def test_tokens_that_are_wrong(hub: Hub, new_hub: Any, fort: Server, connect: Connect, sender: Sender):
    """Garbage, tokens of another hub, of another item, and near misses: OK, and no effect."""
    other = new_hub(fort)
    worker, stranger = connect(), connect(other)
    id, foreign = hub.start(), other.start()
    item, theirs = worker.turn(), stranger.turn()
    node, life, number, time = item.completionToken.split(".")
    near = [f"{node}.{life}.{int(number, 16) + 1:x}.{time}", f"{node}.{life}.{number}.{int(time, 16) + 1:x}"]
    near += [f"{start}.{number}.{time}" for start in (f"{node}.0", "99999999.0", "-1.0")]
    near += [f"{node}.{life}.{number}", f"{node}.{life}.{number}.0", f"{item.completionToken}.0", ".", "..."]
    near += [item.completionToken + "\0", "9" * 100_000, "\U0001f980"]
    for token in [*near, theirs.completionToken]:
        answer = pb.OrchestratorResponse(instanceId=id, actions=[complete(1, '"stolen"')], completionToken=token)
        assert sender.send("CompleteOrchestratorTask", answer.SerializeToString()) == Code.OK, token[:50]
        result = pb.ActivityResponse(instanceId=id, taskId=1, completionToken=token)
        assert sender.send("CompleteActivityTask", result.SerializeToString()) == Code.OK, token[:50]
        batch = pb.EntityBatchResult(completionToken=token)
        assert sender.send("CompleteEntityTask", batch.SerializeToString()) == Code.OK, token[:50]
    worker.end_turn(item, complete(1, '"own"'))
    stranger.end_turn(theirs, complete(1, '"own"'))
    assert hub.wait(id).output.value == other.wait(foreign).output.value == '"own"'


def test_answers_of_the_wrong_kind(hub: Hub, connect: Connect, sender: Sender):
    """An activity's answer to a turn, a turn's to an activity, an entity's to both: none of them counts."""
    worker = connect()
    id = hub.start()
    item = worker.turn()
    answers: list[tuple[str, Any]] = [
        ("CompleteActivityTask", pb.ActivityResponse(result=text("1"))),
        ("CompleteEntityTask", pb.EntityBatchResult(results=[success("1")], entityState=text("1"))),
    ]
    for name, answer in answers:
        answer.completionToken = item.completionToken
        sender.send(name, answer.SerializeToString())
        if worker.waiting == 0:
            # It may count as giving the item back, which comes again a little later.
            hub.calls.AbandonTaskOrchestratorWorkItem(
                pb.AbandonOrchestrationTaskRequest(completionToken=item.completionToken)
            )
        item = worker.turn()
    worker.end_turn(item, call(1))
    activity = worker.activity()
    wrong = pb.OrchestratorResponse(instanceId=id, actions=[complete(1, '"x"')], completionToken=activity.completionToken)
    sender.send("CompleteOrchestratorTask", wrong.SerializeToString())
    hub.calls.AbandonTaskActivityWorkItem(pb.AbandonActivityTaskRequest(completionToken=activity.completionToken))
    worker.end_activity(worker.activity(), '"fine"')
    worker.end_turn(worker.turn(), complete(2, '"done"'))
    assert hub.wait(id).output.value == '"done"'


def test_tokens_of_lists_that_are_wrong(hub: Hub, sender: Sender):
    garbage = ["x", "\0", "0", "-1", "9" * 1000, "{}", "AAAA", "a,b", "1|2", "\U0001f980", "'", "2024-01-01T00:00:00Z|x", "=" * 9]
    for token in garbage:
        requests: dict[str, Any] = {
            "QueryInstances": pb.QueryInstancesRequest(query=pb.InstanceQuery(continuationToken=text(token))),
            "ListInstanceIds": pb.ListInstanceIdsRequest(lastInstanceKey=text(token)),
            "QueryEntities": pb.QueryEntitiesRequest(query=pb.EntityQuery(continuationToken=text(token))),
            "CleanEntityStorage": pb.CleanEntityStorageRequest(continuationToken=text(token), removeEmptyEntities=True),
        }
        for name, request in requests.items():
            code = sender.send(name, request.SerializeToString())
            # Numbers look like some that were given out.
            assert name == "CleanEntityStorage" or code == Code.INVALID_ARGUMENT or token.lstrip("-").isdigit(), (name, token)
    for page in (-1, -(2**31), 2**31 - 1):
        query = pb.InstanceQuery(maxInstanceCount=page)
        sender.send("QueryInstances", pb.QueryInstancesRequest(query=query).SerializeToString())
        sender.send("ListInstanceIds", pb.ListInstanceIdsRequest(pageSize=page).SerializeToString())
