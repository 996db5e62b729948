"use strict";
const { OrchestrationStatus, assert, id, suite, test } = require("./support");

const everdure = suite("restart");
const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };
const told = async (ctx, input) => ({ input, version: ctx.version, parent: ctx.parent ?? null });
const started = async (instance) => (await everdure.history(instance)).find((event) => event.type === "ExecutionStarted");

test("c73 a completed instance restarts under its id, with its input, version and tags", async (t) => {
  await everdure.worker(t, { orchestrators: { told } });
  const instance = await everdure.start("told", { n: 1 }, { version: "1.5", tags: { team: "blue" } });
  await everdure.result(instance);
  const [first, before] = [await started(instance), await everdure.client.getOrchestrationState(instance)];
  assert.equal(await everdure.client.restartOrchestration(instance), instance);
  assert.deepEqual(await everdure.result(instance), { input: { n: 1 }, version: "1.5", parent: null });
  const [second, after] = [await started(instance), await everdure.client.getOrchestrationState(instance)];
  assert.notEqual(second.orchestrationInstance.executionId, first.orchestrationInstance.executionId);
  assert.deepEqual(after.tags, { team: "blue" });
  assert.equal(after.createdAt > before.createdAt, true);
});

test("c73 failed and terminated instances restart too", async (t) => {
  let broken = true;
  await everdure.worker(t, {
    orchestrators: { waiting, sometimes: async () => { if (broken) throw new Error("not yet"); return "now"; } },
  });
  const failed = await everdure.start("sometimes");
  await everdure.failure(failed);
  broken = false;
  await everdure.client.restartOrchestration(failed, false);
  const state = await everdure.ended(failed);
  assert.deepEqual([state.serializedOutput, state.failureDetails], ['"now"', undefined]);

  const terminated = await everdure.start("waiting");
  await everdure.reaches(terminated, "RUNNING");
  await everdure.client.terminateOrchestration(terminated, "stop");
  await everdure.ended(terminated);
  await everdure.client.restartOrchestration(terminated);
  await everdure.client.raiseOrchestrationEvent(terminated, "end", "again");
  assert.equal(await everdure.result(terminated), "again");
});

test("c73 a restart under a new id leaves the old instance alone", async (t) => {
  await everdure.worker(t, { orchestrators: { told } });
  const instance = await everdure.start("told", "same", { version: "2", tags: { a: "b" } });
  const output = await everdure.result(instance);
  const before = await everdure.history(instance);
  const other = await everdure.client.restartOrchestration(instance, true);
  assert.notEqual(other, instance);
  assert.match(other, /^[0-9a-f-]{32,36}$/);
  assert.deepEqual(await everdure.result(other), output);
  assert.deepEqual((await everdure.client.getOrchestrationState(other)).tags, { a: "b" });
  assert.deepEqual(await everdure.history(instance), before);
});

test("c73 running and suspended: a new id is allowed, the same is not", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting", "kept");
  for (const status of ["RUNNING", "SUSPENDED"]) {
    if (status === "SUSPENDED") await everdure.client.suspendOrchestration(instance);
    await everdure.reaches(instance, status);
    await assert.rejects(everdure.client.restartOrchestration(instance, false), (error) => {
      assert.match(error.message, /cannot be restarted/);
      assert.equal(error.cause.code, 9, "FAILED_PRECONDITION");
      return true;
    });
    const other = await everdure.client.restartOrchestration(instance, true);
    await everdure.client.raiseOrchestrationEvent(other, "end", status);
    assert.equal(await everdure.result(other), status);
    assert.equal((await everdure.client.getOrchestrationState(other)).serializedInput, '"kept"');
    assert.equal(await everdure.status(instance), status);
  }
});

test("c73 nobody cannot be restarted", async () => {
  for (const fresh of [false, true]) {
    await assert.rejects(everdure.client.restartOrchestration(id(), fresh), /was not found/);
  }
  await assert.rejects(everdure.client.restartOrchestration(""), /instanceId/);
});

test("c73 after continue-as-new the input is that of the last generation", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      count: async function* (ctx, value) {
        yield ctx.createTimer(0);
        if (value < 3) ctx.continueAsNew(value + 1, false);
        return value;
      },
    },
  });
  const instance = await everdure.start("count", 1);
  assert.equal(await everdure.result(instance), 3);
  await everdure.client.restartOrchestration(instance);
  const state = await everdure.ended(instance);
  assert.deepEqual([OrchestrationStatus[state.runtimeStatus], state.serializedOutput], ["COMPLETED", "3"]);
});

test("a child that is restarted has no parent any more", async (t) => {
  const child = id("child");
  await everdure.worker(t, {
    orchestrators: {
      told,
      parent: async function* (ctx) { return yield ctx.callSubOrchestrator("told", 1, { instanceId: child }); },
    },
  });
  const parent = await everdure.start("parent");
  assert.equal((await everdure.result(parent)).parent.instanceId, parent);
  const before = await everdure.history(parent);
  await everdure.client.restartOrchestration(child);
  assert.equal((await everdure.result(child)).parent, null);
  assert.deepEqual(await everdure.history(parent), before);
});
