//! What waits to be delivered to an instance.

use serde::{Deserialize, Serialize};

use crate::{DispatchId, EntityCaller, EventData, FailureDetails, InstanceId, MessageNumber, Timestamp, TraceContext};

/// A message on its way to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number; unique for the instance.
    pub number: MessageNumber,
    /// The execution it is for; `None` for events from outside, which any execution takes.
    pub execution: Option<i32>,
    /// When it was written, by the database clock.
    pub sent_at: Timestamp,
    /// Not to be delivered before; a timer's fire time.
    pub visible_at: Timestamp,
    /// What it says.
    pub body: MessageBody,
}

/// What a message says. Serialised with its name under `type`; the dispatch that a result answers is stored beside
/// it and in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[allow(missing_docs)] // fields named like their content
pub enum MessageBody {
    /// An external event.
    EventRaised {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// Hold still.
    ExecutionSuspended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Go on.
    ExecutionResumed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End, with this as output.
    ExecutionTerminated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recurse: bool,
    },
    /// The result of an activity.
    TaskCompleted {
        dispatch: DispatchId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// The failure of an activity.
    TaskFailed { dispatch: DispatchId, failure: FailureDetails },
    /// The result of a child.
    SubOrchestrationInstanceCompleted {
        dispatch: DispatchId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// The failure of a child.
    SubOrchestrationInstanceFailed { dispatch: DispatchId, failure: FailureDetails },
    /// A timer came due.
    TimerFired { dispatch: DispatchId, fire_at: Timestamp },
    /// The answer of an entity.
    EntityOperationCompleted {
        dispatch: DispatchId,
        request_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// The failure of an entity's operation.
    EntityOperationFailed { dispatch: DispatchId, request_id: String, failure: FailureDetails },
    /// All entities of a critical section are locked. Should the owner be gone, each of the set is unlocked.
    EntityLockGranted { dispatch: DispatchId, critical_section: String, lock_set: Vec<InstanceId> },
    /// To an entity: run this operation.
    EntityOperation {
        request_id: String,
        operation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller: Option<EntityCaller>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceContext>,
    },
    /// To an entity: take this lock when all that waits before is done, and pass the request on to the next one.
    EntityLockRequested { critical_section: String, lock_set: Vec<InstanceId>, position: usize, owner: EntityCaller },
    /// To an entity: this critical section is over.
    EntityUnlock { critical_section: String },
}

impl MessageBody {
    /// The step that this message answers, if it is an answer.
    #[must_use]
    pub fn dispatch(&self) -> Option<DispatchId> {
        match self {
            Self::TaskCompleted { dispatch, .. }
            | Self::TaskFailed { dispatch, .. }
            | Self::SubOrchestrationInstanceCompleted { dispatch, .. }
            | Self::SubOrchestrationInstanceFailed { dispatch, .. }
            | Self::EntityOperationCompleted { dispatch, .. }
            | Self::EntityOperationFailed { dispatch, .. }
            | Self::EntityLockGranted { dispatch, .. }
            | Self::TimerFired { dispatch, .. } => Some(*dispatch),
            _ => None,
        }
    }

    /// About how many bytes of payload it carries.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::EventRaised { name, input } => name.len() + text(input),
            Self::ExecutionSuspended { reason }
            | Self::ExecutionResumed { reason }
            | Self::ExecutionTerminated { reason, .. } => text(reason),
            Self::TaskCompleted { result, .. } | Self::SubOrchestrationInstanceCompleted { result, .. } => text(result),
            Self::TaskFailed { failure, .. }
            | Self::SubOrchestrationInstanceFailed { failure, .. }
            | Self::EntityOperationFailed { failure, .. } => failure.payload_bytes(),
            Self::EntityOperationCompleted { output, .. } => text(output),
            Self::EntityOperation { operation, input, .. } => operation.len() + text(input),
            Self::TimerFired { .. }
            | Self::EntityLockGranted { .. }
            | Self::EntityLockRequested { .. }
            | Self::EntityUnlock { .. } => 0,
        }
    }

    /// Whether it is one of those that only entities get.
    #[must_use]
    pub fn is_for_entities(&self) -> bool {
        matches!(self, Self::EntityOperation { .. } | Self::EntityLockRequested { .. } | Self::EntityUnlock { .. })
    }

    /// The message that this event records, if it records one.
    #[must_use]
    pub fn from_event(event: &EventData) -> Option<Self> {
        Some(match event.clone() {
            EventData::EventRaised { name, input } => Self::EventRaised { name, input },
            EventData::ExecutionSuspended { reason } => Self::ExecutionSuspended { reason },
            EventData::ExecutionResumed { reason } => Self::ExecutionResumed { reason },
            EventData::ExecutionTerminated { reason, recurse } => Self::ExecutionTerminated { reason, recurse },
            EventData::TaskCompleted { dispatch, result, .. } => Self::TaskCompleted { dispatch, result },
            EventData::TaskFailed { dispatch, failure, .. } => Self::TaskFailed { dispatch, failure },
            EventData::SubOrchestrationInstanceCompleted { dispatch, result, .. } => {
                Self::SubOrchestrationInstanceCompleted { dispatch, result }
            }
            EventData::SubOrchestrationInstanceFailed { dispatch, failure, .. } => {
                Self::SubOrchestrationInstanceFailed { dispatch, failure }
            }
            EventData::TimerFired { dispatch, fire_at, .. } => Self::TimerFired { dispatch, fire_at },
            EventData::EntityOperationCompleted { dispatch, request_id, output } => {
                Self::EntityOperationCompleted { dispatch, request_id, output }
            }
            EventData::EntityOperationFailed { dispatch, request_id, failure } => {
                Self::EntityOperationFailed { dispatch, request_id, failure }
            }
            EventData::EntityLockGranted { dispatch, critical_section } => {
                Self::EntityLockGranted { dispatch, critical_section, lock_set: Vec::new() }
            }
            _ => return None,
        })
    }

    /// The history event that records this message, given the id of the step that it answers; `None` for what only
    /// entities get.
    #[must_use]
    pub fn into_event(self, task_id: i32) -> Option<EventData> {
        Some(match self {
            Self::EventRaised { name, input } => EventData::EventRaised { name, input },
            Self::ExecutionSuspended { reason } => EventData::ExecutionSuspended { reason },
            Self::ExecutionResumed { reason } => EventData::ExecutionResumed { reason },
            Self::ExecutionTerminated { reason, recurse } => EventData::ExecutionTerminated { reason, recurse },
            Self::TaskCompleted { dispatch, result } => EventData::TaskCompleted { dispatch, task_id, result },
            Self::TaskFailed { dispatch, failure } => EventData::TaskFailed { dispatch, task_id, failure },
            Self::SubOrchestrationInstanceCompleted { dispatch, result } => {
                EventData::SubOrchestrationInstanceCompleted { dispatch, task_id, result }
            }
            Self::SubOrchestrationInstanceFailed { dispatch, failure } => {
                EventData::SubOrchestrationInstanceFailed { dispatch, task_id, failure }
            }
            Self::TimerFired { dispatch, fire_at } => EventData::TimerFired { dispatch, timer_id: task_id, fire_at },
            Self::EntityOperationCompleted { dispatch, request_id, output } => {
                EventData::EntityOperationCompleted { dispatch, request_id, output }
            }
            Self::EntityOperationFailed { dispatch, request_id, failure } => {
                EventData::EntityOperationFailed { dispatch, request_id, failure }
            }
            Self::EntityLockGranted { dispatch, critical_section, .. } => {
                EventData::EntityLockGranted { dispatch, critical_section }
            }
            Self::EntityOperation { .. } | Self::EntityLockRequested { .. } | Self::EntityUnlock { .. } => return None,
        })
    }
}
