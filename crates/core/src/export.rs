//! An instance as a document: to keep, to move to another hub, or to begin a fork with.
//!
//! It holds the current execution: what the row says, its turns, and what waits to be delivered. Deliberately absent:
//! former executions, and the rows of activities, which whoever claims the instance dispatches again, because their
//! steps are open in history and have no answer. Payloads are strings, byte for byte.

use serde::{Deserialize, Serialize};

use crate::{
    BackendError, BackendResult, DispatchId, ExecutionId, ExecutionStarted, FailureDetails, HistoryTurn, InstanceId,
    InstanceKey, InstanceRecord, Limits, Message, MessageBody, OrchestrationStatus, ParentLink, RuntimeState, Tags,
    Timestamp,
};

/// The version of the document that this program writes and reads.
pub const EXPORT_FORMAT: u32 = 1;

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // named as in InstanceRecord
pub struct ExportedInstance {
    /// [`EXPORT_FORMAT`].
    pub format: u32,
    pub instance_id: InstanceId,
    pub execution_id: ExecutionId,
    pub execution: i32,
    pub name: String,
    pub version: Option<String>,
    #[serde(default)]
    pub tags: Tags,
    pub parent: Option<ExportedParent>,
    pub status: OrchestrationStatus,
    pub created_at: Timestamp,
    pub scheduled_start: Option<Timestamp>,
    pub updated_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub turn: i64,
    /// The turn at which the execution began.
    pub execution_turn: i64,
    pub input: Option<String>,
    pub output: Option<String>,
    pub custom_status: Option<String>,
    pub failure: Option<FailureDetails>,
    /// The turns of the execution.
    pub history: Vec<ExportedTurn>,
    /// What waits to be delivered, in order.
    pub messages: Vec<ExportedMessage>,
}

/// The step of a parent that waits, by the parent's instance id: keys are different in each hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // named as in ParentLink
pub struct ExportedParent {
    pub instance_id: InstanceId,
    pub execution: i32,
    pub dispatch: DispatchId,
    pub task_id: i32,
}

/// A turn, its events in the form in which they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // named as in HistoryTurn
pub struct ExportedTurn {
    pub turn: i64,
    pub time: Timestamp,
    pub events: serde_json::Value,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // named as in Message
pub struct ExportedMessage {
    pub execution: Option<i32>,
    pub sent_at: Timestamp,
    pub visible_at: Timestamp,
    pub body: MessageBody,
}

/// What became of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is there.
    Imported {
        /// Its row.
        key: InstanceKey,
        /// Its parent is not there, or has gone on: nobody waits for it.
        orphaned: bool,
    },
    /// An instance has its id; nothing was changed.
    AlreadyExists(OrchestrationStatus),
}

impl ExportedTurn {
    /// The turn as a document.
    #[must_use]
    pub fn new(turn: &HistoryTurn) -> Self {
        let events = HistoryTurn::encode_events(&turn.events, turn.time);
        // Unwrap safety: the text was just encoded.
        let events = serde_json::from_str(&events).expect("encoded events are JSON");
        Self { turn: turn.turn, time: turn.time, events }
    }

    /// The turn that the document tells.
    ///
    /// # Errors
    /// The JSON error, when it is not an array of known events.
    pub fn read(&self) -> serde_json::Result<HistoryTurn> {
        let events = HistoryTurn::decode_events(&self.events.to_string(), self.time)?;
        Ok(HistoryTurn { turn: self.turn, time: self.time, events })
    }
}

impl From<Message> for ExportedMessage {
    fn from(message: Message) -> Self {
        let Message { execution, sent_at, visible_at, body, .. } = message;
        Self { execution, sent_at, visible_at, body }
    }
}

impl From<&ParentLink> for ExportedParent {
    fn from(link: &ParentLink) -> Self {
        let (instance_id, execution) = (link.instance_id.clone(), link.execution);
        Self { instance_id, execution, dispatch: link.dispatch, task_id: link.task_id }
    }
}

impl ExportedInstance {
    /// The document of what a store holds.
    #[must_use]
    pub fn new(
        record: InstanceRecord,
        parent: Option<&ParentLink>,
        execution_turn: i64,
        history: &[HistoryTurn],
        messages: Vec<Message>,
    ) -> Self {
        Self {
            format: EXPORT_FORMAT,
            instance_id: record.instance_id,
            execution_id: record.execution_id,
            execution: record.execution,
            name: record.name,
            version: record.version,
            tags: record.tags,
            parent: parent.map(ExportedParent::from),
            status: record.status,
            created_at: record.created_at,
            scheduled_start: record.scheduled_start,
            updated_at: record.updated_at,
            completed_at: record.completed_at,
            turn: record.turn,
            execution_turn,
            input: record.input,
            output: record.output,
            custom_status: record.custom_status,
            failure: record.failure,
            history: history.iter().map(ExportedTurn::new).collect(),
            messages: messages.into_iter().map(ExportedMessage::from).collect(),
        }
    }

    /// What opened the execution, without its parent.
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
            trace: None,
        }
    }

    /// Its turns.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when one holds something else than known events.
    pub fn turns(&self) -> BackendResult<Vec<HistoryTurn>> {
        let read =
            |turn: &ExportedTurn| turn.read().map_err(|error| self.wrong(format!("turn {}: {error}", turn.turn)));
        self.history.iter().map(read).collect()
    }

    /// Checks that it is an instance such as a store could hold, and returns its turns.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] with what is wrong.
    pub fn check(&self, limits: &Limits) -> BackendResult<Vec<HistoryTurn>> {
        if self.format != EXPORT_FORMAT {
            let ours = format!("format {} is not known, this program reads {EXPORT_FORMAT}", self.format);
            return Err(self.wrong(ours));
        }
        let for_entities = self.messages.iter().any(|message| message.body.is_for_entities());
        if self.instance_id.is_entity() || self.name.starts_with('@') || for_entities {
            return Err(self.wrong("it is an entity, and only orchestrations move".to_owned()));
        }
        let payloads =
            [("the input", &self.input), ("the output", &self.output), ("the custom status", &self.custom_status)];
        let checked = limits
            .check_instance_id(&self.instance_id)
            .and_then(|()| limits.check_name("the orchestration", &self.name))
            .and_then(|()| limits.check_tags(&self.tags))
            .and_then(|()| payloads.iter().try_for_each(|(what, text)| limits.check_payload(what, text.as_deref())));
        checked.map_err(|error| self.wrong(error.to_string()))?;
        if self.status.is_terminal() != self.completed_at.is_some() {
            return Err(self.wrong(format!("it is {} and completedAt says otherwise", self.status)));
        }
        let turns = self.turns()?;
        let fresh = RuntimeState::new(InstanceKey(0), self.execution, self.execution_turn, self.started());
        let state = fresh.replay(&turns).map_err(|error| self.wrong(error.problem))?;
        // One that was ended before it began has no turn that tells.
        if state.turn != self.turn || (state.status != self.status && !turns.is_empty()) {
            return Err(self.wrong(format!(
                "its history ends with turn {} as {}, and it says turn {} and {}",
                state.turn, state.status, self.turn, self.status
            )));
        }
        let mut open = state.unanswered(self.messages.iter().map(|message| &message.body));
        if !self.status.is_terminal() && open.any(|(_, open)| open.kind.is_of_entity()) {
            return Err(self.wrong(
                "it waits for an entity, whose answer would not come here: export it when that is there".to_owned(),
            ));
        }
        Ok(turns)
    }

    fn wrong(&self, what: String) -> BackendError {
        BackendError::invalid(format!("instance '{}' cannot be imported: {what}", self.instance_id))
    }
}
