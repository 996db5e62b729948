//! Work items: orchestrations that have something to see, activities that wait for a worker.

use std::time::Duration;

use crate::{
    DispatchId, EntityLock, ExecutionId, ExecutionStarted, FailedAttempt, FailureDetails, HistoryTurn, InstanceId,
    InstanceKey, Message, MessageBody, NewActivity, NodeId, OrchestrationStatus, Sent, Tags, TraceContext,
};

/// A name, and the version of it, that a connected worker takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameFilter {
    /// The orchestration or activity, or [`NameFilter::ANY`], or [`NameFilter::ANY_ENTITY`]. Entities have the names
    /// `@name`.
    pub name: String,
    /// Only this version, an empty one for what has none; `None` takes every version.
    pub version: Option<String>,
}

impl NameFilter {
    /// Takes every orchestration, or activity.
    pub const ANY: &str = "*";
    /// Takes every entity.
    pub const ANY_ENTITY: &str = "@*";

    /// Whether it takes what has that name and version.
    #[must_use]
    pub fn takes(&self, name: &str, version: Option<&str>) -> bool {
        let named = match self.name.as_str() {
            Self::ANY => !name.starts_with('@'),
            Self::ANY_ENTITY => name.starts_with('@'),
            own => own == name,
        };
        named && self.version.as_deref().is_none_or(|own| own == version.unwrap_or_default())
    }
}

/// Asks for orchestrations that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOrchestrations {
    /// Who asks.
    pub node: NodeId,
    /// What its workers take. Due rows that the node itself holds are returned whatever their name.
    pub names: Vec<NameFilter>,
    /// At most this many free ones; mail for held ones is not counted.
    pub limit: u32,
    /// At most this many messages of each; fewer, but always one, when they are large.
    pub messages: u32,
}

/// Orchestrations that are due, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedOrchestrations {
    /// Now held by the node that asked.
    pub items: Vec<LockedOrchestration>,
    /// In how long the next one that this node may take comes due; `None` when none is known.
    pub next_due: Option<Duration>,
}

/// An instance with all that a turn needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedOrchestration {
    /// The row.
    pub key: InstanceKey,
    /// The claim to name in the checkpoint.
    pub claim: i32,
    /// Whether the node held it before: then this is only mail, and `history` and `activities` are empty.
    pub was_held: bool,
    /// The generation number.
    pub execution: i32,
    /// The turn at which the execution began.
    pub execution_turn: i64,
    /// The last durable turn, which is the last of `history`.
    pub turn: i64,
    /// Where it stands.
    pub status: OrchestrationStatus,
    /// What opened the execution.
    pub started: ExecutionStarted,
    /// Of an entity, its lock. Its state is the input.
    pub entity_lock: Option<EntityLock>,
    /// The turns of the execution.
    pub history: Vec<HistoryTurn>,
    /// Messages that are visible, in the order of their numbers.
    pub messages: Vec<Message>,
    /// Whether there are more visible messages than were asked for.
    pub more_messages: bool,
    /// Steps of this execution that have an activity row; when there are more messages than were asked for, also
    /// those whose answer waits among them.
    pub activities: Vec<DispatchId>,
}

/// Gives up residency in one atomic step: rows for activities that still run or wait, messages for results that wait
/// for a turn, release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demote {
    /// The row.
    pub key: InstanceKey,
    /// Its instance id.
    pub instance_id: InstanceId,
    /// Who holds it.
    pub node: NodeId,
    /// Under which claim.
    pub claim: i32,
    /// At which turn.
    pub turn: i64,
    /// The generation number.
    pub execution: i32,
    /// Activities that others shall run.
    pub activities: Vec<NewActivity>,
    /// Activities that go on running on this node: their rows are born held by it, handed out once.
    pub running: Vec<NewActivity>,
    /// Results that no turn has seen.
    pub completions: Vec<MessageBody>,
    /// Do not offer it again before this time has passed.
    pub retry_after: Option<Duration>,
    /// That its turn has failed; counted.
    pub failure: Option<FailedAttempt>,
}

/// What became of a demotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DemoteOutcome {
    /// Released.
    Released {
        /// The rows of [`Demote::running`].
        running: Vec<(DispatchId, ActivityId)>,
    },
    /// The row moved on without us.
    Lost,
}

/// The number of an activity row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivityId(pub i64);

/// Asks for activities that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockActivities {
    /// Who asks.
    pub node: NodeId,
    /// What its workers take.
    pub names: Vec<NameFilter>,
    /// At most this many.
    pub limit: u32,
}

/// Activities that waited, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedActivities {
    /// Now held by the node that asked.
    pub items: Vec<LockedActivity>,
    /// In how long the next one comes due; `None` when none is known.
    pub next_due: Option<Duration>,
}

/// An activity row, held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedActivity {
    /// The row.
    pub id: ActivityId,
    /// How often it was handed out, this time included. A completion must name it.
    pub attempt: i32,
    /// What to run.
    pub task: ActivityTask,
}

/// What an activity gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityTask {
    /// The orchestration's row.
    pub key: InstanceKey,
    /// The orchestration.
    pub instance_id: InstanceId,
    /// Its generation number.
    pub execution: i32,
    /// The id of its execution.
    pub execution_id: ExecutionId,
    /// The step.
    pub dispatch: DispatchId,
    /// The orchestrator's id for it, which need not be unique.
    pub task_id: i32,
    /// The activity.
    pub name: String,
    /// The version asked for.
    pub version: Option<String>,
    /// The input.
    pub input: Option<String>,
    /// Its tags, as its action has them: the Rust SDK puts those of the instance among them.
    pub tags: Tags,
    /// The version of the orchestration, which counts for filters when the activity asks for none.
    pub orchestration_version: Option<String>,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
    /// The same each time this step runs: see [`ExecutionId::idempotency_key`].
    pub idempotency_key: String,
}

impl ActivityTask {
    /// The version that counts for the filters of workers.
    #[must_use]
    pub fn filtered_version(&self) -> Option<&str> {
        self.version.as_deref().or(self.orchestration_version.as_deref())
    }
}

/// Delivers the result of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteActivity {
    /// The row; `None` for an activity without one, of an orchestration that `node` holds and that is told of the
    /// message by nobody else than the outcome.
    pub id: Option<ActivityId>,
    /// The attempt that produced the result; of no matter without a row.
    pub attempt: i32,
    /// Who holds it.
    pub node: NodeId,
    /// The orchestration's row.
    pub key: InstanceKey,
    /// The orchestration.
    pub instance_id: InstanceId,
    /// Its generation number.
    pub execution: i32,
    /// `TaskCompleted` or `TaskFailed`.
    pub body: MessageBody,
}

/// What became of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompleteOutcome {
    /// It waits for the orchestration, durably.
    Delivered {
        /// The message as stored.
        sent: Sent,
        /// The node that holds the orchestration, if one does.
        held_by: Option<NodeId>,
    },
    /// The row is gone, or handed to somebody else: the result does not count.
    Lost,
    /// This result, and no other, cannot be stored; the activity failed with that instead.
    Rejected(FailureDetails),
}

/// Gives an activity row back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonActivity {
    /// The row.
    pub id: ActivityId,
    /// The attempt that is given up.
    pub attempt: i32,
    /// Who holds it.
    pub node: NodeId,
    /// Do not offer it again before this time has passed.
    pub retry_after: Duration,
    /// That it has failed to come to an end; counted.
    pub failure: Option<FailedAttempt>,
}
