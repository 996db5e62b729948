//! Between the vocabulary of the project and the messages of the protocol.
//!
//! Pure functions. What cannot be said in the other language is an error of [`Unusable`], never a guess.

mod actions;
mod batches;
mod decisions;
mod entities;
mod events;
mod failure;
mod history;
mod status;
mod time;

pub use actions::decided;
pub use batches::{batch_result_to_wire, entity_batch};
pub use decisions::{actions_to_wire, leaves_an_event};
pub use entities::{batch_result, entity_metadata, entity_request};
pub use events::{client_event, execution_started, orchestrator_started, turn_events, worker_event};
pub use failure::{failure_from_wire, failure_to_wire};
pub use history::{WireHistory, wire_dispatch};
pub use status::{record, state, status_from_wire, status_to_wire};
pub use time::{duration_from_wire, time_from_wire, time_to_wire};

use crate::pb;
use everdure_core::TraceContext;

/// With this header, the worker that answers goes on with other work while it waits to be told that its answer is kept.
/// Then a result need not be kept before a turn has seen it, which saves writing it twice.
pub const PATIENT: &str = "everdure-patient";

/// Something on the wire that has no meaning here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

impl From<Unusable> for tonic::Status {
    fn from(unusable: Unusable) -> Self {
        Self::invalid_argument(unusable.0)
    }
}

impl From<everdure_core::InvalidId> for Unusable {
    fn from(error: everdure_core::InvalidId) -> Self {
        // Clients look for the word "length".
        match error {
            everdure_core::InvalidId::TooLong { actual, limit } => {
                Self(format!("the id has a length of {actual} characters, the limit is {limit}: choose a shorter one"))
            }
            other => Self(other.to_string()),
        }
    }
}

/// An id as the SDK sent it.
///
/// # Errors
/// [`Unusable`].
pub fn instance_id(text: &str) -> Result<everdure_core::InstanceId, Unusable> {
    let id = everdure_core::InstanceId::new(text)?;
    let (actual, limit) = (id.as_str().chars().count(), everdure_core::Limits::default().instance_id_chars);
    if actual > limit {
        return Err(everdure_core::InvalidId::TooLong { actual, limit }.into());
    }
    Ok(id)
}

/// The id of an entity as the SDK sent it; its name is in lower case, whatever that of the sender was.
///
/// # Errors
/// [`Unusable`].
pub fn entity_id(text: &str) -> Result<everdure_core::InstanceId, Unusable> {
    let id = instance_id(text)?;
    match id.entity_parts() {
        Some((name, key)) => Ok(everdure_core::InstanceId::entity(&name[1..], key)?),
        None => Err(Unusable(format!("'{text}' is no entity: its id has the form @name@key"))),
    }
}

/// A trace context, passed through.
pub fn trace_from_wire(trace: Option<pb::TraceContext>) -> Option<TraceContext> {
    #[expect(deprecated, reason = "older SDKs send it, and it is passed through")]
    trace.map(|trace| TraceContext {
        trace_parent: trace.trace_parent,
        trace_state: trace.trace_state,
        span_id: trace.span_id,
    })
}

/// A trace context, passed through.
pub fn trace_to_wire(trace: Option<&TraceContext>) -> Option<pb::TraceContext> {
    #[expect(deprecated, reason = "older SDKs read it, and it is passed through")]
    trace.map(|trace| pb::TraceContext {
        trace_parent: trace.trace_parent.clone(),
        trace_state: trace.trace_state.clone(),
        span_id: trace.span_id.clone(),
    })
}
