"use strict";
// What a test file begins with: `const everdure = suite("topic")` gives it a server and a task hub of its own.
const node = require("node:test");
const sdk = require("./sdk");
const hubs = require("./hub");
const { Log } = require("./log");
const servers = require("./server");

const log = new Log();

/** Collects what takes a while to stop, so that it stops side by side at the end of the file. */
class Stopping {
  constructor() {
    this.pending = [];
    this.stops = [];
  }

  now(promise) {
    // Looked at when the file ends, so until then a failure is nobody's.
    promise.catch(() => {});
    this.pending.push(promise);
    return promise;
  }

  later(stop) {
    this.stops.push(stop);
  }

  async all() {
    await Promise.all(this.stops.map((stop) => stop()));
    await Promise.all(this.pending);
  }
}

/** A test that cannot hang, and that shows what the SDK logged if it fails. */
function test(name, options, body = options) {
  const limits = { timeout: 120_000, ...(body === options ? {} : options) };
  return node.test(name, limits, async (t) => {
    log.lines.length = 0;
    try {
      await body(t);
    } catch (error) {
      for (const line of log.lines) t.diagnostic(line.slice(0, 400));
      throw error;
    }
  });
}

/** Tests that mostly wait, side by side. */
function together(body) {
  node.describe("side by side", { concurrency: true }, body);
}

/** The hub of a file, on a server that lives as long as the file. */
function suite(name, serverOptions) {
  const stopping = new Stopping();
  const hub = new hubs.Hub({ address: undefined, name, log, stopping });
  node.before(async () => {
    const server = await servers.dev(serverOptions);
    Object.assign(hub, { server, address: server.address });
  });
  node.after(async () => {
    try {
      await stopping.all();
    } finally {
      await hub.server?.stop();
    }
  });
  /** Another hub, or the same hub through another server. */
  hub.other = ({ address = hub.address, name: other = hub.name } = {}) =>
    new hubs.Hub({ address, name: other, log, stopping });
  hub.stopping = stopping;
  return hub;
}

module.exports = { ...sdk, ...hubs, log, servers, suite, test, together };
