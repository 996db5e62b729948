"""Workers that are killed in the middle of what they do."""

import threading

from durabletask import history, task
from durabletask.entities import EntityInstanceId

from harness.waiting import Gate, eventually
from support.app import App
from support.histories import kinds, of_kind
from support.programs import Programs


def test_c38_killed_in_an_activity(app: App, programs: Programs):
    first = programs.start(app)
    id = app.start("steps")
    programs.await_run("second")
    programs.kill(first)
    other = programs.start(app)
    programs.await_run("second", times=2)
    programs.open_gate()
    assert app.wait(id).get_output() == ["first done", "second done", "third done"]
    # What was done is not done again; what was in flight is, by the other one.
    assert programs.runs() == ["first", "second", "second", "third"]
    assert programs.runners("second") == [first.pid, other.pid]
    events = app.client.get_orchestration_history(id)
    assert len(of_kind(events, history.TaskScheduledEvent)) == len(of_kind(events, history.TaskCompletedEvent)) == 3


def test_c38_what_a_killed_worker_held_goes_to_the_others_at_once(app: App, programs: Programs):
    first = programs.start(app)
    id = app.start("crowd", 40)
    eventually("some of them run", lambda: len(programs.runs()) >= 4)
    second = programs.start(app)
    programs.kill(first)
    programs.open_gate()
    assert app.wait(id).get_output() == [f"member-{number} done" for number in range(40)]
    for number in range(40):
        runners = programs.runners(f"member-{number}")
        assert runners and runners[-1] == second.pid and len(runners) <= 2
    assert len(of_kind(app.client.get_orchestration_history(id), history.TaskCompletedEvent)) == 40


def test_c38_killed_in_a_turn(app: App, programs: Programs):
    first = programs.start(app)
    id = app.start("slow_turn")
    programs.await_run("turn")
    programs.kill(first)
    programs.start(app)
    programs.await_run("turn", times=2)
    programs.open_gate()
    assert app.wait(id).get_output() == ["first done", "second done"]
    assert programs.runs() == ["first", "turn", "turn", "second"]
    assert kinds(app.client.get_orchestration_history(id)) == [
        "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
        "OrchestratorStarted", "TaskCompleted", "TaskScheduled",
        "OrchestratorStarted", "TaskCompleted", "ExecutionCompleted",
    ]  # fmt: skip


def test_c38_killed_in_an_entity_that_is_locked(app: App, programs: Programs):
    first = programs.start(app)
    id = app.start("books")
    programs.await_run("ledger")
    programs.kill(first)
    programs.start(app)
    programs.await_run("ledger", times=2)
    programs.open_gate()
    assert app.wait(id).get_output() == 7
    metadata = app.client.get_entity(EntityInstanceId("ledger", id))
    assert metadata is not None and metadata.get_typed_state() == 7


def test_a_worker_that_stops_finishes_what_it_has(app: App):
    gate = Gate()
    runs: list[str] = []

    def careful(_: task.ActivityContext, name: str) -> str:
        runs.append(name)
        gate.enter()
        return f"{name} done"

    def calls(ctx: task.OrchestrationContext, name: str):
        return (yield ctx.call_activity(careful, input=name))

    worker = app.worker([calls], [careful])
    id = app.start(calls, "one")
    gate.await_arrivals()
    stopping = threading.Thread(target=app.stop_worker, args=(worker,))
    stopping.start()
    gate.open()
    stopping.join(60)
    assert not stopping.is_alive()
    app.worker([calls], [careful])
    assert app.wait(id).get_output() == "one done"
    # The stream is gone as soon as the worker begins to stop: its result may come too late to count.
    assert len(runs) in (1, 2)


def test_a_worker_starts_again(app: App):
    def says(_: task.OrchestrationContext, input: str):
        return input

    worker = app.worker([says])
    assert app.result(says, "first") == "first"
    worker.stop()
    id = app.start(says, "between")
    assert app.status(id) == "PENDING"
    worker.start()
    assert app.wait(id).get_output() == "between"
