//! The server process.
//!
//! It runs in a process group of its own, so that Ctrl-C reaches its owner only, and prints to a file. It listens on
//! 127.0.0.1 and has no Unix socket: a socket's path is limited to about a hundred bytes, which a data directory deep
//! in a project exceeds, and one way in is enough.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::Account;
use crate::binaries::PostgresBinaries;
use crate::error::Error;
use crate::pidfile::PidFile;
use crate::proc;
use crate::wait::wait_for;

/// Marks our servers among all that may run on a data directory; PostgreSQL shows it in the titles of its processes.
pub(crate) const MARK: &str = "cluster_name=everdure";

/// How long the gentler ways of stopping may take before the next one is tried.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const IMMEDIATE_PATIENCE: Duration = Duration::from_secs(10);

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// Ends sessions and writes everything: the next start needs no recovery.
    Fast,
    /// Ends at once: the next start recovers from the log.
    Immediate,
}

impl StopMode {
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
}

/// Why a server was not ready.
pub(crate) enum NotReady {
    Exited(ExitStatus),
    TimedOut,
}

impl Postmaster {
    /// Starts the process; it is not ready yet.
    pub(crate) fn spawn(
        account: &Account,
        binaries: &PostgresBinaries,
        data: &Path,
        settings: &[(String, String)],
        log: std::fs::File,
    ) -> Result<Self, Error> {
        let mut command: Command = account.command(binaries.program("postgres"));
        command.arg("-D").arg(data).args(["-c", MARK]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let both = log.try_clone().map_err(Error::io("share the log of", data))?;
        command.stdout(Stdio::from(both)).stderr(Stdio::from(log)).process_group(0);
        let child = command.spawn().map_err(|error| account.spawn_error(binaries.dir(), &error))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server says that it accepts connections.
    pub(crate) fn wait_ready(&mut self, data: &Path, deadline: Instant) -> Result<(), NotReady> {
        let pid = self.pid();
        let outcome = wait_for(deadline, || match self.child.try_wait() {
            Ok(Some(status)) => Some(Err(NotReady::Exited(status))),
            _ => PidFile::read(data).filter(|file| file.pid == pid && file.ready).map(|_| Ok(())),
        });
        outcome.unwrap_or(Err(NotReady::TimedOut))
    }

    /// Stops the server and waits for its end; each way that takes too long is followed by a harder one.
    pub(crate) fn stop(&mut self, mode: StopMode) -> Result<(), Error> {
        if mode == StopMode::Fast && self.end_by(Signal::INT, STOP_PATIENCE) {
            return Ok(());
        }
        if self.end_by(Signal::QUIT, IMMEDIATE_PATIENCE) { Ok(()) } else { self.kill() }
    }

    /// Kills the server and all of its processes at once, as a crash does, and waits until none is left: a backend that
    /// survives for a moment would keep the next start from the data.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        let pid = self.pid();
        let children = proc::descendants(pid);
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|_| Error::StopFailed { pid })?;
        for child in &children {
            proc::signal(child.pid, Signal::KILL);
        }
        let deadline = Instant::now() + IMMEDIATE_PATIENCE;
        let gone = wait_for(deadline, || children.iter().all(|child| !proc::is_running(child.pid)).then_some(()));
        gone.ok_or(Error::StopFailed { pid })
    }

    fn end_by(&mut self, signal: Signal, patience: Duration) -> bool {
        let ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        if ended(&mut self.child) {
            return true;
        }
        proc::signal(self.pid(), signal);
        wait_for(Instant::now() + patience, || ended(&mut self.child).then_some(())).is_some()
    }
}

/// Stops a postmaster that is not our child, and its processes with it. The caller has made sure that `pid` is one.
pub(crate) fn stop_orphan(pid: u32, mode: StopMode) -> Result<(), Error> {
    let children = proc::descendants(pid);
    let gone = |patience| {
        let none_left =
            || (!proc::is_running(pid) && children.iter().all(|child| !proc::is_running(child.pid))).then_some(());
        wait_for(Instant::now() + patience, none_left).is_some()
    };
    proc::signal(pid, mode.signal());
    if gone(IMMEDIATE_PATIENCE) {
        return Ok(());
    }
    proc::signal(pid, Signal::KILL);
    if gone(IMMEDIATE_PATIENCE) { Ok(()) } else { Err(Error::StopFailed { pid }) }
}
