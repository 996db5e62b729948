//! Runs the batches of one kind of entity. Each operation is all or nothing: its state, its signals and its starts count when it
//! has returned, and are forgotten when it has failed.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use everdure_core::{EntityAction, EntityBatch, EntityBatchResult, EntityOperation, FailureDetails, InstanceId};
use everdure_engine::{EntityExecutor, EntityReturn, TurnFault};
use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::EntityContext;
use super::operations::{Operations, key};
use super::sent::Effects;
use super::state::{EntityState, Home};
use crate::{json, replay};

/// A batch ends early after that time, so that slow operations together do not exceed the deadline of a turn: what is left
/// runs in the next one.
const LONG: Duration = Duration::from_secs(5);

/// Deletes the state if no operation of that name was registered, as everywhere in this family.
const DELETE: &str = "delete";

struct TypedEntity<S>(Operations<S>);

/// Makes what the engine runs.
pub(crate) fn entity_executor<S>(operations: Operations<S>) -> Arc<dyn EntityExecutor>
where
    S: Serialize + DeserializeOwned + Default + Send + 'static,
{
    Arc::new(TypedEntity(operations))
}

#[async_trait]
impl<S> EntityExecutor for TypedEntity<S>
where
    S: Serialize + DeserializeOwned + Default + Send + 'static,
{
    async fn run_batch(&self, batch: EntityBatch) -> Result<EntityReturn, TurnFault> {
        let began = Instant::now();
        let mut run = Run { id: Arc::new(batch.instance_id), stored: batch.state, state: None, actions: Vec::new() };
        let mut results = Vec::with_capacity(batch.operations.len());
        for operation in batch.operations {
            results.push(self.run(&mut run, operation).await);
            if began.elapsed() > LONG {
                break;
            }
        }
        let result = EntityBatchResult { results, actions: run.actions, state: run.stored };
        Ok(EntityReturn { result, ack: None })
    }
}

/// A batch under way.
struct Run<S> {
    id: Arc<InstanceId>,
    /// The state after the last good operation, as it is stored.
    stored: Option<String>,
    /// The same, for the next operation.
    state: Option<S>,
    actions: Vec<EntityAction>,
}

impl<S> TypedEntity<S>
where
    S: Serialize + DeserializeOwned + Default + Send + 'static,
{
    async fn run(&self, run: &mut Run<S>, operation: EntityOperation) -> Result<Option<String>, FailureDetails> {
        let name = key(&operation.operation);
        let Some(function) = self.0.functions.get(&name) else {
            if name != DELETE {
                return Err(not_found(&run.id, &operation.operation));
            }
            (run.stored, run.state) = (None, None);
            return Ok(None);
        };
        let state = match run.state.take() {
            Some(state) => state,
            None => run.stored.as_deref().map_or_else(|| Ok(S::default()), decode)?,
        };
        let (home, effects) = (Home::default(), Effects::default());
        let input = operation.input.clone();
        let context = EntityContext::new(Arc::clone(&run.id), operation, run.stored.is_some(), effects.clone());
        let state = EntityState::new(state, Arc::clone(&home));
        // Also what the function does before its first await belongs to it.
        let running = async { function(context, state, input).await };
        let outcome = AssertUnwindSafe(running).catch_unwind().await;
        let mut effects = effects.lock();
        effects.over = true;
        let output = outcome.unwrap_or_else(|panic| Err(replay::panic_details(panic.as_ref())))?;
        if let Some(fault) = effects.fault.take() {
            return Err(fault);
        }
        if effects.deleted {
            run.stored = None;
        } else {
            let state = home.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(kept)?;
            run.stored = Some(encode(&state)?);
            run.state = Some(state);
        }
        run.actions.append(&mut effects.actions);
        Ok(output)
    }
}

/// A state of nothing (`()`, `None`) is a state all the same.
fn encode<S: Serialize>(state: &S) -> Result<String, FailureDetails> {
    serde_json::to_string(state).map_err(|error| {
        FailureDetails::new(
            json::SERIALIZATION,
            format!("the state cannot be written as JSON: {error}; check the Serialize implementation of its type"),
        )
        .non_retriable()
    })
}

fn decode<S: DeserializeOwned>(state: &str) -> Result<S, FailureDetails> {
    json::decode("the state of the entity", Some(state))
}

fn not_found(id: &InstanceId, operation: &str) -> FailureDetails {
    let message = format!("'{id}' has no operation '{operation}': register it with the entity, or correct the name");
    FailureDetails::new("OperationNotFound", message).non_retriable()
}

fn kept() -> FailureDetails {
    let message =
        "the operation returned while something else still has its EntityState: it must not leave the operation";
    FailureDetails::new("StateKept", message).non_retriable()
}
