//! Entities: a little state under a name, changed by one operation after the other.
//!
//! An entity is an instance whose id is `@name@key`. It has no history: a turn of it is a batch of operations, takes
//! their messages, and replaces the state. Who calls is told by a message; a lock makes everybody but its owner wait.
//!
//! Deliberately absent: entity ids in any other form, and operations that wait for something.

use serde::{Deserialize, Serialize};

use crate::{DispatchId, ExecutionId, FailureDetails, InstanceId, InstanceKey, Timestamp, TraceContext};

/// The execution of an orchestration that called, signalled or locked an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityCaller {
    /// Its row.
    pub key: InstanceKey,
    /// Its generation number.
    pub execution: i32,
    /// Its instance id.
    pub instance_id: InstanceId,
    /// The id of its execution.
    pub execution_id: ExecutionId,
    /// The step that waits for an answer; `None`: nobody waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<DispatchId>,
}

impl EntityCaller {
    /// Whether both are the same execution, whatever step it is.
    #[must_use]
    pub fn is_same_execution(&self, other: &Self) -> bool {
        (self.key, self.execution) == (other.key, other.execution)
    }
}

/// One operation for an entity to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityOperation {
    /// What the caller calls it by; a GUID in text, if the server made it.
    pub request_id: String,
    /// The operation's name.
    pub operation: String,
    /// Its input.
    pub input: Option<String>,
    /// The orchestration that sent it; `None` for clients and other entities.
    pub caller: Option<EntityCaller>,
    /// When it was sent, by the database clock.
    pub sent_at: Timestamp,
    /// Where its span hangs.
    pub trace: Option<TraceContext>,
}

impl EntityOperation {
    /// Whether nobody waits for an answer.
    #[must_use]
    pub fn is_signal(&self) -> bool {
        self.caller.as_ref().is_none_or(|caller| caller.dispatch.is_none())
    }
}

/// What an entity runs at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityBatch {
    /// The row.
    pub key: InstanceKey,
    /// The entity.
    pub instance_id: InstanceId,
    /// The id of its row's execution.
    pub execution_id: ExecutionId,
    /// Its state; `None`: it has none.
    pub state: Option<String>,
    /// The operations, in order.
    pub operations: Vec<EntityOperation>,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityBatchResult {
    /// An answer to each operation, in order; those without one at the end are run again.
    pub results: Vec<Result<Option<String>, FailureDetails>>,
    /// What the operations sent, in order.
    pub actions: Vec<EntityAction>,
    /// The state from now on; `None` deletes it.
    pub state: Option<String>,
}

/// Something that an operation does besides changing the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields named like their content
pub enum EntityAction {
    /// Signal another entity, or itself.
    Signal {
        target: InstanceId,
        request_id: String,
        operation: String,
        input: Option<String>,
        not_before: Option<Timestamp>,
        trace: Option<TraceContext>,
    },
    /// Start an orchestration; nobody hears of its end. An id in use is left alone.
    Start {
        instance_id: InstanceId,
        execution_id: ExecutionId,
        name: String,
        version: Option<String>,
        input: Option<String>,
        scheduled_start: Option<Timestamp>,
        trace: Option<TraceContext>,
    },
}

/// Who may use a locked entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityLock {
    /// The critical section.
    pub critical_section: String,
    /// The orchestration that is in it.
    pub owner: EntityCaller,
}

/// An entity, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRecord {
    /// The row.
    pub key: InstanceKey,
    /// `@name@key`.
    pub instance_id: InstanceId,
    /// Whether it has a state: only then it exists for users.
    pub exists: bool,
    /// The state, if it was asked for.
    pub state: Option<String>,
    /// The instance that holds its lock.
    pub locked_by: Option<InstanceId>,
    /// Operations that wait.
    pub backlog: u64,
    /// When a batch last ended.
    pub updated_at: Timestamp,
}

/// Which entities, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityQuery {
    /// Ids that begin so; `@` for all. Names are lower case.
    pub id_prefix: Option<String>,
    /// Changed at or after.
    pub updated_from: Option<Timestamp>,
    /// Changed at or before.
    pub updated_to: Option<Timestamp>,
    /// Whether to read the state.
    pub include_state: bool,
    /// Also those without a state.
    pub include_transient: bool,
    /// How many at most.
    pub page_size: u32,
    /// Those behind this one.
    pub after: Option<InstanceId>,
}

/// A page of entities, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityPage {
    /// What was found.
    pub entities: Vec<EntityRecord>,
    /// The last one of the page; `None` when there is no other page.
    pub next: Option<InstanceId>,
}

/// What to tidy up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanEntities {
    /// Remove entities without a state, a lock and waiting operations.
    pub remove_empty: bool,
    /// Release locks whose owner does not run any more.
    pub release_orphaned_locks: bool,
    /// How many rows to look at, at most.
    pub limit: u32,
    /// Those behind this one.
    pub after: Option<InstanceId>,
}

/// What was tidied up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanedEntities {
    /// Rows removed.
    pub removed: u64,
    /// Locks released.
    pub released: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<InstanceId>,
}

/// What a batch changes of an entity besides what every [`crate::Checkpoint`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityChange {
    /// The state after it.
    pub state: Option<String>,
    /// The lock after it.
    pub lock: Option<EntityLock>,
    /// Messages that wait for the end of the critical section: they are hidden until it is over.
    pub parked: Vec<crate::MessageNumber>,
    /// The critical section is over: what was hidden waits again, in its old order.
    pub unpark: bool,
    /// Critical sections that ended before the entity was locked for them: hidden requests for them go.
    pub withdrawn: Vec<String>,
}
