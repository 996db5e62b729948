//! What `/proc` tells about processes.
//!
//! What must be known comes from files that every user may read (`stat`, `cmdline`, `comm`); `cwd` and `fd` only add
//! to it, because in a container even root often may not look at them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// One line of `/proc/<pid>/stat`, as far as it is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// User and system time of the process itself, in ticks.
    pub(crate) own_ticks: u64,
    /// The same of its children that have ended and were waited for.
    pub(crate) reaped_ticks: u64,
}

/// Reads the state of one process; `None` when it is gone.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields are counted from the last parenthesis, because the command's name may hold blanks and parentheses.
fn parse_stat(pid: u32, line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
    })
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The live descendants of `root`, without itself.
pub(crate) fn descendants(root: u32) -> Vec<Stat> {
    let all = all();
    let mut found: Vec<Stat> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        parents.extend(children.clone().map(|child| child.pid));
        found.extend(children);
    }
    found
}

/// Whether `pid` runs with `dir` as one of its arguments. A zombie has no arguments any more.
pub(crate) fn has_argument(pid: u32, dir: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    line.split(|byte| *byte == 0).any(|argument| argument == dir.as_os_str().as_bytes())
}

/// Whether the working directory is `dir`; `None` when that cannot be seen.
pub(crate) fn works_in(pid: u32, dir: &Path) -> Option<bool> {
    Some(fs::read_link(format!("/proc/{pid}/cwd")).ok()? == dir)
}

/// The command's name, cut to 15 bytes by the kernel.
pub(crate) fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// Whether the process exists and is not a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Sends a signal; false when the process is gone or may not be signalled.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    kill_process(pid, signal).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_a_hostile_name() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 999 1 1";
        let stat = parse_stat(42, line).expect("a stat line");
        assert_eq!((stat.parent, stat.own_ticks, stat.reaped_ticks), (7, 30, 70));
    }

    #[test]
    fn sees_itself() {
        let me = std::process::id();
        assert!(is_running(me) && stat(me).is_some());
        assert!(!has_argument(me, Path::new("/no/such/argument")));
    }
}
