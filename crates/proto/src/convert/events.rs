//! History events as workers and clients see them.
//!
//! Workers never see what SDKs do not know: the end of an execution, notes, cancelled steps, rewinding. Clients see
//! rewinding too, and the end.

use crate::pb;
use crate::pb::history_event::EventType;
use everdure_core::{EventData, ExecutionStarted, HistoryEvent, HistoryTurn, ParentLink, Timestamp};

use super::{failure_to_wire, status_to_wire, time_to_wire, trace_to_wire};

fn event(event_id: i32, timestamp: Timestamp, event_type: EventType) -> pb::HistoryEvent {
    pb::HistoryEvent { event_id, timestamp: Some(time_to_wire(timestamp)), event_type: Some(event_type) }
}

/// The event that opens every turn.
pub fn orchestrator_started(time: Timestamp) -> pb::HistoryEvent {
    event(-1, time, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}))
}

/// The event that opens the first turn of an execution.
pub fn execution_started(started: &ExecutionStarted, time: Timestamp) -> pb::HistoryEvent {
    let instance = pb::OrchestrationInstance {
        instance_id: started.instance_id.to_string(),
        execution_id: Some(started.execution_id.to_string()),
    };
    let started = pb::ExecutionStartedEvent {
        name: started.name.clone(),
        version: started.version.clone(),
        input: started.input.clone(),
        orchestration_instance: Some(instance),
        parent_instance: started.parent.as_ref().map(parent),
        scheduled_start_timestamp: started.scheduled_start.map(time_to_wire),
        parent_trace_context: trace_to_wire(started.trace.as_ref()),
        orchestration_span_id: None,
        tags: started.tags.clone(),
    };
    event(-1, time, EventType::ExecutionStarted(started))
}

fn parent(parent: &ParentLink) -> pb::ParentInstanceInfo {
    pb::ParentInstanceInfo {
        task_scheduled_id: parent.task_id,
        name: Some(parent.name.clone()),
        version: parent.version.clone(),
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: parent.instance_id.to_string(),
            execution_id: parent.execution_id.map(|id| id.to_string()),
        }),
    }
}

/// A stored event for a worker; `None` for what no SDK knows.
pub fn worker_event(stored: &HistoryEvent) -> Option<pb::HistoryEvent> {
    if matches!(
        stored.data,
        EventData::ExecutionCompleted { .. } | EventData::ExecutionRewound { .. } | EventData::ContinueAsNew { .. }
    ) {
        return None;
    }
    client_event(stored)
}

/// A turn as it is `seen`, by a worker or a client, the events that open it included; with `started` it is the first one
/// of its execution.
pub fn turn_events(
    started: Option<&ExecutionStarted>,
    turn: &HistoryTurn,
    seen: fn(&HistoryEvent) -> Option<pb::HistoryEvent>,
) -> impl Iterator<Item = pb::HistoryEvent> {
    let opening = std::iter::once(orchestrator_started(turn.time))
        .chain(started.map(|started| execution_started(started, turn.time)));
    opening.chain(turn.events.iter().filter_map(seen))
}

/// A stored event for a client; `None` for what no SDK knows.
pub fn client_event(stored: &HistoryEvent) -> Option<pb::HistoryEvent> {
    let event_type = outside(&stored.data).or_else(|| step(&stored.data)).or_else(|| entity(&stored.data))?;
    Some(event(stored.event_id, stored.timestamp, event_type))
}

/// What comes from outside, and the end.
fn outside(data: &EventData) -> Option<EventType> {
    Some(match data.clone() {
        EventData::ExecutionCompleted { status, result, failure } => {
            EventType::ExecutionCompleted(pb::ExecutionCompletedEvent {
                orchestration_status: status_to_wire(status).into(),
                result,
                failure_details: failure.as_ref().map(failure_to_wire),
            })
        }
        EventData::ExecutionTerminated { reason, recurse } => {
            EventType::ExecutionTerminated(pb::ExecutionTerminatedEvent { input: reason, recurse })
        }
        EventData::ExecutionSuspended { reason } => {
            EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent { input: reason })
        }
        EventData::ExecutionResumed { reason } => {
            EventType::ExecutionResumed(pb::ExecutionResumedEvent { input: reason })
        }
        EventData::ExecutionRewound { reason } => {
            EventType::ExecutionRewound(pb::ExecutionRewoundEvent { reason, ..pb::ExecutionRewoundEvent::default() })
        }
        EventData::ContinueAsNew { input } => EventType::ContinueAsNew(pb::ContinueAsNewEvent { input }),
        EventData::EventRaised { name, input } => EventType::EventRaised(pb::EventRaisedEvent { name, input }),
        EventData::GenericEvent { data } => EventType::GenericEvent(pb::GenericEvent { data }),
        _ => return None,
    })
}

