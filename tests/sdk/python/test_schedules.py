"""Scheduled tasks: orchestrations that the SDK starts again and again."""

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from durabletask import task
from durabletask.client import OrchestrationQuery
from durabletask.scheduled import (
    AsyncScheduleClient,
    AsyncScheduledTaskClient,
    ScheduleClient,
    ScheduleCreationOptions,
    ScheduleDescription,
    ScheduledTaskClient,
    ScheduleQuery,
    ScheduleStatus,
    ScheduleUpdateOptions,
)
from durabletask.scheduled.exceptions import ScheduleNotFoundError

from harness.waiting import eventually
from support.app import App, new_id

SECOND = timedelta(seconds=1)


def tick(_: task.OrchestrationContext, input: Any):
    return {"ticked": input}


@pytest.fixture
def schedules(app: App) -> ScheduledTaskClient:
    app.worker([tick], before_start=lambda worker: worker.configure_scheduled_tasks())
    return ScheduledTaskClient(app.client, operation_timeout=45)


def runs(app: App, schedule_id: str) -> list[str]:
    """The instances that a schedule has started and that have ended well."""
    query = OrchestrationQuery(instance_id_prefix=f"{schedule_id}-", fetch_inputs_and_outputs=True)
    states = app.client.get_all_orchestration_states(query)
    return [state.get_output()["ticked"] for state in states if state.runtime_status.name == "COMPLETED"]


def test_a_schedule_runs_again_and_again(app: App, schedules: ScheduledTaskClient):
    id = new_id("often")
    before = datetime.now(timezone.utc)
    schedule = schedules.create_schedule(
        ScheduleCreationOptions(id, "tick", SECOND, orchestration_input={"n": 1}, start_immediately_if_late=True)
    )
    assert isinstance(schedule, ScheduleClient) and schedule.schedule_id == id
    eventually("it ran three times", lambda: len(runs(app, id)) >= 3)
    assert all(run == {"n": 1} for run in runs(app, id))
    # Three runs of a schedule that begins at once and goes by the second take two seconds at least.
    assert datetime.now(timezone.utc) - before >= 2 * SECOND
    described = schedule.describe()
    assert isinstance(described, ScheduleDescription)
    assert described.status is ScheduleStatus.ACTIVE and described.interval == SECOND
    assert described.orchestration_name == "tick" and described.orchestration_input == {"n": 1}
    assert described.last_run_at is not None and described.next_run_at is not None and described.execution_token
    schedule.delete()
    assert schedules.get_schedule(id) is None


def test_pause_update_resume_delete(app: App, schedules: ScheduledTaskClient):
    id = new_id("pausing")
    later = datetime.now(timezone.utc) + timedelta(days=1)
    schedule = schedules.create_schedule(ScheduleCreationOptions(id, "tick", timedelta(hours=1), start_at=later))
    described = schedules.get_schedule(id)
    assert described is not None and described.start_at == later
    schedule.pause()
    assert schedule.describe().status is ScheduleStatus.PAUSED
    with pytest.raises(RuntimeError, match="pause_schedule"):
        schedule.pause()
    schedule.update(
        ScheduleUpdateOptions(
            interval=SECOND, start_at=datetime.now(timezone.utc), orchestration_input="changed",
            start_immediately_if_late=True,
        )
    )  # fmt: skip
    assert schedule.describe().interval == SECOND and schedule.describe().status is ScheduleStatus.PAUSED
    assert runs(app, id) == []
    schedule.resume()
    eventually("it runs", lambda: len(runs(app, id)) >= 2)
    assert set(runs(app, id)) == {"changed"}
    schedule.delete()
    eventually("it is gone", lambda: schedules.get_schedule(id) is None)
    with pytest.raises(ScheduleNotFoundError):
        schedule.describe()


def test_a_schedule_with_an_end_deletes_itself(app: App, schedules: ScheduledTaskClient):
    id = new_id("ending")
    now = datetime.now(timezone.utc)
    options = ScheduleCreationOptions(id, "tick", SECOND, orchestration_input=1, end_at=now + 1.5 * SECOND)
    schedules.create_schedule(options)
    eventually("it has deleted itself", lambda: schedules.get_schedule(id) is None)
    assert len(runs(app, id)) <= 2


def test_an_id_of_the_schedules_choice(app: App, schedules: ScheduledTaskClient):
    id, instance = new_id("fixed"), new_id("always the same")
    schedules.create_schedule(
        ScheduleCreationOptions(
            id, "tick", timedelta(hours=1), "x", orchestration_instance_id=instance, start_immediately_if_late=True
        )
    )
    eventually("the instance is there", lambda: app.client.get_orchestration_state(instance))
    assert app.wait(instance).get_output() == {"ticked": "x"}


def test_schedules_are_listed(app: App, schedules: ScheduledTaskClient):
    stem = new_id("list")
    later = datetime.now(timezone.utc) + timedelta(days=1)
    for number in range(5):
        schedules.create_schedule(
            ScheduleCreationOptions(f"{stem}-{number}", "tick", timedelta(hours=1), start_at=later)
        )
    schedules.get_schedule_client(f"{stem}-3").pause()

    def listed(**query: Any) -> set[str]:
        found = schedules.list_schedules(ScheduleQuery(**query))
        return {each.schedule_id.removeprefix(f"{stem}-") for each in found}

    assert len(schedules.list_schedules()) == 5
    assert listed(page_size=2) == {"0", "1", "2", "3", "4"}
    assert listed(schedule_id_prefix=f"{stem}-4") == {"4"}
    assert listed(status=ScheduleStatus.PAUSED) == {"3"}
    assert listed(status=ScheduleStatus.ACTIVE, created_from=datetime(2001, 1, 1)) == {"0", "1", "2", "4"}
    assert listed(created_to=datetime(2001, 1, 1)) == set()


def test_the_asynchronous_client_of_schedules(app: App, schedules: ScheduledTaskClient):
    async def run() -> None:
        async with app.async_client() as client:
            async_schedules = AsyncScheduledTaskClient(client, operation_timeout=45)
            id = new_id("async")
            options = ScheduleCreationOptions(id, "tick", SECOND, "a", start_immediately_if_late=True)
            schedule = await async_schedules.create_schedule(options)
            assert isinstance(schedule, AsyncScheduleClient)
            # To create what is there is to write it anew.
            await schedule.create(options)
            assert schedule.schedule_id == async_schedules.get_schedule_client(id).schedule_id == id
            while len(runs(app, id)) < 1:
                await asyncio.sleep(0.05)
            await schedule.pause()
            assert (await schedule.describe()).status is ScheduleStatus.PAUSED
            await schedule.update(ScheduleUpdateOptions(interval=timedelta(hours=2)))
            await schedule.resume()
            assert [each.interval for each in await async_schedules.list_schedules()] == [timedelta(hours=2)]
            await schedule.delete()
            assert await async_schedules.get_schedule(id) is None

    asyncio.run(run())
