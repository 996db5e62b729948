//! What a backend can fail with, sorted by who must act.

/// Any cause of an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of a backend method.
pub type BackendResult<T> = Result<T, BackendError>;

/// Why a backend could not do what it was asked. Lost races are no errors: they are outcomes.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The node's lease ran out and others took its work over. The engine drops what it holds and returns under a
    /// new id.
    #[error("this node's lease ran out and its work was taken over")]
    NodeGone,
    /// There is no such task hub (any more); the message says when one is made. Whoever has it open closes it.
    #[error("{context}")]
    HubGone {
        /// Which, what was tried and what to do.
        context: String,
        /// The cause below it.
        #[source]
        source: Option<BoxError>,
    },
    /// The caller gave something that can never be stored; the message says what to change.
    #[error("{context}")]
    Invalid {
        /// What is wrong and what to do.
        context: String,
        /// The cause below it.
        #[source]
        source: Option<BoxError>,
    },
    /// The database did not answer, or answered with a passing fault, until the deadline. It may be tried again.
    #[error("{context}")]
    Unavailable {
        /// What was tried, for how long, and what to look at.
        context: String,
        /// The last cause.
        #[source]
        source: Option<BoxError>,
    },
    /// The database will not serve us until an operator changes something: rights, version, read-only, settings.
    #[error("{context}")]
    Refused {
        /// What was refused and what to do.
        context: String,
        /// The cause below it.
        #[source]
        source: Option<BoxError>,
    },
    /// What is stored cannot be understood; nothing was skipped and nothing was changed.
    #[error("{context}")]
    Corrupt {
        /// Where, and what was expected.
        context: String,
        /// The cause below it.
        #[source]
        source: Option<BoxError>,
    },
}

impl BackendError {
    /// [`BackendError::Invalid`] without a cause.
    pub fn invalid(context: impl Into<String>) -> Self {
        Self::Invalid { context: context.into(), source: None }
    }

    /// [`BackendError::Unavailable`] without a cause.
    pub fn unavailable(context: impl Into<String>) -> Self {
        Self::Unavailable { context: context.into(), source: None }
    }

    /// [`BackendError::Refused`] without a cause.
    pub fn refused(context: impl Into<String>) -> Self {
        Self::Refused { context: context.into(), source: None }
    }

    /// [`BackendError::Corrupt`] with its cause.
    pub fn corrupt(context: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Corrupt { context: context.into(), source: Some(source.into()) }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
