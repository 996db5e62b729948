//! What a worker decided in a turn.

use crate::pb;
use crate::pb::history_event::EventType;
use crate::pb::orchestrator_action::OrchestratorActionType;
use crate::pb::send_entity_message_action::EntityMessageType;
use everdure_core::{Action, ActionKind, FailureDetails, InstanceId, OrchestrationTrace, TurnActions};

use super::time::exact_time_from_wire;
use super::{Unusable, entity_id, failure_from_wire, instance_id, time_from_wire, trace_from_wire};

/// With this tag on a sub-orchestration nobody waits for its end.
pub(super) const FIRE_AND_FORGET: &str = "FireAndForget";

/// How .NET workers talk to entities unless they are told that the server has a way of its own.
const OLDER_ENTITIES: &str = "events do not reach entities, only calls, signals and requests for locks do; a .NET worker sends \
                              these when it is connected with UseDurableTaskScheduler, or with \
                              UseGrpc(options => { …; options.ConfigureForAzureManaged(); })";

/// The decisions of a response; `opening` is the number of events that the server put before those of the turn.
///
/// # Errors
/// [`Unusable`].
pub fn decided(response: pb::OrchestratorResponse, opening: usize) -> Result<TurnActions, Unusable> {
    let actions = response.actions.into_iter().map(usable).filter_map(Result::transpose);
    let seen = response.num_events_processed.map(|seen| usize::try_from(seen).unwrap_or(0).saturating_sub(opening));
    Ok(TurnActions {
        actions: actions.collect::<Result<_, _>>()?,
        // What a turn does not set is taken away.
        custom_status: Some(response.custom_status.unwrap_or_default()),
        events_seen: seen,
        trace: response.orchestration_trace_context.map(trace).transpose()?,
    })
}

fn trace(trace: pb::OrchestrationTraceContext) -> Result<OrchestrationTrace, Unusable> {
    let started_at = trace.span_start_time.as_ref().map(exact_time_from_wire).transpose()?;
    Ok(OrchestrationTrace { span_id: trace.span_id, started_at })
}

/// The action, or which one cannot be used, and why.
fn usable(decided: pb::OrchestratorAction) -> Result<Option<Action>, Unusable> {
    let id = decided.id;
    let what = what(decided.orchestrator_action_type.as_ref());
    action(decided).map_err(|Unusable(why)| Unusable(format!("action {id}, {what}, cannot be used: {why}")))
}

fn what(kind: Option<&OrchestratorActionType>) -> &'static str {
    match kind {
        None => "of an unknown kind",
        Some(OrchestratorActionType::ScheduleTask(_)) => "an activity",
        Some(OrchestratorActionType::CreateSubOrchestration(_)) => "a sub-orchestration",
        Some(OrchestratorActionType::CreateTimer(_)) => "a timer",
        Some(OrchestratorActionType::SendEvent(_)) => "an event",
        Some(OrchestratorActionType::CompleteOrchestration(_)) => "the end",
        Some(OrchestratorActionType::TerminateOrchestration(_)) => "a termination",
        Some(OrchestratorActionType::SendEntityMessage(_)) => "a message to an entity",
        Some(OrchestratorActionType::RewindOrchestration(_)) => "a rewind",
    }
}

/// `None` for what has no effect here.
fn action(action: pb::OrchestratorAction) -> Result<Option<Action>, Unusable> {
    let Some(kind) = action.orchestrator_action_type else {
        return Err(Unusable("this server does not know it, its worker may be newer".to_owned()));
    };
    let kind = match kind {
        OrchestratorActionType::ScheduleTask(task) => ActionKind::ScheduleTask {
            name: task.name,
            version: task.version,
            input: task.input,
            tags: task.tags.into_iter().collect(),
            trace: trace_from_wire(task.parent_trace_context),
        },
        OrchestratorActionType::CreateSubOrchestration(child) => create_child(child)?,
        OrchestratorActionType::CreateTimer(timer) => {
            let fire_at = timer.fire_at.ok_or_else(|| Unusable("a timer without a time".to_owned()))?;
            ActionKind::CreateTimer { fire_at: time_from_wire(&fire_at)? }
        }
        OrchestratorActionType::SendEvent(event) => {
            let target = event.instance.ok_or_else(|| Unusable("an event without a target".to_owned()))?;
            if target.instance_id.starts_with('@') {
                return Err(Unusable(OLDER_ENTITIES.to_owned()));
            }
            ActionKind::SendEvent {
                instance_id: instance_id(&target.instance_id)?,
                name: event.name,
                input: event.data,
            }
        }
        // Entities have no end that others could bring about.
        OrchestratorActionType::TerminateOrchestration(end) if end.instance_id.starts_with('@') => return Ok(None),
        OrchestratorActionType::TerminateOrchestration(end) => ActionKind::TerminateInstance {
            instance_id: instance_id(&end.instance_id)?,
            reason: end.reason,
            recurse: end.recurse,
        },
        OrchestratorActionType::SendEntityMessage(message) => {
            let message =
                message.entity_message_type.ok_or_else(|| Unusable("an empty message to an entity".to_owned()))?;
            entity_message(message)?
        }
        OrchestratorActionType::CompleteOrchestration(end) => complete(end)?,
        // The server rewinds by itself, so that no worker is ever asked to.
        OrchestratorActionType::RewindOrchestration(_) => return Ok(None),
    };
    Ok(Some(Action { id: action.id, kind }))
}

