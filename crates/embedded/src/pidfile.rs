//! `postmaster.pid`, in which a server says who it is and whether it is ready.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::proc;

/// The part of `postmaster.pid` that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) ready: bool,
    /// The id of the System V segment that guards the data directory.
    pub(crate) shared_memory: Option<u32>,
}

impl PidFile {
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// Lines: pid, directory, start time, port, socket directory, address, "key id" of shared memory, status. The file
    /// grows line by line, so the later ones may be missing. A negative pid is a stand-alone backend.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().trim_start_matches('-').parse().ok()?;
        let mut rest = lines.skip(5);
        let shared_memory = rest.next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        let ready = rest.next().is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, ready, shared_memory })
    }
}

/// The postmaster that runs on `data` now, if any.
pub(crate) fn running_postmaster(data: &Path) -> Option<u32> {
    let pid = PidFile::read(data)?.pid;
    (proc::has_argument(pid, data) || proc::works_in(pid, data) == Some(true)).then_some(pid)
}

/// Removes a `postmaster.pid` whose process is certainly another one by now. PostgreSQL itself only asks whether the
/// number is taken, and so would refuse to start after a restart of a container, where numbers come back soon.
pub(crate) fn remove_stale(data: &Path) -> Result<(), Error> {
    let Some(PidFile { pid, .. }) = PidFile::read(data) else { return Ok(()) };
    let other = !proc::is_running(pid)
        || !matches!(proc::name(pid).as_deref(), Some("postgres" | "postmaster"))
        || proc::works_in(pid, data) == Some(false);
    if !other || running_postmaster(data).is_some() {
        return Ok(());
    }
    let path = data.join("postmaster.pid");
    fs::remove_file(&path).map_err(Error::io("remove the stale", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_file_as_it_grows() {
        let full = "77\n/d\n1712346200\n5432\n\n127.0.0.1\n  8826964     65536\nready   \n";
        assert_eq!(PidFile::parse(full), Some(PidFile { pid: 77, ready: true, shared_memory: Some(65536) }));
        assert_eq!(PidFile::parse("-77\n/d\n"), Some(PidFile { pid: 77, ready: false, shared_memory: None }));
        assert_eq!(PidFile::parse(&full.replace("ready", "starting")).map(|file| file.ready), Some(false));
        assert_eq!(PidFile::parse(""), None);
    }
}
