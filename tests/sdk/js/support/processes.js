"use strict";
// Child processes that never outlive the tests, and that can be killed at any point.
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const alive = new Set();

// `exit` is not told when a signal ends the process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => process.exit(1));
}
process.on("exit", () => {
  for (const child of alive) child.kill("SIGTERM");
});

// run.sh ends what is noted here, should this process be killed itself.
function note(pid) {
  const directory = process.env.EVERDURE_JS_RUN;
  if (!directory) return () => {};
  const file = path.join(directory, `${pid}.pid`);
  fs.writeFileSync(file, "");
  return () => fs.rmSync(file, { force: true });
}

/** Starts a program; `line(pattern)` resolves with the match of the first line of its output that fits. */
function start(program, args, { env = {}, name = path.basename(program) } = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  alive.add(child);
  const forget = child.pid === undefined ? () => {} : note(child.pid);
  let output = "";
  const listeners = new Set();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  let end;
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve((end = `could not be started: ${error.message}`)));
    child.once("exit", (code, signal) => resolve((end = `ended with ${signal ?? code}`)));
  }).then((how) => {
    alive.delete(child);
    forget();
    for (const listener of listeners) listener();
    return how;
  });

  function line(pattern, seconds = 60) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        listeners.delete(look);
        settle(value);
      };
      const why = (what) => new Error(`${name} ${what} before it printed ${pattern}:\n${output}`);
      const look = () => {
        const match = pattern.exec(output);
        if (match) finish(resolve, match);
        else if (end !== undefined) finish(reject, why(end));
      };
      const timer = setTimeout(() => finish(reject, why(`took more than ${seconds} s`)), seconds * 1000);
      listeners.add(look);
      look();
    });
  }

  return {
    pid: child.pid,
    ended,
    line,
    output: () => output,
    /** Ends it as an operator would. */
    stop: () => (child.kill("SIGTERM"), ended),
    /** Ends it as a power cut would. */
    kill: () => (child.kill("SIGKILL"), ended),
  };
}

module.exports = { start };
