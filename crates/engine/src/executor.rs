//! What runs user code: the door between the engine and a worker, in this process or in another.
//!
//! The engine knows histories, claims and shutdown; what an orchestration *is* comes in through these traits.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{
    ActivityTask, EntityBatch, EntityBatchResult, ExecutionStarted, FailureDetails, Hint, HistoryEvent, HistoryTurn,
    NameFilter, Timestamp, TurnActions,
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

    /// The last turn is durable, with these events: those that it saw, and what it decided.
    fn settled(&mut self, _turn: NewTurn<'_>) {}

    /// The custom status as the orchestration set it last, turns that it saw again included; `None` also when whoever runs
    /// it does not know.
    fn custom_status(&self) -> Option<String> {
        None
    }
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
pub enum TurnFault {
    /// Nobody here takes it any more: others may, at once, and nobody is to blame.
    #[error("no worker here takes the orchestration any more")]
    NotTaken,
    /// It was tried, and that counts.
    #[error("the turn could not be run: {0}")]
    Failed(String),
    /// It ran, and what came of it cannot be used: the code of the user is to blame, not who ran it.
    #[error("what came of the turn cannot be used: {0}")]
    Unusable(String),
}

/// Runs activities of one name.
#[async_trait]
pub trait ActivityExecutor: Send + Sync + 'static {
    /// Runs the activity. `cancelled` fires when nobody waits for the result any more, or the node stops.
    async fn run(&self, task: ActivityTask, cancelled: CancellationToken) -> ActivityReturn;
}

/// How an activity came back.
#[derive(Debug)]
pub struct ActivityReturn {
    /// What came of it.
    pub outcome: ActivityOutcome,
    /// Told when the outcome is durable; dropped untold when it was lost.
    pub ack: Option<Ack>,
    /// Who is to be told can wait for the turn that sees the outcome. Otherwise the outcome is stored at once, for it may
    /// be the very worker that has to run that turn, and do one thing at a time.
    pub patient: bool,
}

/// Tells whoever sent a result that it is durable.
pub type Ack = tokio::sync::oneshot::Sender<()>;

/// What came of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityOutcome {
    /// It returned, or failed.
    Ended(Result<Option<String>, FailureDetails>),
    /// Nobody here takes it any more: others may, at once.
    GivenBack,
    /// It was tried and could not be run, for this reason, and that counts.
    NotRun(String),
}

impl ActivityReturn {
    /// Nobody here takes it any more.
    pub const GIVEN_BACK: Self = Self { outcome: ActivityOutcome::GivenBack, ack: None, patient: false };

    /// The same outcome on its way to the store is durable now.
    pub(crate) fn acknowledge(ack: Option<Ack>) {
        // Who has gone away since does not mind.
        let _ = ack.map(|ack| ack.send(()));
    }
}

impl From<Result<Option<String>, FailureDetails>> for ActivityReturn {
    fn from(ended: Result<Option<String>, FailureDetails>) -> Self {
        Self { outcome: ActivityOutcome::Ended(ended), ack: None, patient: false }
    }
}

/// Runs the operations of entities of one name.
#[async_trait]
pub trait EntityExecutor: Send + Sync + 'static {
    /// Runs a batch, one operation after the other. Failures of operations are results.
    ///
    /// # Errors
    /// Why the batch could not be run at all; it is tried again later, somewhere.
    async fn run_batch(&self, batch: EntityBatch) -> Result<EntityReturn, TurnFault>;
}

/// How a batch came back.
#[derive(Debug)]
pub struct EntityReturn {
    /// What came of it.
    pub result: EntityBatchResult,
    /// Told when the result is durable; dropped untold when it was lost.
    pub ack: Option<Ack>,
}

/// What the workers of a node take, as it stands now: workers may come and go.
#[async_trait]
pub trait Workers: Send + Sync + 'static {
    /// Who runs that orchestration.
    fn orchestration(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn OrchestrationExecutor>>;

    /// Who runs that activity; its version, else that of its orchestration.
    fn activity(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn ActivityExecutor>>;

    /// Who runs that entity; the name begins with `@`.
    fn entity(&self, _name: &str) -> Option<Arc<dyn EntityExecutor>> {
        None
    }

    /// The orchestrations and entities that are taken now, for claims.
    fn orchestration_places(&self) -> Vec<Places>;

    /// The activities that are taken now, for claims.
    fn activity_places(&self) -> Vec<Places>;

    /// How many more turns of that orchestration the workers take now.
    fn orchestration_room(&self, name: &str, version: Option<&str>) -> usize {
        self.orchestration(name, version).map_or(0, |_| usize::MAX)
    }

    /// How many more runs of that activity the workers take now; `None` when none takes it at all.
    fn activity_room(&self, name: &str, version: Option<&str>) -> Option<usize> {
        self.activity(name, version).map(|_| usize::MAX)
    }

    /// How many activities the workers have been given beyond what they take.
    fn waiting_activities(&self) -> usize {
        0
    }

    /// Returns when there is a name more, or a free place where there was none, for what is looked for: orchestrations
    /// or activities.
    async fn changed(&self, _wanted: &Hint) {
        std::future::pending().await
    }

    /// Where other nodes reach this one.
    fn address(&self) -> Option<String> {
        None
    }
}

/// Free places of workers that take the same. What others wait for takes nothing away from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What they take.
    pub names: Vec<NameFilter>,
    /// How many more of all these together; at least one.
    pub free: usize,
}

/// The functions of this process: what it takes is known from the start.
#[derive(Clone, Default)]
pub struct Registry {
    orchestrations: BTreeMap<NameFilter, Arc<dyn OrchestrationExecutor>>,
    activities: BTreeMap<NameFilter, Arc<dyn ActivityExecutor>>,
    entities: BTreeMap<NameFilter, Arc<dyn EntityExecutor>>,
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

    /// Adds an entity, whose name begins with `@`; returns `false`, changing nothing, when the name is taken already.
    pub fn add_entity(&mut self, name: NameFilter, executor: Arc<dyn EntityExecutor>) -> bool {
        insert_new(&mut self.entities, name, executor)
    }

    /// The orchestrations and entities.
    pub fn orchestration_names(&self) -> impl Iterator<Item = &NameFilter> {
        self.orchestrations.keys().chain(self.entities.keys())
    }

    /// The activities.
    pub fn activity_names(&self) -> impl Iterator<Item = &NameFilter> {
        self.activities.keys()
    }
}

/// The exact version goes before whoever takes every version.
impl Workers for Registry {
    fn orchestration(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn OrchestrationExecutor>> {
        find(&self.orchestrations, name, version).cloned()
    }

    fn activity(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn ActivityExecutor>> {
        find(&self.activities, name, version).cloned()
    }

    fn entity(&self, name: &str) -> Option<Arc<dyn EntityExecutor>> {
        find(&self.entities, name, None).cloned()
    }

    fn orchestration_places(&self) -> Vec<Places> {
        vec![Places { names: self.orchestration_names().cloned().collect(), free: usize::MAX }]
    }

    fn activity_places(&self) -> Vec<Places> {
        vec![Places { names: self.activity_names().cloned().collect(), free: usize::MAX }]
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
