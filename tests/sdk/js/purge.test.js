"use strict";
const { OrchestrationStatus, PurgeInstanceCriteria, assert, grpc, id, sleep, suite, test } = require("./support");
const { Raw, pb } = require("./support/raw");

const everdure = suite("purge");
const { COMPLETED, FAILED, TERMINATED } = OrchestrationStatus;
const orchestrators = {
  quick: async () => "done",
  broken: async () => { throw new Error("broken"); },
  waiting: async function* (ctx) { yield ctx.waitForExternalEvent("never"); },
};
const count = async (hub, ...purge) => (await hub.client.purgeOrchestration(...purge)).deletedInstanceCount;
const exists = async (instance) => (await everdure.client.getOrchestrationState(instance)) !== undefined;

function criteria({ from, to, statuses, timeout }) {
  const made = new PurgeInstanceCriteria();
  if (from) made.setCreatedTimeFrom(from);
  if (to) made.setCreatedTimeTo(to);
  if (statuses) made.setRuntimeStatusList(statuses);
  if (timeout) made.setTimeout(timeout);
  return made;
}

test("c72 by id: what has ended goes with its history; what runs or is unknown counts nothing", async (t) => {
  await everdure.worker(t, { orchestrators });
  const [done, failed, running] = [
    await everdure.start("quick"),
    await everdure.start("broken"),
    await everdure.start("waiting"),
  ];
  await Promise.all([everdure.ended(done), everdure.ended(failed), everdure.reaches(running, "RUNNING")]);
  const raw = new Raw(everdure);
  const request = new pb.PurgeInstancesRequest().setInstanceid(running);
  assert.equal((await raw.call("purgeInstances", request)).getDeletedinstancecount(), 0);
  for (const instance of [done, failed]) {
    assert.equal(await count(everdure, instance), 1);
    assert.equal(await exists(instance), false);
    assert.deepEqual(await everdure.history(instance), []);
    assert.equal(await count(everdure, instance), 0, "a second time there is nothing");
  }
  assert.equal(await count(everdure, running), 0);
  assert.equal(await everdure.status(running), "RUNNING");
  assert.equal(await count(everdure, id()), 0);
  await everdure.client.terminateOrchestration(running);
  await everdure.ended(running);
  assert.equal(await count(everdure, running), 1);
});

test("c72 an id that was purged is free again", async (t) => {
  await everdure.worker(t, { orchestrators });
  const instance = await everdure.start("quick");
  await everdure.result(instance);
  await count(everdure, instance);
  await everdure.client.scheduleNewOrchestration("quick", null, instance);
  assert.equal(await everdure.result(instance), "done");
});

async function family(t) {
  const children = [id("child"), id("child")];
  const grandchild = id("grandchild");
  await everdure.worker(t, {
    orchestrators: {
      ...orchestrators,
      parent: async function* (ctx) {
        for (const instanceId of children) yield ctx.callSubOrchestrator("child", instanceId === children[0], { instanceId });
      },
      child: async function* (ctx, deep) {
        if (deep) yield ctx.callSubOrchestrator("quick", null, { instanceId: grandchild });
      },
    },
  });
  const parent = await everdure.start("parent");
  await everdure.result(parent);
  return { parent, all: [parent, ...children, grandchild] };
}

test("c72 recursive: children and theirs go too, and are counted", async (t) => {
  const { parent, all } = await family(t);
  assert.equal(await count(everdure, parent, { recursive: true }), 4);
  for (const instance of all) assert.equal(await exists(instance), false, instance);
});

test("c72 not recursive: children stay", async (t) => {
  const { parent, all } = await family(t);
  assert.equal(await count(everdure, parent), 1);
  assert.deepEqual(await Promise.all(all.map(exists)), [false, true, true, true]);
});

test("c72 by time and status, with an exact count, and never what runs", async (t) => {
  const hub = everdure.other({ name: "purge-filter" });
  await hub.worker(t, { orchestrators });
  const make = async (name) => {
    const instance = await hub.start(name);
    await (name === "waiting" ? hub.reaches(instance, "RUNNING") : hub.ended(instance));
    await sleep(20);
    return hub.client.getOrchestrationState(instance);
  };
  const states = [];
  for (const name of ["quick", "broken", "quick", "waiting", "quick", "broken"]) states.push(await make(name));
  const created = (index, ms) => new Date(states[index].createdAt.getTime() + ms);
  assert.equal(await count(hub, criteria({ from: created(5, 60_000) })), 0);
  assert.equal(await count(hub, criteria({ to: created(0, 5), statuses: [FAILED] })), 0, "both must fit");
  assert.equal(await count(hub, criteria({ from: created(0, -5), to: created(2, 5), statuses: [COMPLETED] })), 2);
  assert.equal(await count(hub, criteria({ from: created(0, -5), statuses: [FAILED], timeout: 60_000 })), 2);
  const everything = criteria({ from: created(0, -5), statuses: [COMPLETED, FAILED, TERMINATED] });
  assert.equal(await count(hub, everything), 1);
  assert.equal(await hub.status(states[3].instanceId), "RUNNING");
  await hub.client.terminateOrchestration(states[3].instanceId);
  await hub.ended(states[3].instanceId);
  assert.equal(await count(hub, criteria({}), { recursive: true }), 1, "no bounds: all that has ended");
});

test("a purge by criteria is done in the time that they give, or given up here", async () => {
  const made = criteria({ statuses: [COMPLETED] });
  assert.equal(made.getTimeout(), 300_000);
  assert.deepEqual(made.getRuntimeStatusList(), [COMPLETED]);
  assert.deepEqual([made.getCreatedTimeFrom(), made.getCreatedTimeTo()], [undefined, undefined]);
  assert.equal(await count(everdure.other({ name: "purge-empty" }), made), 0);
});

test("c72 a batch of ids, which the SDK cannot ask for; more than 500 are refused", async (t) => {
  await everdure.worker(t, { orchestrators });
  const made = await Promise.all(Array.from({ length: 5 }, () => everdure.start("quick")));
  await Promise.all(made.map((instance) => everdure.result(instance)));
  const running = await everdure.start("waiting");
  await everdure.reaches(running, "RUNNING");
  const raw = new Raw(everdure);
  const purge = (ids) => {
    const batch = new pb.InstanceBatch();
    batch.setInstanceidsList(ids);
    return raw.call("purgeInstances", new pb.PurgeInstancesRequest().setInstancebatch(batch));
  };
  const answer = await purge([...made, running, id()]);
  assert.equal(answer.getDeletedinstancecount(), 5);
  assert.equal(answer.getIscomplete()?.getValue(), true);
  assert.equal(await everdure.status(running), "RUNNING");
  const many = Array.from({ length: 501 }, () => id());
  await assert.rejects(purge(many), (error) => error.code === grpc.status.INVALID_ARGUMENT);
});
