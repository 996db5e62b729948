"use strict";
const {
  ActivityContext,
  ConsoleLogger,
  OrchestrationContext,
  TaskEntityShim,
  TaskHubGrpcClient,
  TaskHubGrpcWorker,
  assert,
  createLogEventHandler,
  gate,
  grpc,
  id,
  isStructuredLogger,
  log,
  servers,
  suite,
  test,
  until,
} = require("./support");
const { Counter, counter, entities } = require("./support/entities");
const { Raw, pb, text } = require("./support/raw");

const everdure = suite("worker");
const quick = async (_, input) => input;

test("a worker starts once, takes nothing more while it runs, and stops once", async () => {
  const worker = new TaskHubGrpcWorker(everdure.options());
  await assert.rejects(worker.stop(), /not running/);
  await worker.start();
  await assert.rejects(worker.start(), /already running/);
  const adds = [
    () => worker.addOrchestrator(quick),
    () => worker.addNamedOrchestrator("a", quick),
    () => worker.addActivity(quick),
    () => worker.addNamedActivity("a", quick),
    () => worker.addEntity(entities.counter),
    () => worker.addNamedEntity("a", entities.counter),
  ];
  for (const add of adds) assert.throws(add, /while worker is running/);
  await worker.stop();
  await assert.rejects(worker.stop(), /not running/);
});

test("contexts are those of the SDK", async (t) => {
  const seen = [];
  await everdure.worker(t, {
    orchestrators: {
      look: async function* (ctx) {
        seen.push(ctx instanceof OrchestrationContext);
        return yield ctx.callActivity("look");
      },
    },
    activities: { look: (ctx) => ctx instanceof ActivityContext },
  });
  assert.equal(await everdure.run("look"), true);
  assert.equal(seen.every(Boolean), true);
});

test("a stop waits for the activity under way, whose result counts", async (t) => {
  const [begun, slow] = [gate(), gate()];
  const parts = {
    orchestrators: { busy: async function* (ctx) { return yield ctx.callActivity("slow"); } },
    activities: { slow: async () => (begun.open(), await slow.passed, "finished") },
  };
  const { stop } = await everdure.worker(t, parts);
  const instance = await everdure.start("busy");
  await begun.passed;
  const stopped = stop();
  slow.open();
  await stopped;
  await everdure.worker(t, { ...parts, activities: { slow: () => "again" } });
  // The stream ended first, so the server may have given the activity to the next worker before its result came.
  assert.match(await everdure.result(instance), /finished|again/);
  const completed = (await everdure.kinds(instance)).filter((kind) => kind === "TaskCompleted");
  assert.equal(completed.length, 1);
});

test("workers that come and go: what is left is done by the next", async (t) => {
  const parts = {
    orchestrators: {
      steps: async function* (ctx) {
        let sum = 0;
        for (let step = 0; step < 20; step++) sum += yield ctx.callActivity("one");
        return sum;
      },
    },
    activities: { one: () => 1 },
  };
  const first = await everdure.worker(t, parts);
  const instances = await Promise.all(Array.from({ length: 5 }, () => everdure.start("steps")));
  await until("a first step", async () => (await everdure.kinds(instances[0])).includes("TaskCompleted"));
  void first.stop();
  await everdure.worker(t, parts);
  for (const instance of instances) assert.equal(await everdure.result(instance), 20);
});

test("metadata is made anew for each call", async (t) => {
  let calls = 0;
  const metadataGenerator = async () => {
    calls += 1;
    const metadata = new grpc.Metadata();
    metadata.set("taskhub", "worker");
    metadata.set("workerid", "host,1,a-b-c");
    metadata.set("x-user-agent", "everdure-tests/1 (node)");
    return metadata;
  };
  const client = everdure.newClient({ metadataGenerator });
  await everdure.worker(t, { orchestrators: { quick } }, { metadataGenerator });
  const instance = await client.scheduleNewOrchestration("quick", 1);
  await client.waitForOrchestrationCompletion(instance);
  assert.equal(calls >= 5, true, `${calls}`);
});

