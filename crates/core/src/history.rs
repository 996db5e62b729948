//! What happened to an execution, turn by turn.
//!
//! One stored row is one turn. Two events are derived and not stored: `OrchestratorStarted` opens each turn with the
//! turn's time, and `ExecutionStarted` opens the first turn of an execution with what the instance's row says. Event
//! types, names and numbers are those of the Durable Task family; dispatch ids are ours.

use serde::{Deserialize, Serialize};

use crate::{
    DispatchId, ExecutionId, FailureDetails, InstanceId, InstanceKey, OrchestrationStatus, OrchestrationTrace, Tags,
    Timestamp, TraceContext,
};

/// One event of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// The id of the orchestrator's action, or −1 for what came from outside. Not unique: retries of some SDKs
    /// use an id again.
    pub event_id: i32,
    /// When it happened, by the database clock.
    pub timestamp: Timestamp,
    /// What happened.
    pub data: EventData,
}

impl HistoryEvent {
    /// An event that came from outside.
    #[must_use]
    pub fn unsolicited(timestamp: Timestamp, data: EventData) -> Self {
        Self { event_id: -1, timestamp, data }
    }
}

/// What opens an execution; derived from the instance's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStarted {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its generation.
    pub execution_id: ExecutionId,
    /// The orchestration's name.
    pub name: String,
    /// The orchestration's version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The input, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Who waits for the end of this execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentLink>,
    /// Tags of the instance.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_start: Option<Timestamp>,
    /// Where its span hangs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// The step of a parent that waits for a child: key, execution and dispatch name it exactly, whatever happens to
/// the parent's instance id meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentLink {
    /// The parent's row.
    pub key: InstanceKey,
    /// The parent's generation number.
    pub execution: i32,
    /// The parent's step.
    pub dispatch: DispatchId,
    /// The parent's instance id, for people.
    pub instance_id: InstanceId,
    /// The parent's id for the step, as SDKs expect it back.
    pub task_id: i32,
    /// The parent's orchestration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The parent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The id of the parent's execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
}

