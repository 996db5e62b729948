//! A worker: runs the functions of this process against a store.

use std::sync::Arc;
use std::time::Duration;

use everdure_core::{Backend, BackendError};
use everdure_engine::{Node, NodeOptions};

use crate::client::Client;
use crate::functions::{DuplicateName, Functions};

/// Runs orchestrations and activities until it is drained or dropped.
pub struct Worker {
    backend: Arc<dyn Backend>,
    node: Node,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Two functions have one name.
    #[error(transparent)]
    Duplicate(#[from] DuplicateName),
    /// The store did not take the worker in, or did not let it go.
    #[error("the store refused the worker")]
    Backend(#[from] BackendError),
    /// This process cannot listen for signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

impl Worker {
    /// Starts a worker for `functions`.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn start(
        backend: Arc<dyn Backend>,
        functions: Functions,
        options: NodeOptions,
    ) -> Result<Self, WorkerError> {
        let node = Node::start(Arc::clone(&backend), functions.into_registry()?, options).await?;
        Ok(Self { backend, node })
    }

    /// A client whose instances begin here, without a claim, when this worker has room and knows their function.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::on_node(Arc::clone(&self.backend), self.node.handle())
    }

    /// Works until SIGINT or SIGTERM, then drains.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn run_until_signal(self, patience: Duration) -> Result<(), WorkerError> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).map_err(WorkerError::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(WorkerError::Signals)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        self.drain(patience).await
    }

    /// Takes nothing new, lets what runs finish for up to `patience`, gives the rest back, and leaves.
    ///
    /// # Errors
    /// [`WorkerError::Backend`]; what could not be given back is taken over when the lease has run out.
    pub async fn drain(self, patience: Duration) -> Result<(), WorkerError> {
        Ok(self.node.drain(patience).await?)
    }

    /// Ends at once and writes nothing, as a crash does: for tests of recovery.
    pub fn kill(self) {
        self.node.kill();
    }
}
