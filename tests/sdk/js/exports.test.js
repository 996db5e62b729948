"use strict";
// That nothing of the package is forgotten: what it exports, and what its objects can do, is used by some test here.
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const assert = require("node:assert/strict");
const sdk = require("./support/sdk");

const sources = fs
  .readdirSync(__dirname, { recursive: true })
  .filter((file) => file.endsWith(".js") && file !== "exports.test.js")
  .map((file) => fs.readFileSync(path.join(__dirname, file), "utf8"))
  .join("\n");
const unused = (names) => [...names].filter((name) => !new RegExp(`\\b${name}\\b`).test(sources));

// A server in memory for the unit tests of SDK users: it takes the place of what is tested here.
const NOT_OURS = ["InMemoryOrchestrationBackend", "TestOrchestrationClient", "TestOrchestrationWorker"];
// The mark that `terminateOptions` puts on its result and `isTerminateInstanceOptions` looks for.
const INNER = ["TERMINATE_OPTIONS_SYMBOL"];

const methods = (type) =>
  Object.getOwnPropertyNames(type.prototype).filter((name) => name !== "constructor" && !name.startsWith("_"));

test("every export of the package is used", () => {
  const { grpc, load, ...names } = sdk;
  assert.equal(typeof grpc, "object");
  const forgotten = unused(Object.keys(names)).filter((name) => ![...NOT_OURS, ...INNER].includes(name));
  assert.deepEqual(forgotten, []);
  assert.equal(typeof load, "function");
});

test("every method of clients, workers, contexts and tasks is used", () => {
  const { load } = sdk;
  const inner = (file) => load(`@microsoft/durabletask-js/dist/${file}`);
  const { RuntimeOrchestrationContext } = inner("worker/runtime-orchestration-context");
  const own = ["run", "resume", "setComplete", "setFailed", "setContinuedAsNew", "getActions", "nextSequenceNumber"];
  const helpers = [
    "getCustomStatus", "generateDeterministicGuid", "swapGuidBytes", "parseUuidToBytes", "formatGuidBytes",
    "createRetryTimer", "createRetryTaskOrDefault", "rescheduleRetryTask",
  ];
  const wanted = {
    client: methods(sdk.TaskHubGrpcClient).filter((name) => name !== "convertEntityMetadata"),
    worker: methods(sdk.TaskHubGrpcWorker).filter((name) => name !== "internalRunWorker"),
    context: methods(RuntimeOrchestrationContext).filter((name) => ![...own, ...helpers].includes(name)),
    contextBase: methods(sdk.OrchestrationContext),
    activity: methods(sdk.ActivityContext),
    entityFeature: ["callEntity", "signalEntity", "lockEntities", "isInCriticalSection", "release"],
    entityContext: ["scheduleNewOrchestration", "initializeState", "getState", "setState", "getInput"],
    task: methods(sdk.Task).filter((name) => !["getException", "result"].includes(name)),
    timer: ["cancel", "isCanceled"],
    criteria: methods(sdk.PurgeInstanceCriteria),
    policy: methods(sdk.RetryPolicy),
    state: methods(sdk.OrchestrationState),
    entityId: [...methods(sdk.EntityInstanceId), "fromString"].filter((name) => !["toString", "toJSON"].includes(name)),
  };
  const forgotten = Object.entries(wanted).flatMap(([of, names]) => unused(names).map((name) => `${of}.${name}`));
  assert.deepEqual(forgotten, []);
});

test("every kind of history event that a server of today writes is looked at", () => {
  // Kinds of older servers, which must not be in what ours sends.
  const OLD = ["OrchestratorCompleted", "GenericEvent", "HistoryState", "ContinueAsNew"];
  const kinds = Object.values(sdk.HistoryEventType).filter((kind) => !OLD.includes(kind));
  assert.deepEqual(unused(kinds), []);
});