/// What an event says. Serialised with its name under `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[allow(missing_docs)] // the fields are the family's and named like their content
pub enum EventData {
    /// An execution began.
    ExecutionStarted(ExecutionStarted),
    /// The execution ended.
    ExecutionCompleted {
        status: OrchestrationStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<FailureDetails>,
    },
    /// Somebody asked for the end.
    ExecutionTerminated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recurse: bool,
    },
    /// Somebody asked to hold still.
    ExecutionSuspended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody asked to go on.
    ExecutionResumed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An activity was scheduled.
    TaskScheduled {
        dispatch: DispatchId,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        #[serde(default, skip_serializing_if = "Tags::is_empty")]
        tags: Tags,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceContext>,
    },
    /// An activity returned.
    TaskCompleted {
        dispatch: DispatchId,
        task_id: i32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// An activity failed.
    TaskFailed { dispatch: DispatchId, task_id: i32, failure: FailureDetails },
    /// The orchestration gave an activity up before its end.
    TaskCancelled { dispatch: DispatchId, task_id: i32 },
    /// A child was asked for.
    SubOrchestrationInstanceCreated {
        dispatch: DispatchId,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        instance_id: InstanceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        #[serde(default, skip_serializing_if = "Tags::is_empty")]
        tags: Tags,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceContext>,
        /// Nobody waits for its end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forget: bool,
    },
    /// A child returned.
    SubOrchestrationInstanceCompleted {
        dispatch: DispatchId,
        task_id: i32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// A child failed, was terminated, or could not be created.
    SubOrchestrationInstanceFailed { dispatch: DispatchId, task_id: i32, failure: FailureDetails },
    /// A durable timer was set.
    TimerCreated { dispatch: DispatchId, fire_at: Timestamp },
    /// A durable timer came due.
    TimerFired { dispatch: DispatchId, timer_id: i32, fire_at: Timestamp },
    /// The orchestration gave a timer up before it came due.
    TimerCancelled { dispatch: DispatchId, timer_id: i32 },
    /// A turn began; its timestamp is the orchestration's current time.
    OrchestratorStarted,
    /// An event was sent to another instance.
    EventSent {
        instance_id: InstanceId,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// An event arrived.
    EventRaised {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// The execution ended by beginning the next one.
    ContinueAsNew {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// A failure was taken back; see [`crate::rewind()`].
    ExecutionRewound {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An entity was called.
    EntityOperationCalled {
        dispatch: DispatchId,
        request_id: String,
        operation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        target: InstanceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    },
    /// An entity was signalled.
    EntityOperationSignaled {
        request_id: String,
        operation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        target: InstanceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    },
    /// An entity returned.
    EntityOperationCompleted {
        dispatch: DispatchId,
        request_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// An operation of an entity failed.
    EntityOperationFailed { dispatch: DispatchId, request_id: String, failure: FailureDetails },
    /// Entities are to be locked, one after the other in this order.
    EntityLockRequested { dispatch: DispatchId, critical_section: String, lock_set: Vec<InstanceId> },
    /// All of them are locked.
    EntityLockGranted { dispatch: DispatchId, critical_section: String },
    /// One of them is free again.
    EntityUnlockSent { critical_section: String, target: InstanceId },
    /// Another instance was asked to end.
    InstanceTerminated {
        instance_id: InstanceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recurse: bool,
    },
    /// The span of this execution, for the SDK that keeps it; no worker and no client ever sees this event.
    OrchestrationTraced { trace: OrchestrationTrace },
    /// Anything that an operator or another runtime noted.
    GenericEvent {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
}

impl EventData {
    /// The step that this event answers, if it is an answer.
    #[must_use]
    pub fn answers(&self) -> Option<DispatchId> {
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

    /// Whether the event records a decision of the orchestration.
    #[must_use]
    pub fn is_decision(&self) -> bool {
        matches!(
            self,
            Self::TaskScheduled { .. }
                | Self::TimerCreated { .. }
                | Self::SubOrchestrationInstanceCreated { .. }
                | Self::EventSent { .. }
                | Self::EntityOperationCalled { .. }
                | Self::EntityOperationSignaled { .. }
                | Self::EntityLockRequested { .. }
                | Self::EntityUnlockSent { .. }
                | Self::InstanceTerminated { .. }
                | Self::TaskCancelled { .. }
                | Self::TimerCancelled { .. }
                | Self::ExecutionCompleted { .. }
                | Self::ContinueAsNew { .. }
        )
    }

    /// The name of the event type, as it is stored.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::ExecutionStarted(_) => "ExecutionStarted",
            Self::ExecutionCompleted { .. } => "ExecutionCompleted",
            Self::ExecutionTerminated { .. } => "ExecutionTerminated",
            Self::ExecutionSuspended { .. } => "ExecutionSuspended",
            Self::ExecutionResumed { .. } => "ExecutionResumed",
            Self::TaskScheduled { .. } => "TaskScheduled",
            Self::TaskCompleted { .. } => "TaskCompleted",
            Self::TaskFailed { .. } => "TaskFailed",
            Self::TaskCancelled { .. } => "TaskCancelled",
            Self::SubOrchestrationInstanceCreated { .. } => "SubOrchestrationInstanceCreated",
            Self::SubOrchestrationInstanceCompleted { .. } => "SubOrchestrationInstanceCompleted",
            Self::SubOrchestrationInstanceFailed { .. } => "SubOrchestrationInstanceFailed",
            Self::TimerCreated { .. } => "TimerCreated",
            Self::TimerFired { .. } => "TimerFired",
            Self::TimerCancelled { .. } => "TimerCancelled",
            Self::OrchestratorStarted => "OrchestratorStarted",
            Self::EventSent { .. } => "EventSent",
            Self::EventRaised { .. } => "EventRaised",
            Self::ContinueAsNew { .. } => "ContinueAsNew",
            Self::ExecutionRewound { .. } => "ExecutionRewound",
            Self::EntityOperationCalled { .. } => "EntityOperationCalled",
            Self::EntityOperationSignaled { .. } => "EntityOperationSignaled",
            Self::EntityOperationCompleted { .. } => "EntityOperationCompleted",
            Self::EntityOperationFailed { .. } => "EntityOperationFailed",
            Self::EntityLockRequested { .. } => "EntityLockRequested",
            Self::EntityLockGranted { .. } => "EntityLockGranted",
            Self::EntityUnlockSent { .. } => "EntityUnlockSent",
            Self::InstanceTerminated { .. } => "InstanceTerminated",
            Self::OrchestrationTraced { .. } => "OrchestrationTraced",
            Self::GenericEvent { .. } => "GenericEvent",
        }
    }
}

/// One turn of a history, as stored: the derived `OrchestratorStarted` and `ExecutionStarted` are not in `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryTurn {
    /// The number of the turn; it rises with each checkpoint of the instance's row.
    pub turn: i64,
    /// The turn's time.
    pub time: Timestamp,
    /// What happened, in the order in which the orchestration saw it.
    pub events: Vec<HistoryEvent>,
}

/// Asks for some of the turns of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPart {
    /// Whose.
    pub instance_id: InstanceId,
    /// The execution; `None` for the current one, whichever that is.
    pub execution_id: Option<ExecutionId>,
    /// The last turn that is known already; 0 to begin with.
    pub after: i64,
    /// How much is enough: turns come until they have about so many bytes together, and one at least.
    pub bytes: u64,
}

/// An event as it lies in the JSON of a turn: the id when there is one, the time when it is not the turn's.
#[derive(Serialize)]
struct StoredRef<'a> {
    #[serde(skip_serializing_if = "is_unsolicited")]
    id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(flatten)]
    data: &'a EventData,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default = "unsolicited")]
    id: i32,
    #[serde(default)]
    at: Option<i64>,
    #[serde(flatten)]
    data: EventData,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_unsolicited(id: &i32) -> bool {
    *id == unsolicited()
}

fn unsolicited() -> i32 {
    -1
}

impl HistoryTurn {
    /// The events as a JSON array, the form in which they are stored. Times are microseconds since 1970.
    #[must_use]
    pub fn encode_events(events: &[HistoryEvent], turn_time: Timestamp) -> String {
        let stored: Vec<_> = events
            .iter()
            .map(|event| StoredRef {
                id: event.event_id,
                at: (event.timestamp != turn_time).then(|| event.timestamp.timestamp_micros()),
                data: &event.data,
            })
            .collect();
        // Unwrap safety: the types hold strings, numbers and maps with string keys, which JSON can always say.
        serde_json::to_string(&stored).expect("history events are representable in JSON")
    }

    /// Reads what [`HistoryTurn::encode_events`] wrote.
    ///
    /// # Errors
    /// The JSON error, when the text is not an array of known events; nothing is skipped.
    pub fn decode_events(json: &str, turn_time: Timestamp) -> serde_json::Result<Vec<HistoryEvent>> {
        let stored: Vec<Stored> = serde_json::from_str(json)?;
        stored
            .into_iter()
            .map(|event| {
                let timestamp = match event.at {
                    None => turn_time,
                    Some(micros) => Timestamp::from_timestamp_micros(micros)
                        .ok_or_else(|| serde::de::Error::custom(format!("{micros} is out of the range of times")))?,
                };
                Ok(HistoryEvent { event_id: event.id, timestamp, data: event.data })
            })
            .collect()
    }
}
