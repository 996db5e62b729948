//! What a server is to be like, and the order in which it comes up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::account::Account;
use crate::binaries::PostgresBinaries;
use crate::cluster;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::home::Home;
use crate::launch::{Launch, Port, settings_unsafe_fast};
use crate::pidfile::{remove_stale, running_postmaster};
use crate::port;
use crate::postmaster::{MARK, StopMode, stop_orphan};
use crate::proc;
use crate::server::Server;
use crate::sweep::sweep;
use crate::watchdog::Watchdog;

/// Options of a server, from [`Server::builder`]. Without any it is ephemeral: a directory of its own that goes with
/// it, a free port, the best version there is, and PostgreSQL's default durability.
#[derive(Clone, Debug)]
pub struct Builder {
    data_dir: Option<PathBuf>,
    port: u16,
    version: Option<u32>,
    binaries: Option<PostgresBinaries>,
    settings: Vec<(String, String)>,
    unsafe_fast: bool,
    timeout: Duration,
    user: String,
    database: String,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            data_dir: None,
            port: 0,
            version: None,
            binaries: None,
            settings: Vec::new(),
            unsafe_fast: false,
            timeout: Duration::from_secs(60),
            user: "everdure".to_owned(),
            database: "everdure".to_owned(),
        }
    }
}

impl Builder {
    /// Keeps the server's data, password, port and log in this directory, which is created if need be.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Listens on this port; 0, the default, is the last port of the data directory if that is free, else any.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Runs this major version. The default is the one that made the data directory, else the best that is found.
    #[must_use]
    pub fn version(mut self, major: u32) -> Self {
        self.version = Some(major);
        self
    }

    /// Runs these binaries instead of searching.
    #[must_use]
    pub fn binaries(mut self, binaries: PostgresBinaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Starts the server with a setting of `postgresql.conf`. Address, port and socket are not to be changed so.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Turns durability off (`fsync`, `synchronous_commit`, `full_page_writes`): for tests whose data may be lost when
    /// the machine crashes. Kills of the server's processes lose the last commits, too.
    #[must_use]
    pub fn unsafe_fast(mut self) -> Self {
        self.unsafe_fast = true;
        self
    }

    /// How long the server may take until it accepts connections; 60 s unless set. After a crash it recovers first.
    #[must_use]
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The superuser's name, `everdure` unless set. An existing data directory keeps the name that it was made with.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = name.into();
        self
    }

    /// The database's name, `everdure` unless set. An existing data directory keeps the name that it was made with.
    #[must_use]
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = name.into();
        self
    }

    /// Starts the server and returns when it accepts connections.
    pub fn start(self) -> Result<Server, Error> {
        let binaries = self.find_binaries()?;
        let account = Account::for_server()?;
        let home = self.open_home(&account)?;
        let account = account.owning(&home.data());
        free_of_others(&home)?;
        cluster::check_version(&home, &binaries)?;
        self.refuse_taken_port()?;
        home.sign()?;
        let mut watchdog = Watchdog::spawn(&home)?;
        let credentials = self.prepare_data(&home, &account, &binaries)?;
        let port = self.wanted_port(credentials.last_port);
        let launch = self.into_launch(&home, account, binaries);
        let (postmaster, port) = launch.run(port, &mut watchdog)?;
        Server::assemble(home, credentials, launch, postmaster, port, watchdog)
    }

    /// An existing data directory decides on the version, unless the caller does.
    fn find_binaries(&self) -> Result<PostgresBinaries, Error> {
        if let Some(binaries) = &self.binaries {
            return Ok(binaries.clone());
        }
        let made_by = self.data_dir.as_deref().and_then(cluster::existing_major);
        match self.version.or_else(|| made_by?.parse().ok()) {
            Some(major) => PostgresBinaries::find_version(major),
            None => PostgresBinaries::find(),
        }
    }

    fn open_home(&self, account: &Account) -> Result<Home, Error> {
        match &self.data_dir {
            Some(dir) => Home::persistent(dir, account),
            None => {
                sweep();
                Home::ephemeral(account)
            }
        }
    }

    /// Before anything is created: a port that is taken now would be found out only after `initdb`.
    fn refuse_taken_port(&self) -> Result<(), Error> {
        if self.port == 0 || port::is_free(self.port) { Ok(()) } else { Err(port::in_use(self.port)) }
    }

    fn prepare_data(&self, home: &Home, account: &Account, binaries: &PostgresBinaries) -> Result<Credentials, Error> {
        if home.data().exists() {
            return Credentials::load(&home.credentials());
        }
        let credentials = Credentials::generate(&self.user, &self.database)?;
        let synced = !home.is_ephemeral() && !self.unsafe_fast;
        cluster::create(home, account, binaries, &credentials, synced)?;
        Ok(credentials)
    }

    fn wanted_port(&self, last: Option<u16>) -> Port {
        match (self.port, last) {
            (0, None) => Port::Any,
            (0, Some(last)) => Port::Preferred(last),
            (port, _) => Port::Fixed(port),
        }
    }

    fn into_launch(self, home: &Home, account: Account, binaries: PostgresBinaries) -> Launch {
        let mut settings = if self.unsafe_fast { settings_unsafe_fast() } else { Vec::new() };
        settings.extend(self.settings);
        Launch { account, binaries, data: home.data(), log: home.log(), settings, timeout: self.timeout }
    }
}

/// We hold the lock, so no Everdure is at work here. A server of ours that still runs has lost its owner and its
/// watchdog, and is stopped; one that somebody started by hand is theirs.
fn free_of_others(home: &Home) -> Result<(), Error> {
    let data = home.data();
    match running_postmaster(&data) {
        Some(pid) if proc::has_argument(pid, Path::new(MARK)) => stop_orphan(pid, StopMode::Fast),
        Some(pid) => Err(Error::DataDirInUse { dir: home.root().to_path_buf(), pid }),
        None if fs::exists(&data).unwrap_or(false) => remove_stale(&data),
        None => Ok(()),
    }
}
