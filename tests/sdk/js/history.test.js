"use strict";
const { HistoryEventType, assert, grpc, id, suite, terminateOptions, test, until, whenAll } = require("./support");
const { Raw, pb } = require("./support/raw");

const everdure = suite("history");

const child = async () => "child";
const reference = async function* (ctx, value) {
  yield ctx.callActivity("work", value, { version: "3", tags: { a: "b" } });
  yield ctx.createTimer(0.1);
  yield ctx.callSubOrchestrator("child", "given");
  return "done";
};

test("c51 c33 an activity, a timer and a child make exactly these twelve events", async (t) => {
  await everdure.worker(t, { orchestrators: { reference, child }, activities: { work: () => "worked" } });
  const instance = await everdure.start("reference", 5);
  await everdure.result(instance);
  assert.deepEqual(await everdure.kinds(instance), [
    "OrchestratorStarted",
    "ExecutionStarted",
    "TaskScheduled",
    "OrchestratorStarted",
    "TaskCompleted",
    "TimerCreated",
    "OrchestratorStarted",
    "TimerFired",
    "SubOrchestrationInstanceCreated",
    "OrchestratorStarted",
    "SubOrchestrationInstanceCompleted",
    "ExecutionCompleted",
  ]);
});

test("c49 c50 events carry ids, times and content", async (t) => {
  await everdure.worker(t, { orchestrators: { reference, child }, activities: { work: () => "worked" } });
  const begun = Date.now();
  const instance = await everdure.start("reference", 5);
  await everdure.result(instance);
  const history = await everdure.history(instance);
  const of = (type) => history.find((event) => event.type === HistoryEventType[type]);
  const times = history.map((event) => event.timestamp.getTime());
  assert.equal(times.every((time) => time >= begun - 1_000 && time <= Date.now() + 1_000), true, `${times}`);

  const { name, input, version, orchestrationInstance } = of("ExecutionStarted");
  assert.deepEqual([name, input, version, orchestrationInstance.instanceId], ["reference", "5", undefined, instance]);
  const scheduled = of("TaskScheduled");
  assert.deepEqual([scheduled.name, scheduled.input, scheduled.version, scheduled.tags], ["work", "5", "3", { a: "b" }]);
  const completed = of("TaskCompleted");
  assert.deepEqual([completed.taskScheduledId, completed.result], [scheduled.eventId, '"worked"']);
  assert.equal(of("TimerFired").timerId, of("TimerCreated").eventId);
  const created = of("SubOrchestrationInstanceCreated");
  assert.deepEqual([created.name, created.input], ["child", '"given"']);
  const returned = of("SubOrchestrationInstanceCompleted");
  assert.deepEqual([returned.taskScheduledId, returned.result], [created.eventId, '"child"']);
  const end = of("ExecutionCompleted");
  assert.deepEqual([end.orchestrationStatus, end.result], ["ORCHESTRATION_STATUS_COMPLETED", '"done"']);
  assert.equal(end.failureDetails, undefined);

  const inbound = history.filter((event) => event.eventId === -1).map((event) => event.type);
  const outbound = history.filter((event) => event.eventId !== -1);
  const expected = ["TaskScheduled", "TimerCreated", "SubOrchestrationInstanceCreated", "ExecutionCompleted"];
  assert.deepEqual(outbound.map((event) => event.type), expected);
  assert.deepEqual(outbound.map((event) => event.eventId), [1, 2, 3, 4]);
  assert.equal(inbound.length, 8);
});

