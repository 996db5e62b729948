"use strict";
const { DEFAULT_PAGE_SIZE, OrchestrationStatus, Page, assert, createAsyncPageable, grpc, id, sleep, suite, test } =
  require("./support");
const { Raw, pb, text } = require("./support/raw");

const everdure = suite("queries");
const { COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED } = OrchestrationStatus;
const orchestrators = {
  quick: async (_, input) => input,
  broken: async () => { throw new Error("broken"); },
  waiting: async function* (ctx) { ctx.setCustomStatus("here"); yield ctx.waitForExternalEvent("never"); },
};

async function all(pageable) {
  const items = [];
  for await (const item of pageable) items.push(item);
  return items;
}
const ids = async (filter) => (await all(everdure.client.getAllInstances(filter))).map((state) => state.instanceId);

/** One instance of each status, under a prefix of their own. */
async function oneOfEach(t) {
  const prefix = id("each");
  await everdure.worker(t, { orchestrators });
  const made = {};
  const start = async (name, status, options) => {
    made[status] = `${prefix}/${status}`;
    await everdure.start(name, status, { instanceId: made[status], ...options });
  };
  await start("quick", "COMPLETED");
  await start("broken", "FAILED");
  for (const status of ["RUNNING", "SUSPENDED", "TERMINATED"]) await start("waiting", status);
  await start("quick", "PENDING", { startAt: new Date(Date.now() + 3_600_000) });
  for (const status of ["SUSPENDED", "TERMINATED"]) await everdure.reaches(made[status], "RUNNING");
  await everdure.client.suspendOrchestration(made.SUSPENDED);
  await everdure.client.terminateOrchestration(made.TERMINATED);
  for (const [status, instance] of Object.entries(made)) await everdure.reaches(instance, status);
  return { prefix, made };
}

test("c70 by status, each alone, several, and none", async (t) => {
  const { prefix, made } = await oneOfEach(t);
  const found = (statuses) => ids({ instanceIdPrefix: prefix, statuses });
  for (const status of Object.keys(made)) {
    assert.deepEqual(await found([OrchestrationStatus[status]]), [made[status]], status);
  }
  assert.deepEqual((await found([RUNNING, PENDING])).toSorted(), [made.PENDING, made.RUNNING]);
  assert.deepEqual((await found([])).toSorted(), Object.values(made).toSorted());
  assert.deepEqual((await found(undefined)).length, 6);
  assert.deepEqual((await found([COMPLETED, FAILED, TERMINATED])).length, 3);
  assert.deepEqual(await found([SUSPENDED]), [made.SUSPENDED]);
});

test("c70 states carry what they are asked for", async (t) => {
  const { prefix, made } = await oneOfEach(t);
  const query = (more) => all(everdure.client.getAllInstances({ instanceIdPrefix: prefix, ...more }));
  const full = Object.fromEntries((await query({ fetchInputsAndOutputs: true })).map((state) => [state.instanceId, state]));
  assert.equal(full[made.COMPLETED].serializedOutput, '"COMPLETED"');
  assert.equal(full[made.RUNNING].serializedCustomStatus, '"here"');
  assert.equal(full[made.FAILED].failureDetails.message, "broken");
  assert.equal(full[made.PENDING].serializedInput, '"PENDING"');
  assert.equal(full[made.SUSPENDED].name, "waiting");
  for (const state of await query({})) {
    assert.deepEqual([state.serializedInput, state.serializedOutput, state.serializedCustomStatus], Array(3).fill(undefined));
    assert.equal(state.createdAt.getTime() > Date.now() - 600_000 && state.lastUpdatedAt >= state.createdAt, true);
  }
});

test("c70 by the time of creation, with both ends", async (t) => {
  await everdure.worker(t, { orchestrators });
  const prefix = id("timed");
  const made = [];
  for (const number of [1, 2, 3]) {
    const instance = await everdure.start("quick", number, { instanceId: `${prefix}/${number}` });
    made.push(await everdure.ended(instance));
    await sleep(20);
  }
  const [first, second, third] = made.map((state) => state.instanceId);
  const middle = made[1].createdAt;
  const around = (ms) => new Date(middle.getTime() + ms);
  const found = (filter) => ids({ instanceIdPrefix: prefix, ...filter });
  assert.deepEqual((await found({ createdFrom: around(-5) })).toSorted(), [second, third]);
  assert.deepEqual((await found({ createdTo: around(5) })).toSorted(), [first, second]);
  assert.deepEqual(await found({ createdFrom: around(-5), createdTo: around(5) }), [second]);
  assert.deepEqual(await found({ createdFrom: new Date(Date.now() + 60_000) }), []);
});

test("c70 by prefix, where nothing in it is a wildcard", async (t) => {
  await everdure.worker(t, { orchestrators });
  const prefix = id("like");
  for (const name of ["a%b", "a_b", "axb", "A_b"]) {
    await everdure.result(await everdure.start("quick", 1, { instanceId: `${prefix}/${name}` }));
  }
  assert.deepEqual(await ids({ instanceIdPrefix: `${prefix}/a_` }), [`${prefix}/a_b`]);
  assert.deepEqual(await ids({ instanceIdPrefix: `${prefix}/a%` }), [`${prefix}/a%b`]);
  assert.deepEqual(await ids({ instanceIdPrefix: id("nothing") }), []);
});

