//! Whether a replayed turn decided what the stored one did: kind, id and name of each step, in order.
//!
//! Inputs and fire times are not compared: a fix of a computation must not strand what already runs. A step that is given
//! up need not stand in history: servers are not told, and what was recorded over the wire lacks it.

use everdure_core::{Action, ActionKind, EventData, FailureDetails, HistoryEvent};

/// Compares what was recorded with what was decided now.
pub(super) fn check(turn: i64, recorded: &[&HistoryEvent], decided: &[Action]) -> Result<(), FailureDetails> {
    let mut decided = decided.iter();
    for (step, event) in recorded.iter().enumerate() {
        let now = decided.find(|action| !is_cancel(action) || is_of(event, action));
        if !now.is_some_and(|action| is_of(event, action)) {
            return Err(mismatch(turn, step, Some(event), now));
        }
    }
    match decided.find(|action| !is_cancel(action)) {
        Some(more) => Err(mismatch(turn, recorded.len(), None, Some(more))),
        None => Ok(()),
    }
}

fn is_of(event: &HistoryEvent, action: &Action) -> bool {
    event.event_id == action.id && fits(&event.data, &action.kind)
}

fn is_cancel(action: &Action) -> bool {
    matches!(action.kind, ActionKind::CancelTask { .. } | ActionKind::CancelTimer { .. })
}

fn fits(event: &EventData, action: &ActionKind) -> bool {
    match (event, action) {
        (EventData::TaskScheduled { name, .. }, ActionKind::ScheduleTask { name: now, .. }) => same(name, now),
        (
            EventData::SubOrchestrationInstanceCreated { name, instance_id, .. },
            ActionKind::CreateSubOrchestration { name: now, instance_id: id_now, .. },
        ) => same(name, now) && id_now.as_ref().is_none_or(|id| id == instance_id),
        (EventData::EventSent { name, instance_id, .. }, ActionKind::SendEvent { name: now, instance_id: to, .. }) => {
            same(name, now) && instance_id == to
        }
        (
            EventData::EntityOperationCalled { operation, target, .. },
            ActionKind::CallEntity { operation: now, target: to, .. },
        )
        | (
            EventData::EntityOperationSignaled { operation, target, .. },
            ActionKind::SignalEntity { operation: now, target: to, .. },
        ) => same(operation, now) && target == to,
        (EventData::EntityLockRequested { lock_set, .. }, ActionKind::LockEntities { lock_set: now, .. }) => {
            lock_set == now
        }
        (EventData::EntityUnlockSent { target, .. }, ActionKind::UnlockEntity { target: now, .. }) => target == now,
        (EventData::InstanceTerminated { instance_id, .. }, ActionKind::TerminateInstance { instance_id: now, .. }) => {
            instance_id == now
        }
        (EventData::TaskCancelled { task_id, .. }, ActionKind::CancelTask { task_id: now }) => task_id == now,
        (EventData::TimerCancelled { timer_id, .. }, ActionKind::CancelTimer { timer_id: now }) => timer_id == now,
        (EventData::TimerCreated { .. }, ActionKind::CreateTimer { .. })
        | (EventData::ContinueAsNew { .. }, ActionKind::ContinueAsNew { .. })
        | (EventData::ExecutionCompleted { .. }, ActionKind::Complete { .. } | ActionKind::Fail { .. }) => true,
        _ => false,
    }
}

fn same(then: &str, now: &str) -> bool {
    then.to_lowercase() == now.to_lowercase()
}

fn mismatch(turn: i64, step: usize, then: Option<&HistoryEvent>, now: Option<&Action>) -> FailureDetails {
    let then = then.map_or_else(|| "nothing more".to_owned(), |event| say_event(event.event_id, &event.data));
    let now = now.map_or_else(|| "nothing more".to_owned(), |action| say_action(action.id, &action.kind));
    FailureDetails::new(
        "NonDeterministicOrchestration",
        format!(
            "in turn {turn}, decision {}, history has {then} but the code now decides {now}: deploy the code that began \
             this instance, or give the changed code a new version",
            step + 1
        ),
    )
}

fn say_event(id: i32, event: &EventData) -> String {
    match event {
        EventData::TaskScheduled { name, .. } => format!("call of activity '{name}' (id {id})"),
        EventData::SubOrchestrationInstanceCreated { name, instance_id, .. } => {
            format!("call of sub-orchestration '{name}' as '{instance_id}' (id {id})")
        }
        EventData::EntityOperationCalled { operation, target, .. } => {
            format!("call of '{operation}' of '{target}' (id {id})")
        }
        EventData::EntityOperationSignaled { operation, target, .. } => {
            format!("signal '{operation}' to '{target}' (id {id})")
        }
        EventData::EntityUnlockSent { target, .. } => format!("release of '{target}' (id {id})"),
        EventData::InstanceTerminated { instance_id, .. } => format!("termination of '{instance_id}' (id {id})"),
        EventData::EventSent { name, instance_id, .. } => format!("event '{name}' to '{instance_id}' (id {id})"),
        EventData::TimerCreated { fire_at, .. } => format!("timer until {fire_at} (id {id})"),
        EventData::TaskCancelled { task_id, .. } => format!("cancellation of activity {task_id} (id {id})"),
        EventData::TimerCancelled { timer_id, .. } => format!("cancellation of timer {timer_id} (id {id})"),
        EventData::ExecutionCompleted { .. } => format!("the end (id {id})"),
        EventData::ContinueAsNew { .. } => format!("continue as new (id {id})"),
        other => format!("{} (id {id})", other.type_name()),
    }
}

fn say_action(id: i32, action: &ActionKind) -> String {
    match action {
        ActionKind::ScheduleTask { name, .. } => format!("call of activity '{name}' (id {id})"),
        ActionKind::CreateSubOrchestration { name, instance_id: Some(child), .. } => {
            format!("call of sub-orchestration '{name}' as '{child}' (id {id})")
        }
        ActionKind::CreateSubOrchestration { name, .. } => format!("call of sub-orchestration '{name}' (id {id})"),
        ActionKind::SendEvent { name, instance_id, .. } => format!("event '{name}' to '{instance_id}' (id {id})"),
        ActionKind::CallEntity { operation, target, .. } => format!("call of '{operation}' of '{target}' (id {id})"),
        ActionKind::SignalEntity { operation, target, .. } => format!("signal '{operation}' to '{target}' (id {id})"),
        ActionKind::LockEntities { .. } => format!("lock of entities (id {id})"),
        ActionKind::UnlockEntity { target, .. } => format!("release of '{target}' (id {id})"),
        ActionKind::TerminateInstance { instance_id, .. } => format!("termination of '{instance_id}' (id {id})"),
        ActionKind::CreateTimer { fire_at } => format!("timer until {fire_at} (id {id})"),
        ActionKind::CancelTask { task_id } => format!("cancellation of activity {task_id} (id {id})"),
        ActionKind::CancelTimer { timer_id } => format!("cancellation of timer {timer_id} (id {id})"),
        ActionKind::Complete { .. } => format!("the end with a result (id {id})"),
        ActionKind::Fail { failure } => format!("the end with the failure '{failure}' (id {id})"),
        ActionKind::ContinueAsNew { .. } => format!("continue as new (id {id})"),
    }
}
