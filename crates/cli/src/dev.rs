//! `everdure dev`: a private PostgreSQL with a server for SDKs, for as long as the command runs.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use everdure_embedded::Server;

use crate::connection::Connection;
use crate::serve::{Listen, serve};

/// Nobody else works on this database: after a crash, what the last run held is free soon.
const LEASE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  everdure dev
  everdure dev --data-dir ./everdure-data --port 5433
  everdure dev --listen 127.0.0.1:0";

/// Run a private PostgreSQL and a server for SDKs on it, until Ctrl-C.
///
/// The database listens on 127.0.0.1 only, with a password of its own; its URL is printed, for workers and commands that
/// need no server. With --data-dir the data stays, and the next run
/// with the same directory has the same URL; without, everything goes when the command ends.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Dev {
    /// Keep the data in this directory [default: a temporary one that goes with the command]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Listen on this port of 127.0.0.1 [default: the last one of the directory, else any free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Run this major version of PostgreSQL, 15 to 18 [default: what made the directory, else the best found]
    #[arg(long, value_name = "MAJOR")]
    postgres: Option<u32>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    listen: Listen,
}

impl Dev {
    pub fn logs_json(&self) -> bool {
        self.listen.logs_json()
    }
}

/// Starts the server, says where it is, and stops it at Ctrl-C or SIGTERM.
pub fn run(arguments: &Dev) -> Result<(), Box<dyn Error>> {
    let mut builder = Server::builder().port(arguments.port);
    if let Some(dir) = &arguments.data_dir {
        builder = builder.data_dir(dir);
    }
    if let Some(major) = arguments.postgres {
        builder = builder.version(major);
    }
    // Listening for signals begins before there is a server that a signal could leave behind.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = {
        let _context = runtime.enter();
        stop_signal()?
    };
    let listener = runtime.block_on(arguments.listen.begin())?;
    let server = builder.start()?;
    announce(&server, arguments.json)?;
    let connection = Connection::new(server.url().to_owned(), "default".to_owned(), "everdure".to_owned());
    let served = runtime.block_on(serve(&connection, &arguments.listen, listener, Some(LEASE), stop));
    // The database goes in any case; what was wrong with serving is told.
    let stopped = server.stop();
    served?;
    Ok(stopped?)
}

/// Resolves at Ctrl-C or SIGTERM, which from now on do not end the process by themselves.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn announce(server: &Server, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (url, version, dir) = (server.url(), server.version().to_string(), server.data_dir().display().to_string());
    if json {
        writeln!(out, "{}", serde_json::json!({ "url": url, "postgres": version, "dataDir": dir }))?;
    } else {
        writeln!(out, "PostgreSQL {version} is ready; Ctrl-C stops it.\n\n  data  {dir}\n  url   {url}\n")?;
        writeln!(out, "  export EVERDURE_DATABASE_URL='{url}'")?;
    }
    out.flush()
}
