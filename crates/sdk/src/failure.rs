//! How user code fails, and how it sees the failures of what it called.
//!
//! [`Failure`] takes any error by `?`. It is not itself a `std::error::Error`: that is what lets it take any.

use std::any::{Any, type_name};
use std::error::Error;
use std::fmt;

use everdure_core::FailureDetails;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why an orchestration or activity ended without a result; also carries a request to continue as new.
pub struct Failure(pub(crate) Ending);

#[derive(Debug)]
pub(crate) enum Ending {
    Failed(Box<FailureDetails>),
    ContinueAsNew { input: Option<String>, version: Option<String> },
}

impl Failure {
    /// A failure with a type, for code that branches on it, and a message, for people.
    #[must_use]
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self::from_details(FailureDetails::new(error_type, message))
    }

    /// A failure which carries `error` as data, so that the caller can have it back with [`CallError::downcast`].
    #[must_use]
    pub fn typed<E: Error + Serialize + 'static>(error: &E) -> Self {
        let mut details = describe(error, type_name::<E>());
        details.data = serde_json::to_string(error).ok();
        Self::from_details(details)
    }

    /// The same failure, marked as not worth another try.
    #[must_use]
    pub fn non_retriable(mut self) -> Self {
        if let Ending::Failed(details) = &mut self.0 {
            details.is_non_retriable = true;
        }
        self
    }

    /// A failure with these details.
    #[must_use]
    pub fn from_details(details: FailureDetails) -> Self {
        Self(Ending::Failed(Box::new(details)))
    }

    pub(crate) fn into_details(self) -> FailureDetails {
        match self.0 {
            Ending::Failed(details) => *details,
            Ending::ContinueAsNew { .. } => {
                FailureDetails::new("ContinueAsNew", "only an orchestration can continue as new").non_retriable()
            }
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ending::Failed(details) => details.fmt(f),
            Ending::ContinueAsNew { .. } => f.write_str("continue as new"),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(details) = any.downcast_ref::<FailureDetails>() {
            return Self::from_details(details.clone());
        }
        if let Some(call) = any.downcast_ref::<CallError>() {
            let details = FailureDetails::new(call.what.error_type(), call.to_string());
            return Self::from_details(details.caused_by(call.details.clone()));
        }
        Self::from_details(describe(&error, type_name::<E>()))
    }
}

fn describe(error: &dyn Error, error_type: &str) -> FailureDetails {
    let mut details = FailureDetails::new(error_type, error.to_string());
    details.inner_failure = error.source().map(|source| Box::new(describe(source, "Error")));
    details
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Activity,
    SubOrchestration,
    Event,
    Operation,
    Lock,
}

impl Callee {
    fn error_type(self) -> &'static str {
        match self {
            Self::Activity => "TaskFailed",
            Self::SubOrchestration => "SubOrchestrationFailed",
            Self::Event => "EventUnreadable",
            Self::Operation => "EntityOperationFailed",
            Self::Lock => "LockFailed",
        }
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Activity => "activity",
            Self::SubOrchestration => "sub-orchestration",
            Self::Event => "event",
            Self::Operation => "operation",
            Self::Lock => "lock",
        })
    }
}

/// An activity, a sub-orchestration or an operation of an entity failed, or its answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{name}' failed: {}", .details.error_message)]
pub struct CallError {
    pub(crate) what: Callee,
    pub(crate) name: String,
    pub(crate) details: FailureDetails,
}

impl CallError {
    /// The name of what was called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it said.
    #[must_use]
    pub fn details(&self) -> &FailureDetails {
        &self.details
    }

    /// The error that was given to [`Failure::typed`] over there: the outermost of that type in the chain of causes.
    #[must_use]
    pub fn downcast<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        self.details
            .chain()
            .filter(|details| details.error_type == type_name::<E>())
            .find_map(|details| serde_json::from_str(details.data.as_deref()?).ok())
    }
}
