"""Logs that a replay does not repeat, and traces that go through."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from durabletask import history, task
from durabletask.internal import orchestrator_service_pb2 as pb
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from harness.waiting import eventually
from support.app import App, new_id
from support.histories import of_kind, only

# Late, because the provider stays: tests after these would be traced as well.
pytestmark = pytest.mark.late

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """OpenTelemetry takes one provider per process, for good."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    EXPORTER.clear()
    yield


def work(_: task.ActivityContext, number: int) -> int:
    return number + 1


def child(_: task.OrchestrationContext, input: Any):
    return input


def traced(ctx: task.OrchestrationContext, number: int):
    number = yield ctx.call_activity(work, input=number)
    number = yield ctx.call_activity(work, input=number)
    return (yield ctx.call_sub_orchestrator(child, input=number))


def test_a_log_line_is_written_once(app: App):
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.getLogger("everdure.tests.replay")
    logger.setLevel(logging.INFO)
    logger.addHandler(Lines())

    def logs(ctx: task.OrchestrationContext, _: Any):
        safe = ctx.create_replay_safe_logger(logger)
        safe.info("begin of %s", ctx.instance_id)
        logger.info("every time")
        for number in range(3):
            yield ctx.call_activity(work, input=number)
            safe.info("step %d", number)
            assert safe.isEnabledFor(logging.INFO) is not ctx.is_replaying

    app.worker([logs], [work])
    id = app.start(logs)
    app.wait(id).raise_if_failed()
    assert [line for line in lines if line != "every time"] == [f"begin of {id}", "step 0", "step 1", "step 2"]
    assert lines.count("every time") == 4


def test_c14_c65_one_trace_from_the_client_to_the_last_activity(app: App):
    app.worker([traced, child], [work])
    with trace.get_tracer("test").start_as_current_span("the caller") as caller:
        id = app.start(traced, 1)
    assert app.wait(id).get_output() == 3
    trace_id = caller.get_span_context().trace_id

    eventually("all nine spans are there", lambda: len(EXPORTER.get_finished_spans()) == 9)
    ours = {(span.name, span.kind.name): span for span in EXPORTER.get_finished_spans()}
    assert {span.context.trace_id for span in ours.values() if span.context} == {trace_id}
    # The span of the whole orchestration is one, although four turns of it were run for four requests.
    chain = [
        ("activity:work", "SERVER"),
        ("activity:work", "CLIENT"),
        ("orchestration:traced", "SERVER"),
        ("create_orchestration:traced", "PRODUCER"),
        ("the caller", "INTERNAL"),
    ]
    for below, above in zip(chain, chain[1:]):
        parent, context = ours[below].parent, ours[above].context
        assert parent is not None and context is not None and parent.span_id == context.span_id, (below, above)
    for_child, by_parent = ours["orchestration:child", "SERVER"], ours["orchestration:child", "CLIENT"]
    assert for_child.parent and by_parent.context and for_child.parent.span_id == by_parent.context.span_id


def test_c14_c65_the_trace_stands_in_the_history(app: App):
    app.worker([traced, child], [work])
    request = pb.CreateInstanceRequest(instanceId=new_id(), name="traced")
    request.input.value = "1"
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    request.parentTraceContext.CopyFrom(pb.TraceContext(traceParent=parent, spanID="cd" * 8))
    request.parentTraceContext.traceState.value = "vendor=value,other=x"
    app.stub.StartInstance(request)
    id = request.instanceId
    app.wait(id).raise_if_failed()
    events = app.client.get_orchestration_history(id)
    started = only(events, history.ExecutionStartedEvent).parent_trace_context
    assert started is not None
    assert (started.trace_parent, started.span_id, started.trace_state) == (parent, "cd" * 8, "vendor=value,other=x")
    scheduled = of_kind(events, history.TaskScheduledEvent)
    created = only(events, history.SubOrchestrationInstanceCreatedEvent)
    contexts = [event.parent_trace_context for event in (*scheduled, created)]
    assert all(context is not None and context.trace_parent.startswith(f"00-{'ab' * 16}-") for context in contexts)
    assert len({context.span_id for context in contexts if context}) == 3
    of_child = only(app.client.get_orchestration_history(f"{id}:0003"), history.ExecutionStartedEvent)
    assert of_child.parent_trace_context == created.parent_trace_context


def test_spans_can_be_left_to_others(app: App):
    seen: list[int] = []

    def looks(_: task.ActivityContext, __: Any) -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)

    def calls(ctx: task.OrchestrationContext, _: Any):
        yield ctx.call_activity(looks)

    worker = app.worker([calls], [looks], emit_trace_spans=False)
    client = app.new_client(emit_trace_spans=False)
    assert worker.emit_trace_spans is False and client.emit_trace_spans is False
    with trace.get_tracer("test").start_as_current_span("the caller") as caller:
        id = client.schedule_new_orchestration(calls)
        client.raise_orchestration_event(id, "ignored")
    app.wait(id).raise_if_failed()
    assert [span.name for span in EXPORTER.get_finished_spans()] == ["the caller"]
    assert seen == [caller.get_span_context().trace_id]


def test_without_a_trace_there_is_none(app: App):
    app.worker([traced, child], [work], emit_trace_spans=False)
    client = app.new_client(emit_trace_spans=False)
    id = client.schedule_new_orchestration(traced, input=1)
    app.wait(id).raise_if_failed()
    events = app.client.get_orchestration_history(id)
    assert only(events, history.ExecutionStartedEvent).parent_trace_context is None
    assert {event.parent_trace_context for event in of_kind(events, history.TaskScheduledEvent)} == {None}
