//! The states of an orchestration instance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an instance stands. Numbers and names are those of the Durable Task family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(i16)]
pub enum OrchestrationStatus {
    /// The first turn has committed and the end is not reached.
    Running = 0,
    /// The function returned a value.
    Completed = 1,
    /// The function returned an error.
    Failed = 3,
    /// Ended from outside.
    Terminated = 5,
    /// Created; the first turn has not committed.
    Pending = 6,
    /// Held still until it is resumed.
    Suspended = 7,
}

impl OrchestrationStatus {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Completed, Self::Failed, Self::Terminated, Self::Pending, Self::Suspended];

    /// Whether the instance has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Terminated)
    }

    /// The number under which it is stored.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The state with that number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The word for the state, as it is shown and read back.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Terminated => "Terminated",
            Self::Pending => "Pending",
            Self::Suspended => "Suspended",
        }
    }
}

impl fmt::Display for OrchestrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a status: use Pending, Running, Suspended, Completed, Failed or Terminated")]
pub struct UnknownStatus(String);

impl FromStr for OrchestrationStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}
