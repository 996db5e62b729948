//! Why something failed, as data that survives storage and crosses languages.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The failure of an activity, a sub-orchestration or an orchestration, as the Durable Task family records it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDetails {
    /// The name of the error's type, for code that branches on it.
    #[serde(rename = "type")]
    pub error_type: String,
    /// What happened, for people.
    #[serde(rename = "message")]
    pub error_message: String,
    /// Where it happened, if known.
    #[serde(rename = "stack", default, skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<String>,
    /// What caused it.
    #[serde(rename = "inner", default, skip_serializing_if = "Option::is_none")]
    pub inner_failure: Option<Box<FailureDetails>>,
    /// Whether trying again is pointless; retry policies then stop at once.
    #[serde(rename = "nonRetriable", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_non_retriable: bool,
    /// The error itself as JSON text, when the worker that raised it can read it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What SDKs attach besides, by name; passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Box<BTreeMap<String, serde_json::Value>>>,
}

impl FailureDetails {
    /// A failure with a type and a message.
    #[must_use]
    pub fn new(error_type: impl Into<String>, error_message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), error_message: error_message.into(), ..Self::default() }
    }

    /// The same failure, marked as not worth another try.
    #[must_use]
    pub fn non_retriable(mut self) -> Self {
        self.is_non_retriable = true;
        self
    }

    /// The same failure with what caused it.
    #[must_use]
    pub fn caused_by(mut self, inner: FailureDetails) -> Self {
        self.inner_failure = Some(Box::new(inner));
        self
    }

    /// About how many bytes of text it carries.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let one = |failure: &Self| {
            failure.error_type.len() + failure.error_message.len() + text(&failure.stack_trace) + text(&failure.data)
        };
        self.chain().map(one).sum()
    }

    /// The failure and what caused it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &FailureDetails> {
        std::iter::successors(Some(self), |failure| failure.inner_failure.as_deref())
    }
}

impl fmt::Display for FailureDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.error_message)
    }
}

impl std::error::Error for FailureDetails {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner_failure.as_deref().map(|inner| inner as _)
    }
}
