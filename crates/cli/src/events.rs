//! Histories as lists of events: what is derived is put where it belongs.

use std::collections::BTreeMap;

use everdure::{HistoryTurn, InstanceRecord};
use everdure_core::{EventData, HistoryEvent};
use serde_json::{Value, json};

use crate::output;

/// An event with the turn that recorded it.
pub struct Recorded {
    pub turn: i64,
    pub event: HistoryEvent,
}

/// All events in order: each turn opens with `OrchestratorStarted`, an execution with `ExecutionStarted`.
pub fn flatten(record: &InstanceRecord, turns: &[HistoryTurn]) -> Vec<Recorded> {
    let mut all = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        let mut add = |event| all.push(Recorded { turn: turn.turn, event });
        add(HistoryEvent::unsolicited(turn.time, EventData::OrchestratorStarted));
        if place == 0 {
            add(HistoryEvent::unsolicited(turn.time, EventData::ExecutionStarted(record.started())));
        }
        turn.events.iter().cloned().for_each(add);
    }
    all
}

/// An event as a program reads it.
pub fn to_json(recorded: &Recorded) -> Value {
    let event = &recorded.event;
    let mut value = json!({
        "turn": recorded.turn,
        "timestamp": output::rfc3339(event.timestamp),
        "eventId": event.event_id,
    });
    // Event data consist of strings, numbers and maps with string keys, which JSON can always say.
    if let (Some(all), Ok(Value::Object(data))) = (value.as_object_mut(), serde_json::to_value(&event.data)) {
        all.extend(data);
    }
    value
}

/// A table with a line for each event; details are cut to `detail` characters.
pub fn table(events: &[Recorded], detail: usize) -> comfy_table::Table {
    let mut table = output::table(&["TURN", "TIME", "EVENT", "ID", "NAME", "DETAIL"]);
    let mut asked = BTreeMap::new();
    for Recorded { turn, event } in events {
        let (id, mut name, text) = describe(event);
        match (&event.data, event.data.answers()) {
            (
                EventData::TaskScheduled { dispatch, .. } | EventData::SubOrchestrationInstanceCreated { dispatch, .. },
                _,
            ) => {
                asked.insert(*dispatch, name.clone());
            }
            // An answer has the name of what was asked.
            (_, Some(dispatch)) => name = asked.get(&dispatch).cloned().unwrap_or_default(),
            _ => {}
        }
        table.add_row([
            turn.to_string(),
            event.timestamp.format("%H:%M:%S%.3f").to_string(),
            event.data.type_name().to_owned(),
            id.map(|id| id.to_string()).unwrap_or_default(),
            output::shorten(&name, 40),
            output::shorten(&text, detail),
        ]);
    }
    table
}

/// The id of the step that the event schedules or answers, the name in it, and what else it says.
fn describe(event: &HistoryEvent) -> (Option<i32>, String, String) {
    let own = (event.event_id >= 0).then_some(event.event_id);
    let text = |payload: &Option<String>| payload.clone().unwrap_or_default();
    match &event.data {
        EventData::ExecutionStarted(started) => (None, started.name.clone(), text(&started.input)),
        EventData::ExecutionCompleted { status, result, failure } => {
            let said = failure.as_ref().map_or_else(|| text(result), ToString::to_string);
            (own, status.to_string(), said)
        }
        EventData::ExecutionTerminated { reason, .. }
        | EventData::ExecutionSuspended { reason }
        | EventData::ExecutionResumed { reason }
        | EventData::ExecutionRewound { reason } => (own, String::new(), text(reason)),
        EventData::TaskScheduled { name, input, .. } => (own, name.clone(), text(input)),
        EventData::SubOrchestrationInstanceCreated { name, instance_id, .. } => {
            (own, name.clone(), format!("as {instance_id}"))
        }
        EventData::TaskCompleted { task_id, result, .. }
        | EventData::SubOrchestrationInstanceCompleted { task_id, result, .. } => {
            (Some(*task_id), String::new(), text(result))
        }
        EventData::TaskFailed { task_id, failure, .. }
        | EventData::SubOrchestrationInstanceFailed { task_id, failure, .. } => {
            (Some(*task_id), String::new(), failure.to_string())
        }
        EventData::TaskCancelled { task_id, .. } => (Some(*task_id), String::new(), String::new()),
        EventData::TimerCreated { fire_at, .. } => (own, String::new(), format!("until {}", output::time(*fire_at))),
        EventData::TimerFired { timer_id, .. } | EventData::TimerCancelled { timer_id, .. } => {
            (Some(*timer_id), String::new(), String::new())
        }
        EventData::OrchestratorStarted => (None, String::new(), String::new()),
        EventData::EventSent { instance_id, name, input } => {
            (own, name.clone(), format!("to {instance_id} {}", text(input)))
        }
        EventData::EventRaised { name, input } => (own, name.clone(), text(input)),
        EventData::ContinueAsNew { input } => (own, String::new(), text(input)),
        EventData::EntityOperationCalled { operation, target, input, .. }
        | EventData::EntityOperationSignaled { operation, target, input, .. } => {
            (own, operation.clone(), format!("to {target} {}", text(input)))
        }
        EventData::EntityOperationCompleted { output, .. } => (None, String::new(), text(output)),
        EventData::EntityOperationFailed { failure, .. } => (None, String::new(), failure.to_string()),
        EventData::EntityLockRequested { lock_set, .. } => {
            let entities: Vec<_> = lock_set.iter().map(ToString::to_string).collect();
            (own, String::new(), entities.join(" "))
        }
        EventData::EntityUnlockSent { target, .. } => (own, String::new(), target.to_string()),
        EventData::InstanceTerminated { instance_id, reason, .. } => (own, instance_id.to_string(), text(reason)),
        EventData::EntityLockGranted { .. } | EventData::OrchestrationTraced { .. } => {
            (None, String::new(), String::new())
        }
        EventData::GenericEvent { data } => (own, String::new(), text(data)),
    }
}
