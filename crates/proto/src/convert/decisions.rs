//! What an orchestration of the Rust SDK decided, on its way to the server.
//!
//! Cancelled steps are not part of the protocol and are left out: such an activity or timer comes to its end, and nobody
//! listens.

use crate::pb;
use crate::pb::history_event::EventType;
use crate::pb::orchestrator_action::OrchestratorActionType;
use crate::pb::send_entity_message_action::EntityMessageType;
use everdure_core::{Action, ActionKind, ExecutionStarted, FailureDetails, InstanceId, Timestamp};

use super::actions::FIRE_AND_FORGET;
use super::{failure_to_wire, time_to_wire, trace_to_wire};

/// Whether an action of that kind leaves an event in the history that workers see.
pub fn leaves_an_event(kind: &ActionKind) -> bool {
    !matches!(
        kind,
        ActionKind::CancelTask { .. }
            | ActionKind::CancelTimer { .. }
            | ActionKind::TerminateInstance { .. }
            | ActionKind::Complete { .. }
            | ActionKind::Fail { .. }
            | ActionKind::ContinueAsNew { .. }
    )
}

/// The decisions of a turn of that execution, at that time.
pub fn actions_to_wire(
    actions: Vec<Action>,
    started: &ExecutionStarted,
    time: Timestamp,
) -> Vec<pb::OrchestratorAction> {
    let wire = actions.into_iter().filter_map(|action| {
        let kind = kind(action.kind, started, time)?;
        Some(pb::OrchestratorAction { id: action.id, orchestrator_action_type: Some(kind) })
    });
    wire.collect()
}

fn kind(action: ActionKind, started: &ExecutionStarted, time: Timestamp) -> Option<OrchestratorActionType> {
    Some(match action {
        ActionKind::CancelTask { .. } | ActionKind::CancelTimer { .. } => return None,
        ActionKind::ScheduleTask { name, version, input, tags, trace } => {
            OrchestratorActionType::ScheduleTask(pb::ScheduleTaskAction {
                name,
                version,
                input,
                tags,
                parent_trace_context: trace_to_wire(trace.as_ref()),
            })
        }
        ActionKind::CreateSubOrchestration { name, version, instance_id, input, tags, trace, forget } => {
            let mut tags = tags;
            if forget {
                tags.insert(FIRE_AND_FORGET.to_owned(), "true".to_owned());
            }
            OrchestratorActionType::CreateSubOrchestration(pb::CreateSubOrchestrationAction {
                instance_id: instance_id.map(String::from).unwrap_or_default(),
                name,
                version,
                input,
                parent_trace_context: trace_to_wire(trace.as_ref()),
                tags,
            })
        }
        ActionKind::CreateTimer { fire_at } => {
            OrchestratorActionType::CreateTimer(pb::CreateTimerAction { fire_at: Some(time_to_wire(fire_at)) })
        }
        ActionKind::SendEvent { instance_id, name, input } => {
            let instance =
                Some(pb::OrchestrationInstance { instance_id: String::from(instance_id), execution_id: None });
            OrchestratorActionType::SendEvent(pb::SendEventAction { instance, name, data: input })
        }
        ActionKind::TerminateInstance { instance_id, reason, recurse } => {
            let instance_id = String::from(instance_id);
            OrchestratorActionType::TerminateOrchestration(pb::TerminateOrchestrationAction {
                instance_id,
                reason,
                recurse,
            })
        }
        ActionKind::Complete { result } => complete(pb::OrchestrationStatus::Completed, result, None),
        ActionKind::Fail { failure } => complete(pb::OrchestrationStatus::Failed, None, Some(&failure)),
        ActionKind::ContinueAsNew { input, version, carry_over } => {
            let carried = carry_over.into_iter().map(|(name, input)| carried(name, input, time));
            OrchestratorActionType::CompleteOrchestration(pb::CompleteOrchestrationAction {
                orchestration_status: pb::OrchestrationStatus::ContinuedAsNew.into(),
                result: input,
                new_version: version,
                carryover_events: carried.collect(),
                ..pb::CompleteOrchestrationAction::default()
            })
        }
        to_entity @ (ActionKind::CallEntity { .. }
        | ActionKind::SignalEntity { .. }
        | ActionKind::LockEntities { .. }
        | ActionKind::UnlockEntity { .. }) => {
            let entity_message_type = entity_message(to_entity, started);
            OrchestratorActionType::SendEntityMessage(pb::SendEntityMessageAction { entity_message_type })
        }
    })
}

fn complete(
    status: pb::OrchestrationStatus,
    result: Option<String>,
    failure: Option<&FailureDetails>,
) -> OrchestratorActionType {
    OrchestratorActionType::CompleteOrchestration(pb::CompleteOrchestrationAction {
        orchestration_status: status.into(),
        result,
        failure_details: failure.map(failure_to_wire),
        ..pb::CompleteOrchestrationAction::default()
    })
}

fn carried(name: String, input: Option<String>, time: Timestamp) -> pb::HistoryEvent {
    let raised = EventType::EventRaised(pb::EventRaisedEvent { name, input });
    pb::HistoryEvent { event_id: -1, timestamp: Some(time_to_wire(time)), event_type: Some(raised) }
}

fn entity_message(action: ActionKind, started: &ExecutionStarted) -> Option<EntityMessageType> {
    let parent = || Some(started.instance_id.to_string());
    let wire = |id: InstanceId| Some(String::from(id));
    Some(match action {
        ActionKind::CallEntity { request_id, target, operation, input, not_before, .. } => {
            EntityMessageType::EntityOperationCalled(pb::EntityOperationCalledEvent {
                request_id,
                operation,
                scheduled_time: not_before.map(time_to_wire),
                input,
                parent_instance_id: parent(),
                parent_execution_id: Some(started.execution_id.to_string()),
                target_instance_id: wire(target),
            })
        }
        ActionKind::SignalEntity { request_id, target, operation, input, not_before, .. } => {
            EntityMessageType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
                request_id,
                operation,
                scheduled_time: not_before.map(time_to_wire),
                input,
                target_instance_id: wire(target),
            })
        }
        ActionKind::LockEntities { critical_section, lock_set } => {
            EntityMessageType::EntityLockRequested(pb::EntityLockRequestedEvent {
                critical_section_id: critical_section,
                lock_set: lock_set.into_iter().map(String::from).collect(),
                position: 0,
                parent_instance_id: parent(),
            })
        }
        ActionKind::UnlockEntity { critical_section, target } => {
            EntityMessageType::EntityUnlockSent(pb::EntityUnlockSentEvent {
                critical_section_id: critical_section,
                parent_instance_id: parent(),
                target_instance_id: wire(target),
            })
        }
        _ => return None,
    })
}
