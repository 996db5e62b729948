//! What one turn changes: written as one atomic step, or not at all.

use crate::{
    DispatchId, EntityChange, ExecutionId, ExecutionStarted, FailureDetails, HistoryEvent, InstanceId, InstanceKey,
    Message, MessageBody, MessageNumber, NodeId, OrchestrationStatus, ParentLink, Tags, Timestamp, TraceContext,
};

/// The outcome of a turn, ready to be written. It lands only if the row still stands at `turn`, held by `node`
/// under `claim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The row.
    pub key: InstanceKey,
    /// Its instance id; all operations of one id go through one committer lane.
    pub instance_id: InstanceId,
    /// The node that computed it.
    pub node: NodeId,
    /// The claim under which it was computed.
    pub claim: i32,
    /// The turn that it was computed from; it becomes `turn + 1`.
    pub turn: i64,
    /// The generation number that it was computed in.
    pub execution: i32,
    /// The time of the turn.
    pub time: Timestamp,
    /// What happened in it (without the derived events).
    pub events: Vec<HistoryEvent>,
    /// The messages that it took, each of which must still be there.
    pub consumed: Vec<MessageNumber>,
    /// The state after it.
    pub status: OrchestrationStatus,
    /// The custom status, if it changed; an empty text takes it away.
    pub custom_status: Option<String>,
    /// The result, if it ended well or was terminated.
    pub output: Option<String>,
    /// The failure, if it ended badly.
    pub failure: Option<FailureDetails>,
    /// The execution that follows, if it ended by continue-as-new.
    pub next_execution: Option<NextExecution>,
    /// Messages to other instances.
    pub messages: Vec<OutboundMessage>,
    /// Timers to set.
    pub timers: Vec<NewTimer>,
    /// Children to create.
    pub children: Vec<NewChild>,
    /// Activities that need a row because they do not start at once on this node. The turn lists all new ones;
    /// the engine takes out those that it starts itself.
    pub activities: Vec<NewActivity>,
    /// Steps given up: their rows and messages go.
    pub cancelled: Vec<DispatchId>,
    /// Whether the node goes on holding the instance. Never for one that ended.
    pub hold: bool,
    /// Of an entity, what its batch changes; it then has no events, and no history is written.
    pub entity: Option<EntityChange>,
}

/// What continue-as-new begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextExecution {
    /// Its id.
    pub execution_id: ExecutionId,
    /// Its version.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Events received and not consumed, delivered again ahead of all that waits.
    pub carry_over: Vec<MessageBody>,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To whatever instance has this id now.
    Instance(InstanceId),
    /// To the sub-orchestration of this id that the sender's execution started; dropped when another instance has the
    /// id by now.
    Child(InstanceId),
    /// To exactly this row and execution; dropped when they are gone.
    Execution {
        /// The row.
        key: InstanceKey,
        /// The instance id at the time of linking, for routing in memory.
        instance_id: InstanceId,
        /// The generation number.
        execution: i32,
    },
}

/// A message to another instance. Dropped without an error when its target is gone or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// Where it goes.
    pub target: Target,
    /// What it says.
    pub body: MessageBody,
    /// Not to be delivered before; `None`: at once.
    pub not_before: Option<Timestamp>,
}

impl OutboundMessage {
    /// A message that is delivered at once.
    #[must_use]
    pub fn new(target: Target, body: MessageBody) -> Self {
        Self { target, body, not_before: None }
    }
}

/// A timer to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTimer {
    /// The step that set it.
    pub dispatch: DispatchId,
    /// When it comes due.
    pub fire_at: Timestamp,
}

/// A child to create. If its id is taken by a finished instance, that one is replaced; if by a live one, the
/// backend delivers `SubOrchestrationInstanceFailed` with type `OrchestrationAlreadyExists` to the parent, if it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChild {
    /// Its id.
    pub instance_id: InstanceId,
    /// The id of its first execution.
    pub execution_id: ExecutionId,
    /// Its orchestration.
    pub name: String,
    /// The version of it.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Who waits for it, if anybody does.
    pub parent: Option<ParentLink>,
    /// Not before this time.
    pub scheduled_start: Option<Timestamp>,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
    /// Whether it is born held by the checkpoint's node.
    pub born_claimed: bool,
}

impl NewChild {
    /// What opens the child's first execution.
    #[must_use]
    pub fn into_started(self) -> ExecutionStarted {
        ExecutionStarted {
            instance_id: self.instance_id,
            execution_id: self.execution_id,
            name: self.name,
            version: self.version,
            input: self.input,
            parent: self.parent,
            tags: self.tags,
            scheduled_start: self.scheduled_start,
            trace: self.trace,
        }
    }
}

/// An activity to write as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewActivity {
    /// The orchestrator's id for it, which need not be unique.
    pub task_id: i32,
    /// The step that scheduled it.
    pub dispatch: DispatchId,
    /// The activity's name.
    pub name: String,
    /// The version asked for.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Its tags, as its action has them.
    pub tags: Tags,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
}

/// What became of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointOutcome {
    /// It is durable.
    Landed(Landed),
    /// The row moved on without us: drop what is in memory.
    Lost,
    /// It takes a timer that is not due yet by the database clock: try the turn again later.
    Early,
    /// This checkpoint, and no other, cannot be stored (SQLSTATE classes 21, 22, 23, 54).
    Rejected(FailureDetails),
}

/// What a durable checkpoint caused, for delivery in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// What became of each child, in the order of [`Checkpoint::children`].
    pub children: Vec<ChildOutcome>,
    /// Messages that it wrote to instances (itself included: carried events, timers that are already due, failed
    /// children) which the same node holds.
    pub delivered: Vec<Sent>,
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildOutcome {
    /// It was created under this key.
    Created(InstanceKey),
    /// Its id is in use; the parent is told by a message.
    AlreadyExists,
}

/// A message as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The row it was written to.
    pub key: InstanceKey,
    /// The message with its number.
    pub message: Message,
}
