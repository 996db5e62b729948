//! The task hubs of a server: each with a backend, a node, and the workers that are connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use everdure::Client;
use everdure_core::{Backend, BackendError, BackendResult};
use everdure_engine::{CancellationToken, Node, NodeHandle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Request, Status};

use crate::ServerOptions;
use crate::dispatch::Dispatcher;
use crate::peers::Peers;

/// Work of one kind in a task hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub kind: &'static str,
    /// What is due and held by nobody.
    pub waiting: u64,
    /// What nodes hold.
    pub running: u64,
    /// How long the oldest of what waits has waited.
    pub oldest: Duration,
}

/// Where the task hubs of a server are kept.
#[async_trait]
pub trait OpenHub: Send + Sync + 'static {
    /// Connects to a task hub, which is made if need be.
    ///
    /// # Errors
    /// What the store answers.
    async fn open(&self, hub: &str) -> BackendResult<Arc<dyn Backend>>;

    /// Whether a task hub that was opened is still the one in the store: another process may have deleted it.
    ///
    /// # Errors
    /// What the store answers.
    async fn lives(&self, _hub: &str) -> BackendResult<bool> {
        Ok(true)
    }

    /// What waits and what runs in a task hub, for those who watch it; nothing if the store does not count.
    ///
    /// # Errors
    /// What the store answers.
    async fn load(&self, _hub: &str) -> BackendResult<Vec<Load>> {
        Ok(Vec::new())
    }

    /// The task hubs that there are, whether they were opened or not; nothing if the store cannot tell.
    ///
    /// # Errors
    /// What the store answers.
    async fn names(&self) -> BackendResult<Vec<String>> {
        Ok(Vec::new())
    }

    /// Whether the store answers and takes what is written, as far as can be told without writing.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> BackendResult<()> {
        Ok(())
    }

    /// Connections to the store: their state, and how many have it.
    fn connections(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// Removes a task hub with all that is in it; `false` when there is none.
    ///
    /// # Errors
    /// What the store answers.
    async fn delete(&self, hub: &str) -> BackendResult<bool>;
}

/// Characters of a task hub's name.
const LONGEST_NAME: usize = 100;

/// One task hub.
pub(crate) struct Hub {
    pub name: String,
    pub client: Client,
    pub backend: Arc<dyn Backend>,
    pub node: NodeHandle,
    pub dispatcher: Dispatcher,
    running: Mutex<Option<Node>>,
    used: Mutex<Instant>,
    /// Its place among those that may be open at once.
    _room: Option<OwnedSemaphorePermit>,
}

impl Hub {
    async fn start(
        name: &str,
        backend: Arc<dyn Backend>,
        options: &ServerOptions,
        room: Option<OwnedSemaphorePermit>,
    ) -> BackendResult<Self> {
        let dispatcher = Dispatcher::new(options.address.clone());
        let node = Node::start(Arc::clone(&backend), Arc::new(dispatcher.clone()), options.node).await?;
        dispatcher.belongs_to(node.handle());
        let client = Client::on_node(Arc::clone(&backend), node.handle());
        let handle = node.handle();
        let running = Mutex::new(Some(node));
        let used = Mutex::new(Instant::now());
        Ok(Self { name: name.to_owned(), client, backend, node: handle, dispatcher, running, used, _room: room })
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self) -> bool {
        self.dispatcher.workers() == 0 && self.used().elapsed() > REST
    }

    /// Lets workers finish what they have, for up to `patience`, gives the rest back, and leaves: all of it takes little
    /// longer than that, also when the store does not answer.
    async fn drain(&self, patience: Duration) {
        let begun = Instant::now();
        self.dispatcher.drain(patience).await;
        let node = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(node) = node {
            let left = patience.saturating_sub(begun.elapsed());
            let problem = match tokio::time::timeout(left + LEAVING, node.drain(left.max(LEAVING / 5))).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the store did not answer in time".to_owned()),
            };
            if let Some(problem) = problem {
                let hub = &self.name;
                tracing::warn!(
                    hub,
                    problem,
                    "could not leave the task hub; its work is free when the lease has run out"
                );
            }
        }
        self.dispatcher.belongs_to_nobody();
    }
}

/// How long leaving a task hub may take after what workers were given to finish.
const LEAVING: Duration = Duration::from_secs(5);

