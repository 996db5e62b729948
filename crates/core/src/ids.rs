//! Identities: what a user names, what the database numbers, and what ties a result to the step that asked for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number under which the database knows one creation of an instance. A re-created or replaced instance gets a
/// new key, so whatever still holds the old one can never touch the new instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceKey(pub i64);

/// One Everdure process attached to a database. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub i64);

/// The number of a message to one instance. Of two messages to the same instance the one with the lower number is
/// delivered first; negative numbers belong to events that continue-as-new carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageNumber(pub i64);

/// A client-made id of a request, by which a repetition of it is recognised.
pub type RequestId = Uuid;

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(InstanceKey, NodeId, MessageNumber);

/// An id that cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing, or only white space.
    #[error("the instance id is empty: give it at least one visible character")]
    Empty,
    /// A control character, U+0000 included: PostgreSQL cannot store that one, and people cannot see the others.
    #[error("the instance id contains the control character U+{0:04X}: remove it")]
    ControlCharacter(u32),
    /// Longer than the limit of the task hub.
    #[error("the instance id has {actual} characters, the limit is {limit}: shorten it or raise the limit of the hub")]
    TooLong {
        /// Characters in the id.
        actual: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// An entity's name is a part of its id.
    #[error("'{0}' cannot be the name of an entity: use visible characters, and no '@'")]
    EntityName(String),
    /// Only entities can be meant.
    #[error("'{0}' is not the id of an entity: it has the form @name@key")]
    NotEntity(String),
    /// Ids of entities are for entities.
    #[error("'{0}' is the id of an entity: an orchestration's id does not begin with '@'")]
    Entity(String),
    /// Not `turn.index`.
    #[error("'{0}' is not a dispatch id: expected two numbers with a dot between them")]
    Dispatch(String),
    /// Not 32 hexadecimal digits.
    #[error("'{0}' is not an execution id: expected 32 hexadecimal digits")]
    Execution(String),
}

/// The name that a user gives to an orchestration instance; unique within a task hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// Checks and wraps `id`. The length limit is a setting and is checked by [`crate::Limits`].
    ///
    /// # Errors
    /// [`InvalidId`] when the id is empty or has control characters.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        if id.trim().is_empty() {
            return Err(InvalidId::Empty);
        }
        match id.chars().find(|c| c.is_control()) {
            Some(c) => Err(InvalidId::ControlCharacter(u32::from(c))),
            None => Ok(Self(id)),
        }
    }

    /// The id of an entity: `@name@key`, the name in lower case.
    ///
    /// # Errors
    /// [`InvalidId`] when the name is empty or has an `@`, or when the key has control characters.
    pub fn entity(name: &str, key: &str) -> Result<Self, InvalidId> {
        if name.trim().is_empty() || name.contains('@') {
            return Err(InvalidId::EntityName(name.to_owned()));
        }
        Self::new(format!("@{}@{key}", name.to_lowercase()))
    }

    /// Name (with its `@`) and key, if this is the id of an entity.
    #[must_use]
    pub fn entity_parts(&self) -> Option<(&str, &str)> {
        let at = self.0.strip_prefix('@')?.find('@')? + 1;
        Some((&self.0[..at], &self.0[at + 1..])).filter(|(name, _)| name.len() > 1)
    }

    /// Whether it begins like the id of an entity: no orchestration has such an id.
    #[must_use]
    pub fn is_entity(&self) -> bool {
        self.0.starts_with('@')
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidId;
    fn try_from(id: String) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> String {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for InstanceId {
    type Err = InvalidId;
    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

/// One generation of an instance: a GUID of 32 hexadecimal digits. Continue-as-new begins the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(Uuid);

impl ExecutionId {
    /// Wraps a GUID that the caller drew.
    #[must_use]
    pub fn from_uuid(guid: Uuid) -> Self {
        Self(guid)
    }

    /// The GUID.
    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// The id that continue-as-new at `turn` gives to the next execution.
    #[must_use]
    pub fn next(&self, turn: i64) -> Self {
        Self(self.derive(&format!("continue-as-new:{turn}")))
    }

    /// The id of the child that `dispatch` creates.
    #[must_use]
    pub fn child(&self, dispatch: DispatchId) -> Self {
        Self(self.derive(&format!("child:{dispatch}")))
    }

    /// A GUID that is the same each time it is asked for with the same `name` in this execution (UUID version 5).
    #[must_use]
    pub fn derive(&self, name: &str) -> Uuid {
        Uuid::new_v5(&self.origin().0, name.as_bytes())
    }

    /// The id of this execution after a rewinding: whoever still works on the failed one names another id. They differ
    /// in the last byte, which counts rewindings.
    #[must_use]
    pub fn rewound(&self) -> Self {
        let mut bytes = *self.0.as_bytes();
        bytes[15] = bytes[15].wrapping_add(1);
        Self(Uuid::from_bytes(bytes))
    }

    /// What all ids of one execution have in common, before and after rewindings: what is derived from it stays.
    #[must_use]
    pub fn origin(&self) -> Self {
        let mut bytes = *self.0.as_bytes();
        bytes[15] = 0;
        Self(Uuid::from_bytes(bytes))
    }

    /// The key under which a step's side effects may be made idempotent: the same each time that it runs.
    #[must_use]
    pub fn idempotency_key(&self, dispatch: DispatchId) -> String {
        format!("{}/{dispatch}", self.origin())
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl FromStr for ExecutionId {
    type Err = InvalidId;
    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(id).map(Self).map_err(|_| InvalidId::Execution(id.to_owned()))
    }
}

impl Serialize for ExecutionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What identifies an activity, a timer or a child within an execution: the turn that scheduled it and its place
/// among that turn's actions. Task ids repeat, dispatch ids never do. Written `turn.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DispatchId {
    /// The turn whose checkpoint recorded the schedule.
    pub turn: i64,
    /// The place among the actions of that turn, from 0.
    pub index: u32,
}

impl fmt::Display for DispatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.turn, self.index)
    }
}

impl FromStr for DispatchId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split_once('.')
            .and_then(|(turn, index)| Some(Self { turn: turn.parse().ok()?, index: index.parse().ok()? }))
            .ok_or_else(|| InvalidId::Dispatch(text.to_owned()))
    }
}

impl Serialize for DispatchId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DispatchId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
