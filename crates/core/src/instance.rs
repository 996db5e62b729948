//! What clients ask for: create an instance, send it a message, look at it, remove it.

use crate::{
    ExecutionId, ExecutionStarted, FailureDetails, InstanceId, InstanceKey, Message, MessageBody, MessageNumber,
    NodeId, OrchestrationStatus, ParentLink, RequestId, Tags, Timestamp, TraceContext,
};

/// Creates an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateInstance {
    /// Its id.
    pub instance_id: InstanceId,
    /// A GUID that the caller drew for its first execution.
    pub execution_id: ExecutionId,
    /// The orchestration to run.
    pub name: String,
    /// The version of it.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Not to start before this time, by the database clock.
    pub scheduled_start: Option<Timestamp>,
    /// What to do when the id is taken.
    pub reuse: ReusePolicy,
    /// Recognises a repetition of this request: it then reports the instance that it created the first time.
    pub request_id: Option<RequestId>,
    /// The node that takes the instance at once, if it has room and a worker for it.
    pub born_claimed: Option<NodeId>,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
}

impl CreateInstance {
    /// What opens the first execution of the instance.
    #[must_use]
    pub fn started(&self) -> ExecutionStarted {
        ExecutionStarted {
            instance_id: self.instance_id.clone(),
            execution_id: self.execution_id,
            name: self.name.clone(),
            version: self.version.clone(),
            input: self.input.clone(),
            parent: None,
            tags: self.tags.clone(),
            scheduled_start: self.scheduled_start,
            trace: self.trace.clone(),
        }
    }
}

/// What to do when an instance id is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReusePolicy {
    /// Replace a finished instance, refuse when it lives: the default of the family.
    #[default]
    ReplaceFinished,
    /// Refuse.
    Never,
    /// Replace an instance in one of these states. One that lives is terminated first, in the same step: its parent is
    /// told, its locks are released, and what was running for it lands nowhere.
    Replace(StatusSet),
}

impl ReusePolicy {
    /// The states in which an instance is replaced.
    #[must_use]
    pub fn replaceable(self) -> StatusSet {
        match self {
            Self::ReplaceFinished => {
                OrchestrationStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect()
            }
            Self::Never => StatusSet::default(),
            Self::Replace(statuses) => statuses,
        }
    }
}

/// Some of the states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet(i16);

impl StatusSet {
    /// Whether the state is one of them.
    #[must_use]
    pub fn contains(self, status: OrchestrationStatus) -> bool {
        self.0 & (1 << status.code()) != 0
    }

    /// A bit for each state, at the place of its number.
    #[must_use]
    pub fn bits(self) -> i16 {
        self.0
    }
}

impl FromIterator<OrchestrationStatus> for StatusSet {
    fn from_iter<I: IntoIterator<Item = OrchestrationStatus>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |bits, status| bits | 1 << status.code()))
    }
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It exists, durably.
    Created {
        /// Its key.
        key: InstanceKey,
        /// Whether the node that asked holds it.
        born_claimed: bool,
        /// When, by the database clock.
        created_at: Timestamp,
    },
    /// The id is taken.
    AlreadyExists {
        /// By an instance in this state.
        status: OrchestrationStatus,
    },
    /// This creation, and no other, cannot be stored.
    Rejected(FailureDetails),
}

/// Sends a message to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessage {
    /// The instance.
    pub instance_id: InstanceId,
    /// What to say: an event, or suspend, resume, terminate; to an entity, an operation. Nothing else reaches entities.
    pub body: MessageBody,
    /// Recognises a repetition of this request.
    pub request_id: Option<RequestId>,
    /// Not to be delivered before; `None`: at once. For signals to entities.
    pub not_before: Option<Timestamp>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It waits for the instance, durably.
    Sent {
        /// The instance's row.
        key: InstanceKey,
        /// The message as stored.
        message: Message,
        /// The node that holds the instance, if one does.
        held_by: Option<NodeId>,
    },
    /// It was sent before under the same request id; nothing was written.
    Repeated,
    /// A pending instance that nobody held was ended directly.
    Terminated,
    /// The instance has ended; the message is dropped.
    Finished,
    /// There is no such instance.
    NotFound,
    /// This message, and no other, cannot be stored.
    Rejected(FailureDetails),
}

/// An instance as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields named like their content
pub struct InstanceRecord {
    pub key: InstanceKey,
    pub instance_id: InstanceId,
    pub execution_id: ExecutionId,
    /// The generation number: how often it continued as new.
    pub execution: i32,
    pub name: String,
    pub version: Option<String>,
    pub parent_instance_id: Option<InstanceId>,
    pub tags: Tags,
    pub status: OrchestrationStatus,
    pub created_at: Timestamp,
    pub scheduled_start: Option<Timestamp>,
    pub updated_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    /// The last durable turn.
    pub turn: i64,
    /// `None` also when the query did not ask for payloads; so the three below.
    pub input: Option<String>,
    pub output: Option<String>,
    pub custom_status: Option<String>,
    pub failure: Option<FailureDetails>,
    /// The step of the parent that waits for its end.
    pub parent: Option<ParentLink>,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
}

impl InstanceRecord {
    /// What opened the execution.
    #[must_use]
    pub fn started(&self) -> ExecutionStarted {
        ExecutionStarted {
            instance_id: self.instance_id.clone(),
            execution_id: self.execution_id,
            name: self.name.clone(),
            version: self.version.clone(),
            input: self.input.clone(),
            parent: self.parent.clone(),
            tags: self.tags.clone(),
            scheduled_start: self.scheduled_start,
            trace: self.trace.clone(),
        }
    }

