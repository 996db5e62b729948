"""Failures in depth: chains, properties, types."""

from collections.abc import Mapping
from typing import Any

import pytest
from durabletask import history, task
from durabletask.client import OrchestrationFailedError
from durabletask.exception_properties import ExceptionPropertiesProvider

from support.app import App
from support.histories import only


class OrderError(Exception):
    def __init__(self, message: str, order: int):
        super().__init__(message)
        self.order = order


class LateOrderError(OrderError):
    pass


def fails_in_depth(_: task.ActivityContext, order: int) -> None:
    try:
        try:
            raise KeyError("stock")
        except KeyError as error:
            raise ConnectionError("no answer from the stock") from error
    except ConnectionError as error:
        raise LateOrderError(f"order {order} is late\nand will stay so: ünïcode", order) from error


def orders(ctx: task.OrchestrationContext, order: int):
    yield ctx.call_activity(fails_in_depth, input=order)


class OrderProperties(ExceptionPropertiesProvider):
    def get_exception_properties(self, exception: Exception) -> Mapping[str, Any] | None:
        if isinstance(exception, OrderError):
            return {"order": exception.order, "urgent": True, "none": None, "list": [1, "a"], "map": {"k": {"n": 0.5}}}
        return None


PROPERTIES = {"order": 7.0, "urgent": True, "none": None, "list": [1.0, "a"], "map": {"k": {"n": 0.5}}}


def test_c55_the_whole_chain_arrives(app: App):
    app.worker([orders], [fails_in_depth])
    id = app.start(orders, 7)
    state = app.wait(id)
    assert state.runtime_status.name == "FAILED"
    outer = state.failure_details
    assert outer is not None and outer.is_caused_by(task.TaskFailedError)
    late = outer.inner_failure
    assert late is not None
    assert late.message == "order 7 is late\nand will stay so: ünïcode"
    assert late.error_type.endswith("test_failures.LateOrderError")
    assert late.is_caused_by(LateOrderError) and late.is_caused_by(OrderError) and late.is_caused_by("LateOrderError")
    assert not late.is_caused_by(ConnectionError)
    assert late.stack_trace and "fails_in_depth" in late.stack_trace and late.properties is None
    connection = late.inner_failure
    assert connection is not None and connection.is_caused_by(ConnectionError)
    assert connection.inner_failure is not None and connection.inner_failure.is_caused_by(KeyError)
    assert connection.inner_failure.inner_failure is None
    events = app.client.get_orchestration_history(id)
    assert only(events, history.TaskFailedEvent).failure_details == late
    assert only(events, history.ExecutionCompletedEvent).failure_details == outer


def test_c55_properties_arrive(app: App):
    app.worker([orders], [fails_in_depth], exception_properties_provider=OrderProperties())
    outer = app.run(orders, 7).failure_details
    assert outer is not None and outer.inner_failure is not None
    assert outer.inner_failure.properties == PROPERTIES
    assert outer.inner_failure.inner_failure is not None and outer.inner_failure.inner_failure.properties is None


def test_c55_properties_pass_through_a_child(app: App):
    def parent(ctx: task.OrchestrationContext, order: int):
        try:
            yield ctx.call_sub_orchestrator(orders, input=order)
        except task.TaskFailedError as error:
            inner = error.details.inner_failure
            assert inner is not None
            return [error.details.error_type, inner.error_type, inner.properties]

    app.worker([parent, orders], [fails_in_depth], exception_properties_provider=OrderProperties())
    outer, inner, properties = app.result(parent, 7)
    assert outer.endswith("TaskFailedError") and inner.endswith("LateOrderError") and properties == PROPERTIES


def test_a_provider_that_fails_changes_nothing(app: App):
    class Broken(ExceptionPropertiesProvider):
        def get_exception_properties(self, exception: Exception) -> Mapping[str, Any] | None:
            raise RuntimeError("the provider is broken")

    app.worker([orders], [fails_in_depth], exception_properties_provider=Broken())
    outer = app.run(orders, 1).failure_details
    assert outer is not None and outer.inner_failure is not None
    assert outer.inner_failure.message.startswith("order 1") and outer.inner_failure.properties is None


def test_a_failure_is_raised_for_who_asks(app: App):
    app.worker([orders], [fails_in_depth])
    state = app.run(orders, 3)
    with pytest.raises(OrchestrationFailedError) as caught:
        state.raise_if_failed()
    assert caught.value.failure_details == state.failure_details and state.instance_id in str(caught.value)


def test_a_caught_failure_is_no_failure(app: App):
    def forgiving(ctx: task.OrchestrationContext, order: int):
        call = ctx.call_activity(fails_in_depth, input=order)
        try:
            yield call
        except task.TaskFailedError as error:
            assert call.is_failed and call.is_complete and call.get_exception() is error
            return error.details.error_type.rsplit(".", 1)[-1]

    app.worker([forgiving], [fails_in_depth])
    state = app.run(forgiving, 1)
    state.raise_if_failed()
    assert state.get_output() == "LateOrderError" and state.failure_details is None


def test_failures_that_say_nothing(app: App):
    class Silent(Exception):
        pass

    def silent(_: task.ActivityContext, __: Any) -> None:
        raise Silent

    def listens(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(silent)

    app.worker([listens], [silent])
    failure = app.run(listens).failure_details
    assert failure is not None and failure.inner_failure is not None
    assert failure.inner_failure.message == "" and failure.inner_failure.is_caused_by("Silent")


def test_results_that_cannot_be_written(app: App):
    def unwritable(_: task.OrchestrationContext, __: Any):
        return object()

    app.worker([unwritable])
    failure = app.run(unwritable).failure_details
    assert failure is not None and failure.is_caused_by("JsonEncodeOutputException")


def test_an_orchestrator_that_yields_nonsense(app: App):
    def nonsense(ctx: task.OrchestrationContext, _: Any):
        yield ctx.wait_for_external_event("go")
        yield "not a task"

    app.worker([nonsense])
    id = app.start(nonsense)
    app.client.raise_orchestration_event(id, "go")
    failure = app.wait(id).failure_details
    assert failure is not None and failure.is_caused_by(TypeError)
