//! What is refused at the door, so that nothing unstorable is ever accepted.

use crate::{InstanceId, InvalidId, Tags};

/// Sizes that a task hub accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters in an instance id (100 is the family's limit).
    pub instance_id_chars: usize,
    /// Bytes of one payload: an input, a result, an event, a custom status.
    pub payload_bytes: usize,
    /// Bytes of all tags of an instance or activity, as JSON.
    pub tags_bytes: usize,
    /// Characters in the name of an orchestration, an activity or an event, and in a version.
    pub name_chars: usize,
    /// Messages that one turn takes; the rest waits for the next turn.
    pub events_per_turn: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instance_id_chars: 100,
            payload_bytes: 16 * 1024 * 1024,
            tags_bytes: 8 * 1024,
            name_chars: 300,
            events_per_turn: 1000,
        }
    }
}

/// Something that exceeds a limit or contains what PostgreSQL text cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// See [`InvalidId`].
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A text over its limit.
    #[error(
        "{what} has {actual} {unit}, the limit is {limit}: make it smaller (large data belongs in a store of its own, with a reference here)"
    )]
    Size {
        /// Which text.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// `bytes` or `characters`.
        unit: &'static str,
        /// The limit in the same unit.
        limit: usize,
    },
    /// U+0000.
    #[error("{what} contains U+0000, which PostgreSQL text cannot hold: remove it, or encode the bytes (base64)")]
    Nul {
        /// Which text.
        what: &'static str,
    },
    /// A name that is empty.
    #[error("{what} is empty: give it a name")]
    Empty {
        /// Which name.
        what: &'static str,
    },
}

impl Limits {
    /// Checks the length of an instance id; its characters were checked when it was made.
    ///
    /// # Errors
    /// [`TooLarge::Id`].
    pub fn check_instance_id(&self, id: &InstanceId) -> Result<(), TooLarge> {
        let actual = id.as_str().chars().count();
        if actual > self.instance_id_chars {
            return Err(InvalidId::TooLong { actual, limit: self.instance_id_chars }.into());
        }
        Ok(())
    }

    /// Checks a payload.
    ///
    /// # Errors
    /// [`TooLarge::Size`] or [`TooLarge::Nul`].
    pub fn check_payload(&self, what: &'static str, payload: Option<&str>) -> Result<(), TooLarge> {
        let Some(text) = payload else { return Ok(()) };
        if text.len() > self.payload_bytes {
            return Err(TooLarge::Size { what, actual: text.len(), unit: "bytes", limit: self.payload_bytes });
        }
        check_nul(what, text)
    }

    /// Checks a name or a version.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn check_name(&self, what: &'static str, name: &str) -> Result<(), TooLarge> {
        let actual = name.chars().count();
        if actual > self.name_chars {
            return Err(TooLarge::Size { what, actual, unit: "characters", limit: self.name_chars });
        }
        if actual == 0 {
            return Err(TooLarge::Empty { what });
        }
        check_nul(what, name)
    }

    /// Checks a set of tags.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn check_tags(&self, tags: &Tags) -> Result<(), TooLarge> {
        let what = "the set of tags";
        for (key, value) in tags {
            check_nul(what, key)?;
            check_nul(what, value)?;
        }
        // What a JSON object of strings takes, escapes aside: quotes, colon and comma around each pair.
        let actual: usize = tags.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        if actual > self.tags_bytes {
            return Err(TooLarge::Size { what, actual, unit: "bytes", limit: self.tags_bytes });
        }
        Ok(())
    }
}

fn check_nul(what: &'static str, text: &str) -> Result<(), TooLarge> {
    if text.contains('\0') { Err(TooLarge::Nul { what }) } else { Ok(()) }
}
