"use strict";
const { Empty, Raw } = require("./support/raw");
const { OrchestrationStatus, assert, gate, grpc, servers, suite, test } = require("./support");

const everdure = suite("hubs", { args: ["--hubs", "default,hubs,blue,green"] });
const [blue, green] = ["blue", "green"].map((name) => () => everdure.other({ name }));
const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };

test("c1 without a header, calls are for the default hub", async (t) => {
  // A plain program: no metadata at all.
  const plain = everdure.other({ name: "plain" });
  plain.name = undefined;
  await plain.worker(t, { orchestrators: { quick: async () => "plain" } });
  const instance = await plain.start("quick");
  assert.equal(await plain.result(instance), "plain");
  const named = everdure.other({ name: "default" });
  assert.equal((await named.client.getOrchestrationState(instance)).runtimeStatus, OrchestrationStatus.COMPLETED);
  assert.equal(await everdure.client.getOrchestrationState(instance), undefined);
});

test("c1 a hub that is not served is NOT_FOUND", async () => {
  const other = everdure.other({ name: "red" });
  await assert.rejects(other.client.getOrchestrationState("any"), (error) => error.code === grpc.status.NOT_FOUND);
  await assert.rejects(other.start("any"), (error) => error.code === grpc.status.NOT_FOUND);
});

test("c2 Hello answers at once, for any hub or none", async () => {
  const raw = new Raw(everdure);
  for (const metadata of [new grpc.Metadata(), undefined]) {
    const times = [];
    for (let call = 0; call < 21; call++) {
      const begin = performance.now();
      await raw.call("hello", new Empty(), { metadata });
      times.push(performance.now() - begin);
    }
    // The median: a busy machine may hold up some.
    assert.equal(times.toSorted((a, b) => a - b)[10] < 100, true, `${times}`);
  }
});

test("c91 the same ids in two hubs are two instances, in every call", async (t) => {
  const [one, two] = [blue(), green()];
  const told = (hub) => ({
    orchestrators: {
      told: async function* (ctx) { return [yield ctx.callActivity("where"), yield ctx.waitForExternalEvent("end")]; },
    },
    activities: { where: () => hub.name },
  });
  await one.worker(t, told(one));
  await two.worker(t, told(two));
  const instance = "the-same-id";
  for (const hub of [one, two]) {
    await hub.client.scheduleNewOrchestration("told", hub.name, { instanceId: instance, tags: { hub: hub.name } });
  }
  for (const hub of [one, two]) {
    await hub.reaches(instance, "RUNNING");
    assert.deepEqual((await hub.client.getOrchestrationState(instance)).tags, { hub: hub.name });
  }
  await one.client.suspendOrchestration(instance);
  await one.reaches(instance, "SUSPENDED");
  assert.equal(await two.status(instance), "RUNNING");
  await two.client.raiseOrchestrationEvent(instance, "end", "green");
  assert.deepEqual(await two.result(instance), ["green", "green"]);
  assert.equal(await one.status(instance), "SUSPENDED");
  await one.client.resumeOrchestration(instance);
  await one.client.raiseOrchestrationEvent(instance, "end", "blue");
  assert.deepEqual(await one.result(instance), ["blue", "blue"]);
  const listed = async (hub) => (await hub.client.listInstanceIds()).values;
  assert.deepEqual([await listed(one), await listed(two)], [[instance], [instance]]);
  assert.equal((await one.client.purgeOrchestration(instance)).deletedInstanceCount, 1);
  assert.equal((await two.client.getOrchestrationState(instance)).serializedInput, '"green"');
  assert.deepEqual([await listed(one), await listed(two)], [[], [instance]]);
});

test("c91 a worker gets the work of its hub only", async (t) => {
  const [one, two] = [blue(), green()];
  await one.worker(t, { orchestrators: { waiting } });
  const instance = await two.start("waiting");
  const own = await one.start("waiting");
  await one.client.raiseOrchestrationEvent(own, "end", "own");
  // The one that was started later has ended: the worker has had all that there was for it.
  assert.equal(await one.result(own), "own");
  assert.equal(await two.status(instance), "PENDING");
  await two.client.terminateOrchestration(instance);
});

test("c94 a server that is stopped lets workers finish, and they go over to the next one", { timeout: 180_000 }, async (t) => {
  const second = await servers.serve(everdure.server.databaseUrl, { args: ["--drain", "20"] });
  const hub = everdure.other({ address: second.address, name: "hubs" });
  const [begun, slow] = [gate(), gate()];
  await hub.worker(t, {
    orchestrators: { busy: async function* (ctx) { return yield ctx.callActivity("slow"); } },
    activities: { slow: async () => (begun.open(), await slow.passed, "finished") },
  });
  const instance = await hub.start("busy");
  await begun.passed;
  const stopped = second.stop();
  slow.open();
  assert.equal(await stopped, "ended with 0", second.output());
  await everdure.worker(t, {
    orchestrators: { busy: async function* (ctx) { return yield ctx.callActivity("slow"); } },
    activities: { slow: () => "ran again" },
  });
  assert.equal(await everdure.result(instance), "finished", "the activity that was under way counted");
});
