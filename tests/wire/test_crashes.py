"""kill -9 of the server at many points, and a restart of its database, with a worker that keeps count."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from harness.database import query
from harness.server import Server
from harness.waiting import eventually
from kit.hub import COMPLETED, Hub
from kit.worker import Worker, call, complete, every_event, kinds

STEPS = 5


class Town:
    """Clients and a worker of one server, which connect anew for as long as it takes; each orchestration has five steps."""

    def __init__(self) -> None:
        self.address = ""
        self.stop = threading.Event()
        self.accepted: set[str] = set()
        # Those of them that are waited for; when the clients stop, others may be half done.
        self.counted: set[str] = set()
        self.answered: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self.work), threading.Thread(target=self.start)]

    def begin(self, address: str) -> None:
        self.address = address
        for thread in self.threads:
            thread.start()

    def start(self) -> None:
        """Starts instances one after another; an answer that was lost is asked for again, under the same id."""
        number = 0
        # Refuses an id also when its instance has ended: asked for again, that one would run anew.
        once = pb.OrchestrationIdReusePolicy()
        while not self.stop.is_set():
            hub = Hub(self.address, "town")
            try:
                while not self.stop.is_set():
                    id = f"i-{number}"
                    request = pb.CreateInstanceRequest(instanceId=id, name="orch", orchestrationIdReusePolicy=once)
                    hub.calls.StartInstance(request, 5)
                    self.accepted.add(id)
                    number += 1
                    time.sleep(0.02)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.ALREADY_EXISTS:  # type: ignore[attr-defined]
                    self.accepted.add(id)
                    number += 1
                time.sleep(0.1)
            finally:
                hub.close(delete=False)

    def work(self) -> None:
        while not self.stop.is_set():
            hub = Hub(self.address, "town")
            worker = Worker(hub.connect())
            try:
                while not self.stop.is_set() and not worker.ended.is_set():
                    if worker.waiting:
                        self.answer(worker, worker.next())
                    else:
                        time.sleep(0.002)
            except grpc.RpcError:
                # The server is gone; another one comes.
                pass
            finally:
                worker.close()
                hub.close(delete=False)
            # Streams to a server that is away end at once: who goes on trying takes time from the one that starts.
            time.sleep(0.1)

    def answer(self, worker: Worker, item: pb.WorkItem) -> None:
        if item.HasField("activityRequest"):
            request = item.activityRequest
            worker.end_activity(item, str(request.taskId))
            # Counted when the server has said that it is durable.
            self.answered[f"{request.orchestrationInstance.instanceId}/{request.taskId}"] += 1
            return
        done = kinds(every_event(item)).count("taskCompleted")
        asked = kinds(every_event(item)).count("taskScheduled")
        step = [complete(STEPS, str(done))] if done == STEPS else [call(done)] if asked == done else []
        worker.end_turn(item, *step)

    def await_more(self, timeout: float = 90) -> None:
        """Waits until more is accepted: work goes on."""
        enough = len(self.accepted) + 20
        eventually("work goes on", lambda: len(self.accepted) >= enough, timeout=timeout)

    def await_all(self, address: str) -> Hub:
        """Waits for the end of all that is accepted by now: that is what counts."""
        hub = Hub(address, "town")
        self.counted = set(self.accepted)
        for id in self.counted:
            hub.wait(id, 90)
        return hub

    def check(self, hub: Hub) -> None:
        """Each that was accepted is there and ended; each step stands in its history once."""
        for id in sorted(self.counted):
            state = hub.wait(id, 60)
            assert state.orchestrationStatus == COMPLETED and state.output.value == str(STEPS), id
        for id in sorted(self.counted)[:: max(1, len(self.counted) // 40)]:
            events = hub.history(id)
            scheduled = [event.eventId for event in events if event.HasField("taskScheduled")]
            results = [event.taskCompleted.taskScheduledId for event in events if event.HasField("taskCompleted")]
            assert scheduled == results == list(range(STEPS)), id
            assert kinds(events).count("executionCompleted") == 1
        twice = {key: count for key, count in self.answered.items() if count > 1}
        assert not twice, f"answered, acknowledged, and asked for again: {twice}"

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(60)


def test_c67_kill_9_at_any_point(servers: Callable[[Server], Server], data_dir: Path):
    """Four times, at moments that no one chose; the data directory is all that the next server has."""
    town = Town()
    running = servers(Server.dev(data_dir))
    town.begin(running.address)
    try:
        for round in range(4):
            town.await_more()
            time.sleep(0.037 * round)
            running.kill()
            running = servers(Server.dev(data_dir))
            town.address = running.address
        town.await_more()
        hub = town.await_all(running.address)
    finally:
        town.end()
    town.check(hub)
    hub.close(delete=False)
    running.assert_well()


def test_c68_the_database_is_restarted(servers: Callable[[Server], Server], data_dir: Path):
    """Its postmaster ends at once, as in a crash, and is started again: streams live or come again, nothing is lost."""
    home = servers(Server.dev(data_dir))
    url = home.database_url or ""
    town = Town()
    running = servers(Server.serve(url))
    town.begin(running.address)
    try:
        town.await_more()
        for _ in range(2):
            # All sessions end, in the middle of whatever they do.
            query(url, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
            town.await_more()
        port = home.database_url
        home.kill()
        time.sleep(0.5)
        home = servers(Server.dev(data_dir))
        assert home.database_url == port, "a restart on the same directory has the same URL"
        town.await_more(120)
        hub = town.await_all(running.address)
    finally:
        town.end()
    town.check(hub)
    hub.close(delete=False)
    running.assert_well()
    # Before its database goes.
    running.stop()
