"""A worker in a process of its own, to be killed: `program.py ADDRESS HUB DIRECTORY`.

What it runs it writes down in DIRECTORY/runs, one line each; what is to last waits for the file DIRECTORY/gate.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from durabletask import task
from durabletask.entities import EntityContext, EntityInstanceId
from durabletask.worker import TaskHubGrpcWorker

DIRECTORY = Path(sys.argv[3])


def note(what: str) -> None:
    # One write to a file opened for appending: lines of several processes do not mix.
    with open(DIRECTORY / "runs", "ab", buffering=0) as runs:
        runs.write(f"{what} {os.getpid()}\n".encode())


def await_gate() -> None:
    deadline = time.monotonic() + 100
    while not (DIRECTORY / "gate").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the test never opened the gate")
        time.sleep(0.02)


def quick(_: task.ActivityContext, name: str) -> str:
    note(name)
    return f"{name} done"


def slow(_: task.ActivityContext, name: str) -> str:
    note(name)
    await_gate()
    return f"{name} done"


def steps(ctx: task.OrchestrationContext, _: Any):
    first = yield ctx.call_activity(quick, input="first")
    second = yield ctx.call_activity(slow, input="second")
    third = yield ctx.call_activity(quick, input="third")
    return [first, second, third]


def crowd(ctx: task.OrchestrationContext, count: int):
    return (yield task.when_all([ctx.call_activity(slow, input=f"member-{number}") for number in range(count)]))


def slow_turn(ctx: task.OrchestrationContext, _: Any):
    first = yield ctx.call_activity(quick, input="first")
    if not ctx.is_replaying:
        note("turn")
        await_gate()
    second = yield ctx.call_activity(quick, input="second")
    return [first, second]


def ledger(ctx: EntityContext, amount: int) -> int:
    note("ledger")
    await_gate()
    total = ctx.get_state(int, 0) + amount
    ctx.set_state(total)
    return total


def books(ctx: task.OrchestrationContext, _: Any):
    entity = EntityInstanceId("ledger", ctx.instance_id)
    with (yield ctx.lock_entities([entity])):
        return (yield ctx.call_entity(entity, "add", 7))


def main() -> None:
    worker = TaskHubGrpcWorker(host_address=sys.argv[1], metadata=[("taskhub", sys.argv[2])])
    for orchestrator in (steps, crowd, slow_turn, books):
        worker.add_orchestrator(orchestrator)
    for activity in (quick, slow):
        worker.add_activity(activity)
    worker.add_entity(ledger)
    worker.start()
    # Until it is killed, or until the test that started it is gone.
    sys.stdin.read()
    worker.stop()


if __name__ == "__main__":
    main()
