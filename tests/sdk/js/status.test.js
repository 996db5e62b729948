"use strict";
const { OrchestrationState, OrchestrationStatus, ProtoOrchestrationStatus, assert, gate, id, suite, test, until } =
  require("./support");
const { Raw, pb } = require("./support/raw");

const everdure = suite("status");
const { COMPLETED, FAILED, PENDING, RUNNING } = OrchestrationStatus;
const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };
const get = (instance, payloads) => everdure.client.getOrchestrationState(instance, payloads);

test("the SDK's statuses are those of the protocol", () => {
  const names = Object.keys(OrchestrationStatus).filter((name) => Number.isNaN(Number(name)));
  for (const name of names) {
    assert.equal(OrchestrationStatus[name], ProtoOrchestrationStatus[`ORCHESTRATION_STATUS_${name}`], name);
  }
});

test("c16 an unknown instance is undefined", async () => {
  assert.equal(await get(id()), undefined);
});

test("a wait that began before its instance sees it complete", async (t) => {
  await everdure.worker(t, { orchestrators: { quick: async () => "done" } });
  const instance = id();
  const wait = everdure.client.waitForOrchestrationCompletion(instance, true, 60);
  await everdure.client.scheduleNewOrchestration("quick", null, instance);
  assert.equal((await wait).serializedOutput, '"done"');
});

test("c17 payloads come when they are asked for, and else not", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      shown: async function* (ctx, input) {
        ctx.setCustomStatus("halfway");
        return yield ctx.callActivity("echo", input);
      },
    },
    activities: { echo: (_, input) => input },
  });
  const instance = await everdure.start("shown", "in");
  const full = await everdure.ended(instance);
  assert.equal(full instanceof OrchestrationState, true);
  assert.deepEqual(
    [full.serializedInput, full.serializedOutput, full.serializedCustomStatus],
    ['"in"', '"in"', '"halfway"'],
  );
  for (const bare of [await get(instance, false), await everdure.client.waitForOrchestrationCompletion(instance, false)]) {
    assert.deepEqual([bare.serializedInput, bare.serializedOutput, bare.serializedCustomStatus], Array(3).fill(undefined));
    assert.deepEqual([bare.runtimeStatus, bare.name, bare.instanceId], [COMPLETED, "shown", instance]);
  }
});

test("c18 times: created and updated always, completed only when it has ended", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  await everdure.reaches(instance, "RUNNING");
  const request = new pb.GetInstanceRequest().setInstanceid(instance);
  const raw = new Raw(everdure);
  const times = async () => {
    const state = (await raw.call("getInstance", request)).getOrchestrationstate();
    const [created, updated] = [state.getCreatedtimestamp(), state.getLastupdatedtimestamp()];
    return [created.toDate(), updated.toDate(), state.getCompletedtimestamp()?.toDate()];
  };
  const [created, updated, completed] = await times();
  assert.equal(updated >= created, true);
  assert.equal(completed, undefined);
  await everdure.client.raiseOrchestrationEvent(instance, "end");
  await everdure.result(instance);
  const [still, later, at] = await times();
  assert.deepEqual(still, created);
  assert.equal(later > updated && at <= later && at > created, true, `${created} ${updated} ${later} ${at}`);
});

test("c19 an instance is PENDING until its first turn is committed", async (t) => {
  const slow = gate();
  const begun = gate();
  await everdure.worker(t, {
    orchestrators: {
      thinking: async function* (ctx) {
        begun.open();
        await slow.passed;
        yield ctx.waitForExternalEvent("end");
      },
    },
  });
  const instance = await everdure.start("thinking");
  await begun.passed;
  assert.equal((await get(instance)).runtimeStatus, PENDING);
  await assert.rejects(everdure.client.waitForOrchestrationStart(instance, false, 0.3), /Timed out/);
  slow.open();
  assert.equal((await everdure.client.waitForOrchestrationStart(instance, false, 30)).runtimeStatus, RUNNING);
});

test("c20 a wait for the start of a finished instance ends at once", async (t) => {
  await everdure.worker(t, { orchestrators: { quick: async () => "done" } });
  const instance = await everdure.start("quick");
  await everdure.result(instance);
  const state = await everdure.client.waitForOrchestrationStart(instance, true, 10);
  assert.deepEqual([state.runtimeStatus, state.serializedOutput], [COMPLETED, '"done"']);
});

test("c21 five hundred waits for one instance all end when it completes", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  const waits = Array.from({ length: 500 }, () => everdure.client.waitForOrchestrationCompletion(instance, true, 60));
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.raiseOrchestrationEvent(instance, "end", "now");
  const outputs = (await Promise.all(waits)).map((state) => state.serializedOutput);
  assert.deepEqual([outputs.length, ...new Set(outputs)], [500, '"now"']);
});

test("c22 a wait ends with its deadline, and abandoned waits do no harm", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  await everdure.reaches(instance, "RUNNING");
  // The SDK gives up on its own side and leaves the call behind.
  await assert.rejects(everdure.client.waitForOrchestrationCompletion(instance, true, 0.2), /Timed out/);
  const request = new pb.GetInstanceRequest().setInstanceid(instance);
  const late = new Raw(everdure).call("waitForInstanceCompletion", request, { deadline: Date.now() + 300 });
  await assert.rejects(late, (error) => error.code === 4);
  await everdure.client.raiseOrchestrationEvent(instance, "end", "after all");
  assert.equal(await everdure.result(instance), "after all");
});

test("c66 a custom status is there while the instance runs, changes, and is cleared", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      stages: async function* (ctx) {
        for (const stage of ["first", { stage: 2, of: [3] }, "", null]) {
          ctx.setCustomStatus(stage);
          yield ctx.waitForExternalEvent("next");
        }
        return "done";
      },
    },
  });
  const instance = await everdure.start("stages");
  const shows = (wanted) =>
    until(`the status is ${wanted}`, async () => {
      const state = await get(instance);
      return state.runtimeStatus === RUNNING && state.serializedCustomStatus === wanted;
    });
  for (const wanted of ['"first"', '{"stage":2,"of":[3]}', '""', undefined]) {
    await shows(wanted);
    await everdure.client.raiseOrchestrationEvent(instance, "next");
  }
  await everdure.result(instance);
  assert.equal((await get(instance)).serializedCustomStatus, undefined);
});

test("c66 a custom status stays through turns that do not touch it, and after the end", async (t) => {
  await everdure.worker(t, {
    orchestrators: {
      once: async function* (ctx) {
        ctx.setCustomStatus({ percent: 10 });
        yield ctx.callActivity("nothing");
        yield ctx.createTimer(0.1);
        return "done";
      },
    },
    activities: { nothing: () => undefined },
  });
  const instance = await everdure.start("once");
  await everdure.result(instance);
  assert.equal((await get(instance)).serializedCustomStatus, '{"percent":10}');
});

test("raiseIfFailed throws for a failed instance, and for no other", async (t) => {
  await everdure.worker(t, {
    orchestrators: { quick: async () => "done", broken: async () => { throw new RangeError("out of it"); } },
  });
  const good = await everdure.ended(await everdure.start("quick"));
  good.raiseIfFailed();
  const bad = await everdure.ended(await everdure.start("broken"));
  assert.equal(bad.runtimeStatus, FAILED);
  assert.throws(() => bad.raiseIfFailed(), /failed: out of it/);
  assert.equal((await get(bad.instanceId, false)).failureDetails.errorType, "RangeError", "also without payloads");
});
