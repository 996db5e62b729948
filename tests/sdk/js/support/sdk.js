"use strict";
// The published package, from where run.sh installed it, and the two packages that a program uses beside it.
const { createRequire } = require("node:module");
const path = require("node:path");

const repository = path.resolve(__dirname, "../../../..");
const target = path.resolve(repository, process.env.CARGO_TARGET_DIR ?? "target");
const installed = process.env.EVERDURE_JS_SDK ?? path.join(target, "sdk/js");
const load = createRequire(path.join(installed, "package.json"));

module.exports = {
  ...load("@microsoft/durabletask-js"),
  grpc: load("@grpc/grpc-js"),
  load,
};
