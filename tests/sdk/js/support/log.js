"use strict";
// What clients and workers warn of is shown when a test fails; what they log tells also when a worker is connected.

const CONNECTED = /Successfully connected/;
const KEPT = 20;

class Log {
  constructor() {
    this.lines = [];
    this.watchers = new Set();
  }

  add(level, message) {
    if (level !== "info") this.lines.push(`${level} ${message}`);
    if (this.lines.length > KEPT) this.lines.shift();
    for (const watcher of this.watchers) watcher(message);
  }

  error(message) { this.add("error", message); }
  warn(message) { this.add("warn", message); }
  info(message) { this.add("info", message); }
  debug() {}
  logEvent(level, event, message) {
    if (level !== "debug") this.add(level, `[${event.eventId}] ${message}`);
  }

  /** A log of its own for one of several, whose lines stand in this one too. */
  child() {
    const own = new Log();
    own.add = (level, message) => {
      Log.prototype.add.call(own, level, message);
      this.add(level, message);
    };
    return own;
  }

  /** Resolves at the next line that fits. */
  next(pattern) {
    return new Promise((resolve) => {
      const watcher = (message) => {
        if (!pattern.test(message)) return;
        this.watchers.delete(watcher);
        resolve(message);
      };
      this.watchers.add(watcher);
    });
  }

  connected() {
    return this.next(CONNECTED);
  }
}

module.exports = { Log };
