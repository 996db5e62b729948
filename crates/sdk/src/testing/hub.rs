//! A task hub in memory with a worker, for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use everdure_core::{Backend, InstanceId, InstanceRecord, Timestamp};
use everdure_engine::{InMemoryBackend, NodeOptions};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::mortal::Mortal;
use super::{History, TestInstance};
use crate::client::{Client, Start};
use crate::functions::Functions;
use crate::handle::Orchestration;
use crate::testing::Run;
use crate::worker::Worker;

/// How long a wait may last by the clock on the wall; by the clock of the test it may last [`LONGEST_WAIT`].
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(400 * 86_400);
/// How often a wait looks without having been told to.
const LOOK: Duration = Duration::from_secs(60);

/// How a [`TestHub`] runs orchestrations. Correct code behaves alike in all modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As in production: the function stays alive between its turns.
    Live,
    /// The function is dropped after each turn, and replayed from the beginning for the next one.
    FullReplay,
    /// The worker is killed as soon as a step is recorded, before it hears of it, and a new one takes over. Activities
    /// that it ran are run again.
    CrashAfterEachStep,
}

impl Mode {
    /// All of them, for a loop over a test.
    pub const ALL: [Self; 3] = [Self::Live, Self::FullReplay, Self::CrashAfterEachStep];
}

/// A task hub in memory, with a worker. Dropped, it is gone.
pub struct TestHub {
    backend: Arc<dyn Backend>,
    client: Client,
    workers: Arc<AtomicU32>,
    running: JoinHandle<()>,
}

impl TestHub {
    /// A worker that runs `functions` as it would in production.
    ///
    /// # Panics
    /// When two functions have one name.
    pub async fn new(functions: Functions) -> Self {
        Self::in_mode(Mode::Live, functions).await
    }

    /// A worker that runs `functions` in that mode.
    ///
    /// # Panics
    /// When two functions have one name.
    pub async fn in_mode(mode: Mode, functions: Functions) -> Self {
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
        let workers = Arc::new(AtomicU32::new(1));
        let (client, running) = match mode {
            Mode::Live | Mode::FullReplay => {
                let options = NodeOptions { keep_live: mode == Mode::Live, ..options() };
                let worker = worker(Arc::clone(&backend), functions, options).await;
                (worker.client(), tokio::spawn(hold(worker)))
            }
            Mode::CrashAfterEachStep => {
                let first = Mortal::new(Arc::clone(&backend));
                let first = (worker(first.clone(), functions.clone(), options()).await, first);
                let crashing = keep_crashing(first, Arc::clone(&backend), functions, Arc::clone(&workers));
                (Client::new(Arc::clone(&backend)), tokio::spawn(crashing))
            }
        };
        Self { backend, client, workers, running }
    }

    /// On a store of the caller's, with a worker that the caller has started: on the store in some other way, or on a
    /// server in front of it.
    #[must_use]
    pub fn with_worker(store: Arc<dyn Backend>, worker: Worker) -> Self {
        let client = worker.client();
        let running = tokio::spawn(hold(worker));
        Self { backend: store, client, workers: Arc::new(AtomicU32::new(1)), running }
    }

    /// Starts an orchestration under a random id.
    pub async fn start<In: Serialize, Out>(
        &self,
        orchestration: &Orchestration<In, Out>,
        input: In,
    ) -> TestInstance<'_, Out> {
        self.start_with(orchestration, input, |start| start).await
    }

    /// Starts an orchestration with options: `hub.start_with(&ORDER, 7, |start| start.tag("region", "eu"))`.
    pub async fn start_with<In: Serialize, Out>(
        &self,
        orchestration: &Orchestration<In, Out>,
        input: In,
        options: impl FnOnce(Start) -> Start,
    ) -> TestInstance<'_, Out> {
        let id = options(self.client.start(orchestration, input)).await;
        TestInstance::new(self, id.unwrap_or_else(|error| panic!("not started: {error}")))
    }

    /// Starts an orchestration and waits for its end.
    pub async fn run<In: Serialize, Out>(&self, orchestration: &Orchestration<In, Out>, input: In) -> Run<Out> {
        self.start(orchestration, input).await.end().await
    }

    /// Lets that much time pass. Under a paused clock that takes no time, and all that comes due in it happens.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The time by the clock that timers obey.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.backend.now()
    }

    /// A client of the hub, for what has no helper here.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How many workers have been started: above one, there were crashes.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.workers.load(Ordering::SeqCst)
    }

    /// The instance as it stands.
    ///
    /// # Panics
    /// When there is none of that id.
    pub async fn record(&self, id: &InstanceId) -> InstanceRecord {
        let found = self.client.get(id).await.expect("the store is in memory");
        found.unwrap_or_else(|| panic!("there is no instance '{id}'"))
    }

    /// What has happened to the current execution of an instance.
    ///
    /// # Panics
    /// When there is none of that id.
    pub async fn history_of(&self, id: &InstanceId) -> History {
        let found = self.backend.get_history(id.clone(), None).await.expect("the store is in memory");
        let (record, turns) = found.unwrap_or_else(|| panic!("there is no instance '{id}'"));
        History::new(record, turns)
    }

    pub(super) async fn until(&self, id: &InstanceId, what: &str, reached: impl Fn(&InstanceRecord) -> bool) {
        let story = async || self.history_of(id).await.to_string();
        self.wait(what, story, async || reached(&self.record(id).await)).await;
    }

    pub(super) async fn until_history(&self, id: &InstanceId, what: &str, reached: impl Fn(&History) -> bool) {
        let story = async || self.history_of(id).await.to_string();
        self.wait(what, story, async || reached(&self.history_of(id).await)).await;
    }

    /// Looks whenever a hint says that something may have happened.
    pub(super) async fn wait(&self, what: &str, story: impl AsyncFn() -> String, reached: impl AsyncFn() -> bool) {
        let mut hints = self.backend.hints();
        let (by_the_wall, by_the_test) = (Instant::now(), tokio::time::Instant::now());
        while !reached().await {
            if by_the_wall.elapsed() > PATIENCE || by_the_test.elapsed() > LONGEST_WAIT {
                panic!("not {what} in time: {}", story().await);
            }
            // No hint in this time: then the loop looks by itself.
            let _ = tokio::time::timeout(LOOK, hints.next()).await;
        }
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Nobody else is there, so a node need not look often nor renew its lease often: time can jump far.
fn options() -> NodeOptions {
    NodeOptions { lease: Duration::from_secs(86_400), poll: Duration::from_secs(3_600), ..NodeOptions::default() }
}

async fn worker(backend: Arc<dyn Backend>, functions: Functions, options: NodeOptions) -> Worker {
    Worker::start(backend, functions, options).await.unwrap_or_else(|error| panic!("no worker: {error}"))
}

async fn hold(_worker: Worker) {
    std::future::pending::<()>().await;
}

/// One worker after the other, each for one step.
async fn keep_crashing(
    (mut current, mut store): (Worker, Arc<Mortal>),
    backend: Arc<dyn Backend>,
    functions: Functions,
    workers: Arc<AtomicU32>,
) {
    loop {
        let node = store.recorded().await;
        current.kill();
        // What others do when its lease has run out; nothing is gained by waiting for that here.
        backend.remove_node(node).await.expect("the store is in memory");
        store = Mortal::new(Arc::clone(&backend));
        current = worker(store.clone(), functions.clone(), options()).await;
        workers.fetch_add(1, Ordering::SeqCst);
    }
}
