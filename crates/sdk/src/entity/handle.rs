//! What names an entity and its operations, with their types.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use everdure_core::{InstanceId, InvalidId, Limits, TooLarge};
use serde::{Deserialize, Serialize};

/// Names a kind of entity with the type of its state. Upper and lower case of the name are alike.
pub struct Entity<S> {
    name: &'static str,
    types: PhantomData<fn() -> S>,
}

impl<S> Entity<S> {
    /// A handle for that name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// A handle for one of its operations.
    #[must_use]
    pub const fn operation<In, Out>(&self, name: &'static str) -> Operation<S, In, Out> {
        Operation { name, types: PhantomData }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The entity of that key. Every key names one; it needs no making.
    ///
    /// # Errors
    /// [`InvalidId`] when the key has control characters or is too long, or when the name cannot be that of an entity.
    pub fn id(&self, key: impl fmt::Display) -> Result<EntityId<S>, InvalidId> {
        let id = InstanceId::entity(self.name, &key.to_string())?;
        match Limits::default().check_instance_id(&id) {
            Err(TooLarge::Id(invalid)) => Err(invalid),
            _ => Ok(EntityId::untyped(id)),
        }
    }
}

impl<S> Clone for Entity<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Entity<S> {}

impl<S> fmt::Debug for Entity<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entity").field(&self.name).finish()
    }
}

/// Names an operation of an entity with its input and output. Made by [`Entity::operation`].
pub struct Operation<S, In, Out> {
    name: &'static str,
    types: PhantomData<fn(In, S) -> Out>,
}

impl<S, In, Out> Operation<S, In, Out> {
    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<S, In, Out> Clone for Operation<S, In, Out> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, In, Out> Copy for Operation<S, In, Out> {}

impl<S, In, Out> fmt::Debug for Operation<S, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name).finish()
    }
}

/// One entity: a name, a key, and the type of its state. As JSON it is its id, `@name@key`.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "InstanceId", into = "InstanceId", bound = "")]
pub struct EntityId<S> {
    id: InstanceId,
    types: PhantomData<fn() -> S>,
}

impl<S> EntityId<S> {
    fn untyped(id: InstanceId) -> Self {
        Self { id, types: PhantomData }
    }

    /// The id as the store knows it: `@name@key`.
    #[must_use]
    pub fn instance_id(&self) -> &InstanceId {
        &self.id
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.id.entity_parts().map_or("", |(_, key)| key)
    }
}

/// For ids that come from elsewhere; whether the state has that type shows when it is read.
impl<S> TryFrom<InstanceId> for EntityId<S> {
    type Error = InvalidId;
    fn try_from(id: InstanceId) -> Result<Self, InvalidId> {
        match id.entity_parts() {
            Some((name, key)) => InstanceId::entity(&name[1..], key).map(Self::untyped),
            None => Err(InvalidId::NotEntity(id.into())),
        }
    }
}

impl<S> From<EntityId<S>> for InstanceId {
    fn from(entity: EntityId<S>) -> Self {
        entity.id
    }
}

impl<S> From<&EntityId<S>> for InstanceId {
    fn from(entity: &EntityId<S>) -> Self {
        entity.id.clone()
    }
}

impl<S> Clone for EntityId<S> {
    fn clone(&self) -> Self {
        Self::untyped(self.id.clone())
    }
}

impl<S> PartialEq for EntityId<S> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<S> Eq for EntityId<S> {}

impl<S> Hash for EntityId<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<S> fmt::Debug for EntityId<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntityId").field(&self.id.as_str()).finish()
    }
}

impl<S> fmt::Display for EntityId<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
