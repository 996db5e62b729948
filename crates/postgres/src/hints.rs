//! Hints: within this process at once, to other nodes by NOTIFY, off the write path and coalesced.
//!
//! Nothing depends on them: whoever gets none looks by itself a little later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{Hint, HintStream, InstanceId};
use tokio::sync::{Notify, broadcast};
use tokio_postgres::Client;

use crate::connect::Connector;

/// Hints kept for a slow listener; one that falls behind looks at everything.
const KEPT: usize = 1024;
/// Notifications are sent at most this often.
const COALESCE: Duration = Duration::from_millis(10);
/// Between attempts to connect again.
const RECONNECT: Duration = Duration::from_secs(1);

const ORCHESTRATIONS: &str = "o";
const ACTIVITIES: &str = "a";
/// A node joined: from now on others want to be told.
const JOINED: &str = "j";

pub(crate) struct Hints {
    local: broadcast::Sender<Hint>,
    live_nodes: AtomicU32,
    orchestrations: AtomicBool,
    activities: AtomicBool,
    joined: AtomicBool,
    listening: AtomicBool,
    wanted: Notify,
}

impl Hints {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            local: broadcast::channel(KEPT).0,
            live_nodes: AtomicU32::new(0),
            orchestrations: AtomicBool::new(false),
            activities: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            wanted: Notify::new(),
        })
    }

    pub fn set_live_nodes(&self, count: u32) {
        self.live_nodes.store(count, Ordering::Relaxed);
    }

    /// This process has a new node: the others shall not believe any longer that they are alone.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    fn local(&self, hint: Hint) {
        // Nobody listening is no fault.
        let _ = self.local.send(hint);
    }

    /// Free orchestrations were written.
    pub fn orchestrations(&self) {
        self.local(Hint::Orchestrations);
        self.tell_others(&self.orchestrations);
    }

    /// Activity rows were written.
    pub fn activities(&self) {
        self.local(Hint::Activities);
        self.tell_others(&self.activities);
    }

    pub fn everything(&self) {
        self.orchestrations();
        self.activities();
    }

    pub fn started(&self, ids: Vec<InstanceId>) {
        self.local(Hint::Started(ids));
    }

    pub fn ended(&self, ids: Vec<InstanceId>) {
        self.local(Hint::Ended(ids));
    }

    fn tell_others(&self, what: &AtomicBool) {
        // A client that is no node does not know how many there are (0) and tells.
        if self.live_nodes.load(Ordering::Relaxed) != 1 {
            what.store(true, Ordering::Relaxed);
            self.wanted.notify_one();
        }
    }

    pub fn subscribe(self: &Arc<Self>) -> Box<dyn HintStream> {
        Box::new(Listener { source: Arc::clone(self), hints: self.local.subscribe() })
    }

    fn received(&self, payload: &str) {
        match payload {
            ORCHESTRATIONS => self.local(Hint::Orchestrations),
            ACTIVITIES => self.local(Hint::Activities),
            // How many there are now, the next renewal tells; until then it is unknown.
            JOINED => self.set_live_nodes(0),
            _ => {
                self.local(Hint::Orchestrations);
                self.local(Hint::Activities);
            }
        }
    }

    fn pending(&self) -> Vec<&'static str> {
        let all = [(&self.joined, JOINED), (&self.orchestrations, ORCHESTRATIONS), (&self.activities, ACTIVITIES)];
        all.into_iter().filter(|(flag, _)| flag.swap(false, Ordering::Relaxed)).map(|(_, payload)| payload).collect()
    }
}

/// Listens, and notifies, until the task is aborted.
pub(crate) async fn run(hints: Arc<Hints>, connector: Connector, channel: String) {
    loop {
        if let Err(error) = exchange(&hints, &connector, &channel).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "no hints for now");
        }
        hints.listening.store(false, Ordering::Relaxed);
        tokio::time::sleep(RECONNECT).await;
        // Whatever came while nobody listened.
        hints.local(Hint::Orchestrations);
        hints.local(Hint::Activities);
    }
}

async fn exchange(hints: &Arc<Hints>, connector: &Connector, channel: &str) -> Result<(), tokio_postgres::Error> {
    let receiver = Arc::clone(hints);
    let (client, mut driver) = connector.listen(move |payload| receiver.received(&payload)).await?;
    client.batch_execute(&format!("listen {channel}")).await?;
    hints.listening.store(true, Ordering::Relaxed);
    loop {
        tokio::select! {
            _ = &mut driver => return Ok(()),
            () = hints.wanted.notified() => notify(hints, &client, channel).await?,
        }
        tokio::time::sleep(COALESCE).await;
    }
}

async fn notify(hints: &Hints, client: &Client, channel: &str) -> Result<(), tokio_postgres::Error> {
    for payload in hints.pending() {
        client.execute("select pg_notify($1, $2)", &[&channel, &payload]).await?;
    }
    Ok(())
}

struct Listener {
    source: Arc<Hints>,
    hints: broadcast::Receiver<Hint>,
}

#[async_trait]
impl HintStream for Listener {
    async fn next(&mut self) -> Hint {
        use broadcast::error::RecvError;
        match self.hints.recv().await {
            Ok(hint) => hint,
            // What was missed may have been anything; looking at orchestrations finds most of it.
            Err(RecvError::Lagged(_)) => Hint::Orchestrations,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    fn is_reliable(&self) -> bool {
        self.source.listening.load(Ordering::Relaxed)
    }
}
