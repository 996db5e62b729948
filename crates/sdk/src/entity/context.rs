//! What an operation has besides the state.

use std::fmt;
use std::sync::Arc;

use everdure_core::{EntityAction, EntityOperation, ExecutionId, InstanceId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::handle::{EntityId, Operation};
use super::sent::{Effects, SentSignal, SentStart};
use crate::failure::Failure;
use crate::handle::Orchestration;
use crate::json;

/// What an operation knows of itself, and what it does to others. Signals and starts leave when the operation is recorded,
/// in their order, and not at all when it fails.
#[derive(Clone)]
pub struct EntityContext {
    id: Arc<InstanceId>,
    operation: Arc<EntityOperation>,
    exists: bool,
    effects: Effects,
}

impl EntityContext {
    pub(super) fn new(id: Arc<InstanceId>, operation: EntityOperation, exists: bool, effects: Effects) -> Self {
        Self { id, operation: Arc::new(operation), exists, effects }
    }

    /// The entity: `@name@key`.
    #[must_use]
    pub fn entity_id(&self) -> &InstanceId {
        &self.id
    }

    /// The entity's key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.id.entity_parts().map_or("", |(_, key)| key)
    }

    /// The operation's name, as the caller wrote it.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation.operation
    }

    /// The same each time this request runs, and no other's: an operation runs again when its worker dies before it is
    /// recorded, and effects outside of the entity need a key by which repetitions are dropped.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.operation.request_id
    }

    /// Whether nobody waits for the result.
    #[must_use]
    pub fn is_signal(&self) -> bool {
        self.operation.is_signal()
    }

    /// The orchestration that called or signalled; `None` for clients and entities.
    #[must_use]
    pub fn caller(&self) -> Option<&InstanceId> {
        self.operation.caller.as_ref().map(|caller| &caller.instance_id)
    }

    /// When the request was sent or, if it was delayed, due: by the database clock.
    #[must_use]
    pub fn sent_at(&self) -> Timestamp {
        self.operation.sent_at
    }

    /// Whether the entity had a state before this operation; else the operation sees a default one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Removes the state: the entity is gone when the operation has succeeded, and the next operation begins anew.
    pub fn delete_state(&self) {
        self.effects.lock().deleted = true;
    }

    /// Signals an entity, also this one. `.at(time)` delays it.
    ///
    /// # Errors
    /// [`Failure`] when the input cannot be written as JSON, or the operation is over.
    pub fn signal_entity<S, In: Serialize, Out>(
        &self,
        entity: &EntityId<S>,
        operation: &Operation<S, In, Out>,
        input: In,
    ) -> Result<SentSignal, Failure> {
        let place = self.effects.push(EntityAction::Signal {
            target: entity.into(),
            request_id: Uuid::new_v4().to_string(),
            operation: operation.name().to_owned(),
            input: json::encode("the input of the operation", &input)?,
            not_before: None,
            trace: None,
        })?;
        Ok(SentSignal::by_entity(&self.effects, place))
    }

    /// Starts an orchestration, which has no parent: nobody here hears of its end.
    ///
    /// # Errors
    /// [`Failure`] when the input cannot be written as JSON, or the operation is over.
    pub fn start_orchestration<In: Serialize, Out>(
        &self,
        orchestration: &Orchestration<In, Out>,
        input: In,
    ) -> Result<SentStart, Failure> {
        let place = self.effects.push(EntityAction::Start {
            instance_id: InstanceId::new(Uuid::new_v4().as_simple().to_string())?,
            execution_id: ExecutionId::from_uuid(Uuid::new_v4()),
            name: orchestration.name().to_owned(),
            version: orchestration.version_name().map(str::to_owned),
            input: json::encode("the input of the orchestration", &input)?,
            scheduled_start: None,
            trace: None,
        })?;
        Ok(SentStart::new(&self.effects, place))
    }
}

impl fmt::Debug for EntityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityContext")
            .field("entity_id", &self.id)
            .field("operation", &self.operation())
            .finish_non_exhaustive()
    }
}
