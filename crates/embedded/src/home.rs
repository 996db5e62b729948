//! The directory of one server: what is in it, who holds it.
//!
//! ```text
//! <home>/data/        PostgreSQL's own directory
//! <home>/credentials  user, password, database, last port (mode 0600)
//! <home>/server.log   what the server prints
//! <home>/lock         locked by the owner while it lives
//! ```
//!
//! The lock is the whole idea. The kernel drops it when the owner ends, however it ends, so "is the owner alive" needs
//! no process numbers, which come back after a restart and mean nothing in another container that shares `/tmp`.
//!
//! As root, the directory stays root's and only `data` is given to the account that runs the server.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::account::{Account, own_uid};
use crate::credentials::random_hex;
use crate::error::Error;

/// A server's directory, held by this process.
#[derive(Debug)]
pub(crate) struct Home {
    root: PathBuf,
    ephemeral: bool,
    lock: File,
}

impl Home {
    /// A new directory under the first temporary directory that the account can reach.
    pub(crate) fn ephemeral(account: &Account) -> Result<Self, Error> {
        let parents = temporary_parents();
        let reachable = parents.iter().find(|parent| parent.is_dir() && account.blocked_at(parent).is_none());
        let parent = reachable.map_or_else(env::temp_dir, PathBuf::clone);
        let root = parent.join(format!("{}{}", ephemeral_prefix(), random_hex(8)?));
        create_dir(&root)?;
        let lock = new_lock(&root)?;
        Ok(Self { root, ephemeral: true, lock })
    }

    /// A directory that stays, created if need be.
    pub(crate) fn persistent(dir: &Path, account: &Account) -> Result<Self, Error> {
        if !dir.is_dir() {
            // What would be refused below leaves no directories behind.
            refuse_unreachable(&nearest(dir), dir, account)?;
            create_dir_and_parents(dir)?;
        }
        let root = fs::canonicalize(dir).map_err(Error::io("resolve", dir))?;
        refuse_foreign(&root)?;
        refuse_unreachable(&root, &root, account)?;
        let lock = open_lock(&root)?;
        match try_lock(&lock) {
            Ok(true) => Ok(Self { root, ephemeral: false, lock }),
            Ok(false) => Err(Error::DataDirInUse { pid: read_number(&lock).unwrap_or(0), dir: root }),
            Err(error) => Err(Error::io("lock", &root)(error)),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where the data directory is prepared, before it appears under its name complete.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// Notes who holds the lock, for the error of those who do not get it.
    pub(crate) fn sign(&self) -> Result<(), Error> {
        let text = format!("{}\n", std::process::id());
        let written = self.lock.set_len(0).and_then(|()| (&self.lock).write_all(text.as_bytes()));
        written.map_err(Error::io("write the lock of", &self.root))
    }

    /// Removes an ephemeral directory; a persistent one stays.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if !self.ephemeral { Ok(()) } else { remove_tree(&self.root) }
    }
}

impl Drop for Home {
    /// A start that failed leaves no directory either.
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

/// Removes a directory that others (a watchdog, a second sweep) may be removing as well.
pub(crate) fn remove_tree(root: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", root)(error)),
        _ => Ok(()),
    }
}

/// Where ephemeral directories are made, and swept. A temporary directory per user, as some systems set it for root,
/// is closed to the server's account; hence the others.
pub(crate) fn temporary_parents() -> Vec<PathBuf> {
    let mut parents = vec![env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    parents.retain(|parent| parent.is_absolute());
    parents.dedup();
    parents
}

/// What the names of this user's ephemeral directories begin with.
pub(crate) fn ephemeral_prefix() -> String {
    format!("everdure-pg-{}-", own_uid())
}

/// Takes the lock if nobody has it.
pub(crate) fn try_lock(lock: &File) -> io::Result<bool> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens the lock file of a directory that is there.
pub(crate) fn open_lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    file.map_err(Error::io("open", &path))
}

/// The lock of a new ephemeral directory is taken before it appears, so that a sweep never finds it free.
fn new_lock(root: &Path) -> Result<File, Error> {
    let (early, path) = (root.join("lock.new"), root.join("lock"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&early);
    let file = file.map_err(Error::io("create", &early))?;
    try_lock(&file).and_then(|_| fs::rename(&early, &path)).map_err(Error::io("lock", &path))?;
    Ok(file)
}

/// What is there already of the way to a directory.
fn nearest(dir: &Path) -> PathBuf {
    let there = dir.ancestors().find(|ancestor| ancestor.is_dir());
    fs::canonicalize(there.unwrap_or(Path::new("."))).unwrap_or_else(|_| dir.to_path_buf())
}

/// The account of the server has to get to `way`, for `dir`.
fn refuse_unreachable(way: &Path, dir: &Path, account: &Account) -> Result<(), Error> {
    match account.blocked_at(way) {
        Some(blocked_at) => {
            Err(Error::DataDirUnreachable { dir: dir.to_path_buf(), account: account.name().to_owned(), blocked_at })
        }
        None => Ok(()),
    }
}

/// A directory with other things in it is not ours to fill, and one with `PG_VERSION` is somebody's cluster.
fn refuse_foreign(root: &Path) -> Result<(), Error> {
    let mut entries = fs::read_dir(root).map_err(Error::io("read", root))?.peekable();
    let foreign = root.join("PG_VERSION").exists() || (entries.peek().is_some() && !root.join("lock").exists());
    if foreign { Err(Error::DataDirForeign { dir: root.to_path_buf() }) } else { Ok(()) }
}

/// The server's account has to pass through, and nobody else has anything to read here.
fn create_dir(root: &Path) -> Result<(), Error> {
    DirBuilder::new().mode(home_mode()).create(root).map_err(Error::io("create", root))
}

fn create_dir_and_parents(root: &Path) -> Result<(), Error> {
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), fs::create_dir_all).map_err(Error::io("create the parents of", root))?;
    create_dir(root)
}

fn home_mode() -> u32 {
    if own_uid() == 0 { 0o711 } else { 0o700 }
}

fn read_number(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
