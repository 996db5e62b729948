"use strict";
const { TaskFailedError, assert, id, suite, test, whenAll } = require("./support");

const everdure = suite("sub-orchestrations");
const CHILD_ID = /^[0-9a-f]{32}:[0-9a-f]{4}$/;
const started = async (instance) => (await everdure.history(instance)).find((event) => event.type === "ExecutionStarted");

test("a child runs and its result comes back", async (t) => {
  async function* child(ctx, value) {
    return yield ctx.callActivity("double", value);
  }
  await everdure.worker(t, {
    orchestrators: { child, parent: async function* (ctx, value) { return yield ctx.callSubOrchestrator(child, value); } },
    activities: { double: (_, value) => value * 2 },
  });
  assert.equal(await everdure.run("parent", 21), 42);
});

test("c57 a child knows its parent: name, id, task; the history also the execution", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      child: async (ctx) => ({ id: ctx.instanceId, parent: ctx.parent }),
      parent: async function* (ctx) {
        yield ctx.createTimer(0);
        return { own: ctx.parent === undefined, child: yield ctx.callSubOrchestrator("child") };
      },
    },
  });
  const instance = await everdure.start("parent");
  const { own, child } = await everdure.result(instance);
  assert.equal(own, true);
  assert.deepEqual(child.parent, { name: "parent", instanceId: instance, taskScheduledId: 2 });
  const [parentStart, childStart] = [await started(instance), await started(child.id)];
  assert.equal(childStart.parentInstance.taskScheduledId, 2);
  assert.deepEqual(childStart.parentInstance.orchestrationInstance, parentStart.orchestrationInstance);
});

test("c34 a child's id is made of the parent's execution id", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      child: async (ctx) => ctx.instanceId,
      parent: async function* (ctx) {
        return yield whenAll([ctx.callSubOrchestrator("child"), ctx.callSubOrchestrator("child")]);
      },
    },
  });
  const instance = await everdure.start("parent");
  const children = await everdure.result(instance);
  const { executionId } = (await started(instance)).orchestrationInstance;
  assert.match(executionId, /^[0-9a-f]{32}$/);
  assert.deepEqual(children, [`${executionId}:0001`, `${executionId}:0002`]);
});

test("c64 child ids are new in each generation", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      child: async (ctx) => ctx.instanceId,
      parent: async function* (ctx, ids) {
        const all = [...ids, yield ctx.callSubOrchestrator("child")];
        if (all.length < 3) ctx.continueAsNew(all, false);
        return all;
      },
    },
  });
  const ids = await everdure.run("parent", []);
  for (const child of ids) assert.match(child, CHILD_ID);
  assert.equal(new Set(ids).size, 3, ids.join());
});

test("a child takes the id, the version and the tags that it is given", async (t) => {
  const own = id("own");
  await everdure.worker(t, {
    orchestrators: {
      child: async (ctx) => ({ id: ctx.instanceId, version: ctx.version }),
      parent: async function* (ctx) {
        const options = { instanceId: own, version: "2.1", tags: { kind: "child", deep: "yes" } };
        return yield ctx.callSubOrchestrator("child", null, options);
      },
    },
  });
  const instance = await everdure.start("parent", null, { tags: { kind: "parent", team: "blue" } });
  assert.deepEqual(await everdure.result(instance), { id: own, version: "2.1" });
  const created = (await everdure.history(instance)).find((event) => event.type === "SubOrchestrationInstanceCreated");
  assert.deepEqual([created.instanceId, created.version, created.input], [own, "2.1", "null"]);
  // The child's own tags are merged over those of its parent.
  const state = await everdure.client.getOrchestrationState(own);
  assert.deepEqual(state.tags, { kind: "child", deep: "yes", team: "blue" });
});

test("children of children, three deep, each the same length of id", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      nested: async function* (ctx, depth) {
        if (depth === 0) return [ctx.instanceId];
        return [ctx.instanceId, ...(yield ctx.callSubOrchestrator("nested", depth - 1))];
      },
    },
  });
  const [, ...children] = await everdure.run("nested", 3);
  assert.equal(children.length, 3);
  for (const child of children) assert.match(child, CHILD_ID);
});

test("fifty children at once", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      child: async function* (ctx, value) { return yield ctx.callActivity("double", value); },
      parent: async function* (ctx) {
        return yield whenAll(Array.from({ length: 50 }, (_, value) => ctx.callSubOrchestrator("child", value)));
      },
    },
    activities: { double: (_, value) => value * 2 },
  });
  assert.deepEqual(await everdure.run("parent"), Array.from({ length: 50 }, (_, value) => value * 2));
});

