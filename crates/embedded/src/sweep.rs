//! Removing what dead owners left.
//!
//! An ephemeral directory whose lock is free has no owner any more. It may still have a server, if the watchdog was
//! killed as well. Only this user's directories are looked at: in a shared `/tmp` a name proves nothing.

use std::fs::{self, Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::account::own_uid;
use crate::error::Error;
use crate::home::{ephemeral_prefix, remove_tree, temporary_parents, try_lock};
use crate::pidfile::running_postmaster;
use crate::postmaster::{StopMode, stop_orphan};
use crate::segment;

/// A directory without a lock file is being made, unless it is as old as this.
const NEWBORN: Duration = Duration::from_secs(60);

/// Stops the servers and removes the directories of ephemeral servers whose owners are gone; returns how many it
/// removed. Each start of an ephemeral server does this first. What cannot be removed is left for the next time.
pub fn sweep() -> usize {
    let prefix = ephemeral_prefix();
    let mut removed = 0;
    for entry in temporary_parents().iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            removed += usize::from(matches!(sweep_one(&entry.path()), Ok(true)));
        }
    }
    removed
}

fn sweep_one(root: &Path) -> Result<bool, Error> {
    let entry = fs::symlink_metadata(root).map_err(Error::io("look at", root))?;
    if !entry.is_dir() || entry.uid() != own_uid() {
        return Ok(false);
    }
    let Ok(lock) = OpenOptions::new().read(true).write(true).open(root.join("lock")) else {
        return if is_newborn(&entry) { Ok(false) } else { remove_tree(root).map(|()| true) };
    };
    if !try_lock(&lock).map_err(Error::io("lock", root))? {
        return Ok(false);
    }
    let data = root.join("data");
    match running_postmaster(&data) {
        Some(pid) => stop_orphan(pid, StopMode::Immediate)?,
        None => segment::remove_of(&data),
    }
    remove_tree(root).map(|()| true)
}

fn is_newborn(entry: &Metadata) -> bool {
    entry.modified().ok().and_then(|time| time.elapsed().ok()).is_none_or(|age| age < NEWBORN)
}
