//! A running server, and what can be done to it.

use std::path::{Path, PathBuf};

use crate::builder::Builder;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::home::Home;
use crate::launch::{Launch, Port};
use crate::postmaster::{Postmaster, StopMode};
use crate::proc;
use crate::segment;
use crate::version::Version;
use crate::watchdog::Watchdog;

/// A PostgreSQL server that lives as long as this value. Dropping it stops the server.
///
/// Fields are dropped in order: the watchdog goes while the directory is still locked.
#[derive(Debug)]
pub struct Server {
    postmaster: Option<Postmaster>,
    port: u16,
    credentials: Credentials,
    launch: Launch,
    data: PathBuf,
    watchdog: Watchdog,
    home: Home,
}

impl Server {
    /// Options for a new server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn assemble(
        home: Home,
        mut credentials: Credentials,
        launch: Launch,
        postmaster: Postmaster,
        port: u16,
        watchdog: Watchdog,
    ) -> Result<Self, Error> {
        credentials.last_port = Some(port);
        let data = home.data();
        let server = Self { postmaster: Some(postmaster), port, credentials, launch, data, watchdog, home };
        server.credentials.save(&server.home.credentials())?;
        Ok(server)
    }

    /// How to connect to the database `everdure`: `postgres://user:password@127.0.0.1:port/database`.
    pub fn url(&self) -> String {
        self.url_for(&self.credentials.database)
    }

    /// How to connect to another database of this server.
    pub fn url_for(&self, database: &str) -> String {
        self.credentials.url(self.port, database)
    }

    /// The port on 127.0.0.1. It stays the same through a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process number; `None` after [`kill_immediate`](Self::kill_immediate).
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Postmaster::pid)
    }

    /// The version that runs.
    pub fn version(&self) -> &Version {
        self.launch.binaries.version()
    }

    /// PostgreSQL's own data directory: `data` in the directory given to the builder.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Stops the server and starts it again on the same port with the same settings: sessions end, data stays. After
    /// [`kill_immediate`](Self::kill_immediate) it starts, and recovers as after a crash.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.halt(StopMode::Fast)?;
        let (postmaster, _) = self.launch.run(Port::Fixed(self.port), &mut self.watchdog)?;
        self.postmaster = Some(postmaster);
        Ok(())
    }

    /// Kills all processes of the server with SIGKILL, as a crash does. [`restart`](Self::restart) brings it back.
    pub fn kill_immediate(&mut self) -> Result<(), Error> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        postmaster.kill()
    }

    /// Seconds of processor time, user and system, that the server's processes have used since its last start: the
    /// postmaster's, those of its live descendants, and those that have ended.
    pub fn cpu_seconds(&self) -> f64 {
        let Some(pid) = self.pid() else { return 0.0 };
        let processes = proc::stat(pid).into_iter().chain(proc::descendants(pid));
        let ticks: u64 = processes.map(|process| process.own_ticks + process.reaped_ticks).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Stops the server; an ephemeral directory is removed. Dropping does the same and keeps errors to itself.
    pub fn stop(mut self) -> Result<(), Error> {
        self.finish()
    }

    /// What is removed anyway need not be written first.
    fn finish(&mut self) -> Result<(), Error> {
        let mode = if self.home.is_ephemeral() { StopMode::Immediate } else { StopMode::Fast };
        self.halt(mode)?;
        if self.home.is_ephemeral() {
            segment::remove_of(&self.data);
        }
        self.home.remove()
    }

    fn halt(&mut self, mode: StopMode) -> Result<(), Error> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        postmaster.stop(mode)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; what remains is for the watchdog, and then for the next sweep.
        let _ = self.finish();
    }
}
