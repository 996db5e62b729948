"use strict";
// A worker in a process of its own, to be killed: node worker_program.js ADDRESS HUB NAME STUCK
// It says on its output what it begins. If STUCK is "stuck", the activity `fragile` never ends.
const { Hub } = require("./hub");
const { Log } = require("./log");
const { TaskHubGrpcWorker } = require("./sdk");
const { Counter } = require("./entities");

const [address, name, self, stuck] = process.argv.slice(2);
const log = new Log();
const hub = new Hub({ address, name, log, stopping: undefined });
const worker = new TaskHubGrpcWorker(hub.options());
const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

worker.addNamedOrchestrator("steps", async function* (ctx, count) {
  const done = [];
  for (let step = 0; step < count; step++) {
    const name = step === Math.floor(count / 2) ? "fragile" : "sound";
    done.push(yield ctx.callActivity(name, step));
  }
  return done;
});
worker.addNamedActivity("sound", (_, step) => (say("ran", step), `${step} by ${self}`));
worker.addNamedActivity("fragile", (_, step) => {
  say("began", step);
  return stuck === "stuck" ? new Promise(() => {}) : `${step} by ${self}`;
});
worker.addNamedOrchestrator("stuckCode", async () => {
  say("turn");
  if (stuck === "stuck") await new Promise(() => {});
  return `by ${self}`;
});
worker.addNamedEntity("counter", () => new Counter());
worker.addNamedEntity("fragile", () => ({
  run: (operation) => {
    say("operation");
    if (stuck === "stuck") return new Promise(() => {});
    operation.state.setState(self);
    return self;
  },
}));

const connected = log.connected();
worker.start();
connected.then(() => say("connected"));
