//! The System V shared memory segment that guards a data directory.
//!
//! PostgreSQL removes it when it stops, or at the next start on the same directory. A server that was killed and whose
//! directory is removed leaves it for ever, and the kernel has room for some thousands only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::pidfile::PidFile;
use crate::wait::wait_for;

/// The processes of a killed server detach a moment after it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the segment of a dead server on `data`, before the directory goes. Best effort: where `ipcrm` is missing, 56
/// bytes stay.
pub(crate) fn remove_of(data: &Path) {
    let Some(id) = PidFile::read(data).and_then(|file| file.shared_memory) else { return };
    let Ok(owner) = fs::metadata(data) else { return };
    let users = || attached(&fs::read_to_string("/proc/sysvipc/shm").ok()?, id, owner.uid());
    let still_used = || users().is_some_and(|users| users > 0);
    wait_for(Instant::now() + PATIENCE, || (!still_used()).then_some(()));
    if users() == Some(0) {
        let id = id.to_string();
        let _ = Command::new("ipcrm").args(["-m", &id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// How many processes use the segment. Columns: key, id, permissions, size, creator's and last process, number of
/// attached processes, user, … The id may belong to another segment by now; one of the same user to which nobody is
/// attached is as useless.
fn attached(table: &str, id: u32, uid: u32) -> Option<u32> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.len() > 7);
    rows.find(|row| row[1] == id.to_string() && row[7] == uid.to_string())?[6].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_users_of_a_segment_of_that_account() {
        let table = "key shmid perms size cpid lpid nattch uid gid\n\
                     123 4 600 56 9 9 0 65534 65534 65534 65534 1 1 1 4096 0\n\
                     124 5 600 56 9 9 1 65534 65534 65534 65534 1 1 1 4096 0\n";
        let users = |id, uid| attached(table, id, uid);
        assert_eq!([users(4, 65534), users(5, 65534), users(4, 1000), users(6, 65534)], [Some(0), Some(1), None, None]);
    }
}
