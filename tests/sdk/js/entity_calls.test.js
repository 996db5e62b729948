"use strict";
const { EntityInstanceId, TaskEntity, assert, id, suite, test, until, whenAll } = require("./support");
const { counter, entities, notes } = require("./support/entities");

const everdure = suite("entity-calls");
const state = async (entity) => (await everdure.client.getEntity(entity))?.state;
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

test("c79 a call gives the operation's result", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      calls: async function* (ctx, key) {
        const entity = counter(key);
        const first = yield ctx.entities.callEntity(entity, "add", 5);
        const second = yield ctx.entities.callEntity(entity, "add", 6);
        return [first, second, yield ctx.entities.callEntity(entity, "get")];
      },
    },
  });
  assert.deepEqual(await everdure.run("calls", id()), [5, 11, 11]);
});

test("c79 an operation that fails fails its call, with details, and the state stays", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      fails: async function* (ctx, key) {
        const entity = counter(key);
        yield ctx.entities.callEntity(entity, "add", 3);
        try {
          yield ctx.entities.callEntity(entity, "fail", "too far");
        } catch (error) {
          const { errorType, errorMessage, stackTrace } = error.failureDetails;
          const after = yield ctx.entities.callEntity(entity, "get");
          return [error.name, `${error.entityId}`, error.operationName, errorType, errorMessage, typeof stackTrace, after];
        }
      },
    },
  });
  const key = id();
  assert.deepEqual(await everdure.run("fails", key), [
    "EntityOperationFailedException", `@counter@${key}`, "fail", "RangeError", "too far", "string", 3,
  ]);
});

test("an entity that nobody registered fails the call", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      lost: async function* (ctx) {
        try {
          yield ctx.entities.callEntity(new EntityInstanceId("nowhere", "x"), "get");
        } catch (error) {
          return error.failureDetails.errorType;
        }
      },
    },
  });
  assert.equal(await everdure.run("lost"), "EntityTaskNotFound");
});

test("signals and calls of one turn keep their order", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      mixed: async function* (ctx, key) {
        const entity = notes(key);
        ctx.entities.signalEntity(entity, "note", 1);
        const second = ctx.entities.callEntity(entity, "note", 2);
        ctx.entities.signalEntity(entity, "note", 3);
        const fourth = ctx.entities.callEntity(entity, "note", 4);
        return [...(yield whenAll([second, fourth])), yield ctx.entities.callEntity(entity, "read")];
      },
    },
  });
  assert.deepEqual(await everdure.run("mixed", id()), [2, 4, [1, 2, 3, 4]]);
});

test("a hundred orchestrations add to one entity, and nothing is lost", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: { one: async function* (ctx, key) { return yield ctx.entities.callEntity(counter(key), "add", 1); } },
  });
  const key = id();
  const instances = await Promise.all(Array.from({ length: 100 }, () => everdure.start("one", key)));
  const results = await Promise.all(instances.map((instance) => everdure.result(instance)));
  assert.deepEqual(results.toSorted((a, b) => a - b), Array.from({ length: 100 }, (_, index) => index + 1));
  assert.deepEqual(await state(counter(key)), { value: 100 });
});

test("c81 a delayed signal of an orchestration", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      later: async function* (ctx, key) {
        const signalTime = new Date(ctx.currentUtcDateTime.getTime() + 1_000);
        ctx.entities.signalEntity(notes(key), "note", "later", { signalTime });
        yield ctx.createTimer(0);
        return signalTime.getTime();
      },
    },
  });
  const key = id();
  const due = await everdure.run("later", key);
  const before = await state(notes(key));
  assert.equal(before === undefined || Date.now() >= due, true, "it is there before its time");
  await until("the signal", async () => (await state(notes(key))) !== undefined);
  assert.equal(Date.now() >= due, true);
});

class Relay extends TaskEntity {
  forward({ to, value }) {
    this.context.signalEntity(EntityInstanceId.fromString(to), "note", { from: this.context.id.toString(), value });
    return "forwarded";
  }

  later({ to, value, at }) {
    this.context.signalEntity(EntityInstanceId.fromString(to), "note", value, { signalTime: new Date(at) });
  }

  launch({ instanceId, startAt }) {
    const options = { instanceId, ...(startAt ? { startAt: new Date(startAt) } : {}) };
    return this.context.scheduleNewOrchestration("launched", { by: this.context.id.toString() }, options);
  }

  launchAndFail(input) {
    this.launch(input);
    this.forward({ to: input.to, value: "never" });
    throw new Error("after all");
  }
}
const relay = (key) => new EntityInstanceId("relay", key);
const withRelay = { ...entities, relay: () => new Relay() };
const launched = async (ctx, input) => ({ ...input, parent: ctx.parent ?? null });

test("c82 an entity signals another, now and later", async (t) => {
  await everdure.worker(t, { entities: withRelay });
  const [from, to] = [relay(id()), notes(id())];
  await everdure.client.signalEntity(from, "forward", { to: `${to}`, value: 1 });
  const first = [{ from: `${from}`, value: 1 }];
  await until("the first", async () => JSON.stringify(await state(to)) === JSON.stringify(first));
  const at = Date.now() + 1_000;
  await everdure.client.signalEntity(from, "later", { to: `${to}`, value: 2, at });
  await until("the second", async () => (await state(to)).length === 2);
  assert.equal(Date.now() >= at, true);
});

