"use strict";
const {
  CLOCK_LAG, RetryPolicy, assert, createRetryContext, isRetryHandler, isRetryPolicy, suite, test, timers, toAsyncRetryHandler,
} = require("./support");

const everdure = suite("retries");

class Refused extends Error {
  name = "Refused";
}

/** An activity that fails `failures` times, and the moments at which it ran. */
function flaky(failures, make = (attempt) => new Error(`attempt ${attempt}`)) {
  const calls = [];
  const run = async () => {
    calls.push(Date.now());
    if (calls.length <= failures) throw make(calls.length);
    return `attempt ${calls.length}`;
  };
  return { calls, run };
}

const policy = (more) => new RetryPolicy({ maxNumberOfAttempts: 5, firstRetryIntervalInMilliseconds: 50, ...more });

async function call(t, activity, retry, options = {}) {
  await everdure.worker(t, {
    orchestrators: { once: async function* (ctx) { return yield ctx.callActivity("work", 1, { retry, ...options }); } },
    activities: { work: activity.run },
  });
  return everdure.start("once");
}

test("a policy repeats an activity until it succeeds, with a new step each time", async (t) => {
  const work = flaky(3);
  const instance = await call(t, work, policy(), { tags: { kept: "yes" }, version: "7" });
  assert.equal(await everdure.result(instance), "attempt 4");
  const history = await everdure.history(instance);
  const scheduled = history.filter((event) => event.type === "TaskScheduled");
  assert.deepEqual(scheduled.map((event) => event.eventId), [1, 3, 5, 7], "timers have the ids between");
  for (const event of scheduled) assert.deepEqual([event.version, event.tags, event.input], ["7", { kept: "yes" }, "1"]);
  assert.equal(history.filter((event) => event.type === "TaskFailed").length, 3);
});

test("a policy gives up after its number of attempts, with the last failure", async (t) => {
  const work = flaky(9);
  const instance = await call(t, work, policy({ maxNumberOfAttempts: 3 }));
  const failure = await everdure.failure(instance);
  assert.match(failure.message, /attempt 3$/);
  assert.equal(work.calls.length, 3);
});

test("c59 intervals grow up to their limit, and the timers between are not early", async (t) => {
  const work = flaky(4);
  const grow = { firstRetryIntervalInMilliseconds: 100, backoffCoefficient: 2, maxRetryIntervalInMilliseconds: 200 };
  const instance = await call(t, work, policy(grow));
  assert.equal(await everdure.result(instance), "attempt 5");
  assert.deepEqual(timers(await everdure.history(instance)), [100, 200, 200, 200]);
  const waited = work.calls.at(-1) - work.calls[0];
  assert.equal(waited >= 700 - CLOCK_LAG, true, `700 ms of timers took ${waited} ms`);
});

test("a policy with a time limit gets its attempts in before it ends", async (t) => {
  const work = flaky(99);
  const limited = { maxNumberOfAttempts: 99, firstRetryIntervalInMilliseconds: 500, retryTimeoutInMilliseconds: 2_500 };
  await everdure.failure(await call(t, work, policy(limited)));
  assert.equal(work.calls.length >= 2 && work.calls.length <= 6, true, `${work.calls.length} attempts`);
});

test("a policy asks whether a failure is worth another attempt", async (t) => {
  const work = flaky(9, (attempt) => (attempt === 2 ? new Refused("no") : new Error("try again")));
  const seen = [];
  const handleFailure = (failure) => {
    seen.push([failure.errorType, failure.message, typeof failure.stackTrace]);
    return failure.errorType !== "Refused";
  };
  const failure = await everdure.failure(await call(t, work, policy({ handleFailure })));
  assert.match(failure.message, /no$/);
  assert.equal(work.calls.length, 2);
  assert.deepEqual(seen.at(-1), ["Refused", "no", "string"], "type, message and stack came through the server");
});

test("a handler decides at each failure: at once, later, or never", async (t) => {
  const work = flaky(9);
  const seen = [];
  const handler = (context) => {
    if (!context.orchestrationContext.isReplaying) seen.push([context.lastAttemptNumber, context.lastFailure.message]);
    assert.equal(context.totalRetryTimeInMilliseconds >= 0, true);
    return [true, 50, 0, false][context.lastAttemptNumber - 1];
  };
  const failure = await everdure.failure(await call(t, work, handler));
  assert.match(failure.message, /attempt 4$/);
  assert.deepEqual(seen, [1, 2, 3, 4].map((number) => [number, `attempt ${number}`]));
});

