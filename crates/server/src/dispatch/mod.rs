//! Hands work to connected workers, and their answers back to the engine.
//!
//! A stream is a lease: what it was given stays given for as long as it lives, and waits for another stream at once
//! when it ends. What no stream takes goes back to the store, for other servers. Work waits in groups by kind, name
//! and version, so that what nobody takes blocks nothing else.

mod activities;
mod answers;
mod encoded;
mod entities;
mod filters;
mod items;
mod orchestrations;
mod queue;
mod rejections;
mod stream;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{Hint, NodeId};
use everdure_engine::{
    ActivityExecutor, CancellationToken, EntityExecutor, NodeHandle, OrchestrationExecutor, Places, Workers,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use activities::RemoteActivities;
use encoded::EncodedHistories;
use entities::RemoteEntities;
use orchestrations::RemoteOrchestrations;
use queue::State;
use rejections::Rejections;

pub(crate) use answers::{Addressee, Part};
pub(crate) use filters::{Kind, WorkerFilter};
pub(crate) use items::{Answer, Asked};
pub(crate) use stream::{Capabilities, WorkStream};

/// What has waited for so long is too much for the workers here.
const SURPLUS_AFTER: Duration = Duration::from_secs(1);
/// So much of it is given back twice in that time: where all servers have too much, it costs little.
const SURPLUS_AT_ONCE: usize = 100;

/// The workers of one task hub that are connected to this server.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Shared>);

pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is a name more, or room where there was none.
    orchestrations: Notify,
    activities: Notify,
    encoded: EncodedHistories,
    rejections: Rejections,
    /// Nothing is waited for any more.
    closing: CancellationToken,
    /// The node that the workers work for, from its start to its end.
    node: Mutex<Option<NodeHandle>>,
    address: Option<String>,
    /// Tells the tokens of this life of the process from those of another.
    life: u64,
}

impl Dispatcher {
    /// Workers of a server that others reach under `address`.
    pub fn new(address: Option<String>) -> Self {
        let life = u64::from_le_bytes(uuid::Uuid::new_v4().into_bytes()[..8].try_into().unwrap_or_default());
        Self(Arc::new(Shared {
            state: Mutex::default(),
            orchestrations: Notify::new(),
            activities: Notify::new(),
            encoded: EncodedHistories::default(),
            rejections: Rejections::default(),
            closing: CancellationToken::new(),
            node: Mutex::default(),
            address,
            life,
        }))
    }

    /// The node has started.
    pub fn belongs_to(&self, node: NodeHandle) {
        *self.0.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        let shared = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while let Some(shared) = shared.upgrade().filter(|shared| !shared.closing.is_cancelled()) {
                shared.spread();
                drop(shared);
                tokio::time::sleep(SURPLUS_AFTER / 2).await;
            }
        });
    }

    /// The node has ended. Node and dispatcher know each other: this lets both go.
    pub fn belongs_to_nobody(&self) {
        *self.0.node.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that the workers work for now.
    fn node(&self) -> NodeId {
        let node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        node.as_ref().map_or(NodeId(0), NodeHandle::node)
    }

    /// Gives back some of what has waited here for long while other servers live: they may have room for it. More comes
    /// than there are places when many things happen in one moment, and while no other server lived.
    fn spread(&self) {
        let alone = {
            let node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
            node.as_ref().is_none_or(NodeHandle::is_alone)
        };
        if let Some(since) = Instant::now().checked_sub(SURPLUS_AFTER).filter(|_| !alone) {
            self.lock().give_back_waiting(since, SURPLUS_AT_ONCE);
        }
    }

    /// Waits before something that was given back is tried again; not when the server is about to stop.
    async fn pause(&self, key: &str, by: Option<u64>) {
        let pause = tokio::time::sleep(self.rejections.add(key, by));
        self.closing.run_until_cancelled(pause).await;
    }

    fn tell(&self, kind: Kind) {
        match kind {
            Kind::Activity => self.activities.notify_one(),
            Kind::Orchestration | Kind::Entity => self.orchestrations.notify_one(),
        }
    }
}

#[async_trait]
impl Workers for Dispatcher {
    fn orchestration(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn OrchestrationExecutor>> {
        let taken = self.0.lock().is_taken(Kind::Orchestration, name, version);
        taken.then(|| Arc::new(RemoteOrchestrations(Arc::clone(&self.0))) as Arc<dyn OrchestrationExecutor>)
    }

    fn activity(&self, name: &str, version: Option<&str>) -> Option<Arc<dyn ActivityExecutor>> {
        let taken = self.0.lock().is_taken(Kind::Activity, name, version);
        taken.then(|| Arc::new(RemoteActivities(Arc::clone(&self.0))) as Arc<dyn ActivityExecutor>)
    }

    fn entity(&self, name: &str) -> Option<Arc<dyn EntityExecutor>> {
        let taken = self.0.lock().is_taken(Kind::Entity, name, None);
        taken.then(|| Arc::new(RemoteEntities(Arc::clone(&self.0))) as Arc<dyn EntityExecutor>)
    }

    fn orchestration_places(&self) -> Vec<Places> {
        let state = self.0.lock();
        let mut places = state.places(Kind::Orchestration);
        places.extend(state.places(Kind::Entity));
        places
    }

    fn activity_places(&self) -> Vec<Places> {
        self.0.lock().places(Kind::Activity)
    }

    fn orchestration_room(&self, name: &str, version: Option<&str>) -> usize {
        self.0.lock().room(Kind::Orchestration, name, version).unwrap_or(0)
    }

    fn activity_room(&self, name: &str, version: Option<&str>) -> Option<usize> {
        self.0.lock().room(Kind::Activity, name, version)
    }

    fn waiting_activities(&self) -> usize {
        self.0.lock().waiting_of(Kind::Activity)
    }

    async fn changed(&self, wanted: &Hint) {
        match wanted {
            Hint::Activities => self.0.activities.notified().await,
            _ => self.0.orchestrations.notified().await,
        }
    }

    fn address(&self) -> Option<String> {
        self.0.address.clone()
    }
}
