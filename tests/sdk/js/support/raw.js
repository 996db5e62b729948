"use strict";
// Calls that the SDK's own API has no words for, with the package's own messages and stub: policies for taken ids,
// pages and batches of unusual sizes, tokens that nobody gave out.
const { grpc, load } = require("./sdk");

const proto = "@microsoft/durabletask-js/dist/proto";
const pb = load(`${proto}/orchestrator_service_pb`);
const { TaskHubSidecarServiceClient } = load(`${proto}/orchestrator_service_grpc_pb`);
const { StringValue } = load("google-protobuf/google/protobuf/wrappers_pb");
const { Timestamp } = load("google-protobuf/google/protobuf/timestamp_pb");
const { Empty } = load("google-protobuf/google/protobuf/empty_pb");

// As the SDK has it, since a history comes in one message.
const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

const text = (value) => new StringValue().setValue(value);
const time = (date) => {
  const timestamp = new Timestamp();
  timestamp.fromDate(date);
  return timestamp;
};

/** The service of a hub: `raw.call("startInstance", request)`. */
class Raw {
  constructor(hub) {
    this.hub = hub;
    this.stub = new TaskHubSidecarServiceClient(hub.address, grpc.credentials.createInsecure(), UNLIMITED);
    hub.stopping.later(async () => this.stub.close());
  }

  async call(method, request, { metadata, deadline } = {}) {
    const sent = metadata ?? (await this.hub.options().metadataGenerator());
    const options = deadline === undefined ? {} : { deadline };
    return new Promise((resolve, reject) => {
      this.stub[method](request, sent, options, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** A whole history, as it is on the wire. */
  async history(instance, request = new pb.StreamInstanceHistoryRequest().setInstanceid(instance)) {
    const events = [];
    for await (const chunk of this.stub.streamInstanceHistory(request, await this.hub.options().metadataGenerator())) {
      events.push(...chunk.getEventsList());
    }
    return events;
  }

  /** A stream of work items, for a test that is the worker itself. */
  async workItems(request = new pb.GetWorkItemsRequest()) {
    return this.stub.getWorkItems(request, await this.hub.options().metadataGenerator());
  }
}

module.exports = { Empty, Raw, pb, text, time };
