//! Starting a server, with what another try can mend.
//!
//! Two things may go wrong through nobody's fault: a port that was free is taken a moment later, and a machine has less
//! shared memory to give than when `initdb` measured it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::binaries::PostgresBinaries;
use crate::error::Error;
use crate::port;
use crate::postmaster::{NotReady, Postmaster, StopMode};
use crate::server_log::{Cause, ServerLog};
use crate::watchdog::Watchdog;

const PORT_TRIES: usize = 10;
const SMALL_BUFFERS: (&str, &str) = ("shared_buffers", "16MB");

/// Which port to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    /// This one or none.
    Fixed(u16),
    /// This one if it is free, else any.
    Preferred(u16),
    Any,
}

/// All that does not change from one start of a server to the next.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) account: Account,
    pub(crate) binaries: PostgresBinaries,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) timeout: Duration,
}

impl Launch {
    /// Starts a server and waits until it is ready; returns it with its port.
    pub(crate) fn run(&self, port: Port, watchdog: &mut Watchdog) -> Result<(Postmaster, u16), Error> {
        let mut tries = Tries { port, left: PORT_TRIES };
        let mut small = false;
        loop {
            let number = tries.next_port()?;
            let failure = match self.attempt(number, small, watchdog)? {
                Ok(postmaster) => return Ok((postmaster, number)),
                Err(failure) => failure,
            };
            match failure.cause {
                Cause::PortTaken => tries.taken(number)?,
                Cause::SharedMemory if !small => small = true,
                _ => return Err(failure.error),
            }
        }
    }

    /// One try. The outer error is of what cannot be mended.
    fn attempt(&self, port: u16, small: bool, watchdog: &mut Watchdog) -> Result<Result<Postmaster, Failure>, Error> {
        let (log, file) = ServerLog::open(&self.log)?;
        let settings = self.settings_for(port, small);
        let mut postmaster = Postmaster::spawn(&self.account, &self.binaries, &self.data, &settings, file)?;
        watchdog.guard(postmaster.pid());
        let reason = match postmaster.wait_ready(&self.data, Instant::now() + self.timeout) {
            Ok(()) => return Ok(Ok(postmaster)),
            Err(NotReady::Exited(status)) => status.to_string(),
            Err(NotReady::TimedOut) => {
                postmaster.stop(StopMode::Immediate)?;
                format!("not ready after {:?}", self.timeout)
            }
        };
        let error = Error::StartFailed { dir: self.data.clone(), reason, log_tail: log.tail() };
        Ok(Err(Failure { cause: log.cause(), error }))
    }

    /// Later settings win: the caller's over ours, but not over where the server listens.
    ///
    /// Parallel queries share memory through files in the data directory instead of `/dev/shm`, which containers often
    /// limit to 64 MB.
    fn settings_for(&self, port: u16, small: bool) -> Vec<(String, String)> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut settings = vec![owned(("dynamic_shared_memory_type", "mmap"))];
        settings.extend(self.settings.iter().cloned());
        if small {
            settings.push(owned(SMALL_BUFFERS));
        }
        let port = port.to_string();
        let place = [("listen_addresses", "127.0.0.1"), ("port", port.as_str()), ("unix_socket_directories", "")];
        settings.extend(place.map(owned));
        settings
    }
}

struct Failure {
    cause: Cause,
    error: Error,
}

/// The ports to try.
struct Tries {
    port: Port,
    left: usize,
}

impl Tries {
    fn next_port(&mut self) -> Result<u16, Error> {
        match self.port {
            Port::Fixed(number) if !port::is_free(number) => Err(port::in_use(number)),
            Port::Fixed(number) => Ok(number),
            Port::Preferred(number) if port::is_free(number) => Ok(number),
            _ => port::pick_free(),
        }
    }

    fn taken(&mut self, number: u16) -> Result<(), Error> {
        self.left -= 1;
        match self.port {
            Port::Fixed(_) => Err(port::in_use(number)),
            _ if self.left == 0 => Err(Error::PortsExhausted { tries: PORT_TRIES }),
            _ => {
                self.port = Port::Any;
                Ok(())
            }
        }
    }
}

/// What makes a server fast and its data worthless after a crash of the machine.
pub(crate) fn settings_unsafe_fast() -> Vec<(String, String)> {
    let off = ["fsync", "synchronous_commit", "full_page_writes"];
    off.map(|name| (name.to_owned(), "off".to_owned())).to_vec()
}
