"use strict";
// A task hub on a server: its clients, its workers, and what most tests ask of them.
const assert = require("node:assert/strict");
const { setTimeout: sleep } = require("node:timers/promises");
const { randomUUID } = require("node:crypto");
const { TaskHubGrpcClient, TaskHubGrpcWorker, OrchestrationStatus, grpc } = require("./sdk");

/** An instance id that no other test uses. */
const id = (prefix = "i") => `${prefix}-${randomUUID()}`;

/** Asks again until `ask` answers with something true. */
async function until(what, ask, seconds = 30) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`after ${seconds} s still not: ${what}`);
    await sleep(25);
  }
}

/** A promise with its handles outside: activities wait at it, tests open it. */
function gate() {
  let open, fail;
  const passed = new Promise((resolve, reject) => ([open, fail] = [resolve, reject]));
  return { open, fail, passed };
}

/** How early a timer may be by the wall clock: a turn's time is the database's as a server knows it, a little late. */
const CLOCK_LAG = 250;

/** The milliseconds for which the timers of a history were set, in order; each has fired, and none was early. */
function timers(history) {
  const created = history.filter((event) => event.type === "TimerCreated");
  const fired = new Map(history.filter((event) => event.type === "TimerFired").map((event) => [event.timerId, event]));
  return created.map(({ eventId, timestamp, fireAt }) => {
    const end = fired.get(eventId);
    assert.equal(end.fireAt.getTime(), fireAt.getTime());
    assert.equal(end.timestamp >= fireAt, true, `fired ${end.timestamp.getTime()}, due ${fireAt.getTime()}`);
    return fireAt - timestamp;
  });
}

const parse = (text) => (text === undefined || text === "" ? undefined : JSON.parse(text));

class Hub {
  constructor({ address, name, log, stopping }) {
    Object.assign(this, { address, name, log, stopping });
  }

  /** What every client and worker of this hub is made with. */
  options(more = {}) {
    const metadataGenerator = async () => {
      const metadata = new grpc.Metadata();
      if (this.name !== undefined) metadata.set("taskhub", this.name);
      return metadata;
    };
    return { hostAddress: this.address, metadataGenerator, logger: this.log, ...more };
  }

  newClient(more) {
    const client = new TaskHubGrpcClient(this.options(more));
    this.stopping.later(() => client.stop());
    return client;
  }

  get client() {
    return (this.shared ??= this.newClient());
  }

  /** A worker that runs until the test ends; `parts` are functions by name. */
  async worker(t, parts = {}, more = {}) {
    const logger = this.log.child();
    const worker = new TaskHubGrpcWorker(this.options({ logger, shutdownTimeoutMs: 5_000, ...more }));
    for (const [name, run] of Object.entries(parts.orchestrators ?? {})) worker.addNamedOrchestrator(name, run);
    for (const [name, run] of Object.entries(parts.activities ?? {})) worker.addNamedActivity(name, run);
    for (const [name, make] of Object.entries(parts.entities ?? {})) worker.addNamedEntity(name, make);
    const connected = logger.connected();
    await worker.start();
    let stopped;
    // The SDK waits at least a second when it stops, so the next test begins meanwhile; the stream ends at once.
    const stop = () => (stopped ??= this.stopping.now(worker.stop()));
    t.after(() => void stop());
    await connected;
    return { worker, stop };
  }

  start(name, input, options = {}) {
    return this.client.scheduleNewOrchestration(name, input, { instanceId: id(name), ...options });
  }

  ended(instance, seconds = 60) {
    return this.client.waitForOrchestrationCompletion(instance, true, seconds);
  }

  /** What an instance came to, once it has completed. */
  async result(instance, seconds) {
    const state = await this.ended(instance, seconds);
    assert.equal(OrchestrationStatus[state.runtimeStatus], "COMPLETED", state.failureDetails?.message);
    return parse(state.serializedOutput);
  }

  async run(name, input, options) {
    return this.result(await this.start(name, input, options));
  }

  /** The failure of an instance, once it has failed. */
  async failure(instance, seconds) {
    const state = await this.ended(instance, seconds);
    assert.equal(OrchestrationStatus[state.runtimeStatus], "FAILED", state.serializedOutput);
    return state.failureDetails;
  }

  status(instance) {
    return this.client.getOrchestrationState(instance).then((state) => state && OrchestrationStatus[state.runtimeStatus]);
  }

  reaches(instance, status, seconds) {
    return until(`${instance} is ${status}`, async () => (await this.status(instance)) === status, seconds);
  }

  async history(instance) {
    return this.client.getOrchestrationHistory(instance);
  }

  async kinds(instance) {
    return (await this.history(instance)).map((event) => event.type);
  }
}

module.exports = { CLOCK_LAG, Hub, assert, gate, id, parse, sleep, timers, until };
