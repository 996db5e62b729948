"use strict";
const { createHash } = require("node:crypto");
const { assert, suite, test } = require("./support");

const everdure = suite("payloads");
const digest = (text) => createHash("sha256").update(text).digest("hex");
const MB = 1024 * 1024;
/** Text of that size, of a multiple of 4,096, which does not repeat within that. */
const large = (bytes, seed) => Array.from({ length: 64 }, (_, i) => digest(`${seed}${i}`)).join("").repeat(bytes / 4096);

const orchestrators = {
  carry: async function* (ctx, input) {
    const back = yield ctx.callActivity("echo", input);
    ctx.setCustomStatus(digest(back));
    const event = yield ctx.waitForExternalEvent("more");
    return yield ctx.callSubOrchestrator("child", back + event);
  },
  child: async (_, input) => input,
};
const activities = { echo: (_, input) => input };

async function roundTrip(t, bytes) {
  await everdure.worker(t, { orchestrators, activities });
  const [input, event] = [large(bytes, "input"), large(bytes, "event")];
  const instance = await everdure.start("carry", input);
  await everdure.client.raiseOrchestrationEvent(instance, "more", event);
  const output = await everdure.result(instance);
  assert.equal(output.length, 2 * bytes);
  assert.equal(digest(output), digest(input + event));
  const state = await everdure.client.getOrchestrationState(instance);
  assert.equal(JSON.parse(state.serializedCustomStatus), digest(input));
  assert.equal(digest(JSON.parse(state.serializedInput)), digest(input));
}

test("c69 1 MB goes in, through an activity, an event and a child, and out", (t) => roundTrip(t, MB));

test("c5 c69 10 MB in, through an activity, and out", async (t) => {
  await everdure.worker(t, {
    orchestrators: { once: async function* (ctx, input) { return yield ctx.callActivity("echo", input); } },
    activities,
  });
  const input = large(10 * MB, "ten");
  assert.equal(digest(await everdure.run("once", input)), digest(input));
});

test("c69 text of every kind is kept to the byte", async (t) => {
  await everdure.worker(t, { orchestrators, activities });
  const texts = [
    "\u0000 in the middle \u0000",
    "🙂👩‍👩‍👧‍👦 \ud83d\ude00",
    "composed \u00e9 and decomposed e\u0301",
    "\u2028\u2029\ufeff",
    "\\u0000 \\n \"quoted\"",
    "\r\n\t",
  ];
  for (const value of texts) {
    const instance = await everdure.start("carry", value);
    await everdure.client.raiseOrchestrationEvent(instance, "more", value);
    assert.equal(await everdure.result(instance), value + value);
  }
});

test("c69 names, ids and reasons may hold any text", async (t) => {
  const name = "Bestellung – prüfen 🙂 'quoted' \"twice\"";
  await everdure.worker(t, {
    orchestrators: { [name]: async function* (ctx, input) { return yield ctx.callActivity("Überprüfe; drop table x", input); } },
    activities: { "Überprüfe; drop table x": (_, input) => input },
  });
  const instance = `ключ/${Date.now()}/🙂`;
  await everdure.client.scheduleNewOrchestration(name, "in", instance);
  assert.equal(await everdure.result(instance), "in");
  assert.equal((await everdure.client.getOrchestrationState(instance)).name, name);
});

test("c69 an output of many small values in a history of its own size", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      gather: async function* (ctx, rounds) {
        let size = 0;
        for (let round = 0; round < rounds; round++) size += (yield ctx.callActivity("echo", large(256 * 1024, round))).length;
        return size;
      },
    },
    activities,
  });
  assert.equal(await everdure.run("gather", 24), 24 * 256 * 1024, "each turn replays all that came before");
});
