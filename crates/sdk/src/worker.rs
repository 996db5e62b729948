//! A worker: runs the functions of this process, against a store or a server.

use std::sync::Arc;
use std::time::Duration;

use everdure_core::{Backend, BackendError};
use everdure_engine::{Node, NodeOptions};

use crate::client::Client;
use crate::functions::{DuplicateName, Functions};

/// Runs orchestrations and activities until it is drained or dropped.
pub struct Worker(Way);

/// Where its work comes from.
enum Way {
    Store {
        backend: Arc<dyn Backend>,
        node: Node,
    },
    #[cfg(feature = "remote")]
    Server(crate::remote::RemoteWorker),
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
    /// There is no server that takes the worker in.
    #[error("no server takes the worker in")]
    Connection(#[source] BackendError),
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
        let workers = Arc::new(functions.into_registry()?);
        let node = Node::start(Arc::clone(&backend), workers, options).await?;
        Ok(Self(Way::Store { backend, node }))
    }

    /// Starts a worker for `functions` that is given work by a server (feature `remote`). It connects again for ever when
    /// the connection breaks; that the server cannot be reached at the beginning is an error.
    ///
    /// Of `node`, the numbers of orchestrations and activities count, the deadlines and `keep_live`; the rest is the
    /// server's business. Over the wire, what an orchestration gives up (a timer that lost a `select!`, say) is not
    /// cancelled: it comes to its end, and nobody listens. An activity's
    /// [`cancellation`](crate::ActivityContext::cancellation) fires when the worker ends, and at its deadline.
    ///
    /// # Errors
    /// [`WorkerError`].
    #[cfg(feature = "remote")]
    pub async fn connect(
        server: crate::RemoteOptions,
        functions: Functions,
        node: NodeOptions,
    ) -> Result<Self, WorkerError> {
        let functions = functions.into_registry()?;
        let worker = crate::remote::RemoteWorker::connect(&server, functions, node).await;
        Ok(Self(Way::Server(worker.map_err(WorkerError::Connection)?)))
    }

    /// A client whose instances begin here, without a claim, when this worker has room and knows their function. Of a worker
    /// that is connected to a server, a client on the same connection.
    #[must_use]
    pub fn client(&self) -> Client {
        match &self.0 {
            Way::Store { backend, node } => Client::on_node(Arc::clone(backend), node.handle()),
            #[cfg(feature = "remote")]
            Way::Server(worker) => worker.client(),
        }
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
        match self.0 {
            Way::Store { node, .. } => node.drain(patience).await?,
            #[cfg(feature = "remote")]
            Way::Server(worker) => worker.drain(patience).await,
        }
        Ok(())
    }

    /// Ends at once and writes nothing, as a crash does: for tests of recovery.
    pub fn kill(self) {
        match self.0 {
            Way::Store { node, .. } => node.kill(),
            #[cfg(feature = "remote")]
            Way::Server(worker) => worker.kill(),
        }
    }
}
