//! Runs an orchestration function turn by turn, and again from its history.
//!
//! The model is *multi-poll*: the events of a turn are applied one at a time, and the function is polled after each
//! until nothing wakes it any more. So futures resolve in the order of history, live and in replay alike, and whoever
//! wins a `select!` wins it again. Wakers are real: combinators that remember who woke them work.
//!
//! Deliberately absent: any wait for something outside. A function that waits for a foreign future is failed with
//! that in words, instead of hanging.

mod compare;
mod entities;
mod inner;
mod live;

use std::future::Future;
use std::sync::Arc;

use everdure_core::ExecutionStarted;
use everdure_engine::{LiveOrchestration, OrchestrationExecutor};
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::OrchestrationContext;
use crate::failure::Failure;
use crate::json;

pub(crate) use inner::{Shared, SlotKind};
pub(crate) use live::panic_details;

type Outcome = Result<Option<String>, Failure>;
type Function = dyn Fn(OrchestrationContext, Option<String>) -> BoxFuture<'static, Outcome> + Send + Sync;

struct FnOrchestration(Arc<Function>);

impl OrchestrationExecutor for FnOrchestration {
    fn begin(&self, started: &ExecutionStarted) -> Box<dyn LiveOrchestration> {
        Box::new(live::Live::new(Arc::clone(&self.0), started.clone()))
    }
}

/// Makes what the engine runs from an async function.
pub fn orchestration_executor<In, Out, E, F, Fut>(function: F) -> Arc<dyn OrchestrationExecutor>
where
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Fn(OrchestrationContext, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, E>> + Send + 'static,
{
    let function = Arc::new(function);
    Arc::new(FnOrchestration(Arc::new(move |context, input| {
        let function = Arc::clone(&function);
        Box::pin(async move {
            let input =
                json::decode("the input of the orchestration", input.as_deref()).map_err(Failure::from_details)?;
            let output = function(context, input).await.map_err(Into::into)?;
            json::encode("the result of the orchestration", &output).map_err(Failure::from_details)
        })
    })))
}
