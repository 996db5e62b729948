"use strict";
const {
  DurableTaskAttributes,
  TRACER_NAME,
  TaskType,
  assert,
  createSpanName,
  createTimerSpanName,
  load,
  suite,
  test,
  until,
} = require("./support");
const { counter, entities } = require("./support/entities");

const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = load("@opentelemetry/sdk-trace-base");
const exporter = new InMemorySpanExporter();
new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();

const everdure = suite("tracing");
const named = (name) => exporter.getFinishedSpans().filter((span) => span.name === name);
const one = (name) => until(`a span ${name}`, () => named(name)[0]);
const context = (span) => [span.spanContext().traceId, span.spanContext().spanId];

test("c65 one trace goes from the client through orchestration, activity and child", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      traced: async function* (ctx) {
        yield ctx.callActivity("work");
        yield ctx.createTimer(0);
        return yield ctx.callSubOrchestrator("child");
      },
      child: async function* (ctx) { return yield ctx.callActivity("work"); },
    },
    activities: { work: () => "done" },
  });
  const instance = await everdure.start("traced", null, { version: "1" });
  await everdure.result(instance);
  const created = await one(createSpanName(TaskType.CREATE_ORCHESTRATION, "traced", "1"));
  const [traceId, spanId] = context(created);
  assert.equal(created.instrumentationLibrary.name, TRACER_NAME);
  assert.equal(created.attributes[DurableTaskAttributes.TASK_INSTANCE_ID], instance);

  const run = await one(createSpanName(TaskType.ORCHESTRATION, "traced", "1"));
  assert.deepEqual([run.spanContext().traceId, run.parentSpanId], [traceId, spanId]);
  await until("two activities", () => named("activity:work").filter((span) => span.kind === 1).length === 2);
  for (const name of ["activity:work", "orchestration:child", createTimerSpanName("traced")]) {
    for (const span of named(name)) assert.equal(span.spanContext().traceId, traceId, name);
    assert.equal(named(name).length > 0, true, name);
  }
});

test("c14 c65 the client's trace stands in the history, and each turn goes on with the first one's span", async (t) => {
  exporter.reset();
  await everdure.worker(t, {
    orchestrators: {
      turns: async function* (ctx) {
        for (let turn = 0; turn < 3; turn++) yield ctx.callActivity("work");
      },
    },
    activities: { work: () => "done" },
  });
  const instance = await everdure.start("turns");
  await everdure.result(instance);
  const created = await one("create_orchestration:turns");
  const [traceId, spanId] = context(created);
  const runs = named("orchestration:turns");
  assert.equal(runs.length >= 3, true);
  const replayed = runs.map((span) => span.attributes[DurableTaskAttributes.REPLAY_SPAN_ID]).filter(Boolean);
  assert.equal(replayed.length >= 2, true, "the server gives back what the last turn sent");
  assert.equal(new Set(replayed).size, 1);
  const [, begun] = await everdure.history(instance);
  assert.equal(begun.parentTraceContext.traceParent, `00-${traceId}-${spanId}-01`);
  const [scheduled] = (await everdure.history(instance)).filter((event) => event.type === "TaskScheduled");
  assert.match(scheduled.parentTraceContext.traceParent, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
});

test("c65 a child's history names the span of its call", async (t) => {
  exporter.reset();
  await everdure.worker(t, {
    orchestrators: {
      outer: async function* (ctx) { return yield ctx.callSubOrchestrator("inner"); },
      inner: async (ctx) => ctx.instanceId,
    },
  });
  const instance = await everdure.start("outer");
  const child = await everdure.result(instance);
  const created = (await everdure.history(instance)).find((event) => event.type === "SubOrchestrationInstanceCreated");
  const begun = (await everdure.history(child)).find((event) => event.type === "ExecutionStarted");
  assert.match(created.parentTraceContext.traceParent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.deepEqual(begun.parentTraceContext, created.parentTraceContext);
});

test("c65 continue-as-new begins another span", async (t) => {
  exporter.reset();
  await everdure.worker(t, {
    orchestrators: {
      renewed: async function* (ctx, value) {
        yield ctx.callActivity("work");
        yield ctx.callActivity("work");
        if (value < 2) ctx.continueAsNew(value + 1, false);
      },
    },
    activities: { work: () => "done" },
  });
  await everdure.run("renewed", 1);
  await one("create_orchestration:renewed");
  const replayed = named("orchestration:renewed").map((span) => span.attributes[DurableTaskAttributes.REPLAY_SPAN_ID]);
  assert.equal(new Set(replayed.filter(Boolean)).size, 2, `${replayed}`);
});

test("spans for events and entities do not disturb what they are about", async (t) => {
  exporter.reset();
  await everdure.worker(t, {
    entities,
    orchestrators: {
      talks: async function* (ctx) {
        ctx.sendEvent(ctx.instanceId, "own", 1);
        ctx.entities.signalEntity(counter(ctx.instanceId), "add", 1);
        yield ctx.waitForExternalEvent("own");
        yield ctx.waitForExternalEvent("outer");
        return yield ctx.entities.callEntity(counter(ctx.instanceId), "get");
      },
    },
  });
  const instance = await everdure.start("talks");
  await everdure.client.raiseOrchestrationEvent(instance, "outer");
  assert.equal(await everdure.result(instance), 1);
  await everdure.client.signalEntity(counter(instance), "add", 1);
  const types = new Set(exporter.getFinishedSpans().map((span) => span.attributes[DurableTaskAttributes.TYPE]));
  const wanted = [TaskType.ORCHESTRATION, TaskType.EVENT, TaskType.SIGNAL_ENTITY, TaskType.CALL_ENTITY];
  for (const type of wanted) assert.equal(types.has(type), true, [...types].join());
});
