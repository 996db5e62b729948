"use strict";
const { OrchestrationStatus, assert, gate, grpc, id, suite, test } = require("./support");
const { Raw, pb, text, time } = require("./support/raw");

const everdure = suite("start");
const code = (status, message = /./) => (error) =>
  error.code === status && message.test(error.details) ? true : assert.fail(`${error.code}: ${error.details}`);
const { ALREADY_EXISTS, INVALID_ARGUMENT } = grpc.status;
const quick = async (_, input) => input ?? "done";
const waiting = async function* (ctx) { return yield ctx.waitForExternalEvent("end"); };

test("c6 the id given is the id returned; the server makes one when it is empty", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } });
  const own = id();
  assert.equal(await everdure.client.scheduleNewOrchestration("quick", 1, own), own);
  assert.equal(await everdure.result(own), 1);
  const request = new pb.CreateInstanceRequest().setName("quick");
  const made = (await new Raw(everdure).call("startInstance", request)).getInstanceid();
  assert.match(made, /^[0-9a-f-]{32,36}$/);
  assert.equal(await everdure.result(made), "done");
});

test("c7 an id of 100 characters is taken, a longer one and one of an entity are refused", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } });
  const longest = id().padEnd(100, "x");
  assert.equal(await everdure.client.scheduleNewOrchestration("quick", 1, longest), longest);
  assert.equal(await everdure.result(longest), 1);
  const start = (instance) => everdure.client.scheduleNewOrchestration("quick", 1, instance);
  await assert.rejects(start(`${longest}x`), code(INVALID_ARGUMENT, /length/i));
  await assert.rejects(start("@counter@mine"), code(INVALID_ARGUMENT));
});

test("c8 the id of a running instance is taken", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  const again = () => everdure.client.scheduleNewOrchestration("waiting", 2, instance);
  // Twice in a row while it is pending or has just begun, and once more when it runs for certain.
  await assert.rejects(again(), code(ALREADY_EXISTS, /orchestration instance already exists/));
  await everdure.reaches(instance, "RUNNING");
  await assert.rejects(again(), code(ALREADY_EXISTS, /orchestration instance already exists/));
});

test("c9 the id of a finished instance is free, and the new one is another execution", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } });
  const instance = await everdure.start("quick", "first");
  const first = await everdure.ended(instance);
  const [, before] = await everdure.history(instance);
  await everdure.client.scheduleNewOrchestration("quick", "second", instance);
  assert.equal(await everdure.result(instance), "second");
  const second = await everdure.client.getOrchestrationState(instance);
  assert.equal(second.createdAt > first.createdAt, true);
  const [, after] = await everdure.history(instance);
  assert.notEqual(after.orchestrationInstance.executionId, before.orchestrationInstance.executionId);
});

/** Starts under a policy that lists the statuses that may be replaced. */
async function startWith(instance, statuses, input = "new", name = "quick") {
  const policy = new pb.OrchestrationIdReusePolicy();
  policy.setReplaceablestatusList(statuses.map((status) => pb.OrchestrationStatus[`ORCHESTRATION_STATUS_${status}`]));
  const request = new pb.CreateInstanceRequest().setInstanceid(instance).setName(name);
  request.setInput(text(JSON.stringify(input))).setOrchestrationidreusepolicy(policy);
  return new Raw(everdure).call("startInstance", request);
}

test("c10 a policy replaces what has a listed status, and nothing else", async (t) => {
  await everdure.worker(t, {
    orchestrators: { quick, waiting, broken: async () => { throw new Error("broken"); } },
  });
  const completed = await everdure.start("quick", "old");
  const failed = await everdure.start("broken");
  await Promise.all([everdure.ended(completed), everdure.ended(failed)]);
  await assert.rejects(startWith(completed, []), code(ALREADY_EXISTS), "an empty list replaces nothing");
  await assert.rejects(startWith(completed, ["FAILED"]), code(ALREADY_EXISTS));
  await assert.rejects(startWith(failed, ["COMPLETED", "TERMINATED"]), code(ALREADY_EXISTS));
  await startWith(completed, ["COMPLETED"], "new");
  await startWith(failed, ["FAILED", "COMPLETED"], "repaired");
  assert.deepEqual([await everdure.result(completed), await everdure.result(failed)], ["new", "repaired"]);
});

test("c10 a running or suspended instance is ended and replaced, and what it left comes too late", async (t) => {
  let old;
  await everdure.worker(t, {
    orchestrators: {
      stubborn: async function* (ctx, input) {
        const answer = ctx.callActivity("answer", input);
        if (input === "new") yield ctx.createTimer(0.3);
        return [input, yield answer];
      },
    },
    activities: {
      answer: async (_, input) => {
        if (input === "old") await old.passed;
        return input;
      },
    },
  });
  for (const suspend of [false, true]) {
    old = gate();
    const instance = await everdure.start("stubborn", "old");
    await everdure.reaches(instance, "RUNNING");
    if (suspend) {
      await everdure.client.suspendOrchestration(instance);
      await everdure.reaches(instance, "SUSPENDED");
    }
    const [, before] = await everdure.history(instance);
    await startWith(instance, ["RUNNING", "PENDING", "SUSPENDED", "TERMINATED"], "new", "stubborn");
    old.open();
    assert.deepEqual(await everdure.result(instance), ["new", "new"]);
    const [, after] = await everdure.history(instance);
    assert.notEqual(after.orchestrationInstance.executionId, before.orchestrationInstance.executionId);
  }
});

