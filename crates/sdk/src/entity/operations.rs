//! The operations of an entity, bound to the handles by which they are called.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use everdure_core::FailureDetails;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::EntityContext;
use super::handle::Operation;
use super::state::EntityState;
use crate::failure::Failure;
use crate::json;

type Outcome = Result<Option<String>, FailureDetails>;
pub(super) type Function<S> =
    dyn Fn(EntityContext, EntityState<S>, Option<String>) -> BoxFuture<'static, Outcome> + Send + Sync;

/// Collects the operations of one kind of entity. The compiler checks each function against its handle.
pub struct Operations<S> {
    pub(super) functions: BTreeMap<String, Arc<Function<S>>>,
    pub(crate) duplicate: Option<String>,
}

/// Upper and lower case are alike.
pub(super) fn key(name: &str) -> String {
    name.to_lowercase()
}

impl<S: Send + 'static> Operations<S> {
    pub(crate) fn new() -> Self {
        Self { functions: BTreeMap::new(), duplicate: None }
    }

    /// Adds an operation.
    #[must_use]
    pub fn operation<In, Out, E, F, Fut>(mut self, handle: Operation<S, In, Out>, function: F) -> Self
    where
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + 'static,
        E: Into<Failure> + Send + 'static,
        F: Fn(EntityContext, EntityState<S>, In) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, E>> + Send + 'static,
    {
        let function = Arc::new(function);
        let function: Arc<Function<S>> = Arc::new(move |context, state, input| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let input = json::decode("the input of the operation", input.as_deref())?;
                let output = function(context, state, input).await.map_err(|error| error.into().into_details())?;
                json::encode("the result of the operation", &output)
            })
        });
        if self.functions.insert(key(handle.name()), function).is_some() {
            self.duplicate.get_or_insert_with(|| handle.name().to_owned());
        }
        self
    }
}

impl<S> fmt::Debug for Operations<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}
