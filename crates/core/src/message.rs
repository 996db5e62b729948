//! What waits to be delivered to an instance.

use serde::{Deserialize, Serialize};

use crate::{DispatchId, EventData, FailureDetails, MessageNumber, Timestamp};

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
            | Self::TimerFired { dispatch, .. } => Some(*dispatch),
            _ => None,
        }
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
            _ => return None,
        })
    }

    /// The history event that records this message, given the id of the step that it answers.
    #[must_use]
    pub fn into_event(self, task_id: i32) -> EventData {
        match self {
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
        }
    }
}
