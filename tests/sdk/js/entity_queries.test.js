"use strict";
const {
  EntityInstanceId,
  assert,
  createEntityMetadata,
  createEntityMetadataWithoutState,
  createEntityQuery,
  defaultCleanEntityStorageRequest,
  grpc,
  id,
  normalizeInstanceIdPrefix,
  sleep,
  suite,
  test,
  until,
} = require("./support");
const { counter, entities, notes } = require("./support/entities");
const { Raw, pb, text } = require("./support/raw");

const everdure = suite("entity-queries");

async function all(pageable) {
  const items = [];
  for await (const item of pageable) items.push(item);
  return items;
}
const found = async (query) => (await all(everdure.client.getEntities(query))).map((entity) => `${entity.id}`).toSorted();

async function make(ids) {
  for (const entity of ids) await everdure.client.signalEntity(entity, entity.name === "counter" ? "add" : "note", 1);
  for (const entity of ids) await until(`${entity}`, async () => (await everdure.client.getEntity(entity)) !== undefined);
}

test("c86 by name and by the beginning of a key, in any case of the name", async (t) => {
  await everdure.worker(t, { entities });
  const key = id("K");
  const made = [counter(`${key}1`), counter(`${key}2`), notes(`${key}1`)];
  await make(made);
  const [first, second, third] = made.map(String);
  assert.deepEqual(await found({ instanceIdStartsWith: `@counter@${key}` }), [first, second]);
  assert.deepEqual(await found({ instanceIdStartsWith: `CoUnTeR@${key}2` }), [second]);
  assert.deepEqual(await found({ instanceIdStartsWith: `@notes@${key.toLowerCase()}` }), []);
  assert.equal((await found({ instanceIdStartsWith: "notes" })).includes(third), true);
  assert.equal((await found()).filter((name) => made.map(String).includes(name)).length, 3);
  const raw = new Raw(everdure);
  const query = new pb.EntityQuery().setInstanceidstartswith(text(`@COUNTER@${key}`));
  const answer = await raw.call("queryEntities", new pb.QueryEntitiesRequest().setQuery(query));
  assert.equal(answer.getEntitiesList().length, 2, "also when the client did not make it lower case");
});

test("c86 with states and without", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  await make([entity]);
  const [full] = await all(everdure.client.getEntities({ instanceIdStartsWith: `${entity}` }));
  assert.deepEqual(full.state, { value: 1 });
  const [bare] = await all(everdure.client.getEntities({ instanceIdStartsWith: `${entity}`, includeState: false }));
  assert.equal(bare.includesState, false);
  assert.equal(bare.lastModifiedTime.getTime(), full.lastModifiedTime.getTime());
});

test("c86 by the time of the last change", async (t) => {
  await everdure.worker(t, { entities });
  const key = id();
  const made = [notes(`${key}1`), notes(`${key}2`)];
  await make([made[0]]);
  await sleep(30);
  await make([made[1]]);
  const { lastModifiedTime } = await everdure.client.getEntity(made[1]);
  const near = (ms) => new Date(lastModifiedTime.getTime() + ms);
  const query = (more) => found({ instanceIdStartsWith: `@notes@${key}`, ...more });
  assert.deepEqual(await query({ lastModifiedFrom: near(-5) }), [`${made[1]}`]);
  assert.deepEqual(await query({ lastModifiedTo: near(-10) }), [`${made[0]}`]);
  assert.deepEqual(await query({ lastModifiedFrom: near(60_000) }), []);
});

test("c86 in pages", async (t) => {
  await everdure.worker(t, { entities });
  const key = id();
  const made = Array.from({ length: 11 }, (_, number) => notes(`${key}/${number}`));
  await make(made);
  const query = { instanceIdStartsWith: `@notes@${key}`, pageSize: 4 };
  const pages = await all(everdure.client.getEntities(query).asPages());
  assert.deepEqual(pages.map((page) => [page.values.length, page.hasMoreResults]), [[4, true], [4, true], [3, false]]);
  assert.deepEqual(pages.flatMap((page) => page.values.map((entity) => `${entity.id}`)).toSorted(), made.map(String).toSorted());
  const rest = await found({ ...query, continuationToken: pages[0].continuationToken });
  assert.equal(rest.length, 7);
});

test("c86 a token that nobody gave out is refused", async () => {
  const query = found({ continuationToken: "not a token" });
  await assert.rejects(query, (error) => error.code === grpc.status.INVALID_ARGUMENT);
});

test("c86 entities without a state are listed only if they are asked for", async () => {
  const entity = new EntityInstanceId("nobody", id());
  await everdure.client.signalEntity(entity, "wait");
  assert.deepEqual(await found({ instanceIdStartsWith: `${entity}` }), []);
  const [transient] = await all(everdure.client.getEntities({ instanceIdStartsWith: `${entity}`, includeTransient: true }));
  assert.deepEqual([`${transient.id}`, transient.includesState, transient.backlogQueueSize], [`${entity}`, false, 1]);
});

test("c85 there is nothing to clean right after use", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  await make([entity]);
  await everdure.client.signalEntity(entity, "delete");
  await until("it is gone", async () => (await everdure.client.getEntity(entity)) === undefined);
  const nothing = { continuationToken: undefined, emptyEntitiesRemoved: 0, orphanedLocksReleased: 0 };
  assert.deepEqual(await everdure.client.cleanEntityStorage(), nothing);
  const request = { ...defaultCleanEntityStorageRequest(), releaseOrphanedLocks: false };
  assert.deepEqual(await everdure.client.cleanEntityStorage(request, false), nothing);
});

test("c70 queries for orchestrations do not tell of entities, nor the other way round", async (t) => {
  await everdure.worker(t, { entities, orchestrators: { quick: async () => "done" } });
  await make([counter(id())]);
  const instance = await everdure.start("quick");
  await everdure.result(instance);
  const states = await all(everdure.client.getAllInstances());
  assert.deepEqual(states.filter((state) => state.instanceId.startsWith("@")), []);
  assert.equal(states.some((state) => state.instanceId === instance), true);
  assert.equal((await everdure.client.listInstanceIds()).values.some((name) => name.startsWith("@")), false);
  assert.equal((await found({ includeTransient: true })).every((name) => name.startsWith("@")), true);
});

test("c72 a purge of an entity's id removes the entity", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  await make([entity]);
  assert.equal((await everdure.client.purgeOrchestration(`${entity}`)).deletedInstanceCount, 1);
  assert.equal(await everdure.client.getEntity(entity), undefined);
});

test("the SDK's own helpers: prefixes, queries, metadata", () => {
  assert.equal(normalizeInstanceIdPrefix("Counter@Key"), "@counter@Key");
  assert.equal(normalizeInstanceIdPrefix(undefined), undefined);
  assert.equal(createEntityQuery({ instanceIdStartsWith: "A" }).instanceIdStartsWith, "@a");
  const now = new Date();
  assert.equal(createEntityMetadata(counter("k"), now, 0, undefined, 5).state, 5);
  assert.equal(createEntityMetadataWithoutState(counter("k"), now, 2, "me").lockedBy, "me");
  assert.throws(() => new EntityInstanceId("", "k"));
  assert.throws(() => EntityInstanceId.fromString("counter@k"));
  assert.equal(JSON.stringify({ id: counter("K") }), '{"id":"@counter@K"}');
});
