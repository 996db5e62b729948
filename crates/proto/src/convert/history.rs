//! Histories as they come over the wire: events in one row, cut into turns where `OrchestratorStarted` opens one.
//!
//! What the wire does not tell is derived: a step is known by its task id alone, turns are counted from 1, and the row
//! of a parent is nobody's.

use crate::pb;
use crate::pb::history_event::EventType;
use everdure_core::{
    DispatchId, EventData, ExecutionStarted, FailureDetails, HistoryEvent, HistoryTurn, InstanceKey, ParentLink,
    Timestamp,
};

use super::{Unusable, failure_from_wire, instance_id, status_from_wire, time_from_wire, trace_from_wire};

/// A step as the wire tells it: by its task id. No stored step is of turn 0, so that the two are never confused.
pub fn wire_dispatch(task_id: i32) -> DispatchId {
    DispatchId { turn: 0, index: task_id.cast_unsigned() }
}

/// What came over the wire of an execution, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireHistory {
    /// What opened the execution, once that has come.
    pub started: Option<ExecutionStarted>,
    /// The turns.
    pub turns: Vec<HistoryTurn>,
}

impl WireHistory {
    /// Adds the next event.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn add(&mut self, event: pb::HistoryEvent) -> Result<(), Unusable> {
        let time = event.timestamp.as_ref().map(time_from_wire).transpose()?;
        let time = time.or_else(|| self.turns.last().map(|turn| turn.time)).unwrap_or(Timestamp::UNIX_EPOCH);
        match event.event_type {
            Some(EventType::OrchestratorStarted(_)) => self.open(time),
            Some(EventType::OrchestratorCompleted(_)) | None => {}
            Some(EventType::ExecutionStarted(started)) => self.started = Some(execution(started)?),
            Some(other) => {
                let Some(data) = event_data(event.event_id, other)? else { return Ok(()) };
                if self.turns.is_empty() {
                    self.open(time);
                }
                if let Some(turn) = self.turns.last_mut() {
                    turn.events.push(HistoryEvent { event_id: event.event_id, timestamp: time, data });
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, time: Timestamp) {
        let number = self.turns.last().map_or(1, |turn| turn.turn + 1);
        self.turns.push(HistoryTurn { turn: number, time, events: Vec::new() });
    }
}

fn execution(started: pb::ExecutionStartedEvent) -> Result<ExecutionStarted, Unusable> {
    let instance = started.orchestration_instance.ok_or_else(|| Unusable("a start without an instance".to_owned()))?;
    let execution_id = instance.execution_id.ok_or_else(|| Unusable("a start without an execution id".to_owned()))?;
    let parent = started.parent_instance.map(parent).transpose()?.flatten();
    Ok(ExecutionStarted {
        instance_id: instance_id(&instance.instance_id)?,
        execution_id: execution_id.parse()?,
        name: started.name,
        version: started.version,
        input: started.input,
        parent,
        tags: started.tags.into_iter().collect(),
        scheduled_start: started.scheduled_start_timestamp.as_ref().map(time_from_wire).transpose()?,
        trace: trace_from_wire(started.parent_trace_context),
    })
}

fn parent(parent: pb::ParentInstanceInfo) -> Result<Option<ParentLink>, Unusable> {
    let Some(instance) = parent.orchestration_instance else { return Ok(None) };
    Ok(Some(ParentLink {
        key: InstanceKey(0),
        execution: 0,
        dispatch: wire_dispatch(parent.task_scheduled_id),
        instance_id: instance_id(&instance.instance_id)?,
        task_id: parent.task_scheduled_id,
        name: parent.name.unwrap_or_default(),
        version: parent.version,
        execution_id: instance.execution_id.map(|id| id.parse()).transpose()?,
    }))
}

fn failure(failure: Option<pb::TaskFailureDetails>) -> FailureDetails {
    failure_from_wire(failure.unwrap_or_default())
}

/// `None` for what no orchestration looks at.
fn event_data(id: i32, event: EventType) -> Result<Option<EventData>, Unusable> {
    let other = match outside(event)? {
        Ok(known) => return Ok(Some(known)),
        Err(other) => other,
    };
    match step(id, *other)? {
        Ok(known) => Ok(Some(known)),
        Err(other) => entity(id, *other),
    }
}

/// Known, or the event as it was. Boxed: an event is large.
type Known = Result<EventData, Box<EventType>>;

fn outside(event: EventType) -> Result<Known, Unusable> {
    Ok(Ok(match event {
        EventType::ExecutionCompleted(end) => EventData::ExecutionCompleted {
            status: status_from_wire(end.orchestration_status)?
                .ok_or_else(|| Unusable("an end that is none".to_owned()))?,
            result: end.result,
            failure: end.failure_details.map(failure_from_wire),
        },
        EventType::ExecutionTerminated(end) => {
            EventData::ExecutionTerminated { reason: end.input, recurse: end.recurse }
        }
        EventType::ExecutionSuspended(held) => EventData::ExecutionSuspended { reason: held.input },
        EventType::ExecutionResumed(resumed) => EventData::ExecutionResumed { reason: resumed.input },
        EventType::ExecutionRewound(rewound) => EventData::ExecutionRewound { reason: rewound.reason },
        EventType::ContinueAsNew(next) => EventData::ContinueAsNew { input: next.input },
        EventType::EventRaised(raised) => EventData::EventRaised { name: raised.name, input: raised.input },
        EventType::GenericEvent(note) => EventData::GenericEvent { data: note.data },
        other => return Ok(Err(Box::new(other))),
    }))
}

fn step(id: i32, event: EventType) -> Result<Known, Unusable> {
    Ok(Ok(match event {
        EventType::TaskScheduled(task) => EventData::TaskScheduled {
            dispatch: wire_dispatch(id),
            name: task.name,
            version: task.version,
            input: task.input,
            tags: task.tags.into_iter().collect(),
            trace: trace_from_wire(task.parent_trace_context),
        },
        EventType::TaskCompleted(done) => EventData::TaskCompleted {
            dispatch: wire_dispatch(done.task_scheduled_id),
            task_id: done.task_scheduled_id,
            result: done.result,
        },
        EventType::TaskFailed(failed) => EventData::TaskFailed {
            dispatch: wire_dispatch(failed.task_scheduled_id),
            task_id: failed.task_scheduled_id,
            failure: failure(failed.failure_details),
        },
        EventType::SubOrchestrationInstanceCreated(child) => EventData::SubOrchestrationInstanceCreated {
            dispatch: wire_dispatch(id),
            name: child.name,
            version: child.version,
            instance_id: instance_id(&child.instance_id)?,
            input: child.input,
            tags: child.tags.into_iter().collect(),
            trace: trace_from_wire(child.parent_trace_context),
            forget: false,
        },
        EventType::SubOrchestrationInstanceCompleted(done) => EventData::SubOrchestrationInstanceCompleted {
            dispatch: wire_dispatch(done.task_scheduled_id),
            task_id: done.task_scheduled_id,
            result: done.result,
        },
        EventType::SubOrchestrationInstanceFailed(failed) => EventData::SubOrchestrationInstanceFailed {
            dispatch: wire_dispatch(failed.task_scheduled_id),
            task_id: failed.task_scheduled_id,
            failure: failure(failed.failure_details),
        },
        EventType::TimerCreated(timer) => {
            EventData::TimerCreated { dispatch: wire_dispatch(id), fire_at: fire_at(timer.fire_at)? }
        }
        EventType::TimerFired(fired) => EventData::TimerFired {
            dispatch: wire_dispatch(fired.timer_id),
            timer_id: fired.timer_id,
            fire_at: fire_at(fired.fire_at)?,
        },
        EventType::EventSent(sent) => {
            EventData::EventSent { instance_id: instance_id(&sent.instance_id)?, name: sent.name, input: sent.input }
        }
        other => return Ok(Err(Box::new(other))),
    }))
}

fn fire_at(time: Option<prost_types::Timestamp>) -> Result<Timestamp, Unusable> {
    time_from_wire(&time.ok_or_else(|| Unusable("a timer without a time".to_owned()))?)
}

/// Answers of entities name their request; the step that asked is not told.
fn entity(id: i32, event: EventType) -> Result<Option<EventData>, Unusable> {
    let unasked = wire_dispatch(-1);
    let target = |target: Option<String>| {
        instance_id(&target.ok_or_else(|| Unusable("a message to an entity without a target".to_owned()))?)
    };
    Ok(Some(match event {
        EventType::EntityOperationCalled(call) => EventData::EntityOperationCalled {
            dispatch: wire_dispatch(id),
            request_id: call.request_id,
            operation: call.operation,
            input: call.input,
            target: target(call.target_instance_id)?,
            not_before: call.scheduled_time.as_ref().map(time_from_wire).transpose()?,
        },
        EventType::EntityOperationSignaled(signal) => EventData::EntityOperationSignaled {
            request_id: signal.request_id,
            operation: signal.operation,
            input: signal.input,
            target: target(signal.target_instance_id)?,
            not_before: signal.scheduled_time.as_ref().map(time_from_wire).transpose()?,
        },
        EventType::EntityOperationCompleted(done) => {
            EventData::EntityOperationCompleted { dispatch: unasked, request_id: done.request_id, output: done.output }
        }
        EventType::EntityOperationFailed(failed) => EventData::EntityOperationFailed {
            dispatch: unasked,
            request_id: failed.request_id,
            failure: failure(failed.failure_details),
        },
        EventType::EntityLockRequested(lock) => EventData::EntityLockRequested {
            dispatch: wire_dispatch(id),
            critical_section: lock.critical_section_id,
            lock_set: lock.lock_set.iter().map(|id| instance_id(id)).collect::<Result<_, _>>()?,
        },
        EventType::EntityLockGranted(lock) => {
            EventData::EntityLockGranted { dispatch: unasked, critical_section: lock.critical_section_id }
        }
        EventType::EntityUnlockSent(unlock) => EventData::EntityUnlockSent {
            critical_section: unlock.critical_section_id,
            target: target(unlock.target_instance_id)?,
        },
        _ => return Ok(None),
    }))
}
