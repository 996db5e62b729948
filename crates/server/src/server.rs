//! One server: its port, its routes, its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everdure_engine::CancellationToken;
use everdure_proto::pb::task_hub_sidecar_service_server::TaskHubSidecarServiceServer;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::ServerOptions;
use crate::calls::PastTheRouter;
use crate::hubs::{Hubs, OpenHub};
use crate::service::Service;

/// At the end, how long calls under way have to come to theirs.
const GRACE: Duration = Duration::from_secs(2);

/// Stops looking for hubs that rest, when the server ends.
struct Resting(tokio::task::JoinHandle<()>);

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a server could not be started, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: is another server using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The transport gave up.
    #[error("the server cannot go on")]
    Transport(#[from] tonic::transport::Error),
    /// A task hub cannot be opened.
    #[error("the task hub '{hub}' cannot be opened: {problem}")]
    Hub {
        /// Its name.
        hub: String,
        /// Why.
        problem: String,
    },
}

/// Listens on `address`, for [`Server::on`].
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    hubs: Arc<Hubs>,
}

impl Server {
    /// Listens on `address`; serving begins with [`Server::serve`].
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub async fn bind(
        address: SocketAddr,
        store: Arc<dyn OpenHub>,
        options: ServerOptions,
    ) -> Result<Self, ServeError> {
        Self::on(listen(address).await?, store, options)
    }

    /// The same on a port that is listened on already.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn on(listener: TcpListener, store: Arc<dyn OpenHub>, mut options: ServerOptions) -> Result<Self, ServeError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address: nowhere, source })?;
        // An address for all interfaces is none to call.
        if options.address.is_none() && !address.ip().is_unspecified() {
            options.address = Some(address.to_string());
        }
        Ok(Self { listener, address, hubs: Arc::new(Hubs::new(store, options)) })
    }

    /// Where it listens: with the port that was found when it was asked for any.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the task hubs that are known by name, so that what is wrong with the store shows at once: those that are
    /// served, or the one that calls mean which name none.
    ///
    /// # Errors
    /// [`ServeError::Hub`].
    pub async fn open_hubs(&self) -> Result<(), ServeError> {
        for hub in self.hubs.named() {
            let opened = self.hubs.get(&hub).await;
            opened.map_err(|status| ServeError::Hub { hub, problem: status.message().to_owned() })?;
        }
        Ok(())
    }

    /// Serves until `stop`; then workers finish what they have, for up to `patience`, and are sent away.
    ///
    /// # Errors
    /// [`ServeError::Transport`].
    pub async fn serve(self, stop: impl Future<Output = ()> + Send, patience: Duration) -> Result<(), ServeError> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        serve_hubs(self.hubs, incoming, stop, patience).await
    }
}

/// Serves connections that come in another way than by a port, as [`Server::serve`] does: a test has both ends in memory.
///
/// # Errors
/// [`ServeError::Transport`].
pub async fn serve_connections<IO>(
    store: Arc<dyn OpenHub>,
    options: ServerOptions,
    incoming: impl Stream<Item = std::io::Result<IO>> + Send,
    stop: impl Future<Output = ()> + Send,
    patience: Duration,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    serve_hubs(Arc::new(Hubs::new(store, options)), incoming, stop, patience).await
}

async fn serve_hubs<IO>(
    hubs: Arc<Hubs>,
    incoming: impl Stream<Item = std::io::Result<IO>> + Send,
    stop: impl Future<Output = ()> + Send,
    patience: Duration,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let options = hubs.options().clone();
    crate::metrics::begin();
    let too_late = CancellationToken::new();
    let late = too_late.clone();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("TaskHubSidecarService", tonic_health::ServingStatus::Serving).await;
    let service = TaskHubSidecarServiceServer::new(Service { hubs: Arc::clone(&hubs) })
        .max_decoding_message_size(options.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let mut routes = Routes::new(health_service);
    // Unwrap safety: the description is compiled in, and was made by the compiler that also made the service.
    let described = "the description of the service can be read";
    routes = routes.add_service(reflection().build_v1().expect(described));
    // What older tools ask for.
    routes = routes.add_service(reflection().build_v1alpha().expect(described));
    let routes = Routes::from(crate::metrics::routes(routes.into_axum_router(), Arc::clone(&hubs)));
    let ended = async {
        stop.await;
        tracing::info!(?patience, "stopping: workers finish what they have");
        health.set_service_status("TaskHubSidecarService", tonic_health::ServingStatus::NotServing).await;
        hubs.drain(patience).await;
        hubs.closing.cancel();
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            late.cancel();
        });
    };
    let _resting = Resting(tokio::spawn({
        let hubs = Arc::clone(&hubs);
        async move { hubs.close_resting().await }
    }));
    let (every, within) = options.keepalive;
    let serving = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(PastTheRouter(service))
        .http2_keepalive_interval(Some(every))
        .http2_keepalive_timeout(Some(within))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, ended);
    // Connections that their clients keep open do not hold the server up.
    too_late.run_until_cancelled(serving).await.unwrap_or(Ok(()))?;
    tracing::info!("stopped");
    Ok(())
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(everdure_proto::FILE_DESCRIPTOR_SET)
}
