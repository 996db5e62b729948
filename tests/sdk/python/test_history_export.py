"""The SDK's export of histories, to a writer of our own."""

import asyncio
import gzip
import json
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.extensions.history_export import (
    AsyncExportHistoryClient,
    AsyncExportHistoryJobClient,
    ExportDestination,
    ExportFormat,
    ExportFormatKind,
    ExportHistoryClient,
    ExportHistoryJobClient,
    ExportJobCreationOptions,
    ExportJobDescription,
    ExportJobNotFoundError,
    ExportJobQuery,
    ExportJobStatus,
    ExportMode,
    HistoryWriter,
)
from durabletask.extensions.history_export import orchestrator as export_orchestrator

from harness.waiting import eventually
from support.app import App, new_id


class MemoryWriter:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.files: dict[str, dict[str, Any]] = {}

    def write(
        self, *, instance_id: str, container: str, blob_name: str, payload: bytes, content_type: str,
        content_encoding: str | None, metadata: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        with self._lock:
            self.files[instance_id] = {
                "container": container, "name": blob_name, "payload": payload, "type": content_type,
                "encoding": content_encoding, "metadata": dict(metadata or {}),
            }  # fmt: skip


def work(_: task.ActivityContext, number: int) -> int:
    return number + 1


def job(ctx: task.OrchestrationContext, number: int):
    if number < 0:
        raise ValueError("negative")
    return (yield ctx.call_activity(work, input=number))


@pytest.fixture
def writer() -> MemoryWriter:
    return MemoryWriter()


@pytest.fixture
def exports(app: App, writer: MemoryWriter) -> ExportHistoryClient:
    exports = ExportHistoryClient(app.client, writer)
    app.worker([job], [work], before_start=exports.register_worker)
    return exports


def window(**more: Any) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    return {"completed_time_from": now - timedelta(hours=1), "completed_time_to": now + timedelta(minutes=5), **more}


def run_jobs(app: App, count: int) -> list[str]:
    ids = [app.start(job, number, instance_id=new_id("job")) for number in range(count)]
    for id in ids:
        app.wait(id)
    return ids


def test_a_batch_of_many_pages(app: App, exports: ExportHistoryClient, writer: MemoryWriter):
    ids = run_jobs(app, 23)
    options = ExportJobCreationOptions(
        mode=ExportMode.BATCH, destination=ExportDestination("archive", prefix="2024"), max_instances_per_batch=5,
        max_parallel_exports=3, **window(completed_time_to=datetime.now(timezone.utc)),
    )  # fmt: skip
    created = exports.create_job(options)
    described = exports.wait_for_job(created.job_id, timeout=60, poll_interval=0.1)
    assert isinstance(described, ExportJobDescription) and isinstance(writer, HistoryWriter)
    assert described.status is ExportJobStatus.COMPLETED, described
    assert described.exported_instances == 23 and described.failed_instances == 0
    assert set(writer.files) == set(ids)
    file = writer.files[ids[4]]
    assert file["container"] == "archive" and file["name"].startswith("2024/") and file["encoding"] == "gzip"
    assert file["metadata"] == {"instance_id": ids[4]}
    lines = [json.loads(line) for line in gzip.decompress(file["payload"]).decode().splitlines()]
    text = json.dumps(lines)
    assert ids[4] in text and "TaskCompleted" in text and "ExecutionCompleted" in text


def test_by_status_and_as_plain_json(app: App, exports: ExportHistoryClient, writer: MemoryWriter):
    run_jobs(app, 2)
    failed = app.start(job, -1)
    app.wait(failed)
    options = ExportJobCreationOptions(
        mode=ExportMode.BATCH, destination=ExportDestination("c"), format=ExportFormat(ExportFormatKind.JSON),
        runtime_status=[OrchestrationStatus.FAILED], **window(completed_time_to=datetime.now(timezone.utc)),
    )  # fmt: skip
    job_client = exports.get_job_client(exports.create_job(options, job_id="failures").job_id)
    assert isinstance(job_client, ExportHistoryJobClient)
    assert job_client.wait(timeout=60, poll_interval=0.1).status is ExportJobStatus.COMPLETED
    assert list(writer.files) == [failed] and writer.files[failed]["encoding"] is None
    assert "negative" in writer.files[failed]["payload"].decode()
    described = job_client.describe()
    assert described is not None and described.job_id == job_client.job_id == "failures"
    assert described.orchestrator_instance_id == job_client.orchestrator_instance_id
    listed = list(exports.list_jobs(ExportJobQuery(status=[ExportJobStatus.COMPLETED], page_size=1)))
    assert [each.job_id for each in listed] == ["failures"]
    assert list(exports.list_jobs(ExportJobQuery(status=[ExportJobStatus.FAILED]))) == []
    job_client.delete()
    eventually("the job is gone", lambda: exports.get_job("failures") is None)
    assert app.client.get_orchestration_state(job_client.orchestrator_instance_id) is None


def test_a_continuous_export_is_cancelled(app: App, exports: ExportHistoryClient, writer: MemoryWriter):
    ids = run_jobs(app, 3)
    options = ExportJobCreationOptions(
        mode=ExportMode.CONTINUOUS, destination=ExportDestination("tail"),
        completed_time_from=datetime.now(timezone.utc) - timedelta(hours=1),
    )  # fmt: skip
    created = exports.create_job(options, job_id="tail")
    eventually("what is there is written", lambda: set(ids) <= set(writer.files))
    described = exports.get_job(created.job_id)
    assert described is not None and described.status is ExportJobStatus.ACTIVE
    exports.cancel_job("tail")
    eventually("the job is gone", lambda: exports.get_job("tail") is None)
    with pytest.raises(ExportJobNotFoundError):
        exports.wait_for_job("tail", timeout=0.3, poll_interval=0.1)


def test_a_writer_that_fails(
    app: App, exports: ExportHistoryClient, writer: MemoryWriter, monkeypatch: pytest.MonkeyPatch
):
    """The pauses between the SDK's attempts are minutes; it has a variable for tests that want them short."""
    monkeypatch.setattr(export_orchestrator, "_BATCH_RETRY_BACKOFF_OVERRIDE", timedelta(milliseconds=50))
    attempts: list[str] = []

    def write(*, instance_id: str, **_: Any) -> None:
        attempts.append(instance_id)
        raise OSError("the disk is full")

    monkeypatch.setattr(writer, "write", write)
    (id,) = run_jobs(app, 1)
    options = ExportJobCreationOptions(
        mode=ExportMode.BATCH, destination=ExportDestination("c"),
        **window(completed_time_to=datetime.now(timezone.utc)),
    )  # fmt: skip
    described = exports.wait_for_job(exports.create_job(options).job_id, timeout=60, poll_interval=0.1)
    assert described.status is ExportJobStatus.FAILED and described.failed_instances == 1
    assert described.last_error and "the disk is full" in described.last_error
    assert attempts == [id] * export_orchestrator.MAX_BATCH_RETRY_ATTEMPTS


def test_the_asynchronous_client_of_exports(app: App, exports: ExportHistoryClient, writer: MemoryWriter):
    ids = run_jobs(app, 3)

    async def run() -> None:
        async with app.async_client() as client:
            async_exports = AsyncExportHistoryClient(client, writer)
            options = ExportJobCreationOptions(
                mode=ExportMode.BATCH, destination=ExportDestination("a"),
                **window(completed_time_to=datetime.now(timezone.utc)),
            )  # fmt: skip
            created = await async_exports.create_job(options, job_id="async")
            described = await async_exports.wait_for_job(created.job_id, timeout=60, poll_interval=0.1)
            assert described.status is ExportJobStatus.COMPLETED and described.exported_instances == 3
            job_client = async_exports.get_job_client("async")
            assert (await job_client.describe()) == described
            assert [each.job_id async for each in async_exports.list_jobs()] == ["async"]
            assert isinstance(job_client, AsyncExportHistoryJobClient)
            await async_exports.delete_job("async")
            while await async_exports.get_job("async") is not None:
                await asyncio.sleep(0.05)

    asyncio.run(run())
    assert set(writer.files) == set(ids)
