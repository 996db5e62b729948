"use strict";
const {
  TaskEntity,
  VersionMatchStrategy,
  assert,
  generateWorkItemFiltersFromRegistry,
  suite,
  test,
  toGrpcWorkItemFilters,
} = require("./support");

const everdure = suite("filters");
const quick = async (ctx) => ctx.version;
const greeting = async function* (ctx, name) { return yield ctx.callActivity("greet", name); };
const greet = (_, name) => `hello ${name}`;

/** What the worker was given so far: a later item that ends shows that the earlier one was not sent. */
async function stays(instance, probe) {
  await everdure.result(await probe());
  assert.equal(await everdure.status(instance), "PENDING");
}

test("c40 no filters: a worker gets what it does not know too, and says so", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } });
  const failure = await everdure.failure(await everdure.start("unknown"));
  assert.equal(failure.errorType, "OrchestratorNotRegisteredError");
});

test("c40 automatic filters: what a worker has not registered waits for one that has", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } }, { workItemFilters: "auto" });
  const other = await everdure.start("greeting", "you");
  await stays(other, () => everdure.start("quick"));
  await everdure.worker(t, { orchestrators: { greeting }, activities: { greet } }, { workItemFilters: "auto" });
  assert.equal(await everdure.result(other), "hello you");
});

test("c40 orchestrations on one worker, activities on another", async (t) => {
  const ran = [];
  await everdure.worker(t, { orchestrators: { greeting } }, { workItemFilters: "auto" });
  const instance = await everdure.start("greeting", "you");
  await everdure.reaches(instance, "RUNNING");
  const activities = { greet: (ctx, name) => (ran.push(ctx.orchestrationId), greet(ctx, name)) };
  await everdure.worker(t, { activities }, { workItemFilters: "auto" });
  assert.equal(await everdure.result(instance), "hello you");
  assert.deepEqual(ran, [instance]);
});

test("c40 filters of one's own: only the names in them", async (t) => {
  const workItemFilters = { orchestrations: [{ name: "quick" }], activities: [], entities: [] };
  await everdure.worker(t, { orchestrators: { quick, other: quick } }, { workItemFilters });
  const other = await everdure.start("other");
  await stays(other, () => everdure.start("quick"));
  await everdure.worker(t, {}, { workItemFilters: { orchestrations: [{ name: "nothing" }] } });
  await stays(other, () => everdure.start("quick"));
  await everdure.client.terminateOrchestration(other);
});

test("c40 an empty category is nothing of it", async (t) => {
  await everdure.worker(t, { orchestrators: { quick, greeting }, activities: { greet } }, {
    workItemFilters: { orchestrations: [{ name: "quick" }, { name: "greeting" }] },
  });
  const instance = await everdure.start("greeting", "you");
  await everdure.reaches(instance, "RUNNING");
  await everdure.result(await everdure.start("quick"));
  assert.equal((await everdure.kinds(instance)).includes("TaskCompleted"), false);
  await everdure.worker(t, { activities: { greet } }, { workItemFilters: { activities: [{ name: "greet" }] } });
  assert.equal(await everdure.result(instance), "hello you");
});

test("c40 a list of versions: those and no others, and no version is the empty one", async (t) => {
  const only = (...versions) => ({ workItemFilters: { orchestrations: [{ name: "quick", versions }] } });
  const given = (version) => everdure.start("quick", null, version === "" ? {} : { version });
  await everdure.worker(t, { orchestrators: { quick } }, only("1.0", "2.0"));
  assert.deepEqual([await everdure.result(await given("1.0")), await everdure.result(await given("2.0"))], ["1.0", "2.0"]);
  const [third, none] = [await given("3.0"), await given("")];
  await stays(third, () => given("1.0"));
  await stays(none, () => given("1.0"));
  await everdure.worker(t, { orchestrators: { quick } }, only(""));
  assert.equal(await everdure.result(none), "");
  await stays(third, () => given(""));
  await everdure.worker(t, { orchestrators: { quick } }, { workItemFilters: { orchestrations: [{ name: "quick" }] } });
  assert.equal(await everdure.result(third), "3.0");
});

test("c40 a strict worker's automatic filters carry its version, and an activity inherits it", async (t) => {
  const strict = (version) => ({
    workItemFilters: "auto",
    versioning: { version, matchStrategy: VersionMatchStrategy.Strict },
  });
  const ran = [];
  const noted = (version) => ({ greet: (ctx, name) => (ran.push([version, ctx.orchestrationId]), greet(ctx, name)) });
  await everdure.worker(t, { orchestrators: { greeting }, activities: noted("2.0") }, strict("2.0"));
  const [second, third] = [
    await everdure.start("greeting", "two", { version: "2.0" }),
    await everdure.start("greeting", "three", { version: "3.0" }),
  ];
  assert.equal(await everdure.result(second), "hello two");
  assert.equal(await everdure.status(third), "PENDING");
  await everdure.worker(t, { orchestrators: { greeting }, activities: noted("3.0") }, strict("3.0"));
  assert.equal(await everdure.result(third), "hello three");
  assert.deepEqual(ran, [["2.0", second], ["3.0", third]]);
});

test("c40 an activity with a version of its own goes by that one", async (t) => {
  const only = (version) => ({ workItemFilters: { activities: [{ name: "greet", versions: [version] }] } });
  const calling = async function* (ctx) { return yield ctx.callActivity("greet", "you", { version: "7" }); };
  await everdure.worker(t, { orchestrators: { calling } }, { workItemFilters: "auto" });
  const [wrong, right] = [[], []];
  await everdure.worker(t, { activities: { greet: () => (wrong.push(1), "wrong") } }, only("1.0"));
  await everdure.worker(t, { activities: { greet: () => (right.push(1), "right") } }, only("7"));
  assert.equal(await everdure.run("calling", null, { version: "1.0" }), "right");
  assert.deepEqual([wrong, right], [[], [1]]);
});

test("the SDK makes filters of what is registered", async (t) => {
  const { worker } = await everdure.worker(
    t,
    { orchestrators: { quick }, activities: { greet }, entities: { Counter: () => new TaskEntity() } },
    { workItemFilters: "auto" },
  );
  const filters = generateWorkItemFiltersFromRegistry(worker._registry, {
    version: "2.0",
    matchStrategy: VersionMatchStrategy.Strict,
  });
  assert.deepEqual(filters, {
    orchestrations: [{ name: "quick", versions: ["2.0"] }],
    activities: [{ name: "greet", versions: ["2.0"] }],
    entities: [{ name: "counter" }],
  });
  const wire = toGrpcWorkItemFilters({ entities: [{ name: "Counter" }], activities: [{ name: "a", versions: ["1"] }] });
  assert.deepEqual(wire.getEntitiesList().map((filter) => filter.getName()), ["counter"]);
  assert.deepEqual(wire.getActivitiesList().map((filter) => filter.getVersionsList()), [["1"]]);
});
