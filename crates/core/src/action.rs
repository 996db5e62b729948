//! What user code decided in a turn.

use crate::{FailureDetails, InstanceId, OrchestrationTrace, Tags, Timestamp, TraceContext};

/// One decision of an orchestration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The id that the orchestrator gave it; the event that records it carries the same.
    pub id: i32,
    /// What was decided.
    pub kind: ActionKind,
}

/// The kinds of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields named like their content
pub enum ActionKind {
    /// Run an activity.
    ScheduleTask {
        name: String,
        version: Option<String>,
        input: Option<String>,
        tags: Tags,
        trace: Option<TraceContext>,
    },
    /// Give up the activity whose schedule has this id.
    CancelTask { task_id: i32 },
    /// Start a child; without an id it gets one derived from the execution and the dispatch.
    CreateSubOrchestration {
        name: String,
        version: Option<String>,
        instance_id: Option<InstanceId>,
        input: Option<String>,
        tags: Tags,
        trace: Option<TraceContext>,
        /// Nobody waits for its end.
        forget: bool,
    },
    /// Wake at that time, by the database clock.
    CreateTimer { fire_at: Timestamp },
    /// Give up the timer whose creation has this id.
    CancelTimer { timer_id: i32 },
    /// Raise an event in another instance.
    SendEvent { instance_id: InstanceId, name: String, input: Option<String> },
    /// Call an entity: its answer comes as an event.
    CallEntity {
        request_id: String,
        target: InstanceId,
        operation: String,
        input: Option<String>,
        not_before: Option<Timestamp>,
        trace: Option<TraceContext>,
    },
    /// Signal an entity.
    SignalEntity {
        request_id: String,
        target: InstanceId,
        operation: String,
        input: Option<String>,
        not_before: Option<Timestamp>,
        trace: Option<TraceContext>,
    },
    /// Lock these entities, one after the other in this order; the event comes when all are locked.
    LockEntities { critical_section: String, lock_set: Vec<InstanceId> },
    /// Leave the critical section, as far as this entity goes.
    UnlockEntity { critical_section: String, target: InstanceId },
    /// Ask another instance to end.
    TerminateInstance { instance_id: InstanceId, reason: Option<String>, recurse: bool },
    /// End with a result.
    Complete { result: Option<String> },
    /// End with a failure.
    Fail { failure: FailureDetails },
    /// End and begin the next execution. `carry_over` are events that were received and not consumed, oldest first.
    ContinueAsNew { input: Option<String>, version: Option<String>, carry_over: Vec<(String, Option<String>)> },
}

impl ActionKind {
    /// Whether it ends the execution.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Fail { .. } | Self::ContinueAsNew { .. })
    }
}

/// All that user code decided in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnActions {
    /// The decisions, in the order in which they were made.
    pub actions: Vec<Action>,
    /// The custom status as it stands after the turn; `None` leaves it alone, an empty text takes it away.
    pub custom_status: Option<String>,
    /// How many of the turn's events were seen; the others come again in the next turn. `None`: all.
    pub events_seen: Option<usize>,
    /// The span of this execution, if the SDK keeps one and it is not recorded yet.
    pub trace: Option<OrchestrationTrace>,
}
