//! What a client can be told instead of an answer.

use std::sync::Arc;
use std::time::Duration;

use everdure_core::{BackendError, FailureDetails, InstanceId, OrchestrationStatus, TooLarge};

/// Why a client call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something given can never be stored.
    #[error(transparent)]
    Invalid(#[from] TooLarge),
    /// A value cannot be written or read as JSON.
    #[error(transparent)]
    Json(#[from] FailureDetails),
    /// The id is taken.
    #[error("instance '{id}' exists already and is {status}: choose another id, or wait for its end")]
    AlreadyExists {
        /// The id.
        id: InstanceId,
        /// The state of the one that has it.
        status: OrchestrationStatus,
    },
    /// No such instance.
    #[error("there is no instance '{0}' in this task hub: check the id, and whether it was purged")]
    NotFound(InstanceId),
    /// Only a failed instance can be rewound.
    #[error("rewinding is not allowed: instance '{id}' is {status}, and only a Failed one can be rewound")]
    NotFailed {
        /// The id.
        id: InstanceId,
        /// Its state.
        status: OrchestrationStatus,
    },
    /// The store cannot hold this request, and no other.
    #[error("the request cannot be stored: {0}")]
    Rejected(#[source] FailureDetails),
    /// The time to wait was over.
    #[error("instance '{id}' was {status} after {waited:?}: wait longer, or look at its history")]
    TimedOut {
        /// The instance.
        id: InstanceId,
        /// Where it stood at last.
        status: OrchestrationStatus,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The orchestration failed.
    #[error("instance '{id}' failed: {failure}")]
    Failed {
        /// The instance.
        id: InstanceId,
        /// What it said.
        #[source]
        failure: FailureDetails,
    },
    /// The orchestration was ended from outside.
    #[error("instance '{id}' was terminated: {}", .reason.as_deref().unwrap_or("no reason given"))]
    Terminated {
        /// The instance.
        id: InstanceId,
        /// What was given as the reason.
        reason: Option<String>,
    },
    /// The store could not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Over a connection to a server: its protocol cannot say that.
    #[error("{0} is not part of the protocol of servers: use a client on the database, or the command line there")]
    Unsupported(String),
    /// The store could not answer several who waited together.
    #[error(transparent)]
    Shared(Arc<BackendError>),
}

impl ClientError {
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::Unsupported(what.to_owned())
    }
}
