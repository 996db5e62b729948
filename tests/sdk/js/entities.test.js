"use strict";
const { EntityInstanceId, TaskEntity, assert, getName, grpc, id, suite, test, until } = require("./support");
const { Counter, counter, entities, notes } = require("./support/entities");

const everdure = suite("entities");
const get = (entity, state) => everdure.client.getEntity(entity, state);
const shows = (entity, wanted) =>
  until(`${entity} is ${JSON.stringify(wanted)}`, async () => {
    const metadata = await get(entity);
    return JSON.stringify(metadata?.state) === JSON.stringify(wanted) && metadata;
  });

test("c78 a signal makes the entity, and its state can be read", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id("Key"));
  assert.equal(await get(entity), undefined);
  const before = Date.now();
  await everdure.client.signalEntity(entity, "add", 5);
  const metadata = await shows(entity, { value: 5 });
  assert.equal(metadata.id.equals(entity), true);
  assert.deepEqual([metadata.includesState, metadata.lockedBy, metadata.backlogQueueSize], [true, undefined, 0]);
  assert.equal(metadata.lastModifiedTime.getTime() >= before - 1_000, true);
});

test("c78 names are lower case, keys keep theirs", async (t) => {
  await everdure.worker(t, { entities });
  const upper = new EntityInstanceId("CoUnTeR", id("MiXeD"));
  assert.equal(`${upper}`, `@counter@${upper.key}`);
  assert.equal(EntityInstanceId.fromString(`${upper}`).equals(upper), true);
  await everdure.client.signalEntity(upper, "ADD", 2);
  await shows(counter(upper.key), { value: 2 });
  assert.equal(await get(counter(upper.key.toLowerCase())), undefined);
});

test("c78 signals of one sender keep their order", async (t) => {
  await everdure.worker(t, { entities });
  const entity = notes(id());
  const wanted = Array.from({ length: 60 }, (_, index) => index);
  for (const value of wanted) await everdure.client.signalEntity(entity, "note", value);
  await shows(entity, wanted);
});

test("signals that come before any worker wait", async (t) => {
  const entity = counter(id());
  for (const value of [1, 2, 3]) await everdure.client.signalEntity(entity, "add", value);
  assert.equal(await get(entity), undefined);
  await everdure.worker(t, { entities });
  await shows(entity, { value: 6 });
});

test("c80 the state comes when it is asked for", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  await everdure.client.signalEntity(entity, "add", 1);
  await shows(entity, { value: 1 });
  const bare = await get(entity, false);
  assert.equal(bare.includesState, false);
  assert.throws(() => bare.state, /includesState/);
});

test("c80 c85 what was deleted does not exist, and can be made again", async (t) => {
  await everdure.worker(t, { entities });
  for (const [entity, make, remove, made] of [
    [counter(id()), ["add", 1], "delete", { value: 1 }],
    [notes(id()), ["note", "x"], "forget", ["x"]],
  ]) {
    for (let round = 0; round < 2; round++) {
      await everdure.client.signalEntity(entity, ...make);
      await shows(entity, made);
      await everdure.client.signalEntity(entity, remove);
      await until(`${entity} is gone`, async () => (await get(entity)) === undefined);
    }
  }
});

test("c80 an entity that never kept a state does not exist", async (t) => {
  await everdure.worker(t, { entities });
  const entity = notes(id());
  await everdure.client.signalEntity(entity, "read");
  // The second entity's state shows that the worker has had the first one.
  const other = notes(id());
  await everdure.client.signalEntity(other, "note", 1);
  await shows(other, [1]);
  assert.equal(await get(entity), undefined);
});

test("c81 a delayed signal is not early, and until then there is no entity", async (t) => {
  const seen = [];
  class Clock extends TaskEntity {
    tick() {
      seen.push(Date.now());
      this.state.ticks = (this.state.ticks ?? 0) + 1;
    }
  }
  await everdure.worker(t, { entities: { clock: () => new Clock() } });
  const entity = new EntityInstanceId("clock", id());
  const signalTime = new Date(Date.now() + 1_500);
  await everdure.client.signalEntity(entity, "tick", undefined, { signalTime });
  const before = await get(entity);
  assert.equal(before === undefined || Date.now() >= signalTime, true, "it is there before its time");
  await shows(entity, { ticks: 1 });
  assert.equal(seen[0] >= signalTime.getTime(), true, `${signalTime.getTime() - seen[0]} ms early`);
});

test("c81 a delayed signal does not hold up those after it", async (t) => {
  await everdure.worker(t, { entities });
  const entity = notes(id());
  await everdure.client.signalEntity(entity, "note", "later", { signalTime: new Date(Date.now() + 1_000) });
  await everdure.client.signalEntity(entity, "note", "now");
  await shows(entity, ["now", "later"]);
});

test("c89 a key that is too long is refused", async () => {
  const fits = counter("k".repeat(100 - "@counter@".length));
  await everdure.client.signalEntity(fits, "add", 1);
  const long = counter("k".repeat(101 - "@counter@".length));
  await assert.rejects(everdure.client.signalEntity(long, "add", 1), (error) => {
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
    assert.match(error.details, /length/i);
    return true;
  });
});

test("c16 an entity is no orchestration", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  await everdure.client.signalEntity(entity, "add", 1);
  await shows(entity, { value: 1 });
  assert.equal(await everdure.client.getOrchestrationState(`${entity}`), undefined);
  await assert.rejects(everdure.client.terminateOrchestration(`${entity}`), (error) => error.code === grpc.status.INVALID_ARGUMENT);
});

test("a signalled operation that fails leaves the state as it was, and those after it run", async (t) => {
  await everdure.worker(t, { entities });
  const entity = counter(id());
  for (const [name, input] of [["add", 1], ["fail", "no"], ["unheard-of", 1], ["add", 2]]) {
    await everdure.client.signalEntity(entity, name, input);
  }
  await shows(entity, { value: 3 });
});

test("an entity is registered under its function's name or another", async (t) => {
  function tally() {
    return new Counter();
  }
  const { worker, stop } = await everdure.worker(t, { entities: { Other: tally } });
  await stop();
  assert.equal(worker.addEntity(tally), "tally");
  assert.equal(worker.addNamedEntity("Third", tally), "third");
  assert.throws(() => worker.addNamedEntity("other", tally), /already exists/);
  assert.equal(getName(tally), "tally");
  await everdure.worker(t, { entities: { [getName(tally)]: tally } });
  const entity = new EntityInstanceId("Tally", id());
  await everdure.client.signalEntity(entity, "add", 9);
  await shows(entity, { value: 9 });
});

test("c69 a state of 1 MB, and keys and inputs of any text", async (t) => {
  await everdure.worker(t, { entities });
  const entity = notes(`ключ 🙂 @ ${id()}`);
  const text = "\u0000🙂x".repeat(256 * 1024);
  await everdure.client.signalEntity(entity, "note", text);
  await until("the state", async () => (await get(entity)) !== undefined);
  assert.equal((await get(entity)).state[0] === text, true);
});
