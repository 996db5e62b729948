//! Activities: where the effects are. They run at least once.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{ActivityTask, FailureDetails, InstanceId, Tags};
use everdure_engine::{ActivityExecutor, ActivityReturn, CancellationToken};
use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::{json, replay};

/// What an activity knows about itself.
#[derive(Clone, Debug)]
pub struct ActivityContext {
    task: Arc<ActivityTask>,
    cancelled: CancellationToken,
}

impl ActivityContext {
    /// The same each time this step runs, and no other step's: hand it to systems that drop repetitions.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.task.idempotency_key
    }

    /// The orchestration instance that called.
    #[must_use]
    pub fn instance_id(&self) -> &InstanceId {
        &self.task.instance_id
    }

    /// The activity's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// The version asked for.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.task.version.as_deref()
    }

    /// Tags of the instance and of this call.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.task.tags
    }

    /// Fires when nobody waits for the result any more, or the node stops.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancelled
    }
}

struct FnActivity<F, In, Out, E> {
    function: F,
    types: PhantomData<fn(In) -> Result<Out, E>>,
}

/// Makes what the engine runs from an async function. A panic is a failure of type `Panic`.
pub fn activity_executor<In, Out, E, F, Fut>(function: F) -> Arc<dyn ActivityExecutor>
where
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Fn(ActivityContext, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, E>> + Send + 'static,
{
    Arc::new(FnActivity { function, types: PhantomData })
}

#[async_trait]
impl<In, Out, E, F, Fut> ActivityExecutor for FnActivity<F, In, Out, E>
where
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Fn(ActivityContext, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, E>> + Send + 'static,
{
    async fn run(&self, task: ActivityTask, cancelled: CancellationToken) -> ActivityReturn {
        self.call(task, cancelled).await.into()
    }
}

impl<In, Out, E, F, Fut> FnActivity<F, In, Out, E>
where
    In: DeserializeOwned,
    Out: Serialize,
    E: Into<Failure>,
    F: Fn(ActivityContext, In) -> Fut,
    Fut: Future<Output = Result<Out, E>>,
{
    async fn call(&self, task: ActivityTask, cancelled: CancellationToken) -> Result<Option<String>, FailureDetails> {
        let input = json::decode("the input of the activity", task.input.as_deref())?;
        let context = ActivityContext { task: Arc::new(task), cancelled };
        let run = async { (self.function)(context, input).await };
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(Ok(output)) => json::encode("the result of the activity", &output),
            Ok(Err(error)) => Err(error.into().into_details()),
            Err(panic) => Err(replay::panic_details(panic.as_ref())),
        }
    }
}