test("c55 a child's failure reaches the parent as the child told it", async (t) => {
  class PaymentError extends Error {
    name = "PaymentError";
  }
  await everdure.worker(t, {
    orchestrators: {
      child: async () => { throw new PaymentError("card declined", { cause: new Error("no funds") }); },
      parent: async function* (ctx) {
        try {
          yield ctx.callSubOrchestrator("child");
        } catch (error) {
          const { details } = error;
          return [error instanceof TaskFailedError, details.errorType, details.message, details.stackTrace];
        }
      },
    },
  });
  const instance = await everdure.start("parent");
  const [typed, type, message, stack] = await everdure.result(instance);
  assert.deepEqual([typed, type, message], [true, "PaymentError", "card declined"]);
  assert.match(stack, /PaymentError: card declined\n\s+at /);
  const failed = (await everdure.history(instance)).find((event) => event.type === "SubOrchestrationInstanceFailed");
  assert.deepEqual([failed.taskScheduledId, failed.failureDetails.errorType], [1, "PaymentError"]);
});

test("c56 a child that is terminated fails its parent's call", async (t) => {
  const child = id("child");
  await everdure.worker(t, {
    orchestrators: {
      child: async function* (ctx) { yield ctx.waitForExternalEvent("never"); },
      parent: async function* (ctx) {
        try {
          return yield ctx.callSubOrchestrator("child", null, { instanceId: child });
        } catch (error) {
          return ["caught", error.details.errorType, error.details.message];
        }
      },
    },
  });
  const instance = await everdure.start("parent");
  await everdure.reaches(child, "RUNNING");
  await everdure.client.terminateOrchestration(child, "no longer wanted");
  const [caught, type, message] = await everdure.result(instance);
  assert.deepEqual([caught, type], ["caught", "OrchestrationTerminated"]);
  assert.match(message, /no longer wanted/);
});

test("c54 a child id that a running instance has fails the call, and that instance goes on", async (t) => {
  const taken = id("taken");
  await everdure.worker(t, {
    orchestrators: {
      other: async function* (ctx) { return yield ctx.waitForExternalEvent("end"); },
      parent: async function* (ctx) {
        try {
          return yield ctx.callSubOrchestrator("other", null, { instanceId: taken });
        } catch (error) {
          return error.details.message;
        }
      },
    },
  });
  await everdure.client.scheduleNewOrchestration("other", null, taken);
  await everdure.reaches(taken, "RUNNING");
  assert.match(await everdure.run("parent"), /already exists/);
  await everdure.client.raiseOrchestrationEvent(taken, "end", "mine");
  assert.equal(await everdure.result(taken), "mine");
});

test("c53 a child id that a finished instance has is taken over", async (t) => {
  const again = id("again");
  let runs = 0;
  await everdure.worker(t, {
    orchestrators: {
      child: async () => (runs += 1),
      parent: async function* (ctx) { return yield ctx.callSubOrchestrator("child", null, { instanceId: again }); },
    },
  });
  assert.deepEqual([await everdure.run("parent"), await everdure.run("parent")], [1, 2]);
});

test("a child started in the last turn runs, and its end is nobody's concern", async (t) => {
  const child = id("orphan");
  await everdure.worker(t, {
    orchestrators: {
      child: async () => "alone",
      parent: async (ctx) => void ctx.callSubOrchestrator("child", null, { instanceId: child }),
    },
  });
  await everdure.run("parent");
  await everdure.reaches(child, "COMPLETED");
});

test("c58 a child that is fired and forgotten does not report back", async (t) => {
  const child = id("forgotten");
  await everdure.worker(t, {
    orchestrators: {
      child: async () => "unheard",
      parent: async function* (ctx) {
        ctx.callSubOrchestrator("child", null, { instanceId: child, tags: { FireAndForget: "true" } });
        return yield ctx.waitForExternalEvent("end");
      },
    },
  });
  const parent = await everdure.start("parent");
  await everdure.reaches(child, "COMPLETED");
  await everdure.client.raiseOrchestrationEvent(parent, "end", "ended");
  assert.equal(await everdure.result(parent), "ended");
  assert.equal((await everdure.kinds(parent)).includes("SubOrchestrationInstanceCompleted"), false);
});
