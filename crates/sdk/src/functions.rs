//! What a worker can run: functions bound to the handles by which they are called.

use std::future::Future;

use everdure_core::NameFilter;
use everdure_engine::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::activity::{ActivityContext, activity_executor};
use crate::context::OrchestrationContext;
use crate::entity::{Entity, Operations, entity_executor};
use crate::failure::Failure;
use crate::handle::{Activity, Orchestration};
use crate::replay::orchestration_executor;

/// Collects activities, orchestrations and entities. The compiler checks each function against its handle.
#[derive(Clone, Default)]
pub struct Functions {
    registry: Registry,
    taken: Option<DuplicateName>,
}

/// Two functions for one name and version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{name}' is registered twice: give one of them another name or version")]
pub struct DuplicateName {
    what: &'static str,
    name: String,
}

impl Functions {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an activity.
    #[must_use]
    pub fn activity<In, Out, E, F, Fut>(mut self, handle: Activity<In, Out>, function: F) -> Self
    where
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + 'static,
        E: Into<Failure> + Send + 'static,
        F: Fn(ActivityContext, In) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, E>> + Send + 'static,
    {
        let filter = filter(handle.name(), handle.version_name());
        let added = self.registry.add_activity(filter, activity_executor(function));
        self.note(added, "activity", handle.name());
        self
    }

    /// Adds an orchestration.
    #[must_use]
    pub fn orchestration<In, Out, E, F, Fut>(mut self, handle: Orchestration<In, Out>, function: F) -> Self
    where
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + 'static,
        E: Into<Failure> + Send + 'static,
        F: Fn(OrchestrationContext, In) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, E>> + Send + 'static,
    {
        let filter = filter(handle.name(), handle.version_name());
        let added = self.registry.add_orchestration(filter, orchestration_executor(function));
        self.note(added, "orchestration", handle.name());
        self
    }

    /// Adds a kind of entity, with its operations: `.entity(COUNTER, |counter| counter.operation(ADD, add))`. Without a
    /// function of that name, the operation `delete` removes the state.
    #[must_use]
    pub fn entity<S>(mut self, handle: Entity<S>, operations: impl FnOnce(Operations<S>) -> Operations<S>) -> Self
    where
        S: Serialize + DeserializeOwned + Default + Send + 'static,
    {
        let mut operations = operations(Operations::new());
        if let Some(operation) = operations.duplicate.take() {
            self.note(false, "operation", &format!("{operation} of {}", handle.name()));
        }
        let filter = filter(&format!("@{}", handle.name().to_lowercase()), None);
        let added = self.registry.add_entity(filter, entity_executor(operations));
        self.note(added, "entity", handle.name());
        self
    }

    /// What the engine takes.
    ///
    /// # Errors
    /// [`DuplicateName`] when two functions claim one name and version.
    pub fn into_registry(self) -> Result<Registry, DuplicateName> {
        self.taken.map_or(Ok(self.registry), Err)
    }

    fn note(&mut self, added: bool, what: &'static str, name: &str) {
        if !added {
            self.taken.get_or_insert_with(|| DuplicateName { what, name: name.to_owned() });
        }
    }
}

fn filter(name: &str, version: Option<&str>) -> NameFilter {
    NameFilter { name: name.to_owned(), version: version.map(str::to_owned) }
}
