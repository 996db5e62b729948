//! What really ran: every activity of the demo writes a line here when it begins, whoever runs it.
//!
//! History says what took effect; the journal says what happened. The demo's checks compare the two.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use everdure::ActivityContext;
use serde::{Deserialize, Serialize};

/// One run of an activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub instance_id: String,
    /// The idempotency key: execution id and dispatch id.
    pub key: String,
    pub activity: String,
    /// The process that ran it.
    pub pid: u32,
}

/// A file to which processes append lines.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that an activity begins. A line is one write to a file opened for appending, so lines of several
    /// processes do not mix, and a killed process leaves whole lines.
    pub fn begin(&self, context: &ActivityContext) -> io::Result<()> {
        let entry = Entry {
            instance_id: context.instance_id().to_string(),
            key: context.idempotency_key().to_owned(),
            activity: context.name().to_owned(),
            pid: std::process::id(),
        };
        let line = format!("{}\n", serde_json::to_string(&entry)?);
        let mut file: File = OpenOptions::new().append(true).create(true).open(&self.path)?;
        file.write_all(line.as_bytes())
    }

    pub fn read(&self) -> io::Result<Vec<Entry>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// How many steps of that instance have called that activity so far. A step that ran twice counts once.
    pub fn attempts(&self, context: &ActivityContext) -> io::Result<usize> {
        let mut keys: Vec<_> = self
            .read()?
            .into_iter()
            .filter(|entry| entry.instance_id == context.instance_id().as_str() && entry.activity == context.name())
            .map(|entry| entry.key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys.len())
    }
}
