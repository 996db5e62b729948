"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const node = require("node:test");
const { assert, gate, grpc, id, log, Hub, servers, suite, test, together, until, whenAll } = require("./support");
const { counter, entities } = require("./support/entities");

// This server is for its database; the ones that are killed are others.
const everdure = suite("crash-server");
const limits = { timeout: 180_000 };

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "everdure-js-"));
// The database runs under another account when this one is root.
fs.chmodSync(temporary, 0o755);
node.after(() => fs.rmSync(temporary, { recursive: true, force: true }));

/** A port that is free now, to start a server at again and again. */
async function port() {
  const server = require("node:net").createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: free } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${free}`;
}

/** A wait that begins anew when its server goes away, as a program would. */
async function patientResult(hub, instance) {
  const ask = async () => {
    try {
      return await hub.result(instance);
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE) throw error;
    }
  };
  return until(`${instance} has ended`, ask, 120);
}

function counting() {
  const runs = new Map();
  const note = (_, step) => (runs.set(step, (runs.get(step) ?? 0) + 1), step);
  return { runs, note };
}

together(() => {
  test("c67 a server killed in the middle: after it is back, each step counts once", limits, async (t) => {
    const listen = await port();
    let server = await servers.serve(everdure.server.databaseUrl, { listen });
    const hub = everdure.other({ address: listen, name: "killed" });
    const { runs, note } = counting();
    const half = gate();
    await hub.worker(t, {
      orchestrators: {
        steps: async function* (ctx, input) {
          const done = [];
          for (let step = 0; step < 12; step++) done.push(yield ctx.callActivity("note", `${input}/${step}`));
          return done;
        },
      },
      activities: { note: (ctx, step) => (step.endsWith("/6") && half.open(), note(ctx, step)) },
    });
    const instances = await Promise.all(Array.from({ length: 10 }, (_, number) => hub.start("steps", number)));
    await half.passed;
    await server.kill();
    server = await servers.serve(everdure.server.databaseUrl, { listen });
    t.after(() => server.stop());
    for (const [number, instance] of instances.entries()) {
      const wanted = Array.from({ length: 12 }, (_, step) => `${number}/${step}`);
      assert.deepEqual(await patientResult(hub, instance), wanted);
      const completed = (await hub.history(instance)).filter((event) => event.type === "TaskCompleted");
      assert.deepEqual(completed.map((event) => event.taskScheduledId), wanted.map((_, step) => step + 1));
    }
    // Only what was under way when the server died ran twice: of each instance at most one step.
    const twice = [...runs].filter(([, times]) => times > 1);
    assert.equal(twice.length <= 10 && twice.every(([, times]) => times === 2), true, JSON.stringify(twice));
  });

  test("c67 killed again and again, timers, events and children come to their end", limits, async (t) => {
    const listen = await port();
    const hub = everdure.other({ address: listen, name: "killed-often" });
    let server = await servers.serve(everdure.server.databaseUrl, { listen });
    await hub.worker(t, {
      orchestrators: {
        child: async function* (ctx, value) { yield ctx.createTimer(0.5); return value; },
        all: async function* (ctx) {
          const event = ctx.waitForExternalEvent("go");
          const children = [1, 2, 3].map((value) => ctx.callSubOrchestrator("child", value));
          const results = yield whenAll([...children, ctx.createTimer(1)]);
          return [results.slice(0, 3), yield event];
        },
      },
    });
    const instance = await hub.start("all");
    await hub.reaches(instance, "RUNNING");
    await hub.client.raiseOrchestrationEvent(instance, "go", "went");
    for (let kill = 0; kill < 2; kill++) {
      await server.kill();
      server = await servers.serve(everdure.server.databaseUrl, { listen });
    }
    t.after(() => server.stop());
    assert.deepEqual(await patientResult(hub, instance), [[1, 2, 3], "went"]);
  });

  test("c67 entities: each operation that was taken counts once", limits, async (t) => {
    const listen = await port();
    const hub = everdure.other({ address: listen, name: "killed-entities" });
    let server = await servers.serve(everdure.server.databaseUrl, { listen });
    await hub.worker(t, { entities });
    const entity = counter(id());
    for (let number = 0; number < 50; number++) {
      await hub.client.signalEntity(entity, "add", 1);
      if (number === 25) {
        await server.kill();
        server = await servers.serve(everdure.server.databaseUrl, { listen });
        // A signal that fails is not sent again; the channel may take a while to find the new server.
        await until("the channel is back", () => hub.client.getEntity(entity).then(() => true, () => false));
      }
    }
    t.after(() => server.stop());
    const value = async () => (await hub.client.getEntity(entity).catch(() => undefined))?.state.value;
    await until("all fifty", async () => (await value()) === 50, 90);
  });
});

test("c67 `dev` with a directory: killed and started again, its data is there", limits, async (t) => {
  const dataDir = path.join(temporary, "data");
  let server = await servers.dev({ dataDir });
  const make = (address) => new Hub({ address, name: "kept", log, stopping: everdure.stopping });
  const parts = {
    orchestrators: {
      two: async function* (ctx) { return [yield ctx.callActivity("one"), yield ctx.waitForExternalEvent("end")]; },
    },
    activities: { one: () => 1 },
  };
  const before = make(server.address);
  const { stop } = await before.worker(t, parts);
  const instance = await before.start("two");
  await until("its first step", async () => (await before.kinds(instance)).includes("TaskCompleted"));
  await server.kill();
  void stop();
  server = await servers.dev({ dataDir });
  t.after(() => server.stop());
  const after = make(server.address);
  await after.worker(t, parts);
  assert.equal(await after.status(instance), "RUNNING");
  await after.client.raiseOrchestrationEvent(instance, "end", "kept");
  assert.deepEqual(await after.result(instance), [1, "kept"]);
  assert.equal(await server.stop(), "ended with 0");
});
