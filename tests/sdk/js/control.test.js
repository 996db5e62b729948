"use strict";
const {
  OrchestrationStatus,
  assert,
  gate,
  grpc,
  id,
  isTerminateInstanceOptions,
  suite,
  terminateOptions,
  test,
  until,
  whenAll,
} = require("./support");

const everdure = suite("control");
const { COMPLETED, TERMINATED } = OrchestrationStatus;
const code = (status) => (error) => error.code === status;
const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };

test("c27 a suspended instance takes nothing in until it is resumed", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      listen: async function* (ctx) {
        const heard = yield ctx.waitForExternalEvent("news");
        ctx.setCustomStatus("heard");
        yield ctx.createTimer(0.1);
        return heard;
      },
    },
  });
  const instance = await everdure.start("listen");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.suspendOrchestration(instance);
  await everdure.reaches(instance, "SUSPENDED");
  await everdure.client.raiseOrchestrationEvent(instance, "news", "now");
  await until("the event in the history", async () => (await everdure.kinds(instance)).includes("EventRaised"));
  assert.equal(await everdure.status(instance), "SUSPENDED");
  assert.equal((await everdure.client.getOrchestrationState(instance)).serializedCustomStatus, undefined);
  await everdure.client.resumeOrchestration(instance);
  assert.equal(await everdure.result(instance), "now");
  const kinds = await everdure.kinds(instance);
  assert.equal(kinds.indexOf("ExecutionSuspended") < kinds.indexOf("EventRaised"), true);
  assert.equal(kinds.indexOf("EventRaised") < kinds.indexOf("ExecutionResumed"), true);
});

test("c27 activities and timers end meanwhile, and count after the resume", async (t) => {
  const slow = gate();
  await everdure.worker(t, {
    orchestrators: {
      busy: async function* (ctx) {
        return (yield whenAll([ctx.callActivity("slow"), ctx.createTimer(0.2)]))[0];
      },
    },
    activities: { slow: () => slow.passed.then(() => "finished") },
  });
  const instance = await everdure.start("busy");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.suspendOrchestration(instance);
  await everdure.reaches(instance, "SUSPENDED");
  slow.open();
  await until("both in the history", async () => {
    const kinds = await everdure.kinds(instance);
    return kinds.includes("TaskCompleted") && kinds.includes("TimerFired");
  });
  assert.equal(await everdure.status(instance), "SUSPENDED");
  await everdure.client.resumeOrchestration(instance);
  assert.equal(await everdure.result(instance), "finished");
});

test("c27 suspended before it starts; resumed, it runs", async (t) => {
  const instance = await everdure.start("waiting");
  await everdure.client.suspendOrchestration(instance);
  await everdure.worker(t, { orchestrators: { waiting } });
  await everdure.reaches(instance, "SUSPENDED");
  await everdure.client.raiseOrchestrationEvent(instance, "end", "late");
  await everdure.client.resumeOrchestration(instance);
  assert.equal(await everdure.result(instance), "late");
});

test("c27 a suspended instance can be terminated, and to a finished one nothing happens", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.suspendOrchestration(instance);
  await everdure.reaches(instance, "SUSPENDED");
  await everdure.client.terminateOrchestration(instance, "over");
  assert.equal((await everdure.ended(instance)).runtimeStatus, TERMINATED);
  const before = await everdure.history(instance);
  await everdure.client.suspendOrchestration(instance);
  await everdure.client.resumeOrchestration(instance);
  await everdure.client.terminateOrchestration(instance, "again");
  assert.equal(await everdure.status(instance), "TERMINATED");
  assert.deepEqual(await everdure.history(instance), before);
});

test("suspend and resume of nobody are NOT_FOUND, terminate of nobody is no error", async () => {
  for (const call of ["suspendOrchestration", "resumeOrchestration"]) {
    await assert.rejects(everdure.client[call](id()), code(grpc.status.NOT_FOUND), call);
    await assert.rejects(everdure.client[call](""), /instanceId/, call);
  }
  await everdure.client.terminateOrchestration(id());
  await assert.rejects(everdure.client.terminateOrchestration(""), /instanceId/);
});

