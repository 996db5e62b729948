"use strict";
const { assert, grpc, id, suite, test, whenAll, whenAny } = require("./support");

const everdure = suite("events");
const code = (status) => (error) => error.code === status;
const waitFor = (count, name = "news") =>
  async function* (ctx) {
    const values = [];
    for (let seen = 0; seen < count; seen++) values.push(yield ctx.waitForExternalEvent(name));
    return values;
  };

test("c24 events before the first turn come with it, in order", async (t) => {
  const later = new Date(Date.now() + 1_500);
  const instance = await everdure.start("early", undefined, { startAt: later });
  for (const value of [1, 2, 3]) await everdure.client.raiseOrchestrationEvent(instance, "news", value);
  await everdure.worker(t, { orchestrators: { early: waitFor(3) } });
  assert.deepEqual(await everdure.result(instance), [1, 2, 3]);
  assert.deepEqual(
    (await everdure.kinds(instance)).slice(0, 5),
    ["OrchestratorStarted", "ExecutionStarted", "EventRaised", "EventRaised", "EventRaised"],
  );
});

test("c24 events before any worker is there wait", async (t) => {
  const instance = await everdure.start("unattended");
  await everdure.client.raiseOrchestrationEvent(instance, "news", "first");
  await everdure.worker(t, { orchestrators: { unattended: waitFor(1) } });
  assert.deepEqual(await everdure.result(instance), ["first"]);
});

test("an event that comes while the orchestration waits wakes it", async (t) => {
  await everdure.worker(t, { orchestrators: { late: waitFor(1) } });
  const instance = await everdure.start("late");
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.raiseOrchestrationEvent(instance, "news", { text: "hello" });
  assert.deepEqual(await everdure.result(instance), [{ text: "hello" }]);
});

test("c25 the case of a name does not matter, and its spelling stays in history", async (t) => {
  await everdure.worker(t, { orchestrators: { spelled: waitFor(3, "News") } });
  const instance = await everdure.start("spelled");
  for (const name of ["news", "NEWS", "nEwS"]) await everdure.client.raiseOrchestrationEvent(instance, name, name);
  assert.deepEqual(await everdure.result(instance), ["news", "NEWS", "nEwS"]);
  const raised = (await everdure.history(instance)).filter((event) => event.type === "EventRaised");
  assert.deepEqual(raised.map((event) => event.name), ["news", "NEWS", "nEwS"]);
});

test("c25 events of one name keep their order, however many they are", async (t) => {
  await everdure.worker(t, { orchestrators: { ordered: waitFor(200) } });
  const instance = await everdure.start("ordered");
  const values = Array.from({ length: 200 }, (_, index) => index);
  for (const value of values) await everdure.client.raiseOrchestrationEvent(instance, "news", value);
  assert.deepEqual(await everdure.result(instance), values);
});

test("two who wait for one name are served in the order in which they began", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      pair: async function* (ctx) {
        return yield whenAll([ctx.waitForExternalEvent("news"), ctx.waitForExternalEvent("news")]);
      },
    },
  });
  const instance = await everdure.start("pair");
  await everdure.reaches(instance, "RUNNING");
  for (const value of ["first", "second"]) await everdure.client.raiseOrchestrationEvent(instance, "news", value);
  assert.deepEqual(await everdure.result(instance), ["first", "second"]);
});

test("an event without data is null", async (t) => {
  await everdure.worker(t, { orchestrators: { bare: waitFor(1) } });
  const instance = await everdure.start("bare");
  await everdure.client.raiseOrchestrationEvent(instance, "news");
  assert.deepEqual(await everdure.result(instance), [null]);
});

test("whenAny picks the event that came", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      choice: async function* (ctx) {
        const choices = { yes: ctx.waitForExternalEvent("yes"), no: ctx.waitForExternalEvent("no") };
        const winner = yield whenAny(Object.values(choices));
        return winner === choices.no ? "no" : "yes";
      },
    },
  });
  const instance = await everdure.start("choice");
  await everdure.client.raiseOrchestrationEvent(instance, "no");
  assert.equal(await everdure.result(instance), "no");
});

test("c26 an event to nobody is NOT_FOUND, to a finished instance it is dropped", async (t) => {
  await everdure.worker(t, { orchestrators: { quick: async () => "done" } });
  await assert.rejects(everdure.client.raiseOrchestrationEvent(id(), "news", 1), code(grpc.status.NOT_FOUND));
  const instance = await everdure.start("quick");
  await everdure.result(instance);
  const before = await everdure.history(instance);
  await everdure.client.raiseOrchestrationEvent(instance, "news", 1);
  assert.deepEqual(await everdure.history(instance), before);
  await assert.rejects(everdure.client.raiseOrchestrationEvent("", "news"), /instanceId/);
  await assert.rejects(everdure.client.raiseOrchestrationEvent(instance, ""), /eventName/);
});

test("c61 an orchestration sends an event to another", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      receiver: waitFor(1),
      sender: async function* (ctx, target) {
        ctx.sendEvent(target, "News", { from: ctx.instanceId });
        yield ctx.createTimer(0);
      },
    },
  });
  const receiver = await everdure.start("receiver");
  const sender = await everdure.start("sender", receiver);
  await everdure.result(sender);
  assert.deepEqual(await everdure.result(receiver), [{ from: sender }]);
  const sent = (await everdure.history(sender)).find((event) => event.type === "EventSent");
  assert.deepEqual(
    [sent.eventId, sent.name, sent.instanceId, JSON.parse(sent.input)],
    [1, "News", receiver, { from: sender }],
  );
});

test("c61 an orchestration sends an event to itself", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      monologue: async function* (ctx) {
        ctx.sendEvent(ctx.instanceId, "thought", 1);
        ctx.sendEvent(ctx.instanceId, "thought", 2);
        return [yield ctx.waitForExternalEvent("thought"), yield ctx.waitForExternalEvent("thought")];
      },
    },
  });
  assert.deepEqual(await everdure.run("monologue"), [1, 2]);
});

test("c61 an event to an instance that is missing or finished is dropped, also with the completion", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      quick: async () => "done",
      shouter: async function* (ctx, target) {
        ctx.sendEvent("nobody", "news", 1);
        ctx.sendEvent(target, "news", 1);
        yield ctx.createTimer(0);
        ctx.sendEvent("nobody", "news");
        return "said";
      },
    },
  });
  const finished = await everdure.start("quick");
  await everdure.result(finished);
  assert.equal(await everdure.run("shouter", finished), "said");
});
