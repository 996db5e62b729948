//! The account that the server runs as.
//!
//! PostgreSQL refuses to run as root. Root therefore starts it as an account that exists everywhere and owns nothing;
//! everybody else runs it as themselves. Whatever that account has to reach is checked beforehand, because the errors
//! of a process that cannot reach its own binary are hard to read.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;

use crate::error::Error;

/// Accounts that root may use, in order.
const CANDIDATES: [&str; 2] = ["nobody", "postgres"];

/// Who runs the server.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    /// User and group to change to; `None` is to stay who we are.
    switch_to: Option<(u32, u32)>,
}

/// The numeric user id of this process.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Account {
    /// The account for a new server: ourselves, or an unprivileged one if that is root.
    pub(crate) fn for_server() -> Result<Self, Error> {
        if own_uid() != 0 {
            return Ok(Self { name: "this user".to_owned(), switch_to: None });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(Error::io("read", Path::new("/etc/passwd")))?;
        let found = CANDIDATES.iter().find_map(|name| Some((*name, ids_of(&users, name)?)));
        let Some((name, ids)) = found else {
            let reason = format!("none of {} is in /etc/passwd", CANDIDATES.join(", "));
            return Err(Error::AccountMissing { reason });
        };
        Ok(Self { name: name.to_owned(), switch_to: Some(ids) })
    }

    /// As root: the account that owns `data`, so that a directory of an ordinary user stays theirs.
    pub(crate) fn owning(self, data: &Path) -> Self {
        match (self.switch_to, fs::metadata(data)) {
            (Some(_), Ok(owner)) if owner.uid() != 0 => {
                let name = format!("with user id {}", owner.uid());
                Self { name, switch_to: Some((owner.uid(), owner.gid())) }
            }
            _ => self,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs as this account, with an environment of its own: a stray `PGDATA`, `PGOPTIONS` or locale of
    /// the caller must not change what the server does. Setting the user id as root also drops all groups.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs([("LC_ALL", "C"), ("TZ", "UTC"), ("PATH", "/usr/local/bin:/usr/bin:/bin")]);
        if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.switch_to {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands `path` over to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        let Some((uid, gid)) = self.switch_to else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(Error::io("change the owner of", path))
    }

    /// The first directory on the way to `path` (itself included, if it is one) that the account may not enter. Only
    /// permission bits are looked at; ourselves we let the operating system judge.
    pub(crate) fn blocked_at(&self, path: &Path) -> Option<PathBuf> {
        let (uid, gid) = self.switch_to?;
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|entry| entry.is_dir() && !may_enter(&entry, uid, gid));
        way.into_iter().find(closed).map(Path::to_path_buf)
    }

    /// Why a program at `path` did not even start. In a user namespace without a mapping for the account, root cannot
    /// become it; otherwise a closed directory is the usual reason.
    pub(crate) fn spawn_error(&self, dir: &Path, error: &io::Error) -> Error {
        let account = self.name.clone();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM | Errno::INVAL) if self.switch_to.is_some() => {
                Error::AccountMissing { reason: format!("cannot become {account}: {error}") }
            }
            _ => match self.blocked_at(dir) {
                Some(blocked_at) => Error::BinariesUnreachable { dir: dir.to_path_buf(), account, blocked_at },
                None => Error::BinariesBroken { dir: dir.to_path_buf(), reason: error.to_string() },
            },
        }
    }
}

fn may_enter(dir: &fs::Metadata, uid: u32, gid: u32) -> bool {
    let bit = match (dir.uid() == uid, dir.gid() == gid) {
        (true, _) => 0o100,
        (_, true) => 0o010,
        _ => 0o001,
    };
    dir.mode() & bit != 0
}

/// User and group id of `name` in the text of `/etc/passwd`.
fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(|field| field.parse().ok());
    let (uid, gid) = (ids.next()??, ids.next()??);
    (uid != 0).then_some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ids_by_the_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody2:x:7:7::/:/x\nnobody:x:65534:65533:n:/nonexistent:/x\n";
        assert_eq!(ids_of(users, "nobody"), Some((65534, 65533)));
        assert_eq!(ids_of(users, "postgres"), None);
        assert_eq!(ids_of(users, "root"), None);
    }
}