test("the events of control: suspended, resumed, raised, sent, terminated", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      controlled: async function* (ctx) {
        ctx.sendEvent("nobody-of-this-name", "Ping", [1]);
        yield ctx.waitForExternalEvent("never");
      },
    },
  });
  const instance = await everdure.start("controlled");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.suspendOrchestration(instance);
  await everdure.reaches(instance, "SUSPENDED");
  await everdure.client.resumeOrchestration(instance);
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.raiseOrchestrationEvent(instance, "Other", { n: 1 });
  await until("the event in the history", async () => (await everdure.kinds(instance)).includes("EventRaised"));
  await everdure.client.terminateOrchestration(instance, terminateOptions({ output: "bye", recursive: true }));
  await everdure.ended(instance);
  const history = await everdure.history(instance);
  const notable = history.filter((event) => event.type !== "OrchestratorStarted");
  assert.deepEqual(
    notable.map((event) => event.type),
    [
      "ExecutionStarted",
      "EventSent",
      "ExecutionSuspended",
      "ExecutionResumed",
      "EventRaised",
      "ExecutionTerminated",
      "ExecutionCompleted",
    ],
  );
  const [, sent, , , raised, terminated, completed] = notable;
  assert.deepEqual([sent.eventId, sent.name, sent.instanceId, sent.input], [1, "Ping", "nobody-of-this-name", "[1]"]);
  assert.deepEqual([raised.eventId, raised.name, raised.input], [-1, "Other", '{"n":1}']);
  assert.deepEqual([terminated.input, terminated.recurse], ['"bye"', true]);
  assert.deepEqual([completed.orchestrationStatus, completed.result], ["ORCHESTRATION_STATUS_TERMINATED", '"bye"']);
});

test("the events of failure: type, message and stack", async (t) => {
  const broken = () => { throw new RangeError("no such thing"); };
  await everdure.worker(t, {
    orchestrators: { failing: async function* (ctx) { yield ctx.callActivity("broken"); } },
    activities: { broken },
  });
  const instance = await everdure.start("failing");
  await everdure.failure(instance);
  const history = await everdure.history(instance);
  const failed = history.find((event) => event.type === "TaskFailed");
  const { errorType, message, stackTrace } = failed.failureDetails;
  assert.deepEqual([failed.taskScheduledId, errorType, message], [1, "RangeError", "no such thing"]);
  assert.match(stackTrace, /at .*broken/);
  const end = history.at(-1);
  assert.deepEqual([end.type, end.orchestrationStatus], ["ExecutionCompleted", "ORCHESTRATION_STATUS_FAILED"]);
  assert.equal(end.failureDetails.errorType, "TaskFailedError");
});

test("c75 an instance that nobody knows has an empty history here, and NOT_FOUND on the wire", async () => {
  assert.deepEqual(await everdure.history(id()), []);
  await assert.rejects(new Raw(everdure).history(id()), (error) => error.code === grpc.status.NOT_FOUND);
  await assert.rejects(everdure.client.getOrchestrationHistory(""), /instanceId/);
});

test("c75 a long history comes whole, in chunks of less than 4 MB", async (t) => {
  const text = "x".repeat(10_000);
  await everdure.worker(t, {
    orchestrators: {
      wordy: async function* (ctx) {
        for (let round = 0; round < 4; round++) {
          yield whenAll(Array.from({ length: 150 }, (_, index) => ctx.callActivity("echo", `${index}${text}`)));
        }
      },
    },
    activities: { echo: (_, input) => input },
  });
  const instance = await everdure.start("wordy");
  await everdure.result(instance);
  const history = await everdure.history(instance);
  assert.equal(history.filter((event) => event.type === "TaskCompleted").length, 600);
  const raw = new Raw(everdure);
  const request = new pb.StreamInstanceHistoryRequest().setInstanceid(instance);
  const sizes = [];
  let events = 0;
  for await (const chunk of raw.stub.streamInstanceHistory(request, await everdure.options().metadataGenerator())) {
    sizes.push(chunk.serializeBinary().length);
    events += chunk.getEventsList().length;
  }
  assert.equal(events, history.length);
  assert.equal(Math.max(...sizes) < 4 * 1024 * 1024, true, `${sizes}`);
  assert.equal(sizes.reduce((sum, size) => sum + size) > 12_000_000, true);
});
