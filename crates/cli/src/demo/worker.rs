//! The worker of the second run: the hidden command `everdure demo-worker`, and the handle by which the demo starts
//! it and kills it.

use std::error::Error;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use everdure::{NodeOptions, Worker};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::functions::functions;
use super::journal::Journal;
use crate::connection::{Connection, block_on};

/// What the worker prints when it takes work.
const READY: &str = "ready";
/// How long it may take to connect.
const START: Duration = Duration::from_secs(20);
/// How long it may take to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// Run the demo's functions until standard input ends.
#[derive(Args)]
pub struct DemoWorker {
    #[command(flatten)]
    connection: Connection,

    /// Where activities note that they begin
    #[arg(long)]
    journal: PathBuf,

    /// The node's lease
    #[arg(long)]
    lease_ms: u64,
}

/// Works until whoever started this process closes our standard input, or is gone.
pub fn run(arguments: &DemoWorker) -> Result<(), Box<dyn Error>> {
    block_on(async {
        let hub = arguments.connection.connect(arguments.connection.builder()?).await?;
        let options = NodeOptions { lease: Duration::from_millis(arguments.lease_ms), ..NodeOptions::default() };
        let worker = Worker::start(hub.backend, functions(&Journal::at(&arguments.journal)), options).await?;
        crate::output::line(READY)?;
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        // When the demo was killed its database goes as well: then there is nothing to give back, and no answer.
        tokio::time::timeout(LEAVE, worker.drain(LEAVE / 2)).await.map_err(|_| "the database does not answer")??;
        Ok(())
    })
}

/// A worker in another process. Dropping it kills it.
pub struct WorkerProcess {
    child: Child,
    /// Closing it asks the worker to leave; it closes by itself when this process is gone.
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl WorkerProcess {
    /// Starts this binary again as a worker, and waits until it takes work.
    pub async fn start(connection: &Connection, journal: &Journal, lease: Duration) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo-worker", "--hub", connection.hub(), "--schema", connection.schema()]);
        command.arg("--journal").arg(journal.path()).arg("--lease-ms").arg(lease.as_millis().to_string());
        // Not as an argument: everybody can read those.
        command.env("EVERDURE_DATABASE_URL", connection.url()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("the worker ended at once")?;
        let stdin = child.stdin.take();
        let out = child.stdout.take().ok_or("the worker has no standard output")?;
        let mut line = String::new();
        tokio::time::timeout(START, BufReader::new(out).read_line(&mut line)).await??;
        if line.trim() != READY {
            return Err(format!("the worker process {pid} did not start: see its message above").into());
        }
        Ok(Self { child, stdin, pid })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended, which it should not without being told.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, std::io::Error> {
        self.child.try_wait()
    }

    /// SIGKILL: the process can do nothing any more. Returns when it is gone.
    pub async fn kill(mut self) -> Result<(), std::io::Error> {
        self.child.start_kill()?;
        self.child.wait().await.map(|_| ())
    }

    /// Lets it leave in good order.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.stdin = None;
        match tokio::time::timeout(2 * LEAVE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => Err(format!("the worker process {} ended badly: {}", self.pid, status?).into()),
            Err(_) => Err(format!("the worker process {} does not leave", self.pid).into()),
        }
    }
}
