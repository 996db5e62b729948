//! Items of work on their way to a worker and back.

use everdure_engine::Ack;
use everdure_proto::pb;
use everdure_proto::prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::filters::Kind;
use super::token::Token;

/// Items of one group can be given to the same streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub kind: Kind,
    pub name: String,
    pub version: Option<String>,
}

/// What a worker said.
#[derive(Debug)]
pub(crate) enum Answer {
    Orchestration(Box<pb::OrchestratorResponse>, Ack),
    /// The last one: whether its worker can wait to be told until a turn has seen the result.
    Activity(Box<pb::ActivityResponse>, Ack, bool),
    Entity(Box<pb::EntityBatchResult>, Ack),
    /// Not now, or not by this worker.
    Abandoned,
}

impl Answer {
    /// Whether it answers an item of that kind.
    pub fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Orchestration(..) => kind == Kind::Orchestration,
            Self::Activity(..) => kind == Kind::Activity,
            Self::Entity(..) => kind == Kind::Entity,
            Self::Abandoned => true,
        }
    }

    /// Whether it is none: every item brings all that there is, so who misses something has to be asked again.
    pub fn gives_back(&self) -> bool {
        match self {
            Self::Orchestration(response, _) => response.requires_history,
            Self::Entity(result, _) => result.requires_state,
            Self::Activity(..) => false,
            Self::Abandoned => true,
        }
    }
}

/// What becomes of an item.
#[derive(Debug)]
pub(crate) enum Reply {
    Answered(Answer),
    /// By that stream: later it goes to whoever takes it, here or on another server.
    GivenBack(Option<u64>),
    /// No connected worker takes it any more.
    NotTaken,
    /// A worker's stream ended while it had this item, which is larger than most workers receive: so many bytes.
    TooLarge(usize),
}

/// What SDKs receive in one message unless told otherwise.
const USUAL_BYTES: usize = 4 * 1024 * 1024;

/// How an item is found when its answer names no token: the instance, and the task if it is an activity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub instance_id: String,
    pub task_id: Option<i32>,
}

/// An item that waits for a worker, or for its answer.
pub(super) struct Item {
    pub group: Group,
    pub asked: Asked,
    pub work: pb::WorkItem,
    /// What its answer has to name; it changes with each stream that gets the item.
    pub token: Token,
    pub reply: oneshot::Sender<Reply>,
    /// Streams that gave it back before.
    pub rejected_by: Vec<u64>,
    /// The stream that has it.
    pub on: Option<u64>,
    /// Since when no stream has had room for it.
    pub waits_since: Instant,
    /// Parts of the answer of that stream, by their number.
    pub parts: std::collections::BTreeMap<i32, Vec<pb::OrchestratorAction>>,
    pub part_bytes: usize,
}

impl Item {
    /// Whether there was that hand-out.
    pub fn was_with(&self, handout: Option<u32>) -> bool {
        handout.is_none_or(|handout| (1..=self.token.handout).contains(&handout))
    }

    /// Whether the stream that has it now was given it by that hand-out. An answer without a token is of whoever has it.
    pub fn is_with(&self, handout: Option<u32>) -> bool {
        self.on.is_some() && handout.is_none_or(|handout| handout == self.token.handout)
    }

    /// Whether a worker with the usual limit cannot receive it.
    pub fn is_large(&self) -> bool {
        self.work.encoded_len() > USUAL_BYTES
    }
}

/// Why such an item was not run, for whoever looks at it.
pub(super) fn too_large(bytes: usize) -> String {
    format!(
        "a worker's connection ended while it had this work item of {bytes} bytes: most workers receive up to \
         {USUAL_BYTES} bytes unless their limit is raised, in Python with the channel option \
         grpc.max_receive_message_length"
    )
}
