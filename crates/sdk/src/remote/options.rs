//! Where the server is, and how to talk to it.

use std::fmt;
use std::time::Duration;

use everdure_core::{BackendError, BackendResult};
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// The variables that [`RemoteOptions::from_env`] reads.
const ENDPOINT_VARIABLE: &str = "EVERDURE_ENDPOINT";
const HUB_VARIABLE: &str = "EVERDURE_TASK_HUB";

/// Frames of a turn's size and more travel without waiting for window updates.
const WINDOW: u32 = 8 * 1024 * 1024;

/// Where a server is, which task hub of it, and how to talk to it. Its `Debug` output shows no metadata.
#[derive(Clone)]
pub struct RemoteOptions {
    address: String,
    channel: Option<Channel>,
    pub(super) hub: Option<String>,
    pub(super) max_message_bytes: usize,
    keepalive: (Duration, Duration),
    connect_timeout: Duration,
    metadata: Vec<(String, String)>,
}

impl RemoteOptions {
    /// The server at that address: `http://host:port`, `https://host:port` (certificates are checked against the system's
    /// roots), or `host:port`, which is the first one.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            channel: None,
            hub: None,
            max_message_bytes: 64 * 1024 * 1024,
            keepalive: (Duration::from_secs(30), Duration::from_secs(20)),
            connect_timeout: Duration::from_secs(10),
            metadata: Vec::new(),
        }
    }

    /// The server that the variable `EVERDURE_ENDPOINT` names, and the task hub of `EVERDURE_TASK_HUB` if it is set.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when the first one is not set.
    pub fn from_env() -> BackendResult<Self> {
        let address = std::env::var(ENDPOINT_VARIABLE).map_err(|_| {
            BackendError::invalid(format!("{ENDPOINT_VARIABLE} is not set: set it to http://host:port of the server"))
        })?;
        let options = Self::new(address);
        Ok(match std::env::var(HUB_VARIABLE) {
            Ok(hub) if !hub.is_empty() => options.task_hub(hub),
            _ => options,
        })
    }

    /// In that task hub, instead of the server's default one.
    #[must_use]
    pub fn task_hub(mut self, name: impl Into<String>) -> Self {
        self.hub = Some(name.into());
        self
    }

    /// Takes messages up to this size; 64 MB by default.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Asks the server every so often whether it is there, and how long it may take to answer: 30 and 20 seconds by
    /// default. A connection on which no answer comes is made anew.
    #[must_use]
    pub fn keepalive(mut self, every: Duration, within: Duration) -> Self {
        self.keepalive = (every, within);
        self
    }

    /// Gives up connecting after this time; ten seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sends that with every call, for whatever stands before the server: `.metadata("authorization", "Bearer …")`.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Uses a channel that the caller made (with certificates of its own, over a socket of another kind). Address, keepalive
    /// and the time to connect are then the caller's business.
    #[must_use]
    pub fn channel(mut self, channel: Channel) -> Self {
        self.channel = Some(channel);
        self
    }

    /// The address, for messages.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn open(&self) -> BackendResult<Channel> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let endpoint = self.endpoint()?;
        endpoint.connect().await.map_err(|source| BackendError::Unavailable {
            context: format!(
                "cannot connect to the server at {}: is it running (`everdure dev`, `everdure serve`), and is the address right?",
                self.address
            ),
            source: Some(source.into()),
        })
    }

    fn endpoint(&self) -> BackendResult<Endpoint> {
        let unusable = |source: tonic::transport::Error| BackendError::Invalid {
            context: format!("'{}' is no address of a server: expected http://host:port", self.address),
            source: Some(source.into()),
        };
        let uri = match self.address.contains("://") {
            true => self.address.clone(),
            false => format!("http://{}", self.address),
        };
        let (every, within) = self.keepalive;
        let mut endpoint = Endpoint::from_shared(uri)
            .map_err(unusable)?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(every)
            .keep_alive_timeout(within)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 2)
            .user_agent(concat!("everdure-rust/", env!("CARGO_PKG_VERSION")))
            .map_err(unusable)?;
        if self.address.starts_with("https://") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(unusable)?;
        }
        Ok(endpoint)
    }

    /// What goes with every call.
    pub(super) fn headers(&self) -> BackendResult<Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>> {
        let hub = self.hub.iter().map(|hub| ("taskhub", hub.as_str()));
        let given = self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let headers = given.chain(hub).map(|(key, value)| {
            let unusable = || BackendError::invalid(format!("'{key}' cannot be sent: use visible ASCII characters"));
            let key = key.parse::<MetadataKey<Ascii>>().map_err(|_| unusable())?;
            let value = value.parse::<MetadataValue<Ascii>>().map_err(|_| unusable())?;
            Ok((key, value))
        });
        headers.collect()
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("address", &self.address)
            .field("task_hub", &self.hub)
            .field("max_message_bytes", &self.max_message_bytes)
            .finish_non_exhaustive()
    }
}
