//! The server of `bench --remote`: `everdure serve` in a process of its own, so that its share of the work is told apart.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::load::cpu_seconds;
use crate::logging;

/// How long it may take until the server listens, or has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that listens. Dropped, it is killed.
pub struct RemoteServer {
    process: Child,
    address: String,
}

impl RemoteServer {
    /// Starts it on any free port.
    pub async fn start(database_url: &str) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--drain", "5"]);
        command.env("EVERDURE_DATABASE_URL", database_url);
        // What it does in good order is not news here; whoever wants to hear it has said so.
        if std::env::var_os(logging::VARIABLE).is_none() {
            command.env(logging::VARIABLE, "warn");
        }
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = process.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let heard = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        let heard = heard.ok_or("the server ended before it listened; its message is above")?;
        let address = heard.rsplit(' ').next().unwrap_or_default().to_owned();
        // Whatever else it says is not for here, and must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Processor time that it has used.
    pub fn cpu_seconds(&self) -> Option<f64> {
        self.process.id().map(|pid| cpu_seconds(&pid.to_string()))
    }

    /// Ends it in good order.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)?;
        }
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}
