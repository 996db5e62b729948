//! What the demo says while it works: to people on standard output; beside JSON, on standard error.

use std::fmt::Display;
use std::io::{self, Write};

use crate::output::{self, BOLD};

/// Where the demo speaks.
pub struct Stage {
    json: bool,
    steps: u32,
}

impl Stage {
    pub fn new(json: bool) -> Self {
        Self { json, steps: 0 }
    }

    /// A line, at once.
    pub fn line(&self, text: impl Display) -> io::Result<()> {
        if self.json {
            let mut err = anstream::stderr().lock();
            writeln!(err, "{text}")?;
            return err.flush();
        }
        output::line(text)
    }

    /// The heading of the next part.
    pub fn step(&mut self, text: impl Display) -> io::Result<()> {
        self.steps += 1;
        self.line(format_args!("\n{BOLD}{}/4  {text}{BOLD:#}", self.steps))
    }
}
