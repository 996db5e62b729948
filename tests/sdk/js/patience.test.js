"use strict";
// What takes long because it waits: these run side by side, each in a task hub of its own.
const { assert, gate, id, sleep, suite, test, together } = require("./support");
const { Raw } = require("./support/raw");

const everdure = suite("patience");

together(() => {
  test("c16 a wait for an unknown instance ends without one", async () => {
    assert.equal(await everdure.client.waitForOrchestrationCompletion(id(), true, 60), undefined);
  });

  // Two thousand durable turns: a slow disk may take its time.
  test("c64 a thousand generations, each with a timer of zero seconds", { timeout: 180_000 }, async (t) => {
    const generations = everdure.other({ name: "patience-generations" });
    await generations.worker(t, {
      orchestrators: {
        spin: async function* (ctx, value) {
          yield ctx.createTimer(0);
          if (value < 1_000) ctx.continueAsNew(value + 1, false);
          return value;
        },
      },
    });
    assert.equal(await generations.result(await generations.start("spin", 1), 150), 1_000);
  });

  test("c39 an activity may take its time while its worker lives: nobody else gets it", async (t) => {
    const [slow, begun] = [gate(), gate()];
    let runs = 0;
    const parts = {
      orchestrators: { long: async function* (ctx) { return yield ctx.callActivity("slow"); } },
      activities: { slow: async () => ((runs += 1), begun.open(), await slow.passed, runs) },
    };
    await everdure.worker(t, parts);
    const instance = await everdure.start("long");
    await begun.passed;
    // A second worker that would take it. Longer than any lease of ours would be too slow for a test; what must not
    // happen would happen as soon as the stream were not the lease.
    await everdure.worker(t, parts);
    await sleep(15_000);
    slow.open();
    assert.equal(await everdure.result(instance), 1);
  });

  test("c36 a worker with nothing to do hears from the server within half a minute", async (t) => {
    const idle = everdure.other({ name: "patience-idle" });
    const stream = await new Raw(idle).workItems();
    t.after(() => stream.cancel());
    stream.on("error", () => {});
    const begin = Date.now();
    const item = await new Promise((resolve) => stream.once("data", resolve));
    assert.equal(item.hasHealthping(), true);
    // Half a minute is what is promised; the rest is for a machine that is busy with other things.
    assert.equal(Date.now() - begin < 45_000, true);
  });
});
