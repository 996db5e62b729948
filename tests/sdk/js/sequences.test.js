"use strict";
const { TaskHubGrpcWorker, assert, getName, suite, test, whenAll, whenAny } = require("./support");

const everdure = suite("sequences");

test("an orchestration without tasks returns what its function returns", async (t) => {
  await everdure.worker(t, { orchestrators: { twice: async (_, input) => input * 2 } });
  assert.equal(await everdure.run("twice", 21), 42);
});

test("a generator without a yield completes", async (t) => {
  await everdure.worker(t, {
    orchestrators: { still: async function* () { return "done"; } },
  });
  assert.equal(await everdure.run("still"), "done");
});

test("activities run one after the other, each with the result of the last", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      chain: async function* (ctx, length) {
        const values = [0];
        for (let step = 0; step < length; step++) values.push(yield ctx.callActivity("plusOne", values.at(-1)));
        return values;
      },
    },
    activities: { plusOne: async (_, value) => value + 1 },
  });
  assert.deepEqual(await everdure.run("chain", 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("functions are registered and called under their own names", async (t) => {
  const seen = [];
  function shout(ctx, word) {
    seen.push([ctx.orchestrationId, ctx.taskId]);
    return word.toUpperCase();
  }
  const shouting = async function* (ctx, word) {
    return yield ctx.callActivity(shout, word);
  };
  const worker = new TaskHubGrpcWorker(everdure.options());
  assert.equal(worker.addOrchestrator(shouting), "shouting");
  assert.equal(worker.addActivity(shout), "shout");
  await worker.start();
  t.after(() => void everdure.stopping.now(worker.stop()));
  assert.equal(getName(shout), "shout");
  const instance = await everdure.client.scheduleNewOrchestration(shouting, "hello");
  assert.match(instance, /^[0-9a-f-]{36}$/, "the client made an id");
  assert.equal(await everdure.result(instance), "HELLO");
  assert.deepEqual(seen, [[instance, 1]]);
});

test("c14 every kind of JSON goes in and comes out, and no input is no input", async (t) => {
  await everdure.worker(t, {
    orchestrators: { echo: async function* (ctx, input) { return yield ctx.callActivity("echo", input); } },
    activities: { echo: (_, input) => (input === undefined ? "nothing" : input) },
  });
  const values = [null, true, 0, -1.5, "", "text", [], [1, [2]], {}, { a: { b: null } }];
  const results = await Promise.all(values.map((value) => everdure.run("echo", value)));
  assert.deepEqual(results, values);
  assert.equal(await everdure.run("echo", undefined), "nothing");
});

test("c63 a fan-out of 1,000 activities in one turn comes back whole and in order", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      spread: async function* (ctx, width) {
        const tasks = Array.from({ length: width }, (_, index) => ctx.callActivity("square", index));
        return yield whenAll(tasks);
      },
    },
    activities: { square: (_, value) => value * value },
  });
  const instance = await everdure.start("spread", 1_000);
  assert.deepEqual(await everdure.result(instance), Array.from({ length: 1_000 }, (_, index) => index * index));
  const history = await everdure.history(instance);
  const scheduled = history.filter((event) => event.type === "TaskScheduled").map((event) => event.eventId);
  const completed = history.filter((event) => event.type === "TaskCompleted").map((event) => event.taskScheduledId);
  assert.deepEqual(scheduled, Array.from({ length: 1_000 }, (_, index) => index + 1), "one event for each, in order");
  assert.deepEqual(completed.toSorted((a, b) => a - b), scheduled, "each completed once");
  assert.equal(history.findIndex((event) => event.type === "TaskCompleted") > 1_000, true, "all in the first turn");
});

test("whenAll of nothing goes on at once; of finished tasks too", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      idle: async function* (ctx) {
        const nothing = yield whenAll([]);
        const first = ctx.callActivity("one");
        yield first;
        const again = yield whenAll([first, ctx.callActivity("one")]);
        return { nothing, again, flags: [first.isComplete, first.isCompleted, first.isFailed, first.isFaulted] };
      },
    },
    activities: { one: () => 1 },
  });
  assert.deepEqual(await everdure.run("idle"), { nothing: [], again: [1, 1], flags: [true, true, false, false] });
});

test("whenAny gives the task that ended first and leaves the others be", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      race: async function* (ctx) {
        const slow = ctx.waitForExternalEvent("never");
        const fast = ctx.callActivity("one");
        const winner = yield whenAny([slow, fast]);
        return { fast: winner === fast, result: winner.getResult(), slow: slow.isComplete };
      },
    },
    activities: { one: () => 1 },
  });
  assert.deepEqual(await everdure.run("race"), { fast: true, result: 1, slow: false });
});

test("whenAll and whenAny nest", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      nested: async function* (ctx) {
        const pair = whenAll([ctx.callActivity("one"), ctx.callActivity("one")]);
        const winner = yield whenAny([pair, ctx.waitForExternalEvent("never")]);
        return winner === pair ? pair.getResult() : "the event";
      },
    },
    activities: { one: () => 1 },
  });
  assert.deepEqual(await everdure.run("nested"), [1, 1]);
});

test("an activity that is left behind in the last turn never runs", async (t) => {
  const ran = [];
  await everdure.worker(t, {
    orchestrators: {
      hasty: async (ctx) => void ctx.callActivity("left"),
      after: async function* (ctx) { yield ctx.callActivity("noted"); },
    },
    activities: { left: () => ran.push("left"), noted: () => ran.push("noted") },
  });
  const instance = await everdure.start("hasty");
  await everdure.result(instance);
  // A later activity shows that the worker was given all that there was before it.
  await everdure.run("after");
  assert.deepEqual(ran, ["noted"]);
  assert.equal(await everdure.status(instance), "COMPLETED");
});