/// Activities, timers, sub-orchestrations and sent events.
fn step(data: &EventData) -> Option<EventType> {
    Some(match data.clone() {
        EventData::TaskScheduled { name, version, input, tags, trace, .. } => {
            EventType::TaskScheduled(pb::TaskScheduledEvent {
                name,
                version,
                input,
                parent_trace_context: trace_to_wire(trace.as_ref()),
                tags,
            })
        }
        EventData::TaskCompleted { task_id, result, .. } => {
            EventType::TaskCompleted(pb::TaskCompletedEvent { task_scheduled_id: task_id, result })
        }
        EventData::TaskFailed { task_id, failure, .. } => EventType::TaskFailed(pb::TaskFailedEvent {
            task_scheduled_id: task_id,
            failure_details: Some(failure_to_wire(&failure)),
        }),
        EventData::SubOrchestrationInstanceCreated { name, version, instance_id, input, tags, trace, .. } => {
            EventType::SubOrchestrationInstanceCreated(pb::SubOrchestrationInstanceCreatedEvent {
                instance_id: instance_id.to_string(),
                name,
                version,
                input,
                parent_trace_context: trace_to_wire(trace.as_ref()),
                tags,
            })
        }
        EventData::SubOrchestrationInstanceCompleted { task_id, result, .. } => {
            let completed = pb::SubOrchestrationInstanceCompletedEvent { task_scheduled_id: task_id, result };
            EventType::SubOrchestrationInstanceCompleted(completed)
        }
        EventData::SubOrchestrationInstanceFailed { task_id, failure, .. } => {
            let failure_details = Some(failure_to_wire(&failure));
            let failed = pb::SubOrchestrationInstanceFailedEvent { task_scheduled_id: task_id, failure_details };
            EventType::SubOrchestrationInstanceFailed(failed)
        }
        EventData::TimerCreated { fire_at, .. } => {
            EventType::TimerCreated(pb::TimerCreatedEvent { fire_at: Some(time_to_wire(fire_at)) })
        }
        EventData::TimerFired { timer_id, fire_at, .. } => {
            EventType::TimerFired(pb::TimerFiredEvent { fire_at: Some(time_to_wire(fire_at)), timer_id })
        }
        EventData::EventSent { instance_id, name, input } => {
            EventType::EventSent(pb::EventSentEvent { instance_id: instance_id.to_string(), name, input })
        }
        _ => return None,
    })
}

/// Entities.
fn entity(data: &EventData) -> Option<EventType> {
    Some(match data.clone() {
        EventData::EntityOperationCalled { request_id, operation, input, target, not_before, .. } => {
            EventType::EntityOperationCalled(pb::EntityOperationCalledEvent {
                request_id,
                operation,
                scheduled_time: not_before.map(time_to_wire),
                input,
                parent_instance_id: None,
                parent_execution_id: None,
                target_instance_id: Some(target.into()),
            })
        }
        EventData::EntityOperationSignaled { request_id, operation, input, target, not_before } => {
            EventType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
                request_id,
                operation,
                scheduled_time: not_before.map(time_to_wire),
                input,
                target_instance_id: Some(target.into()),
            })
        }
        EventData::EntityOperationCompleted { request_id, output, .. } => {
            EventType::EntityOperationCompleted(pb::EntityOperationCompletedEvent { request_id, output })
        }
        EventData::EntityOperationFailed { request_id, failure, .. } => {
            let failure_details = Some(failure_to_wire(&failure));
            EventType::EntityOperationFailed(pb::EntityOperationFailedEvent { request_id, failure_details })
        }
        EventData::EntityLockRequested { critical_section, lock_set, .. } => {
            EventType::EntityLockRequested(pb::EntityLockRequestedEvent {
                critical_section_id: critical_section,
                lock_set: lock_set.into_iter().map(String::from).collect(),
                position: 0,
                parent_instance_id: None,
            })
        }
        EventData::EntityLockGranted { critical_section, .. } => {
            EventType::EntityLockGranted(pb::EntityLockGrantedEvent { critical_section_id: critical_section })
        }
        EventData::EntityUnlockSent { critical_section, target } => {
            EventType::EntityUnlockSent(pb::EntityUnlockSentEvent {
                critical_section_id: critical_section,
                parent_instance_id: None,
                target_instance_id: Some(target.into()),
            })
        }
        _ => return None,
    })
}