/// A hub without workers and calls is closed after so long; the next call opens it again.
const REST: Duration = Duration::from_secs(60);

/// How long a call waits for a place among the hubs that are open.
const PLACE: Duration = Duration::from_secs(2);

/// The place of a hub: whoever opens or closes it holds its lock, and holds up nobody else.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Hub>>>>;

/// All task hubs that were asked for.
pub(crate) struct Hubs {
    store: Arc<dyn OpenHub>,
    options: ServerOptions,
    pub peers: Peers,
    /// No new work is given out.
    pub draining: CancellationToken,
    /// Calls that wait for something end now.
    pub closing: CancellationToken,
    places: Mutex<BTreeMap<String, Place>>,
    /// How many more may be open.
    room: Arc<Semaphore>,
    making_place: tokio::sync::Mutex<()>,
}

impl Hubs {
    pub fn new(store: Arc<dyn OpenHub>, options: ServerOptions) -> Self {
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        let room = Arc::new(Semaphore::new(options.max_hubs));
        let (peers, places, making_place) = (Peers::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { store, options, peers, draining, closing, places, room, making_place }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn store(&self) -> &dyn OpenHub {
        &*self.store
    }

    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// The names of the hubs that are served, or else of the one that calls mean which name none.
    pub fn named(&self) -> BTreeSet<String> {
        self.options.hubs.clone().unwrap_or_else(|| BTreeSet::from([self.options.default_hub.clone()]))
    }

    /// The hub that a call names.
    pub async fn of<T>(&self, request: &Request<T>) -> Result<Arc<Hub>, Status> {
        let hub = self.get(self.name_of(request)?).await;
        hub.inspect_err(|status| {
            if status.code() == Code::FailedPrecondition {
                tracing::error!(problem = status.message(), "a task hub cannot be opened");
            }
        })
    }

    pub fn name_of<'a, T>(&'a self, request: &'a Request<T>) -> Result<&'a str, Status> {
        match request.metadata().get("taskhub").map(|name| name.to_str()) {
            None | Some(Ok("")) => Ok(&self.options.default_hub),
            Some(Ok(name)) => Ok(name),
            Some(Err(_)) => Err(Status::invalid_argument("the `taskhub` header is no text: use visible characters")),
        }
    }

    /// Refuses names that no hub of this server has.
    fn check(&self, name: &str) -> Result<(), Status> {
        if self.options.hubs.as_ref().is_some_and(|hubs| !hubs.contains(name)) {
            let message = format!("there is no task hub '{name}' on this server: check the `taskhub` header");
            return Err(Status::not_found(message));
        }
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            let message =
                format!("a task hub's name has 1 to {LONGEST_NAME} visible characters: check the `taskhub` header");
            return Err(Status::invalid_argument(message));
        }
        Ok(())
    }

    pub async fn get(&self, name: &str) -> Result<Arc<Hub>, Status> {
        self.check(name)?;
        loop {
            let place = Arc::clone(self.places().entry(name.to_owned()).or_default());
            let mut open = place.lock().await;
            if let Some(hub) = &*open {
                hub.touch();
                return Ok(Arc::clone(hub));
            }
            // It was closed meanwhile, and its place is gone.
            if !self.places().get(name).is_some_and(|current| Arc::ptr_eq(current, &place)) {
                continue;
            }
            let opened = self.open(name).await;
            match &opened {
                Ok(hub) => *open = Some(Arc::clone(hub)),
                Err(_) => {
                    self.places().remove(name);
                }
            }
            return opened;
        }
    }

    async fn open(&self, name: &str) -> Result<Arc<Hub>, Status> {
        let stopping = || Status::unavailable("this server is stopping: ask another one");
        if self.draining.is_cancelled() {
            return Err(stopping());
        }
        let room = self.make_place(name).await?;
        let backend = self.store.open(name).await.map_err(|error| status_of(&error))?;
        let hub = Hub::start(name, backend, &self.options, room).await.map_err(|error| status_of(&error))?;
        if self.draining.is_cancelled() {
            // All that are open are drained already.
            hub.drain(Duration::ZERO).await;
            return Err(stopping());
        }
        Ok(Arc::new(hub))
    }

    /// A place among the hubs that may be open at once; for it, hubs that nobody uses just now are closed. Those that the
    /// operator named need none.
    async fn make_place(&self, name: &str) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if self.options.hubs.is_some() || name == self.options.default_hub {
            return Ok(None);
        }
        let begun = Instant::now();
        loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                return Ok(Some(room));
            }
            if self.close_one().await {
                continue;
            }
            if begun.elapsed() > PLACE {
                let most = self.options.max_hubs;
                return Err(Status::resource_exhausted(format!(
                    "{most} task hubs are in use on this server, and '{name}' would be one more: use fewer, or start the \
                     server with a higher --max-hubs"
                )));
            }
            tokio::time::sleep(PLACE / 20).await;
        }
    }

    /// Closes the hub without workers and calls that was used longest ago; `false` when each has some.
    async fn close_one(&self) -> bool {
        let _one_at_a_time = self.making_place.lock().await;
        if self.room.available_permits() > 0 {
            return true;
        }
        let mut resting = self.all();
        resting.retain(|hub| hub.name != self.options.default_hub && hub.dispatcher.workers() == 0);
        resting.sort_by_key(|hub| hub.used());
        for hub in resting {
            let Some(place) = self.places().get(&hub.name).map(Arc::clone) else { continue };
            let Ok(mut open) = place.try_lock_owned() else { continue };
            // A call holds its hub; only this list and its place do now.
            if !open.as_ref().is_some_and(|current| Arc::ptr_eq(current, &hub)) || Arc::strong_count(&hub) > 2 {
                continue;
            }
            *open = None;
            self.places().remove(&hub.name);
            // It is closed whole, although who made it necessary may go away.
            let closed = tokio::spawn(async move { hub.drain(Duration::from_secs(1)).await });
            return closed.await.is_ok();
        }
        false
    }

    /// Removes a hub; its workers are sent away. What was begun is finished, although the caller goes away: half of it
    /// would leave workers on streams that nobody serves.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<bool, Status> {
        self.check(name)?;
        let (hubs, name) = (Arc::clone(self), name.to_owned());
        let deleted = tokio::spawn(async move { hubs.delete_whole(&name).await });
        deleted.await.unwrap_or_else(|_| Err(Status::unavailable("this server is stopping: ask another one")))
    }

    async fn delete_whole(&self, name: &str) -> Result<bool, Status> {
        loop {
            let place = Arc::clone(self.places().entry(name.to_owned()).or_default());
            let mut open = place.lock().await;
            if !self.places().get(name).is_some_and(|current| Arc::ptr_eq(current, &place)) {
                continue;
            }
            if let Some(hub) = open.take() {
                hub.drain(Duration::from_secs(1)).await;
            }
            let deleted = self.store.delete(name).await.map_err(|error| store_status(&error));
            self.places().remove(name);
            return deleted;
        }
    }

    /// The hub of that name as it is now, in the place of one that turned out to be deleted; its workers connect anew.
    pub async fn instead_of(&self, gone: &Arc<Hub>) -> Result<Arc<Hub>, Status> {
        let place = self.places().get(&gone.name).map(Arc::clone);
        if let Some(place) = place {
            let mut open = place.lock().await;
            if open.as_ref().is_some_and(|hub| Arc::ptr_eq(hub, gone)) {
                *open = None;
                let gone = Arc::clone(gone);
                tokio::spawn(async move { gone.drain(Duration::from_secs(1)).await });
            }
        }
        self.get(&gone.name).await
    }

    /// Closes hubs that nobody uses, or that were deleted by another server, for as long as this one runs.
    pub async fn close_resting(&self) {
        loop {
            tokio::time::sleep(REST / 6).await;
            crate::metrics::tidy();
            self.close_those_that_rest().await;
        }
    }

    async fn close_those_that_rest(&self) {
        let places: Vec<_> = self.places().iter().map(|(name, place)| (name.clone(), Arc::clone(place))).collect();
        for (name, place) in places {
            // No answer is no reason to close it.
            let gone = !self.store.lives(&name).await.unwrap_or(true);
            let Ok(mut open) = place.try_lock() else { continue };
            // A call holds its hub: who holds none but its place may close it.
            let rests = |hub: &Arc<Hub>| hub.rests() && Arc::strong_count(hub) == 1;
            let may_rest = name != self.options.default_hub;
            if open.as_ref().is_some_and(|hub| gone || may_rest && rests(hub))
                && let Some(hub) = open.take()
            {
                hub.drain(Duration::from_secs(1)).await;
            }
            // Empty also when the only call that asked for it was given up before it was open.
            if open.is_none() {
                let mut places = self.places();
                if places.get(&name).is_some_and(|current| Arc::ptr_eq(current, &place)) {
                    places.remove(&name);
                }
            }
        }
    }

    /// The hubs that are open; one that is just being asked for, opened or closed is left out.
    pub fn all(&self) -> Vec<Arc<Hub>> {
        self.places().values().filter_map(|place| place.try_lock().ok()?.clone()).collect()
    }

    pub async fn drain(&self, patience: Duration) {
        // From now on none is opened.
        self.draining.cancel();
        let places: Vec<_> = self.places().values().map(Arc::clone).collect();
        let drained = places.iter().map(|place| async move {
            // One that is just being opened or closed is waited for.
            let open = tokio::time::timeout(LEAVING, place.lock()).await;
            if let Ok(Some(hub)) = open.map(|open| open.clone()) {
                hub.drain(patience).await;
            }
        });
        futures::future::join_all(drained).await;
    }
}

