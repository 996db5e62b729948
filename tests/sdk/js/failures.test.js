"use strict";
const { FailureDetails, TaskFailedError, assert, suite, test, whenAll } = require("./support");
const { Raw, pb } = require("./support/raw");

const everdure = suite("failures");

/** The whole failure as it is on the wire: the SDK's own class drops what is inside. */
async function wireFailure(instance) {
  const request = new pb.GetInstanceRequest().setInstanceid(instance).setGetinputsandoutputs(true);
  const answer = await new Raw(everdure).call("getInstance", request);
  return answer.getOrchestrationstate().getFailuredetails();
}

function chain(failure) {
  const types = [];
  for (let at = failure; at !== undefined; at = at.getInnerfailure()) types.push([at.getErrortype(), at.getErrormessage()]);
  return types;
}

test("an orchestration that throws fails with the error's name, message and stack", async (t) => {
  class Overdrawn extends Error {
    name = "Overdrawn";
  }
  await everdure.worker(t, { orchestrators: { throws: async () => { throw new Overdrawn("by 3 €"); } } });
  const failure = await everdure.failure(await everdure.start("throws"));
  assert.equal(failure instanceof FailureDetails, true);
  assert.deepEqual([failure.errorType, failure.message], ["Overdrawn", "by 3 €"]);
  assert.match(failure.stackTrace, /^Overdrawn: by 3 €\n\s+at throws/);
});

test("c55 an activity's failure can be caught, with all of its details", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      careful: async function* (ctx) {
        try {
          yield ctx.callActivity("broken");
        } catch (error) {
          const { errorType, message, stackTrace } = error.details;
          return [error instanceof TaskFailedError, error.message, errorType, message, stackTrace.split("\n").length > 1];
        }
      },
    },
    activities: { broken: async () => { throw new SyntaxError("line 7"); } },
  });
  const caught = await everdure.run("careful");
  assert.deepEqual(caught, [true, "Activity task #1 failed: line 7", "SyntaxError", "line 7", true]);
});

test("after a caught failure the orchestration goes on", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      compensate: async function* (ctx) {
        const done = [];
        try {
          done.push(yield ctx.callActivity("step", "book"));
          yield ctx.callActivity("broken");
        } catch {
          done.push(yield ctx.callActivity("step", "cancel"));
        }
        return done;
      },
    },
    activities: { step: (_, name) => name, broken: () => { throw new Error("full"); } },
  });
  assert.deepEqual(await everdure.run("compensate"), ["book", "cancel"]);
});

test("c55 causes within causes arrive ten deep, in an activity, a child and a state", async (t) => {
  const deep = () => {
    let error = new Error("level 0");
    for (let level = 1; level <= 8; level++) {
      const outer = new Error(`level ${level}`, { cause: error });
      outer.name = `Level${level}`;
      error = outer;
    }
    throw error;
  };
  const expected = Array.from({ length: 9 }, (_, index) => [index === 8 ? "Error" : `Level${8 - index}`, `level ${8 - index}`]);
  await everdure.worker(t, {
    orchestrators: {
      own: async () => deep(),
      viaActivity: async function* (ctx) { yield ctx.callActivity("deep"); },
      viaChild: async function* (ctx) { yield ctx.callSubOrchestrator("own"); },
    },
    activities: { deep },
  });
  const own = await everdure.start("own");
  await everdure.failure(own);
  assert.deepEqual(chain(await wireFailure(own)), expected);

  const raw = new Raw(everdure);
  for (const [name, has, get] of [
    ["viaActivity", "hasTaskfailed", "getTaskfailed"],
    ["viaChild", "hasSuborchestrationinstancefailed", "getSuborchestrationinstancefailed"],
  ]) {
    const instance = await everdure.start(name);
    await everdure.failure(instance);
    const failures = (await raw.history(instance)).filter((event) => event[has]()).map((event) => event[get]().getFailuredetails());
    assert.deepEqual(failures.map(chain), [expected], name);
  }
});

test("what is thrown and is no error is told as text", async (t) => {
  await everdure.worker(t, {
    orchestrators: { odd: async function* (ctx) { yield ctx.callActivity("odd"); } },
    activities: { odd: async () => { throw { not: "an error" }; } },
  });
  assert.match((await everdure.failure(await everdure.start("odd"))).message, /\[object Object\]/);
});

test("an activity that nobody registered fails the call", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      lost: async function* (ctx) {
        try {
          yield ctx.callActivity("nowhere");
        } catch (error) {
          return [error.details.errorType, error.details.message];
        }
      },
    },
  });
  const [type, message] = await everdure.run("lost");
  assert.equal(type, "ActivityNotRegisteredError");
  assert.match(message, /'nowhere' is not registered/);
});

test("whenAll waits for all and tells all failures", async (t) => {
  const ran = [];
  await everdure.worker(t, {
    orchestrators: {
      all: async function* (ctx) {
        try {
          yield whenAll([1, 2, 3, 4].map((value) => ctx.callActivity("even", value)));
        } catch (error) {
          return [error.name, error.message, error.errors.map((inner) => inner.details.message)];
        }
      },
    },
    activities: { even: (_, value) => { ran.push(value); if (value % 2) throw new Error(`${value} is odd`); return value; } },
  });
  const [name, message, inner] = await everdure.run("all");
  assert.equal(name, "AggregateError");
  assert.match(message, /2 of 4 tasks/);
  assert.deepEqual(inner, ["1 is odd", "3 is odd"]);
  assert.deepEqual(ran.toSorted(), [1, 2, 3, 4]);
});

test("a generator that yields what is no task fails the instance", async (t) => {
  await everdure.worker(t, { orchestrators: { odd: async function* () { yield 42; } } });
  assert.match((await everdure.failure(await everdure.start("odd"))).message, /non-Task/);
});

test("a custom status that is no JSON fails the instance", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      circle: async function* (ctx) {
        const circle = {};
        circle.self = circle;
        ctx.setCustomStatus(circle);
        yield ctx.createTimer(0);
      },
    },
  });
  assert.match((await everdure.failure(await everdure.start("circle"))).message, /not JSON-serializable/);
});
