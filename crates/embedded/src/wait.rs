//! Waiting for a condition that nothing signals.
//!
//! PostgreSQL tells that it is ready by writing a file, so somebody has to look; looking costs microseconds.

use std::thread::sleep;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(3);

/// Calls `look` until it returns something, or `None` at the deadline. It looks at least once.
pub(crate) fn wait_for<T>(deadline: Instant, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(PAUSE);
    }
}
