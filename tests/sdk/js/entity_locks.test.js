"use strict";
const { OrchestrationStatus, assert, id, suite, test, until, whenAll } = require("./support");
const { counter, entities, notes } = require("./support/entities");

const everdure = suite("entity-locks");
const get = (entity) => everdure.client.getEntity(entity);
const exists = (entity) => until(`${entity} exists`, async () => (await get(entity)) !== undefined);
const free = (entity) => until(`${entity} is free`, async () => (await get(entity))?.lockedBy === undefined);

/** Locks, writes its name, waits for an event, writes again, and goes as it is told to. */
const hold = async function* (ctx, { keys, way = "release" }) {
  const held = keys.map(notes);
  const lock = yield ctx.entities.lockEntities(...held);
  yield ctx.entities.callEntity(held[0], "note", `${ctx.instanceId} in`);
  ctx.setCustomStatus("holding");
  yield ctx.waitForExternalEvent("go");
  yield ctx.entities.callEntity(held[0], "note", `${ctx.instanceId} out`);
  if (way === "fail") throw new Error("in the critical section");
  if (way === "release") lock.release();
  if (way === "again") ctx.continueAsNew({ keys: [], way: "done" }, true);
  if (way === "stay") yield ctx.waitForExternalEvent("never");
  return "done";
};
const again = async function* (ctx, input) {
  if (input.keys.length === 0) return yield ctx.waitForExternalEvent("end");
  return yield* hold(ctx, input);
};
const holding = (instance) =>
  until(`${instance} holds`, async () => {
    return (await everdure.client.getOrchestrationState(instance)).serializedCustomStatus === '"holding"';
  });

test("c83 a lock is held by its instance, and while it is nobody else gets in", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { hold } });
  const key = id();
  const first = await everdure.start("hold", { keys: [key] });
  await holding(first);
  assert.equal((await get(notes(key))).lockedBy, first);
  const other = await everdure.start("hold", { keys: [key] });
  await everdure.reaches(other, "RUNNING");
  await everdure.client.raiseOrchestrationEvent(other, "go");
  assert.equal((await get(notes(key))).lockedBy, first);
  await everdure.client.raiseOrchestrationEvent(first, "go");
  await Promise.all([everdure.result(first), everdure.result(other)]);
  await free(notes(key));
  assert.deepEqual((await get(notes(key))).state, [`${first} in`, `${first} out`, `${other} in`, `${other} out`]);
});

test("c84 signals and other callers wait while the owner's calls run", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      hold,
      call: async function* (ctx, key) { return yield ctx.entities.callEntity(notes(key), "note", "called"); },
    },
  });
  const key = id();
  const owner = await everdure.start("hold", { keys: [key] });
  await holding(owner);
  await everdure.client.signalEntity(notes(key), "note", "signalled");
  await until("the backlog", async () => (await get(notes(key))).backlogQueueSize === 1);
  const caller = await everdure.start("call", key);
  await until("the backlog", async () => (await get(notes(key))).backlogQueueSize === 2);
  assert.deepEqual((await get(notes(key))).state, [`${owner} in`]);
  await everdure.client.raiseOrchestrationEvent(owner, "go");
  await Promise.all([everdure.result(owner), everdure.result(caller)]);
  assert.deepEqual((await get(notes(key))).state, [`${owner} in`, `${owner} out`, "signalled", "called"]);
});

test("c83 two locks asked for in opposite orders: no deadlock, no interleaving", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      move: async function* (ctx, { from, to }) {
        const [source, target] = [counter(from), counter(to)];
        const lock = yield ctx.entities.lockEntities(source, target);
        const before = yield whenAll([ctx.entities.callEntity(source, "get"), ctx.entities.callEntity(target, "get")]);
        yield ctx.createTimer(0.01);
        yield ctx.entities.callEntity(source, "add", -1);
        const after = yield whenAll([ctx.entities.callEntity(source, "get"), ctx.entities.callEntity(target, "add", 1)]);
        lock.release();
        return before[0] - 1 === after[0] && before[1] + 1 === after[1];
      },
    },
  });
  const [a, b] = [id("a"), id("b")];
  for (const key of [a, b]) await everdure.client.signalEntity(counter(key), "add", 100);
  const moves = Array.from({ length: 20 }, (_, number) => (number % 2 ? { from: a, to: b } : { from: b, to: a }));
  const instances = await Promise.all(moves.map((move) => everdure.start("move", move)));
  const undisturbed = await Promise.all(instances.map((instance) => everdure.result(instance)));
  assert.deepEqual(undisturbed, Array(20).fill(true));
  for (const key of [a, b]) {
    await free(counter(key));
    assert.deepEqual((await get(counter(key))).state, { value: 100 });
  }
});

