//! A node: one process that takes part in a task hub.
//!
//! It lives in *incarnations*. Each registers, claims, runs turns and activities, and gives signs of life; when its
//! lease is lost it drops all that it has in memory, which others have taken over, and the next one begins under a
//! new id. Deliberately absent: any decision about what counts; that is the store's.

mod activities;
mod actor;
mod claims;
mod entities;
mod finished;
mod handover;
mod incarnation;
mod options;
mod results;
mod rooms;
mod signs;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everdure_core::{Backend, BackendResult, CreateInstance, CreateOutcome, NodeId, SendMessage, SendOutcome};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Workers;
use incarnation::{Ending, Incarnation};
pub use options::NodeOptions;

/// A running node. Dropping it stops it at once, without giving back what it holds: call [`Node::drain`].
pub struct Node {
    backend: Arc<dyn Backend>,
    current: Arc<Mutex<Arc<Incarnation>>>,
    stopping: CancellationToken,
    supervisor: JoinHandle<()>,
}

impl Node {
    /// Registers and begins to work.
    ///
    /// # Errors
    /// What the backend answers to the registration.
    pub async fn start(
        backend: Arc<dyn Backend>,
        workers: Arc<dyn Workers>,
        options: NodeOptions,
    ) -> BackendResult<Self> {
        let first = Incarnation::begin(&backend, &workers, options).await?;
        let current = Arc::new(Mutex::new(first));
        let stopping = CancellationToken::new();
        let supervisor =
            tokio::spawn(supervise(Arc::clone(&backend), workers, options, Arc::clone(&current), stopping.clone()));
        Ok(Self { backend, current, stopping, supervisor })
    }

    fn incarnation(&self) -> Arc<Incarnation> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The door for clients of this process.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        NodeHandle { current: Arc::clone(&self.current) }
    }

    /// Stops claiming, lets what runs finish for up to `patience`, gives the rest back, and leaves.
    ///
    /// # Errors
    /// What the backend answers to leaving; what could not be given back is taken over when the lease has run out.
    pub async fn drain(self, patience: Duration) -> BackendResult<()> {
        self.stopping.cancel();
        let incarnation = self.incarnation();
        incarnation.drain(patience).await;
        self.backend.remove_node(incarnation.node).await
    }

    /// Ends everything at once and writes nothing, as a crash does.
    pub fn kill(self) {
        self.incarnation().end();
    }
}

/// The door of a node for clients of the same process. It outlives the node: then it is like any client.
#[derive(Clone)]
pub struct NodeHandle {
    current: Arc<Mutex<Arc<Incarnation>>>,
}

impl NodeHandle {
    fn incarnation(&self) -> Arc<Incarnation> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The id under which the node works now.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.incarnation().node
    }

    /// Whether no other node lives, as far as the last sign of life has told.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.incarnation().is_alone()
    }

    /// Creates an instance; the node takes it at once when it has room and a worker for it.
    ///
    /// # Errors
    /// What the backend answers.
    pub async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        self.incarnation().create_instance(request).await
    }

    /// Sends a message; in memory too, when the node holds the instance.
    ///
    /// # Errors
    /// What the backend answers.
    pub async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        self.incarnation().send_message(request).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.supervisor.abort();
        self.incarnation().end();
    }
}

/// Begins a new incarnation whenever one has lost its lease.
async fn supervise(
    backend: Arc<dyn Backend>,
    workers: Arc<dyn Workers>,
    options: NodeOptions,
    current: Arc<Mutex<Arc<Incarnation>>>,
    stopping: CancellationToken,
) {
    loop {
        let running = Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner));
        let ending = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            ending = running.work() => ending,
        };
        running.end();
        let Ending::LeaseLost = ending;
        tracing::warn!(hub = backend.hub(), node = %running.node, "lease lost; everything in memory is dropped");
        let next = loop {
            match Incarnation::begin(&backend, &workers, options).await {
                Ok(next) => break next,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        hub = backend.hub(),
                        "cannot register; trying again"
                    );
                    tokio::time::sleep(options.poll).await;
                }
            }
        };
        *current.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