test("c82 an entity starts orchestrations, under an id of its choice or not, now or later", async (t) => {
  await everdure.worker(t, { entities: withRelay, orchestrators: { launched } });
  const from = relay(id());
  const own = id("own");
  await everdure.client.signalEntity(from, "launch", { instanceId: own });
  assert.deepEqual(await everdure.result(own), { by: `${from}`, parent: null });
  const later = id("later");
  const startAt = Date.now() + 1_000;
  await everdure.client.signalEntity(from, "launch", { instanceId: later, startAt });
  const state = await everdure.ended(later);
  assert.equal(state.lastUpdatedAt.getTime() >= startAt, true);
});

test("c82 a call tells the id of what it started; a taken id is no error", async (t) => {
  await everdure.worker(t, {
    entities: withRelay,
    orchestrators: {
      launched,
      ask: async function* (ctx, key) { return yield ctx.entities.callEntity(relay(key), "launch", {}); },
    },
  });
  const made = await everdure.run("ask", id());
  assert.match(made, GUID);
  const before = await everdure.ended(made);
  const waiting = await everdure.start("unserved", null, { startAt: new Date(Date.now() + 3_600_000) });
  const from = relay(id());
  await everdure.client.signalEntity(from, "launch", { instanceId: waiting });
  await until("the operation", async () => (await everdure.client.getEntity(from)) !== undefined);
  assert.equal((await everdure.client.getOrchestrationState(waiting)).name, "unserved");
  assert.equal(before.name, "launched");
  await everdure.client.terminateOrchestration(waiting);
});

test("c79 what a failed operation had sent is not sent", async (t) => {
  await everdure.worker(t, {
    entities: withRelay,
    orchestrators: {
      launched,
      ask: async function* (ctx, input) {
        try {
          yield ctx.entities.callEntity(relay(input.key), "launchAndFail", input);
        } catch (error) {
          return error.failureDetails.errorMessage;
        }
      },
    },
  });
  const input = { key: id(), instanceId: id("never"), to: `${notes(id())}` };
  assert.equal(await everdure.run("ask", input), "after all");
  // A later signal on the same way shows that nothing was on it before.
  const to = EntityInstanceId.fromString(input.to);
  await everdure.client.signalEntity(relay(input.key), "forward", { to: input.to, value: "only" });
  await until("the later signal", async () => (await state(to)) !== undefined);
  assert.deepEqual((await state(to)).map((note) => note.value), ["only"]);
  assert.equal(await everdure.client.getOrchestrationState(input.instanceId), undefined);
});

test("c49 c90 calls and signals stand in the history, and their answers", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      talks: async function* (ctx, key) {
        ctx.entities.signalEntity(counter(key), "add", 1);
        yield ctx.entities.callEntity(counter(key), "add", 2);
        try {
          yield ctx.entities.callEntity(counter(key), "fail", "x");
        } catch {
          return "done";
        }
      },
    },
  });
  const key = id();
  const instance = await everdure.start("talks", key);
  await everdure.result(instance);
  const history = (await everdure.history(instance)).filter((event) => event.type.startsWith("Entity"));
  assert.deepEqual(history.map((event) => event.type), [
    "EntityOperationSignaled",
    "EntityOperationCalled",
    "EntityOperationCompleted",
    "EntityOperationCalled",
    "EntityOperationFailed",
  ]);
  const [signaled, called, completed, again, failed] = history;
  assert.deepEqual([signaled.operation, signaled.targetInstanceId, signaled.input], ["add", `@counter@${key}`, "1"]);
  assert.deepEqual([called.operation, called.targetInstanceId, called.input], ["add", `@counter@${key}`, "2"]);
  for (const event of history) assert.match(event.requestId, GUID);
  assert.deepEqual([signaled.eventId, called.eventId, completed.eventId], [1, 2, -1]);
  assert.deepEqual([completed.requestId, completed.output], [called.requestId, "3"]);
  assert.deepEqual([failed.requestId, failed.failureDetails.errorType], [again.requestId, "RangeError"]);
});

test("c64 an answer to the last generation does not reach the next", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: {
      leave: async function* (ctx, { key, again }) {
        const call = ctx.entities.callEntity(counter(key), "add", 1);
        if (!again) {
          ctx.continueAsNew({ key, again: true }, false);
          return null;
        }
        return yield call;
      },
    },
  });
  const key = id();
  assert.equal(await everdure.run("leave", { key, again: false }), 2);
});

test("c40 an entity without a worker that has it waits, and its caller with it", async (t) => {
  await everdure.worker(
    t,
    { orchestrators: { calls: async function* (ctx, key) { return yield ctx.entities.callEntity(counter(key), "add", 4); } } },
    { workItemFilters: "auto" },
  );
  const instance = await everdure.start("calls", id());
  await everdure.reaches(instance, "RUNNING");
  await everdure.worker(t, { entities: { Counter: entities.counter } }, { workItemFilters: "auto" });
  assert.equal(await everdure.result(instance), 4);
});

test("what is signalled in the last turn arrives", async (t) => {
  await everdure.worker(t, {
    entities,
    orchestrators: { hasty: async (ctx, key) => void ctx.entities.signalEntity(counter(key), "add", 7) },
  });
  const key = id();
  await everdure.run("hasty", key);
  await until("the operation", async () => (await state(counter(key)))?.value === 7);
});