for (const [way, status] of [["fail", "FAILED"], ["forget", "COMPLETED"]]) {
  test(`c83 an owner that ends ${status} without releasing gives its locks back`, async (t) => {
    await everdure.worker(t, { entities, orchestrators: { hold } });
    const keys = [id("a"), id("b")];
    const owner = await everdure.start("hold", { keys, way });
    await holding(owner);
    for (const key of keys) if (await get(notes(key))) assert.equal((await get(notes(key))).lockedBy, owner);
    await everdure.client.raiseOrchestrationEvent(owner, "go");
    const state = await everdure.ended(owner);
    assert.equal(OrchestrationStatus[state.runtimeStatus], status);
    const next = await everdure.start("hold", { keys });
    await everdure.client.raiseOrchestrationEvent(next, "go");
    assert.equal(await everdure.result(next), "done");
  });
}

test("c83 a terminated owner gives its locks back, and a purge leaves none behind", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { hold } });
  const keys = [id("a"), id("b")];
  const owner = await everdure.start("hold", { keys, way: "stay" });
  await holding(owner);
  const next = await everdure.start("hold", { keys });
  await everdure.reaches(next, "RUNNING");
  await everdure.client.terminateOrchestration(owner, "enough");
  await everdure.ended(owner);
  assert.equal((await everdure.client.purgeOrchestration(owner)).deletedInstanceCount, 1);
  await holding(next);
  assert.equal((await get(notes(keys[0]))).lockedBy, next);
  await everdure.client.raiseOrchestrationEvent(next, "go");
  assert.equal(await everdure.result(next), "done");
});

test("c83 an owner that continues as new does not keep its locks", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { again, hold } });
  const keys = [id()];
  const owner = await everdure.start("again", { keys, way: "again" });
  await holding(owner);
  await everdure.client.raiseOrchestrationEvent(owner, "go");
  const next = await everdure.start("hold", { keys });
  await everdure.client.raiseOrchestrationEvent(next, "go");
  assert.equal(await everdure.result(next), "done");
  assert.equal(await everdure.status(owner), "RUNNING");
  await everdure.client.raiseOrchestrationEvent(owner, "end", "ended");
  assert.equal(await everdure.result(owner), "ended");
});

test("within a critical section the SDK keeps its rules", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      rules: async function* (ctx, [own, other]) {
        const errors = [];
        const refused = (action) => {
          try {
            action();
            errors.push("allowed");
          } catch (error) {
            errors.push(error.message);
          }
        };
        const { entities: feature } = ctx;
        const before = feature.isInCriticalSection();
        refused(() => feature.lockEntities());
        const lock = yield feature.lockEntities(notes(own), notes(own));
        const inside = feature.isInCriticalSection();
        refused(() => feature.lockEntities(notes(other)));
        refused(() => feature.callEntity(notes(other), "read"));
        refused(() => feature.signalEntity(notes(own), "note", 1));
        feature.signalEntity(notes(other), "note", "allowed");
        lock.release();
        lock.release();
        return { before, inside, after: feature.isInCriticalSection(), errors };
      },
    },
  });
  const keys = [id("own"), id("other")];
  const { before, inside, after, errors } = await everdure.run("rules", keys);
  assert.deepEqual([before, inside, after], [
    { inSection: false },
    { inSection: true, lockedEntities: [`@notes@${keys[0]}`] },
    { inSection: false },
  ]);
  assert.equal(errors.length, 4);
  assert.equal(errors.includes("allowed"), false, errors.join("\n"));
  await exists(notes(keys[1]));
});

test("c49 requests, grants and releases stand in the history", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { hold } });
  const keys = [id("b"), id("a")];
  const owner = await everdure.start("hold", { keys });
  await everdure.client.raiseOrchestrationEvent(owner, "go");
  await everdure.result(owner);
  const history = await everdure.history(owner);
  const requested = history.find((event) => event.type === "EntityLockRequested");
  const granted = history.find((event) => event.type === "EntityLockGranted");
  const unlocks = history.filter((event) => event.type === "EntityUnlockSent");
  const sorted = keys.map((key) => `@notes@${key}`).toSorted();
  assert.deepEqual([requested.eventId, requested.lockSet, requested.position], [1, sorted, 0]);
  assert.deepEqual([granted.eventId, granted.criticalSectionId], [-1, requested.criticalSectionId]);
  assert.deepEqual(unlocks.map((event) => event.targetInstanceId), sorted);
  for (const event of unlocks) assert.equal(event.criticalSectionId, requested.criticalSectionId);
});

test("c83 who asked first gets the lock first", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { hold } });
  const key = id();
  const queue = [];
  for (let number = 0; number < 4; number++) {
    const instance = await everdure.start("hold", { keys: [key] });
    if (number === 0) await holding(instance);
    // A request stands in the history in the turn that sends it off.
    await until("its request", async () => (await everdure.kinds(instance)).includes("EntityLockRequested"));
    queue.push(instance);
  }
  for (const instance of queue) await everdure.client.raiseOrchestrationEvent(instance, "go");
  await Promise.all(queue.map((instance) => everdure.result(instance)));
  assert.deepEqual((await get(notes(key))).state, queue.flatMap((instance) => [`${instance} in`, `${instance} out`]));
});
