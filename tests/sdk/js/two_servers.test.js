"use strict";
const { assert, gate, id, servers, suite, test, until, whenAll } = require("./support");
const { counter, entities } = require("./support/entities");

const everdure = suite("two-servers");
let second;

/** The same hub, through another server on the same database. */
async function other() {
  second ??= everdure.server && (await servers.serve(everdure.server.databaseUrl));
  return everdure.other({ address: second.address });
}
require("node:test").after(() => second?.stop());

const parts = {
  orchestrators: {
    work: async function* (ctx, count) {
      const doubled = yield whenAll(Array.from({ length: count }, (_, value) => ctx.callActivity("double", value)));
      const child = yield ctx.callSubOrchestrator("child");
      return [...doubled, child, yield ctx.waitForExternalEvent("end")];
    },
    child: async function* (ctx) { yield ctx.createTimer(0.1); return "child"; },
  },
  activities: { double: (_, value) => value * 2 },
};

test("c92 a client on one server, a worker on the other", async (t) => {
  const there = await other();
  await there.worker(t, parts);
  const instance = await everdure.start("work", 5);
  await everdure.client.raiseOrchestrationEvent(instance, "end", "here");
  assert.deepEqual(await everdure.result(instance), [0, 2, 4, 6, 8, "child", "here"]);
});

test("c92 a wait on one server ends when a worker on the other completes the instance", async (t) => {
  const there = await other();
  await there.worker(t, parts);
  const instance = await there.start("work", 1);
  const waits = [everdure.ended(instance), there.ended(instance), everdure.client.waitForOrchestrationStart(instance, false, 60)];
  await there.client.raiseOrchestrationEvent(instance, "end", "now");
  const [here, same, started] = await Promise.all(waits);
  assert.equal(here.serializedOutput, '[0,"child","now"]');
  assert.equal(same.serializedOutput, here.serializedOutput);
  assert.equal(started.instanceId, instance);
});

test("c92 workers on both: the work is shared, and nothing runs twice", async (t) => {
  const there = await other();
  const ran = new Map();
  const on = (server) => ({
    orchestrators: {
      spread: async function* (ctx, names) { return (yield whenAll(names.map((name) => ctx.callActivity("note", name)))).length; },
    },
    activities: { note: (_, name) => void ran.set(name, [...(ran.get(name) ?? []), server]) },
  });
  await everdure.worker(t, on("here"));
  await there.worker(t, on("there"));
  const starts = Array.from({ length: 20 }, (_, number) => {
    const names = Array.from({ length: 10 }, (_, index) => `${number}/${index}`);
    return (number % 2 ? everdure : there).start("spread", names);
  });
  const instances = await Promise.all(starts);
  for (const [number, instance] of instances.entries()) {
    assert.equal(await (number % 2 ? there : everdure).result(instance), 10, "either server tells it");
  }
  assert.equal(ran.size, 200);
  assert.deepEqual([...ran].filter(([, servers]) => servers.length !== 1), []);
});

test("c92 control from the server where the worker is not", async (t) => {
  const there = await other();
  const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };
  await there.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.suspendOrchestration(instance);
  await everdure.reaches(instance, "SUSPENDED");
  await everdure.client.resumeOrchestration(instance);
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.terminateOrchestration(instance, "from here");
  assert.equal((await everdure.ended(instance)).serializedOutput, '"from here"');
  assert.equal((await everdure.client.purgeOrchestration(instance)).deletedInstanceCount, 1);
  assert.equal(await there.client.getOrchestrationState(instance), undefined);
});

test("c92 an entity's worker on one server, its callers on the other", async (t) => {
  const there = await other();
  await there.worker(t, { entities }, { workItemFilters: "auto" });
  await everdure.worker(
    t,
    { orchestrators: { calls: async function* (ctx, key) { return yield ctx.entities.callEntity(counter(key), "add", 2); } } },
    { workItemFilters: "auto" },
  );
  const key = id();
  assert.equal(await everdure.run("calls", key), 2);
  await everdure.client.signalEntity(counter(key), "add", 3);
  await until("both", async () => (await there.client.getEntity(counter(key)))?.state.value === 5);
});

test("c92 when one server dies, the other takes over what it held", { timeout: 180_000 }, async (t) => {
  const third = await servers.serve(everdure.server.databaseUrl);
  const there = everdure.other({ address: third.address });
  const begun = gate();
  const slow = async function* (ctx) { return [yield ctx.callActivity("slow"), yield ctx.createTimer(0.1)]; };
  await there.worker(t, { orchestrators: { slow }, activities: { slow: () => (begun.open(), new Promise(() => {})) } });
  const instance = await everdure.start("slow");
  await begun.passed;
  await third.kill();
  await everdure.worker(t, { orchestrators: { slow }, activities: { slow: () => "taken over" } });
  assert.deepEqual(await everdure.result(instance, 120), ["taken over", null]);
});
