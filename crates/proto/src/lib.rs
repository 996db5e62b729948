//! The protocol that the Durable Task SDKs speak: messages, client and server of `TaskHubSidecarService`.
//!
//! The description is `proto/orchestrator_service.proto`, written from the published names and numbers; this crate is
//! what a compiler makes of it. Lists of history events are lists of encoded events here ([`pb::OrchestratorRequest`],
//! [`pb::HistoryChunk`]), so that an event is encoded once however often it is sent.
//!
//! [`convert`] goes between these messages and the vocabulary of the project; server and Rust SDK share it. Deliberately
//! absent: what is done with a message.

pub mod codec;
pub mod convert;
mod elements;

/// Messages, and the service's client and server.
#[allow(missing_docs, clippy::all, reason = "generated from the description, which says what there is to say")]
pub mod pb {
    tonic::include_proto!("_");
}

pub use prost;
pub use prost_types;

/// The description of the service, encoded, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
