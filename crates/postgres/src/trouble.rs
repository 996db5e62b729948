//! Faults that pass are told: at once, now and then while they last, and when they are over.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often what lasts is told again.
const AGAIN: Duration = Duration::from_secs(10);

/// A fault under way.
struct Fault {
    begun: Instant,
    last: Instant,
    told: bool,
    cause: String,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    /// When a fault was last told, this one or one before it: what comes and goes is not told each time.
    told: Option<Instant>,
}

/// What somebody who tries again and again has met.
pub(crate) struct Trouble {
    /// Who tries, for the log.
    who: String,
    /// Whether there is a fault, for those who have no time for a lock.
    any: AtomicBool,
    state: Mutex<State>,
}

impl Trouble {
    pub fn new(who: String) -> Self {
        Self { who, any: AtomicBool::new(false), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt has failed, and there will be another. What is `usual` among many who write is told only when it
    /// lasts.
    pub fn met(&self, cause: &dyn Display, usual: bool) {
        if let Some(lasts) = self.note(cause, usual, Instant::now()) {
            tracing::warn!(who = self.who, seconds = lasts.as_secs(), "the database fails, trying again: {cause}");
        }
    }

    /// How long it has lasted, if it is to be told.
    fn note(&self, cause: &dyn Display, usual: bool, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        let told = state.told;
        let fault =
            state.fault.get_or_insert_with(|| Fault { begun: now, last: now, told: false, cause: String::new() });
        fault.last = now;
        fault.cause = cause.to_string();
        self.any.store(true, Ordering::Relaxed);
        let lasts = now - fault.begun;
        let waited = told.is_none_or(|told| now - told >= AGAIN);
        if !waited || usual && lasts < AGAIN {
            return None;
        }
        fault.told = true;
        state.told = Some(now);
        Some(lasts)
    }

    /// An attempt has succeeded.
    pub fn over(&self) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        if let Some(lasted) = self.end(Instant::now()) {
            tracing::info!(who = self.who, seconds = lasted.as_secs(), "the database works again");
        }
    }

    /// How long it lasted, if it was told.
    fn end(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        self.any.store(false, Ordering::Relaxed);
        state.fault.take().filter(|fault| fault.told).map(|fault| now - fault.begun)
    }

    /// The cause of the last failure and how long ago it was, if nothing has succeeded since.
    pub fn cause(&self) -> Option<(String, Duration)> {
        self.state().fault.as_ref().map(|fault| (fault.cause.clone(), fault.last.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Trouble};

    #[test]
    fn a_fault_is_told_at_once_then_now_and_then_and_at_its_end() {
        let (trouble, begun) = (Trouble::new("a test".to_owned()), Instant::now());
        let told = |seconds| trouble.note(&"away", false, begun + Duration::from_secs(seconds)).is_some();
        let all: Vec<_> = (0..25).filter(|seconds| told(*seconds)).collect();
        assert_eq!(all, [0, 10, 20]);
        assert_eq!(trouble.cause().map(|(cause, _)| cause), Some("away".to_owned()));
        assert_eq!(trouble.end(begun + Duration::from_secs(25)), Some(Duration::from_secs(25)));
        assert!(trouble.cause().is_none());
        // What comes and goes does not fill the log.
        assert!(!told(26) && trouble.end(begun + Duration::from_secs(26)).is_none());
        assert!(told(30));
    }

    #[test]
    fn what_is_usual_is_told_when_it_lasts() {
        let (trouble, begun) = (Trouble::new("a test".to_owned()), Instant::now());
        let told = |seconds| trouble.note(&"a deadlock", true, begun + Duration::from_secs(seconds)).is_some();
        assert_eq!((0..25).filter(|seconds| told(*seconds)).collect::<Vec<_>>(), [10, 20]);
    }
}
