//! W3C trace context: passed through, never made up here.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where a span hangs. The texts are what the caller sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// The `traceparent` header.
    #[serde(rename = "parent")]
    pub trace_parent: String,
    /// The `tracestate` header.
    #[serde(rename = "state", default, skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<String>,
    /// The span's id, which older SDKs send beside the `traceparent` that contains it.
    #[serde(rename = "span", default, skip_serializing_if = "String::is_empty")]
    pub span_id: String,
}

/// The one span of an execution, which its SDK keeps over all turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestrationTrace {
    /// The span's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// When the span began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}