test("c30 terminate ends an instance with the output that it is given", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  for (const [output, stored] of [[{ why: "tests" }, '{"why":"tests"}'], ["text", '"text"'], [undefined, "null"]]) {
    const instance = await everdure.start("waiting");
    await everdure.reaches(instance, "RUNNING");
    await everdure.client.terminateOrchestration(instance, output);
    const state = await everdure.ended(instance);
    assert.deepEqual([state.runtimeStatus, state.serializedOutput], [TERMINATED, stored]);
    assert.equal(state.failureDetails, undefined);
  }
});

test("c28 terminate before the first turn, with a worker", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting", null, { startAt: new Date(Date.now() + 3_600_000) });
  await everdure.client.terminateOrchestration(instance, "never begun");
  const state = await everdure.ended(instance);
  assert.deepEqual([state.runtimeStatus, state.serializedOutput], [TERMINATED, '"never begun"']);
});

test("c28 terminate with no worker connected", async () => {
  const instance = await everdure.start("nobody");
  await everdure.client.terminateOrchestration(instance, "no worker");
  const state = await everdure.ended(instance);
  assert.deepEqual([state.runtimeStatus, state.serializedOutput], [TERMINATED, '"no worker"']);
});

/** A tree three deep; resolves with its ids when all of it runs. */
async function family(t) {
  const [root, child, grandchild] = [id("root"), id("child"), id("grandchild")];
  const call = (name, instanceId) =>
    async function* (ctx) { return yield ctx.callSubOrchestrator(name, null, { instanceId }); };
  await everdure.worker(t, {
    orchestrators: { root: call("child", child), child: call("waiting", grandchild), waiting },
  });
  await everdure.client.scheduleNewOrchestration("root", null, root);
  for (const instance of [root, child, grandchild]) await everdure.reaches(instance, "RUNNING");
  return { root, child, grandchild };
}

test("c29 a recursive terminate reaches grandchildren", async (t) => {
  const { root, child, grandchild } = await family(t);
  const options = terminateOptions({ output: "all of you", recursive: true });
  assert.equal(isTerminateInstanceOptions(options), true);
  assert.equal(isTerminateInstanceOptions({ output: 1, recursive: true }), false);
  await everdure.client.terminateOrchestration(root, options);
  for (const instance of [root, child, grandchild]) {
    assert.equal((await everdure.ended(instance)).runtimeStatus, TERMINATED, instance);
  }
  assert.equal((await everdure.client.getOrchestrationState(root)).serializedOutput, '"all of you"');
});

test("c29 without it, children go on and end as they would", async (t) => {
  const { root, child, grandchild } = await family(t);
  await everdure.client.terminateOrchestration(root, terminateOptions({ output: "only you", recursive: false }));
  assert.equal((await everdure.ended(root)).runtimeStatus, TERMINATED);
  assert.deepEqual([await everdure.status(child), await everdure.status(grandchild)], ["RUNNING", "RUNNING"]);
  await everdure.client.raiseOrchestrationEvent(grandchild, "end", "finished");
  assert.equal(await everdure.result(child), "finished");
  assert.equal(await everdure.status(root), "TERMINATED");
});

test("c42 a result that comes after the terminate changes nothing", async (t) => {
  const [begun, slow, finished] = [gate(), gate(), gate()];
  await everdure.worker(t, {
    orchestrators: { busy: async function* (ctx) { return yield ctx.callActivity("slow"); } },
    activities: { slow: () => (begun.open(), slow.passed.finally(() => setImmediate(finished.open))) },
  });
  const instance = await everdure.start("busy");
  await begun.passed;
  await everdure.client.terminateOrchestration(instance, "stop");
  assert.equal((await everdure.ended(instance)).runtimeStatus, TERMINATED);
  const before = await everdure.history(instance);
  slow.open("too late");
  await finished.passed;
  // A later instance shows that the server has dealt with what came before it.
  assert.equal((await everdure.ended(await everdure.start("busy"))).runtimeStatus, COMPLETED);
  assert.deepEqual(await everdure.history(instance), before);
});