test("c70 pages: each instance once, sizes kept, an end without a token, a token that goes on", async (t) => {
  await everdure.worker(t, { orchestrators });
  const prefix = id("paged");
  const made = Array.from({ length: 25 }, (_, number) => `${prefix}/${number}`);
  await Promise.all(made.map((instanceId) => everdure.start("quick", 1, { instanceId })));
  await Promise.all(made.map((instance) => everdure.result(instance)));
  const pages = await all(everdure.client.getAllInstances({ instanceIdPrefix: prefix, pageSize: 10 }).asPages());
  assert.deepEqual(pages.map((page) => [page.values.length, page.hasMoreResults]), [[10, true], [10, true], [5, false]]);
  assert.equal(pages.every((page) => page instanceof Page), true);
  const seen = pages.flatMap((page) => page.values.map((state) => state.instanceId));
  assert.deepEqual(seen.toSorted(), made.toSorted());

  const rest = await ids({ instanceIdPrefix: prefix, pageSize: 10, continuationToken: pages[0].continuationToken });
  assert.deepEqual(rest, seen.slice(10));
  const again = everdure.client.getAllInstances({ instanceIdPrefix: prefix }).asPages(pages[1].continuationToken, 3);
  assert.deepEqual((await all(again)).map((page) => page.values.length), [3, 2]);
  assert.equal(DEFAULT_PAGE_SIZE, 100);
  const whole = await all(everdure.client.getAllInstances({ instanceIdPrefix: prefix, pageSize: 2 ** 31 - 1 }).asPages());
  assert.equal(whole.length, 1, "a page of any size is allowed");
});

test("c70 pages stay whole while instances are added", async (t) => {
  await everdure.worker(t, { orchestrators });
  const prefix = id("growing");
  const made = [];
  const add = async () => {
    const instance = await everdure.start("quick", 1, { instanceId: `${prefix}/${made.length}` });
    made.push(instance);
    await everdure.result(instance);
  };
  for (let number = 0; number < 6; number++) await add();
  const before = [...made];
  const seen = [];
  for await (const page of everdure.client.getAllInstances({ instanceIdPrefix: prefix, pageSize: 2 }).asPages()) {
    seen.push(...page.values.map((state) => state.instanceId));
    if (made.length < 8) await add();
  }
  assert.equal(new Set(seen).size, seen.length, "none twice");
  assert.deepEqual(before.filter((instance) => !seen.includes(instance)), [], "none left out");
});

test("c70 a token that nobody gave out is refused", async () => {
  const query = () => ids({ continuationToken: "not a token" });
  await assert.rejects(query(), (error) => error.code === grpc.status.INVALID_ARGUMENT);
});

test("c70 by the names of task hubs, of which this is one", async (t) => {
  await everdure.worker(t, { orchestrators });
  const instance = await everdure.start("quick", 1);
  await everdure.result(instance);
  assert.deepEqual(await ids({ instanceIdPrefix: instance, taskHubNames: ["queries"] }), [instance]);
});

test("c71 ids in the order of completion, in pages", async (t) => {
  const other = everdure.other({ name: "queries-ids" });
  await other.worker(t, { orchestrators });
  const from = new Date(Date.now() - 1_000);
  const made = [];
  for (let number = 0; number < 7; number++) {
    made.push(await other.start(number === 3 ? "broken" : "quick", number));
    await other.ended(made.at(-1));
  }
  const open = await other.start("waiting");
  await other.reaches(open, "RUNNING");
  const page = (options) => other.client.listInstanceIds({ completedTimeFrom: from, ...options });
  const listed = [];
  let lastInstanceKey;
  const sizes = [];
  do {
    const { values, continuationToken } = await page({ pageSize: 3, lastInstanceKey });
    listed.push(...values);
    sizes.push(values.length);
    lastInstanceKey = continuationToken;
  } while (lastInstanceKey);
  assert.deepEqual(listed, made, "an instance that runs is not in it");
  assert.deepEqual(sizes.slice(0, 2), [3, 3]);
  assert.deepEqual((await page({ runtimeStatus: [FAILED] })).values, [made[3]]);
  assert.deepEqual((await page({ runtimeStatus: [COMPLETED], pageSize: 2 })).values, made.slice(0, 2));
  assert.deepEqual((await other.client.listInstanceIds()).values, made);
  assert.deepEqual((await page({ completedTimeFrom: new Date(Date.now() + 60_000) })).values, []);
  assert.deepEqual((await page({ completedTimeTo: new Date(Date.now() + 60_000) })).values, made);
  assert.equal((await page({})).hasMoreResults, false);
  const request = new pb.ListInstanceIdsRequest().setLastinstancekey(text(""));
  const first = await new Raw(other).call("listInstanceIds", request);
  assert.deepEqual(first.getInstanceidsList(), made, "an empty key is the first page");
});

test("a pageable of one's own works like the client's", async () => {
  const pageable = createAsyncPageable(async (token) => ({
    values: [Number(token ?? 0)],
    continuationToken: token === "2" ? undefined : String(Number(token ?? 0) + 1),
  }));
  assert.deepEqual(await all(pageable), [0, 1, 2]);
});
