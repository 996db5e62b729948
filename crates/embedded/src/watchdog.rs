//! A process that outlives the owner by a moment.
//!
//! [`Drop`] does not run when the owner is killed. So a shell waits at the other end of a pipe that only the owner
//! holds: when the pipe closes, for whatever reason, it stops the server and removes an ephemeral directory. It learns
//! the server's process number through the pipe, and never touches a process that does not have the data directory
//! among its arguments; a successor on the same directory has another number and is safe.
//!
//! It is killed along with everything when a container or a machine ends; then `sweep` does the work.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::Error;
use crate::home::Home;
use crate::postmaster::StopMode;

/// The directories come through the environment: as arguments they would make the watchdog look like a server of that
/// directory. `initdb` may still be writing when its directory goes, hence the repeated removal.
const SCRIPT: &str = r#"
pid=
while read -r line; do pid=$line; done
serves() { [ -n "$pid" ] && grep -qF -- "$EVERDURE_DATA" "/proc/$pid/cmdline" 2>/dev/null; }
if serves; then kill -s "$EVERDURE_SIGNAL" "$pid"; fi
[ -n "$EVERDURE_DOOMED" ] || exit 0
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  if ! serves; then
    rm -rf -- "$EVERDURE_DOOMED" 2>/dev/null
    [ -e "$EVERDURE_DOOMED" ] || exit 0
  fi
  sleep 0.1
done
"#;

/// The watchdog of one server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// The owner's end of the pipe; taken when it is closed.
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over `home`: a server that is ephemeral is ended at once and its directory removed; a persistent one
    /// writes everything first.
    pub(crate) fn spawn(home: &Home) -> Result<Self, Error> {
        let (mode, doomed) = match home.is_ephemeral() {
            true => (StopMode::Immediate, home.root()),
            false => (StopMode::Fast, Path::new("")),
        };
        let signal = if mode == StopMode::Immediate { "QUIT" } else { "INT" };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).current_dir("/").process_group(0);
        command.env("EVERDURE_DATA", home.data()).env("EVERDURE_SIGNAL", signal).env("EVERDURE_DOOMED", doomed);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn().map_err(Error::io("start the watchdog of", home.root()))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Tells which process to end when the owner does. A watchdog that somebody killed is no reason to fail.
    pub(crate) fn guard(&mut self, pid: u32) {
        if let Some(pipe) = &mut self.pipe {
            let _ = writeln!(pipe, "{pid}");
        }
    }
}

impl Drop for Watchdog {
    /// By now the server is stopped, so the shell finds nothing to do and ends.
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
