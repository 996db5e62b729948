"use strict";
const { CLOCK_LAG, OrchestrationStatus, TimerTask, assert, suite, test, timers, whenAll, whenAny } = require("./support");

const everdure = suite("timers");

test("c18 c59 a timer is never early, and the instance was last updated when it completed", async (t) => {
  await everdure.worker(t, { orchestrators: { nap: async function* (ctx, seconds) { yield ctx.createTimer(seconds); } } });
  const instance = await everdure.start("nap", 1.5);
  const state = await everdure.ended(instance);
  assert.equal(state.runtimeStatus, OrchestrationStatus.COMPLETED);
  const took = state.lastUpdatedAt - state.createdAt;
  assert.equal(took >= 1_500 - CLOCK_LAG, true, `lastUpdated moves on completion, after ${took} ms`);
  assert.deepEqual(timers(await everdure.history(instance)), [1_500]);
});

test("c59 short timers come soon after they are due", async (t) => {
  const late = [];
  await everdure.worker(t, {
    orchestrators: {
      ticks: async function* (ctx, count) {
        for (let tick = 0; tick < count; tick++) {
          const due = ctx.currentUtcDateTime.getTime() + 200;
          yield ctx.createTimer(new Date(due));
          if (!ctx.isReplaying) late.push(ctx.currentUtcDateTime.getTime() - due);
        }
      },
    },
  });
  await everdure.run("ticks", 9);
  assert.equal(late.length, 9);
  assert.equal(late.every((by) => by >= 0), true, `early: ${late}`);
  // The median: one stall of a busy machine says nothing about the server.
  const median = late.toSorted((a, b) => a - b)[4];
  assert.equal(median < 200, true, `200 ms timers are seen within 400 ms, these were late by ${late}`);
});

test("a timer takes seconds or a date, and refuses what is neither", async (t) => {
  const refused = [];
  await everdure.worker(t, {
    orchestrators: {
      odd: async function* (ctx) {
        for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, "soon", new Date(Number.NaN)]) {
          try {
            ctx.createTimer(wrong);
          } catch (error) {
            if (!ctx.isReplaying) refused.push(error.message);
          }
        }
        return ctx.createTimer(0.05) instanceof TimerTask;
      },
    },
  });
  assert.equal(await everdure.run("odd"), true);
  assert.equal(refused.length, 4, refused.join("\n"));
});

test("c60 timers that are due already, in the past or at zero, fire at once", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      past: async function* (ctx) {
        yield ctx.createTimer(0);
        yield ctx.createTimer(new Date(0));
        yield ctx.createTimer(new Date(ctx.currentUtcDateTime.getTime() - 86_400_000));
        return "on time";
      },
    },
  });
  assert.equal(await everdure.run("past"), "on time");
});

test("c60 a timer of a hundred years waits, and the instance can be terminated", async (t) => {
  await everdure.worker(t, {
    orchestrators: { sleeper: async function* (ctx) { yield ctx.createTimer(100 * 365 * 86_400); } },
  });
  const instance = await everdure.start("sleeper");
  await everdure.reaches(instance, "RUNNING");
  const [created] = (await everdure.history(instance)).filter((event) => event.type === "TimerCreated");
  assert.equal(created.fireAt.getUTCFullYear() - new Date().getUTCFullYear() >= 99, true, `${created.fireAt}`);
  await everdure.client.terminateOrchestration(instance, "enough");
  assert.equal((await everdure.ended(instance)).runtimeStatus, OrchestrationStatus.TERMINATED);
});

test("a hundred timers of one turn all fire, each once", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      many: async function* (ctx) {
        yield whenAll(Array.from({ length: 100 }, (_, index) => ctx.createTimer(0.1 + (index % 5) / 10)));
      },
    },
  });
  const instance = await everdure.start("many");
  await everdure.result(instance);
  const fired = (await everdure.history(instance)).filter((event) => event.type === "TimerFired");
  assert.deepEqual(fired.map((event) => event.timerId).toSorted((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i + 1));
});

test("whenAny of a task and a timer is a time limit", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      limited: async function* (ctx, seconds) {
        const answer = ctx.waitForExternalEvent("answer");
        const limit = ctx.createTimer(seconds);
        const winner = yield whenAny([answer, limit]);
        if (winner === limit) return "too late";
        limit.cancel();
        return answer.getResult();
      },
    },
  });
  assert.equal(await everdure.run("limited", 0.2), "too late");
  const answered = await everdure.start("limited", 3_600);
  await everdure.client.raiseOrchestrationEvent(answered, "answer", "yes");
  assert.equal(await everdure.result(answered), "yes");
});

test("a timer that is cancelled in the turn that made it is never made", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      undecided: async function* (ctx) {
        const timer = ctx.createTimer(3_600);
        timer.cancel();
        timer.cancel();
        yield ctx.callActivity("nothing");
        return timer.isCanceled;
      },
    },
    activities: { nothing: () => undefined },
  });
  const instance = await everdure.start("undecided");
  assert.equal(await everdure.result(instance), true);
  assert.equal((await everdure.kinds(instance)).includes("TimerCreated"), false);
});
