//! What the wire must look like for the SDKs, where a compiler setting could change it.

use everdure_proto::FILE_DESCRIPTOR_SET;
use everdure_proto::pb::{
    CreateOrchestrationAction, ExecutionStartedEvent, HistoryEvent, OrchestrationIdReusePolicy, OrchestratorRequest,
    TimerFiredEvent, history_event::EventType, task_hub_sidecar_service_server::SERVICE_NAME,
};
use everdure_proto::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

fn event() -> HistoryEvent {
    let fired = TimerFiredEvent { fire_at: None, timer_id: 7 };
    HistoryEvent { event_id: -1, timestamp: None, event_type: Some(EventType::TimerFired(fired)) }
}

#[test]
fn the_service_has_no_package() {
    assert_eq!(SERVICE_NAME, "TaskHubSidecarService");
}

#[test]
fn events_as_bytes_are_events_on_the_wire() -> Result<(), Box<dyn std::error::Error>> {
    let request = OrchestratorRequest {
        instance_id: "i".into(),
        new_events: vec![event().encode_to_vec().into()],
        ..OrchestratorRequest::default()
    };
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let described = pool.get_message_by_name("OrchestratorRequest").ok_or("described")?;
    let read = DynamicMessage::decode(described, request.encode_to_vec().as_slice())?;
    let events = read.get_field_by_name("newEvents").ok_or("a field")?.into_owned();
    let first = events.as_list().and_then(|list| list[0].as_message().cloned()).ok_or("a message")?;
    assert_eq!(HistoryEvent::decode(first.encode_to_vec().as_slice())?, event());
    Ok(())
}

#[test]
fn unknown_fields_are_ignored() -> Result<(), Box<dyn std::error::Error>> {
    let mut wire = event().encode_to_vec();
    // Field 200 as a varint.
    wire.extend([0xc0, 0x0c, 0x01]);
    assert_eq!(HistoryEvent::decode(wire.as_slice())?, event());
    Ok(())
}

#[test]
fn an_absent_text_is_not_an_empty_one() -> Result<(), Box<dyn std::error::Error>> {
    let started = |version: Option<&str>| ExecutionStartedEvent {
        version: version.map(str::to_owned),
        ..ExecutionStartedEvent::default()
    };
    let read = |version| ExecutionStartedEvent::decode(started(version).encode_to_vec().as_slice());
    assert_eq!((read(None)?.version, read(Some(""))?.version), (None, Some(String::new())));
    Ok(())
}

#[test]
fn the_action_of_older_sdks_differs_from_none() -> Result<(), Box<dyn std::error::Error>> {
    let error = OrchestrationIdReusePolicy { replaceable_status: vec![], action: Some(0) };
    let read = OrchestrationIdReusePolicy::decode(error.encode_to_vec().as_slice())?;
    assert_eq!(read.action, Some(CreateOrchestrationAction::Error.into()));
    assert_eq!(OrchestrationIdReusePolicy::decode(&b""[..])?.action, None);
    Ok(())
}
