"use strict";
// The entities that several files use.
const { EntityInstanceId, TaskEntity } = require("./sdk");

/** A number with operations, as the SDK's base class wants it: methods are operations, whatever their case. */
class Counter extends TaskEntity {
  initializeState() {
    return { value: 0 };
  }

  add(amount) {
    this.state.value += amount;
    return this.state.value;
  }

  get() {
    return this.state.value;
  }

  fail(message) {
    this.state.value = -1;
    throw new RangeError(message);
  }
}

/** An entity by hand: keeps what it was told, in order. */
class Notes {
  async run(operation) {
    const notes = operation.state.getState([]);
    switch (operation.name) {
      case "note":
        notes.push(operation.getInput());
        operation.state.setState(notes);
        return notes.length;
      case "read":
        return notes;
      case "forget":
        operation.state.setState(null);
        return undefined;
      default:
        throw new Error(`no operation ${operation.name}`);
    }
  }
}

const counter = (key) => new EntityInstanceId("counter", key);
const notes = (key) => new EntityInstanceId("notes", key);
const entities = { counter: () => new Counter(), notes: () => new Notes() };

module.exports = { Counter, Notes, counter, entities, notes };
