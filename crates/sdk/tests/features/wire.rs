//! A server on the in-memory store, reached over a connection in memory: everything is as over a network, and the clock of
//! the test can still jump, because nothing waits for the operating system.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use everdure::testing::TestHub;
use everdure::{Backend, Functions, InMemoryBackend, NodeOptions, RemoteOptions, Worker};
use everdure_core::BackendResult;
use everdure_server::{OpenHub, ServerOptions, serve_connections};
use futures::channel::mpsc;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::task::AbortHandle;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// The clock jumps far: nobody is asked for a sign of life.
const NEVER: Duration = Duration::from_secs(1000 * 86_400);

/// Bytes under way in one direction.
const PIPE: usize = 256 * 1024;

struct Memory(Arc<dyn Backend>);

#[async_trait]
impl OpenHub for Memory {
    async fn open(&self, _: &str) -> BackendResult<Arc<dyn Backend>> {
        Ok(Arc::clone(&self.0))
    }

    async fn delete(&self, _: &str) -> BackendResult<bool> {
        Ok(false)
    }
}

/// Servers on one store, of which one is there at a time. Connections go to that one.
pub struct Servers {
    store: Arc<dyn Backend>,
    current: Arc<Mutex<mpsc::UnboundedSender<io::Result<DuplexStream>>>>,
    /// What ends with the server: itself, and the lines to it.
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Servers {
    pub fn new(store: Arc<dyn Backend>) -> Self {
        let (connections, serving) = serve(Arc::clone(&store));
        Self { store, current: Arc::new(Mutex::new(connections)), tasks: Arc::new(Mutex::new(vec![serving])) }
    }

    /// The server dies, with all connections to it, and another one starts.
    pub fn die(&self) {
        let (connections, serving) = serve(Arc::clone(&self.store));
        *self.current.lock().expect("no holder panics") = connections;
        let old = std::mem::replace(&mut *self.tasks.lock().expect("no holder panics"), vec![serving]);
        old.iter().for_each(AbortHandle::abort);
    }

    pub async fn channel(&self) -> Channel {
        let (current, tasks) = (Arc::clone(&self.current), Arc::clone(&self.tasks));
        let connect = service_fn(move |_| {
            let ((ours, mut near), (mut far, theirs)) = (tokio::io::duplex(PIPE), tokio::io::duplex(PIPE));
            let line = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            tasks.lock().expect("no holder panics").push(line.abort_handle());
            let sent = current.lock().expect("no holder panics").unbounded_send(Ok(theirs)).map_err(io::Error::other);
            async move { sent.map(|()| TokioIo::new(ours)) }
        });
        Endpoint::from_static("http://memory").connect_with_connector(connect).await.expect("a connection in memory")
    }

    pub async fn options(&self) -> RemoteOptions {
        RemoteOptions::new("memory").channel(self.channel().await)
    }
}

/// Serves the store, for as long as the test runs.
fn serve(store: Arc<dyn Backend>) -> (mpsc::UnboundedSender<io::Result<DuplexStream>>, AbortHandle) {
    let node = NodeOptions {
        lease: Duration::from_secs(600),
        poll: Duration::from_secs(3_600),
        ..ServerOptions::default().node
    };
    let options = ServerOptions { keepalive: (NEVER, NEVER), node, ..ServerOptions::default() };
    let (connections, incoming) = mpsc::unbounded::<io::Result<DuplexStream>>();
    let serving = tokio::spawn(async move {
        let served = serve_connections(Arc::new(Memory(store)), options, incoming, std::future::pending(), NEVER);
        served.await.expect("a server that serves");
    });
    (connections, serving.abort_handle())
}

/// A hub in memory with a worker over the wire; `keep_live` as in [`NodeOptions`].
pub async fn hub(functions: Functions, keep_live: bool) -> TestHub {
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let node = NodeOptions { keep_live, ..NodeOptions::default() };
    let worker = Worker::connect(servers.options().await, functions, node).await.expect("a worker that is taken in");
    TestHub::with_worker(store, worker)
}
