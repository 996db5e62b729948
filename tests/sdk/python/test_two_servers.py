"""Two servers on one database, with clients and workers on either."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
from durabletask import history, task
from durabletask.entities import EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.server import Server
from harness.waiting import eventually
from support.app import App, new_id
from support.counters import counter
from support.histories import of_kind
from support.programs import Programs


def double(_: task.ActivityContext, number: int) -> int:
    return number * 2


def doubled(ctx: task.OrchestrationContext, number: int):
    return (yield ctx.call_activity(double, input=number))


def waits(ctx: task.OrchestrationContext, _: Any):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("go"))


def test_c92_the_client_here_and_the_worker_there(app: App, second_server: Server):
    app.worker([doubled], [double], address=second_server.address)
    assert [app.result(doubled, number) for number in range(10)] == [number * 2 for number in range(10)]


def test_c92_a_wait_here_ends_when_it_completes_there(app: App, second_server: Server):
    app.worker([waits])
    there = app.new_client(second_server.address)
    id = app.start(waits)
    outputs: list[Any] = []

    def wait(client: Any) -> None:
        state = client.wait_for_orchestration_completion(id, timeout=45)
        outputs.append(state.get_output())

    waiters = [threading.Thread(target=wait, args=(client,)) for client in (app.client, there) * 5]
    for waiter in waiters:
        waiter.start()
    app.await_custom_status(id, "waiting")
    there.raise_orchestration_event(id, "go", data="from there")
    for waiter in waiters:
        waiter.join(60)
    assert outputs == ["from there"] * 10


def test_c92_nothing_is_done_twice(app: App, second_server: Server):
    runs: list[tuple[str, int]] = []
    lock = threading.Lock()

    def on(where: str) -> Callable[..., int]:
        def counted(_: task.ActivityContext, number: int) -> int:
            with lock:
                runs.append((where, number))
            return number

        return counted

    def fan(ctx: task.OrchestrationContext, start: int):
        numbers = range(start, start + 20)
        return (yield task.when_all([ctx.call_activity("counted", input=number) for number in numbers]))

    app.worker([fan], [on("here")])
    app.worker([fan], [on("there")], address=second_server.address)
    # One that comes later than the other has begun may find nothing left.
    for each in (app.server, second_server):
        each.await_workers(app.hub, 1)
    there = app.new_client(second_server.address)
    ids = [
        (there if number % 2 else app.client).schedule_new_orchestration(fan, input=number * 20) for number in range(20)
    ]
    for number, id in enumerate(ids):
        assert app.wait(id).get_output() == list(range(number * 20, number * 20 + 20))
    assert sorted(number for _, number in runs) == list(range(400))
    # Both had a part in it: work goes to whoever has room.
    assert {where for where, _ in runs} == {"here", "there"}


def test_c92_entities_from_both_sides(app: App, second_server: Server):
    app.worker(entities=[counter])
    app.worker(entities=[counter], address=second_server.address)
    entity = EntityInstanceId("counter", new_id())
    there = app.new_client(second_server.address)
    for _ in range(50):
        app.client.signal_entity(entity, "add", 1)
        there.signal_entity(entity, "add", 1)

    def hundred() -> bool:
        seen = [client.get_entity(entity) for client in (app.client, there)]
        return [each.get_typed_state() for each in seen if each] == [100, 100]

    eventually("both see a hundred", hundred)


def test_c92_one_server_dies_and_the_other_takes_over(
    app: App, server: Server, servers: Callable[[Server], Server], programs: Programs
):
    assert server.database_url
    dying = servers(Server.serve(server.database_url))
    first = programs.start(app, dying.address)
    id = app.start("steps")
    programs.await_run("second")
    # The server goes, and its worker with it: as when a machine is lost.
    dying.kill()
    programs.kill(first)
    other = programs.start(app)
    programs.open_gate()
    assert app.wait(id, timeout=120).get_output() == ["first done", "second done", "third done"]
    assert programs.runners("second")[-1] == other.pid
    assert programs.runs().count("first") == programs.runs().count("third") == 1
    assert len(of_kind(app.client.get_orchestration_history(id), history.TaskCompletedEvent)) == 3


def test_starts_on_both_sides_of_one_id(app: App, second_server: Server):
    there = app.new_client(second_server.address)
    for _ in range(10):
        id = new_id()
        outcomes: list[str] = []

        def start(client: Any, id: str = id, outcomes: list[str] = outcomes) -> None:
            try:
                outcomes.append(client.schedule_new_orchestration("nobody", instance_id=id))
            except grpc.RpcError as error:
                outcomes.append(error.code().name)  # type: ignore[attr-defined]

        starts = [threading.Thread(target=start, args=(client,)) for client in (app.client, there)]
        for each in starts:
            each.start()
        for each in starts:
            each.join()
        assert sorted(outcomes) == sorted(["ALREADY_EXISTS", id])


def test_c76_c92_a_hub_deleted_here_begins_anew_there(new_app: Callable[..., App], second_server: Server):
    app = new_app()
    there = app.new_client(second_server.address)
    worker = app.worker([doubled], [double], address=second_server.address)
    id = there.schedule_new_orchestration(doubled, input=4)
    assert app.wait(id).get_output() == 8
    app.stop_worker(worker)
    app.stub.DeleteTaskHub(pb.DeleteTaskHubRequest())

    def gone() -> bool:
        try:
            return there.get_orchestration_state(id) is None
        except grpc.RpcError as error:
            # It may take the other server a moment to notice; but it has to.
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error  # type: ignore[attr-defined]
            return False

    eventually("the other server has noticed", gone)
    app.worker([doubled], [double], address=second_server.address)
    id = there.schedule_new_orchestration(doubled, input=5)
    state = there.wait_for_orchestration_completion(id, timeout=45)
    assert state is not None and state.get_output() == 10