test("c10 a pending and a terminated instance are replaced if they are listed, and else not", async (t) => {
  const instance = await everdure.start("quick", "old", { startAt: new Date(Date.now() + 3_600_000) });
  await assert.rejects(startWith(instance, ["RUNNING", "SUSPENDED", "TERMINATED"]), code(ALREADY_EXISTS), "it is pending");
  await startWith(instance, ["PENDING", "TERMINATED"], "again", "waiting");
  await everdure.worker(t, { orchestrators: { quick, waiting } });
  await everdure.reaches(instance, "RUNNING");
  await everdure.client.terminateOrchestration(instance, "stop");
  assert.equal((await everdure.ended(instance)).runtimeStatus, OrchestrationStatus.TERMINATED);
  await assert.rejects(startWith(instance, ["COMPLETED", "FAILED"]), code(ALREADY_EXISTS), "it was terminated");
  await startWith(instance, ["TERMINATED"], "at last");
  assert.equal(await everdure.result(instance), "at last");
});

test("c11 a policy that replaces what runs but not what was terminated is refused with its exact text", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = await everdure.start("waiting");
  await everdure.reaches(instance, "RUNNING");
  for (const status of ["RUNNING", "PENDING", "SUSPENDED"]) {
    await assert.rejects(startWith(instance, [status, "COMPLETED", "FAILED"]), (error) => {
      assert.equal(error.code, INVALID_ARGUMENT);
      const wanted = "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances";
      assert.equal(error.details, wanted);
      return true;
    });
  }
  assert.equal(await everdure.status(instance), "RUNNING");
});

test("c13 a start in the past is at once; one in the future leaves the instance PENDING until then", async (t) => {
  await everdure.worker(t, { orchestrators: { clock: async (ctx) => ctx.currentUtcDateTime.getTime() } });
  const past = await everdure.client.scheduleNewOrchestration("clock", null, id(), new Date(Date.now() - 60_000));
  await everdure.result(past);
  const startAt = new Date(Date.now() + 1_500);
  const instance = await everdure.start("clock", null, { startAt });
  const status = await everdure.status(instance);
  assert.equal(status === "PENDING" || Date.now() >= startAt, true, `${status} before its time`);
  const ran = await everdure.result(instance);
  assert.equal(ran >= startAt.getTime(), true, `ran ${startAt.getTime() - ran} ms early`);
  const [, begun] = await everdure.history(instance);
  assert.equal(begun.scheduledStartTimestamp.getTime(), startAt.getTime());
});

test("c14 what is unset stays unset, and what is empty stays empty", async (t) => {
  await everdure.worker(t, { orchestrators: { quick } });
  const raw = new Raw(everdure);
  const start = async (fill) => {
    const request = new pb.CreateInstanceRequest().setInstanceid(id()).setName("quick");
    fill(request);
    await raw.call("startInstance", request);
    const instance = request.getInstanceid();
    await everdure.result(instance);
    const [, begun] = await everdure.history(instance);
    const query = new pb.GetInstanceRequest().setInstanceid(instance).setGetinputsandoutputs(true);
    const state = (await raw.call("getInstance", query)).getOrchestrationstate();
    return [begun.version, begun.input, state.getVersion()?.getValue(), state.getInput()?.getValue()];
  };
  assert.deepEqual(await start(() => {}), [undefined, undefined, undefined, undefined]);
  const empty = (request) => request.setVersion(text("")).setInput(text(""));
  assert.deepEqual(await start(empty), ["", "", "", ""]);
  const full = (request) => request.setVersion(text("2")).setInput(text('"x"')).setScheduledstarttimestamp(time(new Date(0)));
  assert.deepEqual(await start(full), ["2", '"x"', "2", '"x"']);
});

test("c15 of a thousand starts of one id at once, one succeeds", async (t) => {
  await everdure.worker(t, { orchestrators: { waiting } });
  const instance = id("raced");
  const starts = Array.from({ length: 1_000 }, (_, number) =>
    everdure.client.scheduleNewOrchestration("waiting", number, instance),
  );
  const outcomes = await Promise.allSettled(starts);
  const lost = outcomes.filter(({ status }) => status === "rejected");
  assert.equal(lost.length, 999);
  assert.deepEqual([...new Set(lost.map(({ reason }) => reason.code))], [ALREADY_EXISTS]);
  const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
  assert.equal((await everdure.client.getOrchestrationState(instance)).serializedInput, `${winner}`);
  await everdure.client.raiseOrchestrationEvent(instance, "end");
  assert.equal((await everdure.ended(instance)).runtimeStatus, OrchestrationStatus.COMPLETED);
});
