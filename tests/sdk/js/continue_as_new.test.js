"use strict";
const { OrchestrationStatus, assert, gate, sleep, suite, test, until } = require("./support");

const everdure = suite("continue-as-new");
const started = async (instance) => (await everdure.history(instance)).find((event) => event.type === "ExecutionStarted");

test("c23 an instance begins anew with another input, and who waits for it goes on waiting", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      count: async function* (ctx, value) {
        yield ctx.createTimer(0.05);
        if (value < 5) ctx.continueAsNew(value + 1, false);
        return value;
      },
    },
  });
  const instance = await everdure.start("count", 1);
  assert.equal(await everdure.result(instance), 5);
  const state = await everdure.client.getOrchestrationState(instance);
  assert.equal(state.serializedInput, "5");
  const kinds = await everdure.kinds(instance);
  assert.deepEqual(
    kinds,
    ["OrchestratorStarted", "ExecutionStarted", "TimerCreated", "OrchestratorStarted", "TimerFired", "ExecutionCompleted"],
    "the history is that of the last generation",
  );
});

test("c34 c64 the execution id is new, all else of the instance stays", async (t) => {
  const seen = [];
  await everdure.worker(t, {
    orchestrators: {
      renewed: async function* (ctx, value) {
        yield ctx.waitForExternalEvent("go");
        seen.push({ version: ctx.version, time: ctx.currentUtcDateTime.getTime(), guid: ctx.newGuid() });
        if (value < 2) ctx.continueAsNew(value + 1, true);
      },
    },
  });
  const instance = await everdure.start("renewed", 1, { tags: { team: "blue" }, version: "1.5" });
  await everdure.reaches(instance, "RUNNING");
  const [before, state] = [await started(instance), await everdure.client.getOrchestrationState(instance)];
  await everdure.client.raiseOrchestrationEvent(instance, "go");
  // The SDK's clock has milliseconds: the generations have to be further apart than one, and than the server's may be off.
  await sleep(50);
  // Events are carried over, so it does not matter which generation is there when this one comes.
  await everdure.client.raiseOrchestrationEvent(instance, "go");
  await everdure.result(instance);
  const [after, last] = [await started(instance), await everdure.client.getOrchestrationState(instance)];
  assert.notEqual(after.orchestrationInstance.executionId, before.orchestrationInstance.executionId);
  assert.match(after.orchestrationInstance.executionId, /^[0-9a-f]{32}$/);
  assert.deepEqual([after.name, after.version, after.input, after.tags], ["renewed", "1.5", "2", { team: "blue" }]);
  assert.deepEqual(last.tags, { team: "blue" });
  assert.equal(last.createdAt.getTime(), state.createdAt.getTime());
  assert.deepEqual(seen.map(({ version }) => version), ["1.5", "1.5"]);
  assert.equal(seen[1].time > seen[0].time, true, "the clock moves on, so guids do not repeat");
  assert.notEqual(seen[1].guid, seen[0].guid);
});

test("c64 events that nobody took are carried over, in order and before later ones", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      collect: async function* (ctx, got) {
        if (got.length === 0) {
          yield ctx.waitForExternalEvent("go");
          ctx.continueAsNew(["start"], true);
          return null;
        }
        while (got.length < 4) got.push(yield ctx.waitForExternalEvent("item"));
        return got;
      },
    },
  });
  const instance = await everdure.start("collect", []);
  for (const item of [1, 2]) await everdure.client.raiseOrchestrationEvent(instance, "item", item);
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.raiseOrchestrationEvent(instance, "go");
  await everdure.client.raiseOrchestrationEvent(instance, "item", 3);
  assert.deepEqual(await everdure.result(instance), ["start", 1, 2, 3]);
});

test("c64 without carrying, events that nobody took are gone", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      forget: async function* (ctx, again) {
        if (!again) {
          yield ctx.waitForExternalEvent("go");
          ctx.continueAsNew(true, false);
          return null;
        }
        return yield ctx.waitForExternalEvent("item");
      },
    },
  });
  const instance = await everdure.start("forget", false);
  await everdure.client.raiseOrchestrationEvent(instance, "item", "old");
  await everdure.reaches(instance, "RUNNING");
  const first = (await started(instance)).orchestrationInstance.executionId;
  await everdure.client.raiseOrchestrationEvent(instance, "go");
  // Between the generations there is no history.
  const second = async () => ![undefined, first].includes((await started(instance))?.orchestrationInstance.executionId);
  await until("a second generation", second);
  await everdure.client.raiseOrchestrationEvent(instance, "item", "new");
  assert.equal(await everdure.result(instance), "new");
});

test("c64 timers and activities of the last generation do not reach the next", async (t) => {
  const slow = gate();
  await everdure.worker(t, {
    orchestrators: {
      leave: async function* (ctx, again) {
        if (!again) {
          ctx.callActivity("slow", "old");
          ctx.createTimer(0.3);
          yield ctx.callActivity("quick");
          ctx.continueAsNew(true, false);
          return null;
        }
        // The same ids as in the last generation, so that what is left of it would be taken for an answer.
        const [own, timer] = [ctx.callActivity("slow", "new"), ctx.createTimer(0.6)];
        yield timer;
        const early = own.isComplete;
        slow.open();
        return [early, yield own];
      },
    },
    activities: { quick: () => 1, slow: async (_, text) => (await slow.passed, text) },
  });
  assert.deepEqual(await everdure.run("leave", false), [false, "new"]);
});

test("c64 a status is never CONTINUED_AS_NEW, and the custom status is that of the last turn", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      shown: async function* (ctx, value) {
        if (value < 20) {
          ctx.setCustomStatus(`generation ${value}`);
          ctx.continueAsNew(value + 1, false);
          return null;
        }
        yield ctx.waitForExternalEvent("end");
        return value;
      },
    },
  });
  const instance = await everdure.start("shown", 0);
  const seen = new Set();
  await until("the last generation", async () => {
    const state = await everdure.client.getOrchestrationState(instance);
    seen.add(OrchestrationStatus[state.runtimeStatus]);
    return state.serializedInput === "20" && state.runtimeStatus === OrchestrationStatus.RUNNING;
  });
  await until("its first turn, which sets no status", async () => {
    return (await everdure.client.getOrchestrationState(instance)).serializedCustomStatus === undefined;
  });
  await everdure.client.raiseOrchestrationEvent(instance, "end");
  assert.equal(await everdure.result(instance), 20);
  assert.deepEqual([...seen].filter((status) => !["PENDING", "RUNNING"].includes(status)), []);
});
