//! An estimate of the database's clock, from what it said last and how long ago that was.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::TimeDelta;
use everdure_core::Timestamp;

pub(crate) struct Clock {
    start: Instant,
    /// Microseconds since 1970 at `start`, by the database's clock.
    at_start: AtomicI64,
}

impl Clock {
    pub fn new(database: Timestamp) -> Self {
        Self { start: Instant::now(), at_start: AtomicI64::new(database.timestamp_micros()) }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Takes a time that the database has just told.
    pub fn observe(&self, database: Timestamp) {
        self.at_start.store(database.timestamp_micros() - self.elapsed(), Ordering::Relaxed);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::microseconds(self.at_start.load(Ordering::Relaxed) + self.elapsed())
    }
}
