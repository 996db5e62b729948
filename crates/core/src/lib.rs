//! The vocabulary of durable orchestrations, the turn, and the trait that every backend fulfils.
//!
//! The idea: an orchestration is a function of its history. This crate says what a history is, how new messages and
//! the actions of user code become the next turn of it ([`RuntimeState`], [`OpenTurn`]), and what a store must do to
//! keep it ([`Backend`]). Everything here is a pure value or a pure function.
//!
//! Deliberately absent: an async runtime, SQL, the wire, a clock and randomness. Times and ids come in as arguments,
//! so that the same inputs always give the same checkpoint.

mod entity;
mod entity_turn;
mod error;
mod export;
mod failure;
mod fork;
mod ids;
mod limits;
mod poison;
mod rewind;
mod setting;
mod status;
mod trace;

mod history;
mod message;

mod action;
mod checkpoint;
mod state;
mod turn;

mod backend;
mod instance;
mod node;
mod work_item;

pub use action::{Action, ActionKind, TurnActions};
pub use backend::{Backend, Hint, HintStream};
pub use checkpoint::{
    Checkpoint, CheckpointOutcome, ChildOutcome, Landed, NewActivity, NewChild, NewTimer, NextExecution,
    OutboundMessage, Sent, Target,
};
pub use entity::{
    CleanEntities, CleanedEntities, EntityAction, EntityBatch, EntityBatchResult, EntityCaller, EntityChange,
    EntityLock, EntityOperation, EntityPage, EntityQuery, EntityRecord,
};
pub use entity_turn::{HeldEntity, OpenBatch};
pub use error::{BackendError, BackendResult, BoxError};
pub use export::{EXPORT_FORMAT, ExportedInstance, ExportedMessage, ExportedParent, ExportedTurn, ImportOutcome};
pub use failure::FailureDetails;
pub use fork::{AwaitedChild, Fork};
pub use history::{EventData, ExecutionStarted, HistoryEvent, HistoryPart, HistoryTurn, ParentLink};
pub use ids::{DispatchId, ExecutionId, InstanceId, InstanceKey, InvalidId, MessageNumber, NodeId, RequestId};
pub use instance::{
    CreateInstance, CreateOutcome, CustomStatusIs, Execution, InstanceIdPage, InstanceQuery, InstanceRecord,
    ListInstanceIds, Page, PageToken, PurgeFilter, PurgeOutcome, ReusePolicy, SendMessage, SendOutcome, StatusSet,
};
pub use limits::{Limits, TooLarge};
pub use message::{Message, MessageBody};
pub use node::{NodeLease, Reaped, RegisterNode, Whereabouts};
pub use poison::{DEFAULT_ATTEMPTS, FailedAttempt, Poisoned, PoisonedActivity, SET_ASIDE, back_off};
pub use rewind::{Observed, OpenCall, OpenChild, Rewinding, rewind};
pub use setting::{Setting, SettingName, SettingValue};
pub use state::{CorruptHistory, OpenDispatch, OpenKind, RuntimeState};
pub use status::OrchestrationStatus;
pub use trace::{OrchestrationTrace, TraceContext};
pub use turn::{InboxItem, OpenTurn, TurnError};
pub use work_item::{
    AbandonActivity, ActivityId, ActivityTask, CompleteActivity, CompleteOutcome, Demote, DemoteOutcome,
    LockActivities, LockOrchestrations, LockedActivities, LockedActivity, LockedOrchestration, LockedOrchestrations,
    NameFilter,
};

/// A point in time, to the microsecond, as PostgreSQL keeps it.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// String tags of an instance or an activity, in key order.
pub type Tags = std::collections::BTreeMap<String, String>;
