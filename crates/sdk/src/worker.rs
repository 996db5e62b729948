//! A worker: runs the functions of this process against a store.
//!
//! Deliberately absent for now: a client that starts instances on the worker's own node without a claim.

use std::sync::Arc;
use std::time::Duration;

use everdure_core::{Backend, BackendError};
use everdure_engine::{Node, NodeOptions};

use crate::functions::{DuplicateName, Functions};

/// Runs orchestrations and activities until it is drained or dropped.
pub struct Worker {
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
        let node = Node::start(backend, functions.into_registry()?, options).await?;
        Ok(Self { node })
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