/// What a caller is told when the store has no answer; what an operator has to mend is logged.
pub(crate) fn store_status(error: &BackendError) -> Status {
    let status = status_of(error);
    if status.code() == Code::FailedPrecondition {
        tracing::error!(error = error as &dyn std::error::Error, "a request failed");
    }
    status
}

fn status_of(error: &BackendError) -> Status {
    if error.is_transient() {
        return Status::unavailable(format!("the store has no answer now: {error}"));
    }
    match error {
        BackendError::NodeGone => Status::unavailable("this server is taking part anew: try again"),
        // Soon it is opened anew.
        BackendError::HubGone { .. } => Status::unavailable("the task hub was deleted: try again"),
        other => Status::failed_precondition(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, BTreeSet, Backend, BackendResult, Duration, Hubs, OpenHub, ServerOptions, async_trait};
    use everdure_engine::InMemoryBackend;

    /// A store that has an answer for hubs whose names do not begin with "slow".
    struct Store;

    #[async_trait]
    impl OpenHub for Store {
        async fn open(&self, hub: &str) -> BackendResult<Arc<dyn Backend>> {
            if hub.starts_with("slow") {
                std::future::pending::<()>().await;
            }
            Ok(Arc::new(InMemoryBackend::default()))
        }
        async fn delete(&self, _: &str) -> BackendResult<bool> {
            Ok(true)
        }
    }

    fn hubs(max_hubs: usize) -> Arc<Hubs> {
        Arc::new(Hubs::new(Arc::new(Store), ServerOptions { max_hubs, ..ServerOptions::default() }))
    }

    #[tokio::test]
    async fn calls_that_were_given_up_leave_no_place() {
        let hubs = hubs(2);
        for name in ["slow-1", "slow-2", "slow-3"] {
            let asked = tokio::time::timeout(Duration::from_millis(5), hubs.get(name)).await;
            assert!(asked.is_err());
        }
        hubs.get("open").await.expect("there is room again");
        hubs.close_those_that_rest().await;
        assert_eq!(hubs.places().keys().cloned().collect::<BTreeSet<_>>(), BTreeSet::from(["open".to_owned()]));
    }

    #[tokio::test]
    async fn one_that_is_in_use_makes_no_place_for_another() {
        let hubs = hubs(1);
        let used = hubs.get("one").await.expect("there is room");
        let refused = hubs.get("two").await.err().expect("all are in use");
        assert_eq!(refused.code(), super::Code::ResourceExhausted);
        hubs.get("default").await.expect("always there");
        drop(used);
        hubs.get("two").await.expect("the other one is closed");
        assert!(!hubs.places().contains_key("one"));
    }

    #[tokio::test]
    async fn none_is_opened_when_the_server_stops() {
        let hubs = hubs(9);
        hubs.get("open").await.expect("it opens");
        hubs.drain(Duration::ZERO).await;
        let refused = hubs.get("late").await.err().expect("too late");
        assert_eq!(refused.code(), super::Code::Unavailable);
        hubs.get("open").await.expect("it is open still");
    }
}
