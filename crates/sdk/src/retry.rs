//! When to try again. The waiting is done by durable timers, so it survives whatever the orchestration survives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{FailureDetails, Timestamp};

type Handler = Arc<dyn Fn(&FailureDetails) -> bool + Send + Sync>;

/// How often, and after which pauses, a failed call is tried again. Failures marked as non-retriable are not.
#[derive(Clone)]
pub struct RetryPolicy {
    max_attempts: u32,
    first_interval: Duration,
    backoff_coefficient: f64,
    max_interval: Duration,
    timeout: Option<Duration>,
    handler: Option<Handler>,
}

impl RetryPolicy {
    /// At most `max_attempts` tries, the first included, with a constant pause between them.
    #[must_use]
    pub fn new(max_attempts: u32, first_interval: Duration) -> Self {
        Self {
            max_attempts: max_attempts.max(1),
            first_interval,
            backoff_coefficient: 1.0,
            max_interval: Duration::from_secs(24 * 60 * 60),
            timeout: None,
            handler: None,
        }
    }

    /// Each pause is that many times longer than the one before.
    #[must_use]
    pub fn backoff_coefficient(mut self, factor: f64) -> Self {
        self.backoff_coefficient = if factor.is_finite() { factor.max(1.0) } else { 1.0 };
        self
    }

    /// No pause is longer than that.
    #[must_use]
    pub fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = interval;
        self
    }

    /// No try begins later than that after the first one.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks `handler` whether a failure is worth another try. It must give the same answer each time.
    #[must_use]
    pub fn handler(mut self, handler: impl Fn(&FailureDetails) -> bool + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// When to try again after `attempts` tries, the last of which failed like that; `None` to give up.
    pub(crate) fn next_attempt(
        &self,
        attempts: u32,
        began: Timestamp,
        now: Timestamp,
        failure: &FailureDetails,
    ) -> Option<Timestamp> {
        let worth_it = !failure.is_non_retriable && self.handler.as_ref().is_none_or(|handler| handler(failure));
        if attempts >= self.max_attempts || !worth_it {
            return None;
        }
        let at = now.checked_add_signed(delta(self.pause(attempts)))?;
        let last = self.timeout.map(|timeout| began.checked_add_signed(delta(timeout)).unwrap_or(Timestamp::MAX_UTC));
        (last.is_none_or(|last| at <= last)).then_some(at)
    }

    fn pause(&self, attempts: u32) -> Duration {
        let exponent = i32::try_from(attempts - 1).unwrap_or(i32::MAX);
        let seconds = self.first_interval.as_secs_f64() * self.backoff_coefficient.powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(self.max_interval, |pause| pause.min(self.max_interval))
    }
}

/// The same length of time for the calendar, whole microseconds, rounded up.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    let micros = duration.as_nanos().div_ceil(1000);
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("first_interval", &self.first_interval)
            .field("backoff_coefficient", &self.backoff_coefficient)
            .field("max_interval", &self.max_interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
