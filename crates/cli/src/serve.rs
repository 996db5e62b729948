//! `everdure serve`: the server that the Durable Task SDKs connect to.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use everdure::{PostgresBackend, PostgresOptions};
use everdure_core::{Backend, BackendError, BackendResult};
use everdure_server::{Load, OpenHub, Server, ServerOptions};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use crate::connection::Connection;
use crate::dev::stop_signal;

const EXAMPLES: &str = "\
Examples:
  everdure serve --database-url postgresql://user:password@host/db
  everdure serve --listen 127.0.0.1:4001 --hubs default,orders
  everdure serve --listen 0.0.0.0:4001 --allow-remote --advertise server-1.internal:4001

On the same port: gRPC with health and reflection, and over HTTP /metrics, /healthz and /readyz.";

/// Serve the protocol of the Durable Task SDKs.
///
/// Programs written with the SDKs for Python, JavaScript, Java, Go and .NET connect to it unchanged: clients to start and
/// watch orchestrations, workers to run them. Several servers may share one database. At SIGTERM or Ctrl-C, workers finish
/// what they have and are sent away.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    listen: Listen,
}

/// How a server behaves that SDKs connect to.
#[derive(Args, Clone)]
pub struct Listen {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4001", value_parser = address, help_heading = "Server")]
    listen: SocketAddr,

    /// Listen on an address that other machines reach. There is no authentication yet: whoever reaches the port may do
    /// everything. Put a proxy or a network policy before it
    #[arg(long, help_heading = "Server")]
    allow_remote: bool,

    /// Where other servers of the same database reach this one [default: the address that it listens on]
    #[arg(long, value_name = "HOST:PORT", value_parser = advertised, help_heading = "Server")]
    advertise: Option<String>,

    /// Serve these task hubs only; otherwise each is made when it is first asked for
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = hub_name, help_heading = "Server")]
    hubs: Vec<String>,

    /// Without --hubs, open at most so many at once: each takes 3 connections of the database
    #[arg(long, value_name = "COUNT", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Server")]
    max_hubs: u16,

    /// Take messages up to this size, in megabytes
    #[arg(long, value_name = "MB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Server")]
    max_message: u16,

    /// Give a worker that names no limit this many items of each kind at once
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Server")]
    items_per_worker: u32,

    /// Log to standard error as text, or as a JSON object a line; EVERDURE_LOG says how much (error, warn, info, debug)
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], help_heading = "Server")]
    log: String,

    /// Wait so long for workers at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 20, help_heading = "Server")]
    drain: u16,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "use an IP address and a port, such as 127.0.0.1:4001".to_owned())
}

fn advertised(text: &str) -> Result<String, String> {
    let host_and_port = text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>().unwrap_or(0)));
    match host_and_port {
        // An address of version 6 has colons of its own.
        Some((host, 1..))
            if !host.is_empty() && !host.contains('/') && (!host.contains(':') || host.ends_with(']')) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("use a host and a port, such as server-1.internal:4001 or [fd00::1]:4001".to_owned()),
    }
}

fn hub_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a task hub needs a name: use names with a comma between them, such as default,orders".to_owned()),
        name => Ok(name.to_owned()),
    }
}

pub fn run(arguments: &Serve) -> Result<(), Box<dyn Error>> {
    arguments.connection.url()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = {
        let _context = runtime.enter();
        stop_signal()?
    };
    runtime.block_on(async {
        let listener = arguments.listen.begin().await?;
        serve(&arguments.connection, &arguments.listen, listener, None, stop).await
    })
}

impl Serve {
    pub fn logs_json(&self) -> bool {
        self.listen.logs_json()
    }
}

impl Listen {
    pub fn logs_json(&self) -> bool {
        self.log == "json"
    }

    /// Takes the port, before anything else is begun that would be in vain without it.
    pub async fn begin(&self) -> Result<TcpListener, Box<dyn Error>> {
        self.check()?;
        Ok(everdure_server::listen(self.listen).await?)
    }

    fn check(&self) -> Result<(), String> {
        let open = !self.listen.ip().is_loopback();
        if open && !self.allow_remote {
            return Err(format!(
                "{} is reached from other machines, and there is no authentication yet: listen on 127.0.0.1, or say \
                 --allow-remote if something before the server decides who may connect",
                self.listen
            ));
        }
        Ok(())
    }

    fn options(&self, default_hub: &str) -> ServerOptions {
        let mut options = ServerOptions {
            default_hub: default_hub.to_owned(),
            address: self.advertise.clone(),
            max_hubs: usize::from(self.max_hubs),
            max_message_bytes: usize::from(self.max_message) * 1024 * 1024,
            items_per_worker: usize::try_from(self.items_per_worker).unwrap_or(usize::MAX),
            ..ServerOptions::default()
        };
        if !self.hubs.is_empty() {
            options.hubs = Some(self.hubs.iter().cloned().collect());
        }
        options
    }
}