    /// The record as it stood when that execution ended by continue-as-new; unchanged if it is the current one.
    #[must_use]
    pub fn of_execution(self, execution: Execution) -> Self {
        if execution.execution == self.execution {
            return self;
        }
        Self {
            execution_id: execution.execution_id,
            execution: execution.execution,
            version: execution.version,
            input: execution.input,
            turn: execution.turn,
            status: OrchestrationStatus::Running,
            updated_at: execution.ended_at.unwrap_or(self.updated_at),
            completed_at: None,
            output: None,
            custom_status: None,
            failure: None,
            ..self
        }
    }
}

/// One generation of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its number, from 0.
    pub execution: i32,
    /// Its id.
    pub execution_id: ExecutionId,
    /// Its version.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Its last turn.
    pub turn: i64,
    /// When it ended; the current one may not have.
    pub ended_at: Option<Timestamp>,
}

/// Which instances; conditions are combined with *and*, an empty one does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceQuery {
    /// In one of these states.
    pub statuses: Vec<OrchestrationStatus>,
    /// Created at or after.
    pub created_from: Option<Timestamp>,
    /// Created at or before.
    pub created_to: Option<Timestamp>,
    /// Ended at or after.
    pub completed_from: Option<Timestamp>,
    /// Ended at or before.
    pub completed_to: Option<Timestamp>,
    /// Last changed at or after.
    pub updated_from: Option<Timestamp>,
    /// Last changed at or before.
    pub updated_to: Option<Timestamp>,
    /// Instance id begins with this text, taken literally.
    pub id_prefix: Option<String>,
    /// Instance id contains this text, taken literally.
    pub id_contains: Option<String>,
    /// Orchestration name.
    pub name: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Sub-orchestrations of this instance.
    pub parent: Option<InstanceId>,
    /// Whether only instances without a parent are wanted.
    pub roots_only: bool,
    /// Failed with an error of this type.
    pub failure_type: Option<String>,
    /// What the custom status says at a place; one that is not JSON says nothing anywhere.
    pub custom_status: Option<CustomStatusIs>,
    /// Has all these tags.
    pub tags: Tags,
    /// Whether input, output, custom status and failure are wanted.
    pub payloads: bool,
    /// Instances on a page; 1 to 1,000.
    pub page_size: u32,
    /// Where the last page ended.
    pub after: Option<PageToken>,
}

/// A place in a custom status, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomStatusIs {
    /// Names of members, and places in arrays, from the outside to the inside.
    pub path: Vec<String>,
    /// The text there; of a number or a truth value, the JSON text.
    pub text: String,
}

impl CustomStatusIs {
    /// Whether that custom status says so.
    #[must_use]
    pub fn is_said_by(&self, custom_status: &str) -> bool {
        let Ok(status) = serde_json::from_str::<serde_json::Value>(custom_status) else { return false };
        let place = self.path.iter().try_fold(&status, |value, step| match value {
            serde_json::Value::Array(values) => values.get(step.parse::<usize>().ok()?),
            other => other.get(step),
        });
        match place {
            None | Some(serde_json::Value::Null) => false,
            Some(serde_json::Value::String(text)) => *text == self.text,
            Some(other) => serde_json::to_string(other).is_ok_and(|text| text == self.text),
        }
    }
}

/// Where a page ended. Opaque to callers: they pass back what they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken(pub InstanceKey);

/// One page, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The instances.
    pub instances: Vec<InstanceRecord>,
    /// Where to go on; `None` on the last page.
    pub next: Option<PageToken>,
}

/// Which instances that have ended, in the order in which they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListInstanceIds {
    /// In one of these states; empty: whatever the end was.
    pub statuses: Vec<OrchestrationStatus>,
    /// Ended at or after.
    pub completed_from: Option<Timestamp>,
    /// Ended before.
    pub completed_to: Option<Timestamp>,
    /// Ids on a page; 1 to 1,000.
    pub page_size: u32,
    /// Where the last page ended.
    pub after: Option<(Timestamp, InstanceKey)>,
}

/// One page of ids, first ended first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceIdPage {
    /// The ids.
    pub ids: Vec<InstanceId>,
    /// Where to go on; `None` on the last page.
    pub next: Option<(Timestamp, InstanceKey)>,
}

/// Which instances to remove, with their history, messages and activities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeFilter {
    /// Exactly these. Live ones only with `force`.
    Instances {
        /// Their ids.
        ids: Vec<InstanceId>,
        /// Remove them even if they have not ended.
        force: bool,
        /// Remove their sub-orchestrations, and those of these, as well.
        recurse: bool,
    },
    /// Finished ones.
    Finished {
        /// In one of these states; empty means all terminal states. Others are refused.
        statuses: Vec<OrchestrationStatus>,
        /// Created at or after.
        created_from: Option<Timestamp>,
        /// Created at or before.
        created_to: Option<Timestamp>,
        /// Completed at or before.
        completed_to: Option<Timestamp>,
        /// At most this many in one call, which is one transaction.
        limit: u32,
        /// Remove their sub-orchestrations that have ended, and those of these, as well; these are not limited.
        recurse: bool,
    },
}

impl PurgeFilter {
    /// Exactly one instance; a live one only with `force`.
    #[must_use]
    pub fn instance(id: InstanceId, force: bool) -> Self {
        Self::Instances { ids: vec![id], force, recurse: false }
    }
}

/// What purging did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeOutcome {
    /// Instances removed.
    pub purged: u64,
    /// Whether nothing that matches is left.
    pub complete: bool,
}

impl SendOutcome {
    /// The number under which the message waits, if it does.
    #[must_use]
    pub fn number(&self) -> Option<MessageNumber> {
        match self {
            Self::Sent { message, .. } => Some(message.number),
            _ => None,
        }
    }
}
