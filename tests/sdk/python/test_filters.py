"""Work-item filters: workers get what they asked for, and the rest waits."""

from typing import Any

import pytest
from durabletask import task
from durabletask.worker import (
    ActivityWorkItemFilter,
    EntityWorkItemFilter,
    OrchestrationWorkItemFilter,
    TaskHubGrpcWorker,
    VersioningOptions,
    VersionMatchStrategy,
    WorkItemFilters,
)

from support.app import App


def red(_: task.OrchestrationContext, input: Any):
    return f"red {input}"


def blue(_: task.OrchestrationContext, input: Any):
    return f"blue {input}"


def paint(_: task.ActivityContext, colour: str) -> str:
    return f"painted {colour}"


def house(ctx: task.OrchestrationContext, colour: str):
    return (yield ctx.call_activity(paint, input=colour))


def filtered(filters: WorkItemFilters | None = None):
    """Sets explicit filters, or those that the SDK makes from what is registered."""

    def set_up(worker: TaskHubGrpcWorker) -> None:
        if filters is None:
            worker.use_work_item_filters()
        else:
            worker.use_work_item_filters(filters)

    return set_up


def orchestrations(*names: str, versions: list[str] | None = None) -> list[OrchestrationWorkItemFilter]:
    return [OrchestrationWorkItemFilter(name, versions or []) for name in names]


def test_c40_automatic_filters_keep_workers_apart(app: App):
    app.worker([red], before_start=filtered())
    app.worker([blue], before_start=filtered())
    ids = [(name, app.start(name, number)) for number in range(10) for name in ("red", "blue")]
    for position, (name, id) in enumerate(ids):
        assert app.wait(id).get_output() == f"{name} {position // 2}"


def test_c40_what_nobody_takes_waits_and_holds_nothing_up(app: App):
    app.worker([red], before_start=filtered())
    waiting = [app.start(blue, number) for number in range(20)]
    assert app.result(red, "first") == "red first"
    assert {app.status(id) for id in waiting} == {"PENDING"}
    app.worker([blue], before_start=filtered())
    assert [app.wait(id).get_output() for id in waiting] == [f"blue {number}" for number in range(20)]


def test_c40_activities_go_where_they_are_known(app: App):
    """One worker has the orchestrator only, the other the activity only."""
    app.worker([house], before_start=filtered())
    id = app.start(house, "white")
    app.await_status(id, "RUNNING")
    app.worker([], [paint], before_start=filtered())
    assert app.wait(id).get_output() == "painted white"


def test_c40_an_empty_category_means_nothing_of_it(app: App):
    only_orchestrations = WorkItemFilters(orchestrations=orchestrations("house"))
    assert only_orchestrations.activities == [] and only_orchestrations.entities == []
    app.worker([house], [paint], before_start=filtered(only_orchestrations))
    id = app.start(house, "white")
    app.await_status(id, "RUNNING")
    # The activity is registered, but the filter says no.
    with pytest.raises(TimeoutError):
        app.client.wait_for_orchestration_completion(id, timeout=1)
    app.worker([], [paint], before_start=filtered())
    assert app.wait(id).get_output() == "painted white"


def test_c40_versions_that_are_listed(app: App):
    app.worker([red], before_start=filtered(WorkItemFilters(orchestrations=orchestrations("red", versions=["1", "2"]))))
    others = [app.start(red, "x", version=version) for version in ("3", None)]
    assert app.result(red, "a", version="1") == "red a"
    assert app.result(red, "b", version="2") == "red b"
    assert {app.status(id) for id in others} == {"PENDING"}
    app.worker([red], before_start=filtered(WorkItemFilters(orchestrations=orchestrations("red"))))
    assert {app.wait(id).get_output() for id in others} == {"red x"}


def test_c40_no_version_is_the_empty_one(app: App):
    app.worker([red], before_start=filtered(WorkItemFilters(orchestrations=orchestrations("red", versions=["", "5"]))))
    other = app.start(red, "other", version="6")
    assert app.result(red, "none") == "red none"
    assert app.result(red, "five", version="5") == "red five"
    assert app.status(other) == "PENDING"


def test_c40_activities_have_the_version_of_their_orchestration(app: App):
    app.worker([house], before_start=filtered())
    for version in ("3.0", "4.0"):

        def paint(_: task.ActivityContext, colour: str, version: str = version) -> str:
            return f"{colour} by {version}"

        app.worker(
            [],
            [paint],
            before_start=filtered(WorkItemFilters(activities=[ActivityWorkItemFilter("paint", [version])])),
        )
    ids = [(version, app.start(house, "grey", version=version)) for version in ("3.0", "4.0") * 4]
    for version, id in ids:
        assert app.wait(id).get_output() == f"grey by {version}"


def test_c40_strict_versions_filter_by_themselves(app: App):
    def set_up(worker: TaskHubGrpcWorker) -> None:
        worker.use_versioning(VersioningOptions(version="1.0", match_strategy=VersionMatchStrategy.STRICT))
        worker.use_work_item_filters()

    app.worker([red], before_start=set_up)
    other, none = app.start(red, "other", version="2.0"), app.start(red, "none")
    assert app.result(red, "mine", version="1.0") == "red mine"
    assert app.status(other) == app.status(none) == "PENDING"


def test_filters_taken_back(app: App):
    def set_up(worker: TaskHubGrpcWorker) -> None:
        worker.use_work_item_filters(WorkItemFilters())
        worker.use_work_item_filters(None)

    worker = app.worker([red], before_start=set_up)
    assert app.result(red, 1) == "red 1"
    for late in (worker.use_work_item_filters, lambda: worker.use_versioning(VersioningOptions())):
        with pytest.raises(RuntimeError):
            late()


def test_filters_are_written_in_the_way_of_the_sdk():
    assert EntityWorkItemFilter("Counter").name == "counter"
    with pytest.raises(ValueError):
        EntityWorkItemFilter("@counter")
    with pytest.raises(TypeError):
        TaskHubGrpcWorker().use_work_item_filters("red")  # type: ignore[call-overload]
