"""What whoever runs a server sees: its pages, its log, its end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from conftest import Connect
from harness.database import everdure
from harness.errors import refused
from harness.server import Server
from harness.waiting import eventually
from kit.database import Database
from kit.hub import Hub
from kit.worker import complete

Code = grpc.StatusCode


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = Database(server.database_url or "")
    yield database
    database.drop()


def test_paths_that_are_not_there_are_not_found(server: Server):
    """A probe of a misspelt path must not find all well."""
    assert server.ask("/healthz") == (200, "ok\n") and server.ask("/readyz") == (200, "ready\n")
    for path in ("/", "/health", "/ready", "/livez", "/metrics/"):
        for method in ("GET", "POST"):
            status, said = server.ask(path, method)
            assert status == 404 and "/readyz" in said, (path, method)
    assert server.ask("/healthz", "POST")[0] == 405
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/nobody.knows.This/Call", lambda none: b"", lambda answer: answer)
        refused(Code.UNIMPLEMENTED, call, None, timeout=30)


def test_the_metrics_show_hubs_that_rest(server: Server, second_server: Server, hub: Hub):
    """What waits in a hub that this server has not opened, and that no worker of it is there."""
    hub.start()

    def shown() -> bool:
        return 'hub="%s"' % hub.name in second_server.page("/metrics")

    eventually("the other server shows the hub", shown)
    assert second_server.metric("everdure_backlog", hub=hub.name, kind="orchestration") == 1
    assert second_server.metric("everdure_connected_workers", hub=hub.name) == 0
    line = f'everdure_connected_workers{{hub="{hub.name}"}} 0'
    assert line in second_server.page("/metrics")


def test_every_metric_has_its_meaning_and_its_kind(server: Server, hub: Hub, connect: Connect):
    id = hub.start()
    worker = connect()
    worker.end_turn(worker.turn(), complete(1))
    hub.wait(id)
    page = server.page("/metrics")
    types = re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)
    assert len(types) == len(set(types))
    assert set(types) == set(re.findall(r"^# HELP (\S+) ", page, re.MULTILINE))
    assert set(re.findall(r'kind="(\w+)"', page)) == {"orchestration", "activity", "entity"}
    assert server.metric("everdure_ended_total", status="Completed") >= 1
    assert server.metric("everdure_set_aside", hub=hub.name) == 0


def await_told(server: Server, milestone: str, times: int) -> None:
    eventually(f"'{milestone}' is told", lambda: server.whole_log().count(milestone) == times)


def test_the_log_tells_who_came_and_why_they_went(
    server: Server, servers: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, new_hub: Any, connect: Connect
):
    """One line each for the start, the workers and the end, without colours; as JSON, each is an object."""
    monkeypatch.setenv("EVERDURE_LOG", "info")
    url = server.database_url or ""
    for more in ([], ["--log", "json"]):
        watched = servers(Server.serve(url, "127.0.0.1:0", "--advertise", "here.example:4001", *more))
        hub = new_hub(watched)
        worker = connect(hub)
        await_told(watched, "a worker has connected", 1)
        worker.close()
        await_told(watched, "a worker has gone", 1)
        connect(hub)
        await_told(watched, "a worker has connected", 2)
        watched.terminate()
        assert watched.wait() == 0
        log = watched.whole_log()
        assert "\x1b" not in log
        told = {line: [part for part in log.splitlines() if line in part] for line in MILESTONES}
        assert {line: len(parts) for line, parts in told.items()} == MILESTONES, log
        assert "here.example:4001" in told["starting"][0] and "secret" not in log
        for line in told["a worker has connected"] + told["a worker has gone"]:
            assert hub.name in line and "stream" in line and "python" in line, line
        assert "127.0.0.1:" in told["a worker has connected"][0] and "Some" not in log
        assert "it ended its stream" in told["a worker has gone"][0]
        assert "this server ended its stream" in told["a worker has gone"][1]
        if more:
            assert all(json.loads(line)["level"] for line in log.splitlines())


MILESTONES = {
    "starting": 1,
    "listening": 1,
    "a worker has connected": 2,
    "a worker has gone": 2,
    "stopping": 1,
    "stopped": 1,
}


def test_a_server_that_cannot_start_says_it_once(server: Server):
    """Also when the hub of calls that name none is not among those served."""
    nowhere = "postgresql://boss:secret@127.0.0.1:1/nope"
    for hubs in ([], ["--hubs", "orders"]):
        done = everdure("serve", "--listen", "127.0.0.1:0", *hubs, database_url=nowhere, timeout=90)
        assert done.returncode == 1 and "listening" not in done.stdout
        assert done.stderr.count("check that the server runs") <= 2, done.stderr
        assert done.stderr.rstrip().splitlines()[-1].startswith("everdure: the task hub"), done.stderr
        assert ("calls that name no task hub are refused" in done.stderr) == bool(hubs), done.stderr
        assert "a request failed" not in done.stderr and "secret" not in done.stderr


def test_a_stopping_server_sends_workers_elsewhere(servers: Any, server: Server, new_hub: Any, connect: Connect):
    """With an error: SDKs connect anew at once, and for ever, when a stream just ends."""
    stopping = servers(Server.serve(server.database_url or "", "127.0.0.1:0", "--drain", "30"))
    hub = new_hub(stopping)
    worker = connect(hub)
    hub.start()
    turn = worker.turn()
    stopping.terminate()
    eventually("it drains", lambda: stopping.ask("/readyz")[0] == 503)
    late = connect(hub)
    assert late.code() == Code.UNAVAILABLE
    worker.end_turn(turn, complete(1))
    assert stopping.wait() == 0


def test_writes_that_fail_are_told_and_the_server_is_not_ready(
    servers: Callable[..., Server], database: Database, monkeypatch: pytest.MonkeyPatch, new_hub: Any
):
    monkeypatch.setenv("EVERDURE_LOG", "info")
    watched = servers(Server.serve(database.url, "127.0.0.1:0"))
    hub = new_hub(watched, "here")
    hub.start()
    assert watched.ask("/readyz") == (200, "ready\n")
    database.close()
    late = hub.calls.begin("StartInstance", pb.CreateInstanceRequest(instanceId="late", name="orch"), 60)
    eventually("it is told", lambda: "too many connections" in watched.whole_log())
    status, said = eventually("it is not ready", lambda: (page := watched.ask("/readyz"))[0] == 503 and page)
    assert status == 503 and said
    database.open()
    assert late.code() == Code.OK
    eventually("it is ready again", lambda: watched.ask("/readyz")[0] == 200)
    log = watched.whole_log()
    assert "writer" in log and "the database fails" in log and "the database works again" in log
    assert "deadpool" not in log and len(log.splitlines()) < 60, log


def test_a_database_that_only_reads_makes_the_server_not_ready(servers: Any, database: Database):
    watched = servers(Server.serve(database.url, "127.0.0.1:0"))
    database.only_reads(True)
    eventually("it is not ready", lambda: "only reads" in watched.ask("/readyz")[1])
    database.only_reads(False)
    eventually("it is ready again", lambda: watched.ask("/readyz")[0] == 200)


def test_a_stop_takes_no_longer_because_the_database_is_away(servers: Any, database: Database, new_hub: Any):
    watched = servers(Server.serve(database.url, "127.0.0.1:0", "--drain", "2"))
    hub = new_hub(watched, "here")
    hub.start()
    database.close()
    begun = time.monotonic()
    watched.terminate()
    assert watched.wait() == 0
    # The drain, five seconds for handing over, two for connections; the rest is for a busy machine.
    assert time.monotonic() - begun < 20
