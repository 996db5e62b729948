//! The System V shared memory segment that guards a data directory.
//!
//! PostgreSQL removes it when it stops, or at the next start on the same directory. A server that was killed and whose
//! directory is removed leaves it for ever, and the kernel has room for some thousands only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pidfile::PidFile;

/// Removes the segment of a dead server on `data`, before the directory goes. Best effort: where `ipcrm` is missing, 56
/// bytes stay.
pub(crate) fn remove_of(data: &Path) {
    let Some(id) = PidFile::read(data).and_then(|file| file.shared_memory) else { return };
    let Ok(owner) = fs::metadata(data) else { return };
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    if is_abandoned(&table, id, owner.uid()) {
        let id = id.to_string();
        let _ = Command::new("ipcrm").args(["-m", &id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Columns: key, id, permissions, size, creator's and last process, number of attached processes, user, … The id may
/// belong to another segment by now; one of the same user to which nobody is attached is as useless.
fn is_abandoned(table: &str, id: u32, uid: u32) -> bool {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.len() > 7);
    rows.any(|row| row[1] == id.to_string() && row[6] == "0" && row[7] == uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_segment_of_that_user_that_nobody_uses() {
        let table = "key shmid perms size cpid lpid nattch uid gid\n\
                     123 4 600 56 9 9 0 65534 65534 65534 65534 1 1 1 4096 0\n\
                     124 5 600 56 9 9 1 65534 65534 65534 65534 1 1 1 4096 0\n";
        assert!(is_abandoned(table, 4, 65534));
        assert!(!is_abandoned(table, 4, 1000) && !is_abandoned(table, 5, 65534) && !is_abandoned(table, 6, 65534));
    }
}
