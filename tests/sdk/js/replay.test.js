"use strict";
const { assert, NoOpLogger, ReplaySafeLogger, suite, test } = require("./support");

const everdure = suite("replay");

test("code runs again from the start at each turn, and knows which part is replayed", async (t) => {
  const replaying = [];
  await everdure.worker(t, {
    orchestrators: {
      watch: async function* (ctx) {
        for (let step = 0; step < 3; step++) {
          replaying.push([step, ctx.isReplaying]);
          yield ctx.callActivity("nothing");
        }
        return ctx.isReplaying;
      },
    },
    activities: { nothing: () => undefined },
  });
  assert.equal(await everdure.run("watch"), false);
  const fresh = replaying.filter(([, again]) => !again).map(([step]) => step);
  assert.deepEqual(fresh, [0, 1, 2], "each step was new once");
  assert.equal(replaying.filter(([step, again]) => step === 0 && again).length >= 2, true, "and replayed later");
});

test("newGuid gives the same values at each replay, and others within one execution", async (t) => {
  const turns = [];
  await everdure.worker(t, {
    orchestrators: {
      guids: async function* (ctx) {
        const guids = [ctx.newGuid(), ctx.newGuid()];
        turns.push(guids);
        yield ctx.callActivity("nothing");
        yield ctx.callActivity("nothing");
        return guids;
      },
    },
    activities: { nothing: () => undefined },
  });
  const [first, second] = await everdure.run("guids");
  assert.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assert.notEqual(first, second);
  assert.equal(turns.length >= 3, true);
  for (const turn of turns) assert.deepEqual(turn, [first, second]);
});

test("the orchestration's clock stands still within a turn and never goes back", async (t) => {
  const before = Date.now();
  await everdure.worker(t, {
    orchestrators: {
      clock: async function* (ctx) {
        const times = [ctx.currentUtcDateTime.getTime()];
        for (let step = 0; step < 4; step++) {
          yield ctx.callActivity("nothing");
          times.push(ctx.currentUtcDateTime.getTime());
        }
        return times;
      },
    },
    activities: { nothing: () => undefined },
  });
  const times = await everdure.run("clock");
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  // Both clocks are of this machine, so a second of tolerance is for rounding alone.
  assert.equal(times[0] >= before - 1_000 && times.at(-1) <= Date.now() + 1_000, true, `${before}: ${times}`);
});

test("a replay-safe logger says each line once", async (t) => {
  const lines = [];
  const own = Object.assign(new NoOpLogger(), { info: (line) => lines.push(line) });
  await everdure.worker(t, {
    orchestrators: {
      talk: async function* (ctx) {
        const logger = ctx.createReplaySafeLogger(own);
        assert.equal(logger instanceof ReplaySafeLogger, true);
        logger.info("begun");
        yield ctx.callActivity("nothing");
        logger.info("half");
        yield ctx.callActivity("nothing");
        logger.info("done");
      },
    },
    activities: { nothing: () => undefined },
  });
  await everdure.run("talk");
  assert.deepEqual(lines, ["begun", "half", "done"]);
});

test("code that differs from the history is reported, and fails the instance", async (t) => {
  let turns = 0;
  await everdure.worker(t, {
    orchestrators: {
      fickle: async function* (ctx) {
        turns += 1;
        yield ctx.callActivity(turns === 1 ? "first" : "second");
        yield ctx.callActivity("first");
      },
    },
    activities: { first: () => 1, second: () => 2 },
  });
  const failure = await everdure.failure(await everdure.start("fickle"));
  assert.equal(failure.errorType, "NonDeterminismError");
  assert.match(failure.message, /name='first'/);
});