fn create_child(child: pb::CreateSubOrchestrationAction) -> Result<ActionKind, Unusable> {
    let mut tags: everdure_core::Tags = child.tags.into_iter().collect();
    let forget = tags.remove(FIRE_AND_FORGET).is_some();
    let id = Some(child.instance_id).filter(|id| !id.is_empty());
    Ok(ActionKind::CreateSubOrchestration {
        name: child.name,
        version: child.version,
        instance_id: id.as_deref().map(instance_id).transpose()?,
        input: child.input,
        tags,
        trace: trace_from_wire(child.parent_trace_context),
        forget,
    })
}

fn target(target: Option<String>) -> Result<InstanceId, Unusable> {
    entity_id(&target.ok_or_else(|| Unusable("a message to an entity without a target".to_owned()))?)
}

/// The entities to lock: at least one.
fn lock_set(ids: &[String]) -> Result<Vec<InstanceId>, Unusable> {
    if ids.is_empty() {
        return Err(Unusable("a critical section without an entity".to_owned()));
    }
    ids.iter().map(|id| entity_id(id)).collect()
}

fn entity_message(message: EntityMessageType) -> Result<ActionKind, Unusable> {
    Ok(match message {
        EntityMessageType::EntityOperationSignaled(signal) => ActionKind::SignalEntity {
            request_id: signal.request_id,
            target: target(signal.target_instance_id)?,
            operation: signal.operation,
            input: signal.input,
            not_before: signal.scheduled_time.as_ref().map(time_from_wire).transpose()?,
            trace: None,
        },
        EntityMessageType::EntityOperationCalled(call) => ActionKind::CallEntity {
            request_id: call.request_id,
            target: target(call.target_instance_id)?,
            operation: call.operation,
            input: call.input,
            not_before: call.scheduled_time.as_ref().map(time_from_wire).transpose()?,
            trace: None,
        },
        EntityMessageType::EntityLockRequested(lock) => {
            ActionKind::LockEntities { critical_section: lock.critical_section_id, lock_set: lock_set(&lock.lock_set)? }
        }
        EntityMessageType::EntityUnlockSent(unlock) => ActionKind::UnlockEntity {
            critical_section: unlock.critical_section_id,
            target: target(unlock.target_instance_id)?,
        },
    })
}

fn complete(end: pb::CompleteOrchestrationAction) -> Result<ActionKind, Unusable> {
    Ok(match pb::OrchestrationStatus::try_from(end.orchestration_status) {
        Ok(pb::OrchestrationStatus::Completed) => ActionKind::Complete { result: end.result },
        Ok(pb::OrchestrationStatus::ContinuedAsNew) => ActionKind::ContinueAsNew {
            input: end.result,
            version: end.new_version,
            carry_over: end.carryover_events.into_iter().filter_map(carried).collect(),
        },
        Ok(
            status @ (pb::OrchestrationStatus::Failed
            | pb::OrchestrationStatus::Terminated
            | pb::OrchestrationStatus::Canceled),
        ) => ActionKind::Fail { failure: failure(end.failure_details, end.details.or(end.result), status) },
        _ => return Err(Unusable(format!("an orchestration cannot end with status {}", end.orchestration_status))),
    })
}

fn failure(
    failure: Option<pb::TaskFailureDetails>,
    text: Option<String>,
    status: pb::OrchestrationStatus,
) -> FailureDetails {
    failure.map(failure_from_wire).unwrap_or_else(|| {
        let message = text.unwrap_or_else(|| format!("the worker ended the orchestration as {}", status.as_str_name()));
        failure_from_wire(pb::TaskFailureDetails {
            error_type: "OrchestrationFailed".to_owned(),
            error_message: message,
            ..pb::TaskFailureDetails::default()
        })
    })
}

/// Events that the orchestration received and did not take.
fn carried(event: pb::HistoryEvent) -> Option<(String, Option<String>)> {
    match event.event_type {
        Some(EventType::EventRaised(raised)) => Some((raised.name, raised.input)),
        _ => None,
    }
}