test("the older constructors, with their arguments in a row, and credentials of one's own", async () => {
  const { metadataGenerator } = everdure.options();
  const options = { "grpc.max_receive_message_length": 32 * 1024 * 1024 };
  const credentials = grpc.credentials.createInsecure();
  const worker = new TaskHubGrpcWorker(everdure.address, options, false, credentials, metadataGenerator, log, 2_000);
  worker.addNamedOrchestrator("quick", quick);
  const client = new TaskHubGrpcClient(everdure.address, options, false, credentials, metadataGenerator, log);
  await worker.start();
  try {
    const instance = await client.scheduleNewOrchestration("quick", "old style");
    const state = await client.waitForOrchestrationCompletion(instance);
    assert.equal(state.serializedOutput, '"old style"');
  } finally {
    await Promise.all([worker.stop(), client.stop()]);
  }
});

test("a worker finds its server again when that was away", { timeout: 180_000 }, async (t) => {
  let server = await servers.serve(everdure.server.databaseUrl);
  const hub = everdure.other({ address: server.address, name: "reconnect" });
  await hub.worker(t, { orchestrators: { quick } });
  assert.equal(await hub.run("quick", 1), 1);
  const again = log.connected();
  await server.stop();
  server = await servers.serve(everdure.server.databaseUrl, { listen: server.address });
  t.after(() => server.stop());
  await again;
  assert.equal(await hub.run("quick", 2), 2);
});

test("c90 a worker can be driven by a host, one orchestrator request and one entity batch at a time", async (t) => {
  const worker = new TaskHubGrpcWorker(everdure.options());
  worker.addNamedOrchestrator("driven", async function* (ctx) {
    return yield ctx.entities.callEntity(counter(ctx.instanceId), "add", 4);
  });
  worker.addNamedEntity("counter", entities.counter);
  const raw = new Raw(everdure);
  const stream = await raw.workItems();
  t.after(() => stream.cancel());
  const handled = [];
  const calls = [];
  const problems = [];
  const handle = async (item) => {
    const token = item.getCompletiontoken();
    if (item.hasOrchestratorrequest()) {
      const bytes = await worker.processOrchestratorRequest(item.getOrchestratorrequest().serializeBinary());
      handled.push("orchestrator");
      await raw.call("completeOrchestratorTask", pb.OrchestratorResponse.deserializeBinary(bytes).setCompletiontoken(token));
    } else if (item.hasEntityrequestv2()) {
      calls.push(...item.getEntityrequestv2().getOperationrequestsList().map((event) => event.getEntityoperationcalled()));
      const bytes = await worker.processEntityBatchRequest(batchOf(item.getEntityrequestv2()).serializeBinary());
      handled.push("entity");
      await raw.call("completeEntityTask", pb.EntityBatchResult.deserializeBinary(bytes).setCompletiontoken(token));
    }
  };
  stream.on("data", (item) => handle(item).catch((error) => problems.push(error)));
  stream.on("error", (error) => error.code === grpc.status.CANCELLED || problems.push(error));
  const instance = await everdure.start("driven");
  assert.equal(await everdure.result(instance), 4);
  const [, begun] = await everdure.history(instance);
  assert.deepEqual(
    calls.map((call) => [call.getParentinstanceid().getValue(), call.getParentexecutionid().getValue()]),
    [[instance, begun.orchestrationInstance.executionId]],
  );
  assert.deepEqual([handled, problems], [["orchestrator", "entity", "orchestrator"], []]);
});

/** The older form of a request for an entity, which hosts pass on. */
function batchOf(request) {
  const operations = request.getOperationrequestsList().map((event) => {
    const called = event.getEntityoperationcalled() ?? event.getEntityoperationsignaled();
    const operation = new pb.OperationRequest().setOperation(called.getOperation()).setRequestid(called.getRequestid());
    return operation.setInput(called.getInput());
  });
  const batch = new pb.EntityBatchRequest().setInstanceid(request.getInstanceid()).setEntitystate(request.getEntitystate());
  return batch.setOperationsList(operations);
}

test("an entity can be run by itself, operation by operation", async () => {
  const shim = new TaskEntityShim(new Counter(), counter("shim"));
  const operation = new pb.OperationRequest().setOperation("add").setInput(text("2"));
  const batch = new pb.EntityBatchRequest().setInstanceid("@counter@shim").setOperationsList([operation, operation]);
  const result = await shim.executeAsync(batch);
  assert.equal(result.getEntitystate().getValue(), '{"value":4}');
  assert.equal(result.getResultsList().length, 2);
});

