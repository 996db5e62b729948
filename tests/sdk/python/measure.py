"""Measures the server under the Python SDK: `measure.sh [orchestrations]`.

Prints, as JSON, how many orchestrations of five activities two Python workers and two clients, a process each, got through,
the processor time of the server beside theirs (PostgreSQL is apart), and how many transactions 10,000 waiting clients cost. A measurement and no test: nothing here passes or fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import grpc
from durabletask import client, task, worker
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

from harness.database import transactions
from harness.server import Server

WAITERS = 10_000
# Workers, and clients.
PROCESSES = 2


def step(_: task.ActivityContext, number: int) -> int:
    return number + 1


def sequence(ctx: task.OrchestrationContext, number: int):
    for _ in range(5):
        number = yield ctx.call_activity(step, input=number)
    return number


def processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def work(address: str) -> None:
    with worker.TaskHubGrpcWorker(host_address=address) as taking:
        taking.add_activity(step)
        taking.add_orchestrator(sequence)
        taking.start()
        threading.Event().wait()


def ask(address: str, count: int) -> None:
    """Prints the processor time that it took."""
    with client.TaskHubGrpcClient(host_address=address) as asking:
        ids = [asking.schedule_new_orchestration(sequence, input=1) for _ in range(count)]
        for instance in ids:
            state = asking.wait_for_orchestration_completion(instance, timeout=300)
            assert state is not None and state.serialized_output == "6"
    print(time.process_time())


def process(*arguments: str) -> subprocess.Popen[str]:
    said = [sys.executable, "-B", __file__, *arguments]
    return subprocess.Popen(said, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def under_load(server: Server, count: int) -> dict[str, float]:
    workers = [process("work", server.address) for _ in range(PROCESSES)]
    try:
        time.sleep(3)
        begun = time.monotonic()
        before = [processor_seconds(pid) for pid in (server.pid, *(one.pid for one in workers))]
        clients = [process("ask", server.address, str(count // PROCESSES)) for _ in range(PROCESSES)]
        asking = sum(float(one.communicate()[0]) for one in clients)
        seconds = time.monotonic() - begun
        after = [processor_seconds(pid) for pid in (server.pid, *(one.pid for one in workers))]
    finally:
        for one in workers:
            one.kill()
            one.wait()
    spent = [late - early for late, early in zip(after, before)]
    own = asking + sum(spent[1:])
    return {
        "orchestrations_per_second": round(count / seconds, 1),
        "server_cpu_seconds": round(spent[0], 2),
        "python_cpu_seconds": round(own, 2),
        "server_share_of_python": round(spent[0] / own, 3),
    }


def waiting(server: Server) -> dict[str, float]:
    assert server.database_url is not None
    with grpc.insecure_channel(server.address) as channel:
        stub = stubs.TaskHubSidecarServiceStub(channel)
        stub.StartInstance(pb.CreateInstanceRequest(instanceId="awaited", name="nobody runs it"))
        request = pb.GetInstanceRequest(instanceId="awaited")
        calls = [stub.WaitForInstanceCompletion.future(request) for _ in range(WAITERS)]
        # Sessions that have become idle tell of their last transactions up to ten seconds late.
        time.sleep(15)
        before, begun = transactions(server.database_url), time.monotonic()
        cpu = processor_seconds(server.pid)
        time.sleep(20)
        seconds = time.monotonic() - begun
        done = transactions(server.database_url) - before
        cpu = processor_seconds(server.pid) - cpu
        stub.TerminateInstance(pb.TerminateRequest(instanceId="awaited"))
        ended = time.monotonic()
        assert all(call.result(timeout=60).exists for call in calls)
        ended = time.monotonic() - ended
    return {
        "waiters": WAITERS,
        "transactions_per_second": round(done / seconds, 2),
        "server_cpu_share": round(cpu / seconds, 3),
        "seconds_until_all_heard_of_the_end": round(ended, 2),
    }


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        return work(sys.argv[2])
    if sys.argv[1:2] == ["ask"]:
        return ask(sys.argv[2], int(sys.argv[3]))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    server = Server.dev()
    try:
        print(json.dumps({"under_load": under_load(server, count), "waiting": waiting(server)}, indent=2))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
