//! A worker over a connection to a server: it is given work on a stream, and answers each item with a call.
//!
//! The stream is the lease. While it lives, what came on it is this worker's; when it ends, the server gives that to
//! others, and to this one when it is back. Deliberately absent: any state that outlives the process.

mod activities;
mod answers;
mod deadline;
mod entities;
mod filters;
mod live;
mod orchestrations;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everdure_core::BackendResult;
use everdure_engine::{CancellationToken, NodeOptions, Registry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Connection, RemoteClient, RemoteOptions};
use crate::client::Client;
use live::LiveOrchestrations;

/// What the tasks of a worker share.
struct Shared {
    connection: Connection,
    functions: Registry,
    options: NodeOptions,
    live: LiveOrchestrations,
    under_way: deadline::UnderWay,
    /// Activities that run, with the token under which each was handed out last.
    running: Mutex<HashMap<activities::Step, String>>,
    /// No more work is taken.
    draining: CancellationToken,
    /// Everything ends.
    ended: CancellationToken,
    /// Tells this worker from others on the same machine.
    id: String,
}

pub(crate) struct RemoteWorker {
    shared: Arc<Shared>,
    reading: JoinHandle<()>,
    /// Closed when nothing is under way any more.
    under_way: mpsc::Receiver<()>,
}

impl RemoteWorker {
    pub async fn connect(options: &RemoteOptions, functions: Registry, node: NodeOptions) -> BackendResult<Self> {
        let shared = Arc::new(Shared {
            connection: Connection::open(options).await?,
            functions,
            options: node,
            live: LiveOrchestrations::new(node.max_orchestrations),
            under_way: deadline::UnderWay::default(),
            running: Mutex::default(),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
            id: uuid::Uuid::new_v4().as_simple().to_string(),
        });
        let (guard, under_way) = mpsc::channel(1);
        let reading = tokio::spawn(stream::work(Arc::clone(&shared), guard));
        let watched = Arc::clone(&shared);
        tokio::spawn(async move { deadline::watch(&watched).await });
        Ok(Self { shared, reading, under_way })
    }

    pub fn client(&self) -> Client {
        Client::through(Arc::new(RemoteClient(self.shared.connection.clone())))
    }

    /// Takes nothing more, and lets what runs finish. Until then the stream stays open, so that nobody else is given what
    /// runs here; what came on it and was not begun goes to others at its end.
    pub async fn drain(mut self, patience: Duration) {
        self.shared.draining.cancel();
        if tokio::time::timeout(patience, self.under_way.recv()).await.is_err() {
            tracing::warn!("not everything was finished in time; it runs again elsewhere");
        }
        self.shared.ended.cancel();
        // Aborted by nobody, and a panic of it was told where it happened.
        let _ = (&mut self.reading).await;
    }

    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for RemoteWorker {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        self.shared.ended.cancel();
        self.reading.abort();
    }
}