test("an asynchronous handler, and one that is made asynchronous", async (t) => {
  const handlers = [async ({ lastAttemptNumber }) => lastAttemptNumber < 3, toAsyncRetryHandler(() => 20)];
  for (const handler of handlers) {
    const work = flaky(2);
    const name = `once${handlers.indexOf(handler)}`;
    const { stop } = await everdure.worker(t, {
      orchestrators: { [name]: async function* (ctx) { return yield ctx.callActivity("work", 1, { retry: handler }); } },
      activities: { work: work.run },
    });
    assert.equal(await everdure.run(name), "attempt 3");
    void stop();
  }
});

test("a handler that throws or says nothing ends the attempts", async (t) => {
  const work = flaky(9);
  await everdure.worker(t, {
    orchestrators: {
      twice: async function* (ctx) {
        const failures = [];
        const handlers = [() => undefined, () => { throw new Error("in the handler"); }];
        for (const retry of handlers) {
          try {
            yield ctx.callActivity("work", 1, { retry });
          } catch (error) {
            failures.push(error.details.message);
          }
        }
        return failures;
      },
    },
    activities: { work: work.run },
  });
  assert.deepEqual(await everdure.run("twice"), ["attempt 1", "attempt 2"]);
});

// A child of our own name, so that each attempt is the same instance again.
const parent = (retry) =>
  async function* (ctx) {
    return yield ctx.callSubOrchestrator("child", "input", { retry, tags: { kept: "yes" } });
  };

test("c53 a policy repeats a child under the same id", async (t) => {
  const ids = [];
  const inputs = [];
  await everdure.worker(t, {
    orchestrators: {
      parent: parent(policy()),
      child: async (ctx, input) => {
        ids.push(ctx.instanceId);
        inputs.push(input);
        if (ids.length < 3) throw new Refused(`attempt ${ids.length}`);
        return "third time";
      },
    },
  });
  assert.equal(await everdure.run("parent"), "third time");
  assert.deepEqual(inputs, ["input", "input", "input"]);
  assert.equal(new Set(ids).size, 1, ids.join());
  assert.deepEqual((await everdure.client.getOrchestrationState(ids[0])).tags, { kept: "yes" });
});

test("c55 a policy and a handler see the child's own failure type", async (t) => {
  let runs = 0;
  const types = [];
  const child = async () => {
    runs += 1;
    throw runs % 2 === 1 ? new TypeError("once more") : new Refused("no");
  };
  const worth = (type) => types.push(type) && type === "TypeError";
  await everdure.worker(t, {
    orchestrators: {
      child,
      byPolicy: parent(policy({ handleFailure: (failure) => worth(failure.errorType) })),
      byHandler: parent(({ lastFailure }) => worth(lastFailure.errorType)),
    },
  });
  for (const name of ["byPolicy", "byHandler"]) {
    types.length = 0;
    assert.match((await everdure.failure(await everdure.start(name))).message, /no$/);
    // Replays ask again, so only the last decision and the first are certain.
    assert.deepEqual([types[0], types.at(-1)], ["TypeError", "Refused"], name);
  }
  assert.equal(runs, 4);
});

test("policies and handlers are told apart, and wrong policies refused", () => {
  const retry = policy({ maxRetryIntervalInMilliseconds: 500, retryTimeoutInMilliseconds: 900, backoffCoefficient: 3 });
  assert.deepEqual(
    [retry.maxNumberOfAttempts, retry.firstRetryIntervalInMilliseconds, retry.backoffCoefficient],
    [5, 50, 3],
  );
  assert.deepEqual([retry.maxRetryIntervalInMilliseconds, retry.retryTimeoutInMilliseconds], [500, 900]);
  assert.equal(retry.shouldRetry({ errorType: "Error", message: "" }), retry.handleFailure({}));
  const handler = () => true;
  assert.deepEqual([isRetryPolicy(retry), isRetryPolicy(handler)], [true, false]);
  assert.deepEqual([isRetryHandler(retry), isRetryHandler(handler)], [false, true]);
  const context = createRetryContext({}, 2, { errorType: "Error", message: "m" }, 30);
  assert.deepEqual([context.lastAttemptNumber, context.totalRetryTimeInMilliseconds], [2, 30]);
  for (const wrong of [{ maxNumberOfAttempts: 0 }, { backoffCoefficient: 0.5 }, { maxRetryIntervalInMilliseconds: 1 }]) {
    assert.throws(() => policy(wrong), Error);
  }
});
