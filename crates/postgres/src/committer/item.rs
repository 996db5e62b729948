//! Operations as they wait in a lane: already in the form in which the database takes them, so that the encoding is
//! done by those who ask, side by side, and not by the lane.

use everdure_core::{BackendError, FailureDetails};
use everdure_core::{
    BackendResult, Checkpoint, CompleteActivity, CreateInstance, Demote, EventData, HistoryTurn, InstanceId,
    MessageBody, NodeId, OrchestrationStatus, OutboundMessage, SendMessage, Target, Timestamp,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outcomes::Outcome;
use super::steps;

/// One operation, and who waits for it.
pub(super) struct Item {
    pub id: InstanceId,
    pub operation: Operation,
    pub deadline: Instant,
    /// How often its row was not free.
    pub carried: u32,
    reply: oneshot::Sender<BackendResult<Outcome>>,
}

/// In the order in which a flush runs them.
pub(super) enum Operation {
    Create(CreateInstance),
    Send(SendRow),
    Checkpoint(Box<CheckpointRow>),
    Complete(CompleteRow),
    Demote(DemoteRow),
}

pub(super) struct SendRow {
    pub request: SendMessage,
    pub body: String,
}

pub(super) struct CheckpointRow {
    pub node: NodeId,
    pub key: i64,
    pub claim: i32,
    pub turn: i64,
    pub execution: i32,
    pub time: Timestamp,
    pub status: OrchestrationStatus,
    pub kind: i16,
    pub hold: bool,
    pub events: String,
    pub custom_status: Option<String>,
    pub output: Option<String>,
    pub failure: Option<String>,
    pub consumed: Vec<i64>,
    pub steps: Option<String>,
    /// Something may be due for somebody after it.
    pub wakes: bool,
    pub writes_activities: bool,
    pub creates: bool,
}

pub(super) struct CompleteRow {
    pub request: CompleteActivity,
    pub dispatch: Option<String>,
    pub body: String,
}

pub(super) struct DemoteRow {
    pub node: NodeId,
    pub key: i64,
    pub item: String,
}

/// Nothing that an index covers changes.
const PLAIN: i16 = 0;
const OTHER: i16 = 1;
const CONTINUE_AS_NEW: i16 = 2;
const ENTITY: i16 = 3;

pub(crate) fn json_text<T: serde::Serialize>(value: &T) -> BackendResult<String> {
    serde_json::to_string(value).map_err(|error| BackendError::corrupt("a value cannot be written as JSON", error))
}

/// What an execution ended with stands in the instance's row, and is derived from there.
fn store_end_once(checkpoint: &mut Checkpoint) {
    if checkpoint.status.is_terminal() {
        for event in &mut checkpoint.events {
            if let EventData::ExecutionCompleted { result, failure, .. } = &mut event.data {
                (*result, *failure) = (None, None);
            }
        }
    }
}

/// Entities are made when they get their first message.
fn may_create(message: &OutboundMessage) -> bool {
    matches!(&message.target, Target::Instance(id) if id.is_entity())
}

impl Operation {
    pub fn create(request: CreateInstance) -> Self {
        Self::Create(request)
    }

    pub fn send(request: SendMessage) -> BackendResult<Self> {
        let body = json_text(&request.body)?;
        Ok(Self::Send(SendRow { request, body }))
    }

    pub fn checkpoint(mut checkpoint: Checkpoint) -> BackendResult<Self> {
        store_end_once(&mut checkpoint);
        let steps = steps::of_checkpoint(&checkpoint)?;
        let terminal = checkpoint.status.is_terminal();
        let kind = if checkpoint.entity.is_some() {
            ENTITY
        } else if checkpoint.next_execution.is_some() {
            CONTINUE_AS_NEW
        } else if checkpoint.hold && checkpoint.turn > 0 && checkpoint.consumed.is_empty() && steps.is_none() {
            PLAIN
        } else {
            OTHER
        };
        let wakes = !checkpoint.timers.is_empty()
            || !checkpoint.messages.is_empty()
            || checkpoint.children.iter().any(|child| !child.born_claimed)
            || (!checkpoint.hold && !terminal);
        Ok(Self::Checkpoint(Box::new(CheckpointRow {
            node: checkpoint.node,
            key: checkpoint.key.0,
            claim: checkpoint.claim,
            turn: checkpoint.turn,
            execution: checkpoint.execution,
            time: checkpoint.time,
            status: checkpoint.status,
            kind,
            hold: checkpoint.hold && !terminal,
            events: HistoryTurn::encode_events(&checkpoint.events, checkpoint.time),
            custom_status: checkpoint.custom_status,
            output: checkpoint.output,
            failure: checkpoint.failure.as_ref().map(json_text).transpose()?,
            consumed: checkpoint.consumed.iter().map(|number| number.0).collect(),
            steps,
            wakes,
            writes_activities: !checkpoint.activities.is_empty(),
            creates: !checkpoint.children.is_empty() || checkpoint.messages.iter().any(may_create),
        })))
    }

    pub fn complete(request: CompleteActivity) -> BackendResult<Self> {
        let body = json_text(&request.body)?;
        let dispatch = request.body.dispatch().map(|dispatch| dispatch.to_string());
        Ok(Self::Complete(CompleteRow { request, dispatch, body }))
    }

    pub fn demote(request: Demote) -> BackendResult<Self> {
        let item = steps::of_demotion(&request)?;
        Ok(Self::Demote(DemoteRow { node: request.node, key: request.key.0, item }))
    }

    /// The place of its kind in a flush.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Create(_) => 0,
            Self::Send(_) => 1,
            Self::Checkpoint(_) => 2,
            Self::Complete(_) => 3,
            Self::Demote(_) => 4,
        }
    }

    /// Whether several of the kind for one instance may go together.
    pub fn repeats(&self) -> bool {
        matches!(self, Self::Send(_) | Self::Complete(_))
    }

    /// The node in whose name it is written; `None` for clients.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Create(request) => request.born_claimed,
            Self::Send(_) => None,
            Self::Checkpoint(row) => Some(row.node),
            Self::Complete(row) => Some(row.request.node),
            Self::Demote(row) => Some(row.node),
        }
    }

    /// Whether it inserts ids, for which another transaction may make it wait.
    pub fn creates(&self) -> bool {
        match self {
            Self::Create(_) => true,
            Self::Send(row) => row.request.instance_id.is_entity(),
            Self::Checkpoint(row) => row.creates,
            _ => false,
        }
    }

    /// About how many bytes of payload it carries.
    pub fn bytes(&self) -> usize {
        let payload = match self {
            Self::Create(request) => request.input.as_ref().map_or(0, String::len),
            Self::Send(row) => row.body.len(),
            Self::Checkpoint(row) => {
                row.events.len()
                    + row.output.as_ref().map_or(0, String::len)
                    + row.steps.as_ref().map_or(0, String::len)
            }
            Self::Complete(row) => row.body.len(),
            Self::Demote(row) => row.item.len(),
        };
        payload + 200
    }

    pub fn is_terminate(body: &MessageBody) -> bool {
        matches!(body, MessageBody::ExecutionTerminated { .. })
    }
}

impl Item {
    pub fn new(
        id: InstanceId,
        operation: Operation,
        reply: oneshot::Sender<BackendResult<Outcome>>,
        deadline: Instant,
    ) -> Self {
        Self { id, operation, deadline, carried: 0, reply }
    }

    pub fn answer(self, outcome: BackendResult<Outcome>) {
        // Whoever asked may have gone; what was written stays written.
        let _ = self.reply.send(outcome);
    }

    pub fn reject(self, what: &str) {
        let failure = FailureDetails::new("CannotBeStored", what).non_retriable();
        self.answer(Ok(Outcome::Rejected(failure)));
    }
}
