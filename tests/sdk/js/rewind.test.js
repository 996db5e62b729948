"use strict";
const { assert, id, suite, test, until, whenAll } = require("./support");

const everdure = suite("rewind");
const started = async (instance) => (await everdure.history(instance)).find((event) => event.type === "ExecutionStarted");

/** Activities that fail until they are mended, and how often each ran. */
function breakable() {
  const state = { broken: true, runs: {} };
  const count = (name) => (state.runs[name] = (state.runs[name] ?? 0) + 1);
  state.activities = {
    sound: (_, value) => (count("sound"), value),
    fragile: (_, value) => {
      count("fragile");
      if (state.broken) throw new Error("broken");
      return value * 10;
    },
  };
  return state;
}

const twoSteps = async function* (ctx, value) {
  const first = yield ctx.callActivity("sound", value);
  return yield ctx.callActivity("fragile", first);
};

test("c74 a failed activity runs again, what succeeded does not", async (t) => {
  const state = breakable();
  await everdure.worker(t, { orchestrators: { twoSteps }, activities: state.activities });
  const instance = await everdure.start("twoSteps", 4);
  await everdure.failure(instance);
  const first = await started(instance);
  state.broken = false;
  await everdure.client.rewindInstance(instance, "the machine was repaired");
  assert.equal(await everdure.result(instance), 40);
  assert.deepEqual(state.runs, { sound: 1, fragile: 2 });
  const second = await started(instance);
  assert.notEqual(second.orchestrationInstance.executionId, first.orchestrationInstance.executionId);
  const history = await everdure.history(instance);
  assert.deepEqual(
    history.filter((event) => event.type === "ExecutionRewound").map((event) => event.reason),
    ["the machine was repaired"],
  );
  assert.equal(history.filter((event) => event.type === "ExecutionCompleted").length, 1);
  assert.equal(history.some((event) => event.type === "TaskFailed"), false);
  assert.equal((await everdure.client.getOrchestrationState(instance)).failureDetails, undefined);
});

test("c74 twice in a row", async (t) => {
  const state = breakable();
  await everdure.worker(t, { orchestrators: { twoSteps }, activities: state.activities });
  const instance = await everdure.start("twoSteps", 1);
  await everdure.failure(instance);
  await everdure.client.rewindInstance(instance, "first");
  await until("it failed again", async () => state.runs.fragile === 2 && (await everdure.status(instance)) === "FAILED");
  state.broken = false;
  await everdure.client.rewindInstance(instance, "second");
  assert.equal(await everdure.result(instance), 10);
  const rewound = (await everdure.history(instance)).filter((event) => event.type === "ExecutionRewound");
  assert.deepEqual(rewound.map((event) => event.reason), ["first", "second"]);
  assert.deepEqual(state.runs, { sound: 1, fragile: 3 });
});

test("c74 of a fan-out only what failed runs again", async (t) => {
  const state = breakable();
  await everdure.worker(t, {
    orchestrators: {
      fan: async function* (ctx) {
        const sound = [1, 2, 3].map((value) => ctx.callActivity("sound", value));
        return yield whenAll([...sound, ctx.callActivity("fragile", 4), ctx.callActivity("fragile", 5)]);
      },
    },
    activities: state.activities,
  });
  const instance = await everdure.start("fan");
  await everdure.failure(instance);
  state.broken = false;
  await everdure.client.rewindInstance(instance);
  assert.deepEqual(await everdure.result(instance), [1, 2, 3, 40, 50]);
  assert.deepEqual(state.runs, { sound: 3, fragile: 4 });
});

test("c74 a failed child is rewound with its parent, and its child too", async (t) => {
  const state = breakable();
  const ids = { child: id("child"), grandchild: id("grandchild") };
  const call = (name, instanceId) =>
    async function* (ctx) {
      const value = yield ctx.callActivity("sound", 1);
      return value + (yield ctx.callSubOrchestrator(name, 4, { instanceId }));
    };
  await everdure.worker(t, {
    orchestrators: { parent: call("child", ids.child), child: call("twoSteps", ids.grandchild), twoSteps },
    activities: state.activities,
  });
  const parent = await everdure.start("parent");
  await everdure.failure(parent);
  state.broken = false;
  await everdure.client.rewindInstance(parent, "from the top");
  assert.equal(await everdure.result(parent), 42);
  assert.deepEqual([await everdure.result(ids.child), await everdure.result(ids.grandchild)], [41, 40]);
  assert.deepEqual(state.runs, { sound: 3, fragile: 2 });
  assert.equal((await everdure.kinds(ids.grandchild)).includes("ExecutionRewound"), true);
});

test("c74 a child that was purged meanwhile is made again", async (t) => {
  const state = breakable();
  const child = id("child");
  await everdure.worker(t, {
    orchestrators: {
      parent: async function* (ctx) { return yield ctx.callSubOrchestrator("twoSteps", 4, { instanceId: child }); },
      twoSteps,
    },
    activities: state.activities,
  });
  const parent = await everdure.start("parent");
  await everdure.failure(parent);
  assert.equal((await everdure.client.purgeOrchestration(child)).deletedInstanceCount, 1);
  state.broken = false;
  await everdure.client.rewindInstance(parent, "without it");
  assert.equal(await everdure.result(parent), 40);
  assert.equal(await everdure.result(child), 40);
});

test("c74 what has not failed cannot be rewound, and nobody cannot", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      quick: async () => "done",
      waiting: async function* (ctx) { yield ctx.waitForExternalEvent("never"); },
    },
  });
  const [running, completed] = [await everdure.start("waiting"), await everdure.start("quick")];
  await everdure.reaches(running, "RUNNING");
  await everdure.result(completed);
  for (const instance of [running, completed]) {
    await assert.rejects(everdure.client.rewindInstance(instance, "why not"), (error) => {
      assert.match(error.message, /not allow|precondition|running/i);
      assert.equal(error.cause.code, 9, "FAILED_PRECONDITION");
      return true;
    });
  }
  await everdure.client.terminateOrchestration(running);
  await everdure.ended(running);
  await assert.rejects(everdure.client.rewindInstance(running, "why not"), (error) => error.cause.code === 9);
  await assert.rejects(everdure.client.rewindInstance(id(), "why not"), /was not found/);
  await assert.rejects(everdure.client.rewindInstance(""), /instanceId/);
});

test("c74 an orchestration that failed by itself tries its last part again", async (t) => {
  let broken = true;
  await everdure.worker(t, {
    orchestrators: {
      thrower: async function* (ctx) {
        const value = yield ctx.callActivity("sound", 7);
        if (broken) throw new Error("a mistake in the code");
        return value;
      },
    },
    activities: { sound: (_, value) => value },
  });
  const instance = await everdure.start("thrower");
  await everdure.failure(instance);
  broken = false;
  await everdure.client.rewindInstance(instance, "deployed a repair");
  assert.equal(await everdure.result(instance), 7);
});
