//! What can go wrong, by what the reader has to do about it.
//!
//! Each message says what was found and what to do next; the cause, where there is one, is the `source`.

use std::io;
use std::path::{Path, PathBuf};

use crate::version::Version;

/// Why a private PostgreSQL could not be found, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL that Everdure can use: install one.
    #[error(
        "no PostgreSQL {} found{}: run `scripts/setup.sh{}`, or `apt-get install postgresql{}`, \
         or name its directory in EVERDURE_POSTGRES_BIN (searched: {})",
        wanted_text(*.wanted), rejected_text(.rejected), suffix(" --postgres ", *.wanted), suffix("-", *.wanted),
        paths_text(.searched)
    )]
    BinariesMissing {
        /// The major version asked for; `None` is any that is supported.
        wanted: Option<u32>,
        /// Versions that were found but do not serve.
        rejected: Vec<(PathBuf, Version)>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// EVERDURE_POSTGRES_BIN names a PostgreSQL that Everdure does not run on.
    #[error(
        "EVERDURE_POSTGRES_BIN names PostgreSQL {version} in {}, and Everdure runs on 15 to 18: \
         name another, or unset it and run `scripts/setup.sh` (Debian: `apt-get install postgresql`)", .dir.display()
    )]
    VersionUnsupported {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        version: Version,
    },
    /// The binaries are there but do not run.
    #[error("the PostgreSQL binaries in {} do not run: {reason}", .dir.display())]
    BinariesBroken {
        /// The directory.
        dir: PathBuf,
        /// What happened.
        reason: String,
    },
    /// PostgreSQL refuses to run as root, and the account it would run as cannot reach the binaries.
    #[error(
        "the account {account} cannot run the PostgreSQL in {}, because {} is closed to it: \
         use binaries outside of it (`scripts/setup.sh` puts them into /usr/lib or /var/cache), or open it with `chmod a+x`",
        .dir.display(), .blocked_at.display()
    )]
    BinariesUnreachable {
        /// The directory.
        dir: PathBuf,
        /// The account that the server would run as.
        account: String,
        /// The first directory on the way that is closed.
        blocked_at: PathBuf,
    },
    /// PostgreSQL refuses to run as root, and no other account can be used.
    #[error("PostgreSQL refuses to run as root and no unprivileged account serves ({reason}): run as an ordinary user")]
    AccountMissing {
        /// What was tried.
        reason: String,
    },
    /// Another process uses the data directory.
    #[error("the data directory {} is in use by process {pid}: stop it (`kill -INT {pid}`) or choose another directory", .dir.display())]
    DataDirInUse {
        /// The directory.
        dir: PathBuf,
        /// The process: a postmaster, or the Everdure that owns one.
        pid: u32,
    },
    /// The data directory is not one of ours.
    #[error("{} is neither empty nor a data directory made by Everdure: choose another directory", .dir.display())]
    DataDirForeign {
        /// The directory.
        dir: PathBuf,
    },
    /// The data directory belongs to another major version.
    #[error(
        "the data directory {} was made by PostgreSQL {found}, and this is {wanted}: \
         use PostgreSQL {found} (`scripts/setup.sh --postgres {found}`), choose another directory, or remove this one", .dir.display()
    )]
    DataDirOtherVersion {
        /// The directory.
        dir: PathBuf,
        /// The major version that made it.
        found: String,
        /// The version that was to run.
        wanted: Version,
    },
    /// As root: the account that the server runs as cannot reach the data directory.
    #[error(
        "the account {account} cannot reach the data directory {}, because {} is closed to it: \
         choose a directory that it can reach, such as /var/lib/everdure, or open that one with `chmod a+x`",
        .dir.display(), .blocked_at.display()
    )]
    DataDirUnreachable {
        /// The directory.
        dir: PathBuf,
        /// The account that the server would run as.
        account: String,
        /// The first directory on the way that is closed.
        blocked_at: PathBuf,
    },
    /// Another process listens on the port.
    #[error("port {port} on 127.0.0.1 is in use{}: stop that process or choose another port", by_text(*.pid))]
    PortInUse {
        /// The port.
        port: u16,
        /// The process that listens, where it can be seen.
        pid: Option<u32>,
    },
    /// No free port was found.
    #[error("no free port found on 127.0.0.1 after {tries} tries: name one that is free")]
    PortsExhausted {
        /// How many were tried.
        tries: usize,
    },
    /// `initdb` failed.
    #[error("could not create the database in {}:\n{output}", .dir.display())]
    InitFailed {
        /// The data directory.
        dir: PathBuf,
        /// What the tool printed.
        output: String,
    },
    /// The server ended, or was not ready in time.
    #[error("PostgreSQL did not start in {}: {reason}; the end of its log:\n{log_tail}", .dir.display())]
    StartFailed {
        /// The data directory.
        dir: PathBuf,
        /// The exit status, or how long was waited.
        reason: String,
        /// The last lines that it wrote.
        log_tail: String,
    },
    /// The server cannot be signalled or does not end.
    #[error("PostgreSQL (process {pid}) does not stop: end it with `kill -QUIT {pid}`")]
    StopFailed {
        /// The postmaster.
        pid: u32,
    },
    /// A file, directory or process could not be handled.
    #[error("could not {action}")]
    Io {
        /// What was being done, and to what.
        action: String,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error while `verb`ing `path`.
    pub(crate) fn io(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{verb} {}", path.display());
        move |source| Self::Io { action, source }
    }
}

fn wanted_text(wanted: Option<u32>) -> String {
    wanted.map_or_else(|| "15 to 18".to_owned(), |major| major.to_string())
}

fn suffix(before: &str, wanted: Option<u32>) -> String {
    wanted.map_or_else(String::new, |major| format!("{before}{major}"))
}

fn rejected_text(rejected: &[(PathBuf, Version)]) -> String {
    let found: Vec<_> = rejected.iter().map(|(dir, version)| format!("{version} in {}", dir.display())).collect();
    if found.is_empty() { String::new() } else { format!(", only {}", found.join(", ")) }
}

fn paths_text(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn by_text(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
