//! What runs user code: the door between the engine and a worker, in this process or in another.
//!
//! The engine knows histories, claims and shutdown; what an orchestration *is* comes in through these traits.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{
    ActivityTask, ExecutionStarted, FailureDetails, HistoryEvent, HistoryTurn, NameFilter, Timestamp, TurnActions,
};
use tokio_util::sync::CancellationToken;

/// Makes live orchestrations of one name.
pub trait OrchestrationExecutor: Send + Sync + 'static {
    /// Makes an orchestration that has seen nothing yet but its start.
    fn begin(&self, started: &ExecutionStarted) -> Box<dyn LiveOrchestration>;
}

/// An orchestration between its turns. It stays alive while the instance is resident, so that the cost of a turn
/// does not grow with the length of the history; after a move it is made anew and the stored turns are replayed.
#[async_trait]
pub trait LiveOrchestration: Send {
    /// Sees a stored turn again: user code must decide what it decided then.
    ///
    /// # Errors
    /// The failure that ends the orchestration, with both sides in words, when it decides something else.
    async fn replay(&mut self, turn: &HistoryTurn) -> Result<(), FailureDetails>;

    /// Sees a new turn and decides. Faults of user code are decisions too: they end the orchestration.
    ///
    /// # Errors
    /// Why the worker could not run the turn at all; the turn is tried again later, somewhere.
    async fn run_turn(&mut self, turn: NewTurn<'_>) -> Result<TurnActions, TurnFault>;
}

/// What an orchestration sees in a new turn.
#[derive(Clone, Copy, Debug)]
pub struct NewTurn<'a> {
    /// The number of the turn.
    pub number: i64,
    /// The orchestration's current time.
    pub time: Timestamp,
    /// What came, in order.
    pub events: &'a [HistoryEvent],
}

/// Why a worker could not run a turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the turn could not be run: {0}")]
pub struct TurnFault(pub String);

/// Runs activities of one name.
#[async_trait]
pub trait ActivityExecutor: Send + Sync + 'static {
    /// Runs the activity. `cancelled` fires when nobody waits for the result any more, or the node stops.
    async fn run(&self, task: ActivityTask, cancelled: CancellationToken) -> Result<Option<String>, FailureDetails>;
}

/// What the workers of a node take.
#[derive(Clone, Default)]
pub struct Registry {
    orchestrations: BTreeMap<NameFilter, Arc<dyn OrchestrationExecutor>>,
    activities: BTreeMap<NameFilter, Arc<dyn ActivityExecutor>>,
}

impl Registry {
    /// Adds an orchestration; returns `false`, changing nothing, when that name and version is taken already.
    pub fn add_orchestration(&mut self, name: NameFilter, executor: Arc<dyn OrchestrationExecutor>) -> bool {
        insert_new(&mut self.orchestrations, name, executor)
    }

    /// Adds an activity; returns `false`, changing nothing, when that name and version is taken already.
    pub fn add_activity(&mut self, name: NameFilter, executor: Arc<dyn ActivityExecutor>) -> bool {
        insert_new(&mut self.activities, name, executor)
    }

    /// Who runs that orchestration: the exact version, else whoever takes every version.
    #[must_use]
    pub fn orchestration(&self, name: &str, version: Option<&str>) -> Option<&Arc<dyn OrchestrationExecutor>> {
        find(&self.orchestrations, name, version)
    }

    /// Who runs that activity: the exact version, else whoever takes every version.
    #[must_use]
    pub fn activity(&self, name: &str, version: Option<&str>) -> Option<&Arc<dyn ActivityExecutor>> {
        find(&self.activities, name, version)
    }

    /// The orchestrations, for claims.
    #[must_use]
    pub fn orchestration_names(&self) -> Vec<NameFilter> {
        self.orchestrations.keys().cloned().collect()
    }

    /// The activities, for claims.
    #[must_use]
    pub fn activity_names(&self) -> Vec<NameFilter> {
        self.activities.keys().cloned().collect()
    }
}

fn insert_new<T>(map: &mut BTreeMap<NameFilter, T>, name: NameFilter, value: T) -> bool {
    use std::collections::btree_map::Entry;
    match map.entry(name) {
        Entry::Vacant(free) => {
            free.insert(value);
            true
        }
        Entry::Occupied(_) => false,
    }
}

fn find<'a, T>(map: &'a BTreeMap<NameFilter, T>, name: &str, version: Option<&str>) -> Option<&'a T> {
    let exact =
        version.and_then(|version| map.get(&NameFilter { name: name.to_owned(), version: Some(version.to_owned()) }));
    exact.or_else(|| map.get(&NameFilter { name: name.to_owned(), version: None }))
}