test("c31 c32 c33 c34 c35 c42 what a work item holds", async (t) => {
  const raw = new Raw(everdure);
  const stream = await raw.workItems();
  t.after(() => stream.cancel());
  stream.on("error", () => {});
  const items = [];
  const worker = new TaskHubGrpcWorker(everdure.options());
  worker.addNamedOrchestrator("looked", async function* (ctx, input) {
    yield ctx.createTimer(0);
    return yield ctx.callActivity("look", input, { tags: { a: "b" }, version: "3" });
  });
  const done = gate();
  stream.on("data", async (item) => {
    const token = item.getCompletiontoken();
    if (item.hasOrchestratorrequest()) {
      items.push(item);
      const bytes = await worker.processOrchestratorRequest(item.getOrchestratorrequest().serializeBinary());
      await raw.call("completeOrchestratorTask", pb.OrchestratorResponse.deserializeBinary(bytes).setCompletiontoken(token));
    } else if (item.hasActivityrequest()) {
      items.push(item);
      const request = item.getActivityrequest();
      const answer = new pb.ActivityResponse().setInstanceid(request.getOrchestrationinstance().getInstanceid());
      const complete = answer.setTaskid(request.getTaskid()).setCompletiontoken(token).setResult(request.getInput());
      await raw.call("completeActivityTask", complete);
      // A second time is no error and no second result.
      await raw.call("completeActivityTask", complete);
      done.open();
    }
  });
  const instance = await everdure.start("looked", "in", { version: "1", tags: { team: "blue" } });
  assert.equal(await everdure.result(instance), "in");
  await done.passed;
  const stored = await raw.history(instance);
  for (const request of items.filter((item) => item.hasOrchestratorrequest()).map((item) => item.getOrchestratorrequest())) {
    const past = request.getPasteventsList();
    const [first, second] = request.getNeweventsList();
    assert.equal(first.hasOrchestratorstarted(), true);
    assert.equal(second.hasExecutionstarted(), past.length === 0, "ExecutionStarted comes second on the first turn only");
    assert.match(request.getExecutionid().getValue(), /^[0-9a-f]{32}$/);
    assert.equal(request.hasEntityparameters(), true);
    const events = [...past, ...request.getNeweventsList()];
    const unwelcome = events.filter((e) => e.hasOrchestratorcompleted() || e.hasExecutioncompleted() || e.hasGenericevent());
    assert.deepEqual(unwelcome, []);
    const bytes = (list) => list.map((event) => Buffer.from(event.serializeBinary()).toString("hex"));
    assert.deepEqual(bytes(past), bytes(stored.slice(0, past.length)), "the past is what is stored, byte for byte");
  }
  const activity = items.find((item) => item.hasActivityrequest()).getActivityrequest();
  assert.deepEqual(
    [activity.getName(), activity.getVersion().getValue(), activity.getTaskid(), activity.getInput().getValue()],
    ["look", "3", 2, '"in"'],
  );
  assert.equal(activity.getOrchestrationinstance().getInstanceid(), instance);
  assert.equal(stored.filter((event) => event.hasTaskcompleted()).length, 1);
});

test("c41 c42 tokens that nobody gave out are no error", async () => {
  const raw = new Raw(everdure);
  const complete = new pb.OrchestratorResponse().setInstanceid(id()).setCompletiontoken("stale");
  await raw.call("completeOrchestratorTask", complete);
  await raw.call("completeActivityTask", new pb.ActivityResponse().setInstanceid(id()).setTaskid(1).setCompletiontoken("stale"));
  await raw.call("completeEntityTask", new pb.EntityBatchResult().setCompletiontoken("stale"));
  await raw.call("abandonTaskOrchestratorWorkItem", new pb.AbandonOrchestrationTaskRequest().setCompletiontoken("stale"));
  await raw.call("abandonTaskActivityWorkItem", new pb.AbandonActivityTaskRequest().setCompletiontoken("stale"));
  await raw.call("abandonTaskEntityWorkItem", new pb.AbandonEntityTaskRequest().setCompletiontoken("stale"));
});

test("loggers: which are structured, and what they print", () => {
  assert.equal(isStructuredLogger(new ConsoleLogger()), true);
  assert.equal(isStructuredLogger({ info() {} }), false);
  const lines = [];
  const handler = createLogEventHandler({ info: (...words) => lines.push(words) });
  handler("info", { eventId: 7, category: "tests", properties: { a: 1 } }, "text");
  assert.deepEqual(lines, [["[7] [tests] text", { a: 1 }]]);
});
