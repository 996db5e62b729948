"""Versions: what workers take, what they do with the rest."""

import logging
import time
from typing import Any

import pytest
from durabletask import history, task
from durabletask.worker import TaskHubGrpcWorker, VersionFailureStrategy, VersioningOptions, VersionMatchStrategy

from harness.waiting import eventually
from support.app import App
from support.histories import only

NONE, STRICT, OLDER = VersionMatchStrategy.NONE, VersionMatchStrategy.STRICT, VersionMatchStrategy.CURRENT_OR_OLDER
FAIL, REJECT = VersionFailureStrategy.FAIL, VersionFailureStrategy.REJECT


def which(ctx: task.OrchestrationContext, _: Any):
    return ctx.version


def child_version(ctx: task.OrchestrationContext, _: Any):
    explicit = yield ctx.call_sub_orchestrator(which, version="7.7")
    default = yield ctx.call_sub_orchestrator(which)
    return [ctx.version, explicit, default]


def versioned(app: App, version: str | None, match: VersionMatchStrategy, failure: VersionFailureStrategy, **more: Any):
    options = VersioningOptions(version=version, match_strategy=match, failure_strategy=failure, **more)

    def set_up(worker: TaskHubGrpcWorker) -> None:
        worker.use_versioning(options)

    return app.worker([which, child_version], before_start=set_up)


@pytest.mark.parametrize(
    ("match", "version", "taken"),
    [
        (NONE, "9.9", True),
        (NONE, None, True),
        (STRICT, "2.0", True),
        (STRICT, "1.9", False),
        (STRICT, "2.1", False),
        (STRICT, None, False),
        (OLDER, "2.0", True),
        (OLDER, "1.10", True),
        (OLDER, "1.9", True),
        (OLDER, None, True),
        (OLDER, "2.0.1", False),
        (OLDER, "10", False),
    ],
)
def test_a_worker_that_fails_what_it_does_not_take(app: App, match: VersionMatchStrategy, version: str, taken: bool):
    versioned(app, "2.0", match, FAIL)
    state = app.run(which, version=version)
    if taken:
        assert state.runtime_status.name == "COMPLETED" and state.get_output() == version
    else:
        assert state.failure_details is not None
        assert state.failure_details.error_type == "VersionMismatch"
        assert f"'{version}'" in state.failure_details.message


@pytest.mark.parametrize(("match", "version"), [(STRICT, "1.9"), (STRICT, None), (OLDER, "2.0.1")])
def test_a_worker_that_rejects_leaves_it_to_others(app: App, match: VersionMatchStrategy, version: str | None):
    versioned(app, "2.0", match, REJECT)
    id = app.start(which, version=version)
    # What it does take comes through although something else is rejected all the time.
    assert app.result(which, version="2.0") == "2.0"
    assert app.status(id) == "PENDING"
    app.worker([which])
    assert app.wait(id).get_output() == version


def test_c41_a_rejecting_worker_does_not_spin(app: App):
    """An item that is handed back comes again, but with growing pauses."""
    rejections: list[float] = []

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Abandoning" in record.getMessage():
                rejections.append(time.monotonic())

    logger = logging.getLogger("everdure.tests.rejections")
    logger.setLevel("INFO")
    logger.propagate = False
    logger.addHandler(Counting())
    options = VersioningOptions(version="2.0", match_strategy=STRICT, failure_strategy=REJECT)
    app.worker([which], before_start=lambda worker: worker.use_versioning(options), logger=logger)
    id = app.start(which, version="1.0")
    eventually("it was handed back three times", lambda: len(rejections) >= 3)
    # About 1 s and 2 s lie between: far from what a worker in a circle would need.
    assert rejections[2] - rejections[0] > 1.5
    assert app.status(id) == "PENDING"
    assert app.result(which, version="2.0") == "2.0"
    app.client.terminate_orchestration(id)


def test_the_default_version_of_children(app: App):
    versioned(app, "2.0", NONE, FAIL, default_version="5.5")
    id = app.start(child_version, version="1.0")
    assert app.wait(id).get_output() == ["1.0", "7.7", "5.5"]
    started = only(app.client.get_orchestration_history(f"{id}:0002"), history.ExecutionStartedEvent)
    assert started.version == "5.5"


def test_children_without_a_version_have_none(app: App):
    app.worker([which, child_version])
    assert app.result(child_version, version="1.0") == ["1.0", "7.7", None]


def test_two_workers_of_two_versions(app: App):
    def old(ctx: task.OrchestrationContext, _: Any):
        return f"old code for {ctx.version}"

    def new(ctx: task.OrchestrationContext, _: Any):
        return f"new code for {ctx.version}"

    old.__name__ = new.__name__ = "migrating"
    for function, version in ((old, "1.0"), (new, "2.0")):
        options = VersioningOptions(version=version, match_strategy=STRICT, failure_strategy=REJECT)

        def set_up(worker: TaskHubGrpcWorker, options: VersioningOptions = options) -> None:
            worker.use_versioning(options)
            worker.use_work_item_filters()

        app.worker([function], before_start=set_up)
    ids = [(version, app.start("migrating", version=version)) for version in ("1.0", "2.0") * 5]
    for version, id in ids:
        age = "old" if version == "1.0" else "new"
        assert app.wait(id).get_output() == f"{age} code for {version}"
