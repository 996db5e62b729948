"use strict";
const path = require("node:path");
const { EntityInstanceId, assert, id, sleep, suite, test, until } = require("./support");
const processes = require("./support/processes");

const everdure = suite("crash-worker");

async function worker(t, self, stuck = "well") {
  const program = path.join(__dirname, "support/worker_program.js");
  const child = processes.start(process.execPath, [program, everdure.address, everdure.name, self, stuck], { name: self });
  t.after(() => child.kill());
  await child.line(/connected/);
  return child;
}

test("c38 a worker killed in the middle of an activity: another runs that activity again, and nothing else", async (t) => {
  const first = await worker(t, "first", "stuck");
  const instance = await everdure.start("steps", 5);
  await first.line(/began 2/);
  await first.kill();
  const second = await worker(t, "second");
  const by = (name, steps) => steps.map((step) => `${step} by ${name}`);
  assert.deepEqual(await everdure.result(instance), [...by("first", [0, 1]), ...by("second", [2, 3, 4])]);
  assert.deepEqual(second.output().match(/(ran|began) \d/g), ["began 2", "ran 3", "ran 4"]);
  const completed = (await everdure.history(instance)).filter((event) => event.type === "TaskCompleted");
  assert.deepEqual(completed.map((event) => event.taskScheduledId), [1, 2, 3, 4, 5], "each result stands once");
});

test("c38 what a killed worker held goes at once to one that is there", async (t) => {
  const first = await worker(t, "first", "stuck");
  const instance = await everdure.start("steps", 1);
  await first.line(/began 0/);
  const second = await worker(t, "second");
  await first.kill();
  assert.deepEqual(await everdure.result(instance, 30), ["0 by second"]);
  assert.match(second.output(), /began 0/);
});

test("c38 a worker killed in the middle of a turn", async (t) => {
  const first = await worker(t, "first", "stuck");
  const instance = await everdure.start("stuckCode");
  await first.line(/turn/);
  assert.equal(await everdure.status(instance), "PENDING");
  await first.kill();
  await worker(t, "second");
  assert.equal(await everdure.result(instance), "by second");
});

test("c38 a worker killed in the middle of an entity's operation", async (t) => {
  const first = await worker(t, "first", "stuck");
  const entity = new EntityInstanceId("fragile", id());
  await everdure.client.signalEntity(entity, "work");
  await first.line(/operation/);
  await first.kill();
  const second = await worker(t, "second");
  await until("the state", async () => (await everdure.client.getEntity(entity))?.state === "second");
  assert.equal(second.output().match(/operation/g).length, 1);
});

test("c48 two workers: no instance runs on both at once, and none is lost", async (t) => {
  const busy = new Set();
  const clashes = [];
  const parts = {
    orchestrators: {
      alone: async function* (ctx) {
        if (busy.has(ctx.instanceId)) clashes.push(ctx.instanceId);
        busy.add(ctx.instanceId);
        await sleep(5);
        busy.delete(ctx.instanceId);
        let sum = 0;
        for (let step = 0; step < 3; step++) sum += yield ctx.callActivity("one");
        return sum;
      },
    },
    activities: { one: () => 1 },
  };
  await everdure.worker(t, parts);
  await everdure.worker(t, parts);
  const instances = await Promise.all(Array.from({ length: 60 }, () => everdure.start("alone")));
  const sums = await Promise.all(instances.map((instance) => everdure.result(instance)));
  assert.deepEqual(sums, Array(60).fill(3));
  assert.deepEqual(clashes, []);
});