/// Serves until `stop`.
pub async fn serve(
    connection: &Connection,
    listen: &Listen,
    listener: TcpListener,
    lease: Option<Duration>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Store { connection: connection.clone(), pool: OnceCell::new(), opened: Mutex::default() });
    let mut options = listen.options(connection.hub());
    options.node.lease = lease.unwrap_or(options.node.lease);
    let hubs =
        options.hubs.as_ref().map_or("any".to_owned(), |hubs| hubs.iter().cloned().collect::<Vec<_>>().join(","));
    let default_served = options.hubs.as_ref().is_none_or(|hubs| hubs.contains(&options.default_hub));
    let server = Server::on(listener, store, options)?;
    let (version, address, hub) = (env!("CARGO_PKG_VERSION"), server.address(), connection.hub());
    tracing::info!(version, %address, advertise = listen.advertise, database = connection.database(), hub, hubs, "starting");
    if !default_served {
        tracing::warn!(hub, hubs, "calls that name no task hub are refused: theirs is not among those served");
    }
    server.open_hubs().await?;
    tracing::info!(%address, "listening");
    let mut said = format!("everdure is listening on {}\n", server.address());
    if listen.allow_remote {
        said.push_str("anybody who reaches this address may do everything: authentication comes later\n");
    }
    // Whoever started it may have stopped reading.
    let mut out = std::io::stdout();
    let _ = out.write_all(said.as_bytes()).and_then(|()| out.flush());
    server.serve(stop, Duration::from_secs(listen.drain.into())).await?;
    Ok(())
}

/// Task hubs in one database.
struct Store {
    connection: Connection,
    /// Whose pool all hubs share.
    pool: OnceCell<PostgresBackend>,
    /// The hubs that were opened, by name: the number of each, and what it is while it is open.
    opened: Mutex<BTreeMap<String, (i32, Weak<PostgresBackend>)>>,
}

impl Store {
    fn options(&self, hub: &str, listen: bool) -> BackendResult<PostgresOptions> {
        let builder = self.connection.builder().map_err(|error| BackendError::invalid(error.to_string()))?;
        builder.hub(hub).listen(listen).build()
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<String, (i32, Weak<PostgresBackend>)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, hub: &str) -> BackendResult<PostgresBackend> {
        PostgresBackend::connect(self.options(hub, true)?).await
    }
}

#[async_trait]
impl OpenHub for Store {
    async fn open(&self, hub: &str) -> BackendResult<Arc<dyn Backend>> {
        let pool = self.pool.get_or_try_init(|| self.connect(hub)).await?;
        let opened = Arc::new(pool.open_hub(hub).await?);
        self.opened().insert(hub.to_owned(), (opened.hub_number(), Arc::downgrade(&opened)));
        Ok(opened)
    }

    async fn lives(&self, hub: &str) -> BackendResult<bool> {
        let number = self.opened().get(hub).map(|(number, _)| *number);
        match (self.pool.get(), number) {
            (Some(pool), Some(number)) => pool.hub_lives(number).await,
            _ => Ok(true),
        }
    }

    async fn load(&self, hub: &str) -> BackendResult<Vec<Load>> {
        let Some(pool) = self.pool.get() else { return Ok(Vec::new()) };
        let metric = pool.scale_metric_of(hub).await?;
        let (turns, tasks) = (metric.orchestrations, metric.activities);
        let of = |kind, waiting, running, oldest| Load { kind, waiting, running, oldest };
        Ok(vec![
            of("orchestration", turns.waiting, turns.running, turns.oldest),
            of("activity", tasks.waiting, tasks.running, tasks.oldest),
        ])
    }

    async fn names(&self) -> BackendResult<Vec<String>> {
        match self.pool.get() {
            Some(pool) => pool.hub_names().await,
            None => Ok(Vec::new()),
        }
    }

    async fn check(&self) -> BackendResult<()> {
        // The pool first: through it one hub asks for all whether the database answers.
        if let Some(pool) = self.pool.get() {
            pool.check_writes().await?;
        }
        let open: Vec<_> = self.opened().values().filter_map(|(_, hub)| hub.upgrade()).collect();
        for hub in open {
            hub.check_writers().await?;
        }
        Ok(())
    }

    fn connections(&self) -> Vec<(&'static str, usize)> {
        let Some((size, free, waiting)) = self.pool.get().map(PostgresBackend::pool_status) else { return Vec::new() };
        vec![("busy", size.saturating_sub(free)), ("free", free), ("awaited", waiting)]
    }

    async fn delete(&self, hub: &str) -> BackendResult<bool> {
        let options = self.options(hub, false)?;
        if !PostgresBackend::list_hubs(&options).await?.iter().any(|known| known.name == hub) {
            return Ok(false);
        }
        while !PostgresBackend::delete_hub(&options, hub, true, 10_000).await?.complete {}
        Ok(true)
    }
}
