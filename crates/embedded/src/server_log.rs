//! The file that the server prints to, and what can be learnt from it.
//!
//! PostgreSQL says why it does not start in words only; they are fixed, because the server runs in the C locale.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A log larger than this begins anew at the next start.
const KEEP_BYTES: u64 = 8 << 20;
const TAIL_LINES: usize = 20;

/// The log of one start: what was in the file before does not count.
#[derive(Debug)]
pub(crate) struct ServerLog {
    path: PathBuf,
    begin: usize,
}

/// Why a start failed, as far as another try can help.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    PortTaken,
    SharedMemory,
    Other,
}

impl ServerLog {
    /// Opens the log for a start, and hands out the file for the server to print to.
    pub(crate) fn open(path: &Path) -> Result<(Self, File), Error> {
        let length = fs::metadata(path).map_or(0, |entry| entry.len());
        if length > KEEP_BYTES {
            fs::remove_file(path).map_err(Error::io("remove the old", path))?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(Error::io("open", path))?;
        let begin = fs::metadata(path).map_or(0, |entry| usize::try_from(entry.len()).unwrap_or(0));
        Ok((Self { path: path.to_path_buf(), begin }, file))
    }

    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    pub(crate) fn cause(&self) -> Cause {
        cause_in(&self.text())
    }

    fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begin..).unwrap_or_default()).into_owned()
    }
}

fn cause_in(text: &str) -> Cause {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["could not bind IPv4 address", "could not create any TCP/IP sockets"]) {
        Cause::PortTaken
    } else if says(&["could not map anonymous shared memory", "could not create shared memory segment"]) {
        Cause::SharedMemory
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_causes_apart() {
        let port = "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use";
        let memory = "FATAL:  could not map anonymous shared memory: Cannot allocate memory";
        let causes = [port, memory, "FATAL:  invalid value"].map(cause_in);
        assert_eq!(causes, [Cause::PortTaken, Cause::SharedMemory, Cause::Other]);
    }
}
