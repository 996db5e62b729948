//! Compiles the protocol without anything to install, and keeps the events of histories as bytes.
//!
//! An event is encoded once, when its turn is stored or read, and goes out many times. On the wire a list of messages
//! is a list of byte strings, so the generated code sees `bytes` where the description says `HistoryEvent`.

use std::path::PathBuf;

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const FILE: &str = "proto/orchestrator_service.proto";
const AS_BYTES: [(&str, &str); 3] =
    [("OrchestratorRequest", "pastEvents"), ("OrchestratorRequest", "newEvents"), ("HistoryChunk", "events")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={FILE}");
    let described = protox::compile([FILE], ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), described.encode_to_vec())?;
    let mut prost = tonic_prost_build::Config::new();
    // Maps in order, so that the same thing is always the same bytes: what was sent and kept is compared.
    prost.btree_map(["."]);
    prost.bytes(AS_BYTES.map(|(message, field)| format!(".{message}.{field}")));
    let services = tonic_prost_build::configure().codec_path("crate::codec::SmallMessages");
    services.compile_fds_with_config(events_as_bytes(described), prost)?;
    Ok(())
}

fn events_as_bytes(mut described: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut described.file {
        AS_BYTES.iter().for_each(|(message, field)| as_bytes(file, message, field));
    }
    described
}

fn as_bytes(file: &mut FileDescriptorProto, message: &str, field: &str) {
    let messages = file.message_type.iter_mut().filter(|described| described.name() == message);
    for field in messages.flat_map(|message| &mut message.field).filter(|described| described.name() == field) {
        field.set_type(Type::Bytes);
        field.type_name = None;
    }
}
