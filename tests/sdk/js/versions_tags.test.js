"use strict";
const { OrchestrationStatus, VersionFailureStrategy, VersionMatchStrategy, assert, compareVersions, suite, test, until } =
  require("./support");

const everdure = suite("versions-tags");
const { CurrentOrOlder, None, Strict } = VersionMatchStrategy;
const { Fail, Reject } = VersionFailureStrategy;
const versioned = { told: async (ctx) => ctx.version };
const start = (version) => everdure.start("told", null, version === undefined ? {} : { version });

test("an orchestration knows its version and compares it", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      compare: async (ctx) => [ctx.version, ...["1.0", "1.2.0", "2"].map((other) => Math.sign(ctx.compareVersionTo(other)))],
    },
  });
  assert.deepEqual(await everdure.run("compare", null, { version: "1.2.0" }), ["1.2.0", 1, 0, -1]);
  assert.deepEqual(await everdure.run("compare"), ["", -1, -1, -1]);
  assert.deepEqual([compareVersions("10", "9"), compareVersions("b", "A")].map(Math.sign), [1, 1]);
});

test("a client's default version counts where none is given", async (t) => {
  const client = everdure.newClient({ defaultVersion: "3.0" });
  await everdure.worker(t, { orchestrators: versioned });
  const plain = await client.scheduleNewOrchestration("told", null);
  const own = await client.scheduleNewOrchestration("told", null, { version: "4.0" });
  assert.deepEqual([await everdure.result(plain), await everdure.result(own)], ["3.0", "4.0"]);
});

test("an activity and a child have the version that their call gives, and it is in the history", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      told: versioned.told,
      parent: async function* (ctx) {
        yield ctx.callActivity("nothing", null, { version: "9" });
        yield ctx.callActivity("nothing");
        return [yield ctx.callSubOrchestrator("told", null, { version: "8" }), yield ctx.callSubOrchestrator("told")];
      },
    },
    activities: { nothing: () => undefined },
  });
  const instance = await everdure.start("parent", null, { version: "1" });
  assert.deepEqual(await everdure.result(instance), ["8", ""], "a child has no version unless it is given one");
  const scheduled = (await everdure.history(instance)).filter((event) => event.type === "TaskScheduled");
  assert.deepEqual(scheduled.map((event) => event.version), ["9", undefined]);
});

test("without a strategy a worker takes every version", async (t) => {
  const versioning = { version: "2.0", matchStrategy: None, failureStrategy: Fail };
  await everdure.worker(t, { orchestrators: versioned }, { versioning });
  for (const version of ["1.0", "2.0", "3.0", undefined]) {
    assert.equal(await everdure.result(await start(version)), version ?? "");
  }
});

test("strict and fail: any other version fails the instance", async (t) => {
  const versioning = { version: "2.0", matchStrategy: Strict, failureStrategy: Fail };
  await everdure.worker(t, { orchestrators: versioned }, { versioning });
  assert.equal(await everdure.result(await start("2.0")), "2.0");
  for (const version of ["1.0", "3.0", undefined]) {
    const failure = await everdure.failure(await start(version));
    assert.equal(failure.errorType, "VersionMismatch");
    assert.match(failure.message, /does not match the worker version '2\.0'/);
  }
});

test("current or older and fail: a newer version fails, an older or none runs", async (t) => {
  const versioning = { version: "2.0", matchStrategy: CurrentOrOlder, failureStrategy: Fail };
  await everdure.worker(t, { orchestrators: versioned }, { versioning });
  for (const version of ["1.9", "2.0", undefined]) {
    assert.equal(await everdure.result(await start(version)), version ?? "");
  }
  assert.match((await everdure.failure(await start("2.1"))).message, /greater than the worker version/);
});

for (const [name, matchStrategy, refused] of [["strict", Strict, "1.0"], ["current or older", CurrentOrOlder, "3.0"]]) {
  test(`c41 ${name} and reject: what is rejected waits for a worker that takes it`, async (t) => {
    const versioning = { version: "2.0", matchStrategy, failureStrategy: Reject };
    const { stop } = await everdure.worker(t, { orchestrators: versioned }, { versioning });
    const other = await start(refused);
    const rejected = everdure.log.next(new RegExp(`abandon.*${other}|${other}.*abandon`, "i"));
    await rejected;
    // It blocks nobody: what the worker takes goes past it.
    assert.equal(await everdure.result(await start("2.0")), "2.0");
    assert.equal(await everdure.status(other), "PENDING");
    void stop();
    await everdure.worker(t, { orchestrators: versioned }, { versioning: { ...versioning, version: refused } });
    assert.equal(await everdure.result(other), refused);
  });
}

test("c41 a worker that rejects an item again and again does not spin", async (t) => {
  const versioning = { version: "2.0", matchStrategy: Strict, failureStrategy: Reject };
  await everdure.worker(t, { orchestrators: versioned }, { versioning });
  const other = await start("1.0");
  const seen = new RegExp(`abandon.*${other}|${other}.*abandon`, "i");
  let times = 0;
  const count = (message) => void (times += seen.test(message));
  everdure.log.watchers.add(count);
  t.after(() => everdure.log.watchers.delete(count));
  const begin = Date.now();
  await until("a second rejection", () => times >= 2, 60);
  await until("three seconds", () => Date.now() - begin > 3_000);
  assert.equal(times <= 20, true, `${times} rejections in three seconds`);
  await everdure.client.terminateOrchestration(other);
});

test("c14 tags go with the instance into its state and its history", async (t) => {
  await everdure.worker(t, { orchestrators: versioned });
  const tags = { team: "blue", "with space": "ünïcode ✓", empty: "" };
  const instance = await everdure.start("told", null, { tags });
  const state = await everdure.ended(instance);
  assert.deepEqual(state.tags, tags);
  const [, begun] = await everdure.history(instance);
  assert.deepEqual(begun.tags, tags);
  assert.equal(state.runtimeStatus, OrchestrationStatus.COMPLETED);
});

test("c49 an activity's tags go with it, and are not those of the instance", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      tagging: async function* (ctx) {
        yield ctx.callActivity("nothing", null, { tags: { step: "one" } });
        yield ctx.callActivity("nothing");
      },
    },
    activities: { nothing: () => undefined },
  });
  const instance = await everdure.start("tagging", null, { tags: { team: "blue" } });
  await everdure.result(instance);
  const scheduled = (await everdure.history(instance)).filter((event) => event.type === "TaskScheduled");
  assert.deepEqual(scheduled.map((event) => event.tags), [{ step: "one" }, undefined]);
});
