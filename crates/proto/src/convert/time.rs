//! Times: microseconds here, nanoseconds on the wire.

use std::time::Duration;

use crate::prost_types;
use everdure_core::Timestamp;

use super::Unusable;

/// A time, rounded down to microseconds; one beyond what can be stored is the last that can.
///
/// # Errors
/// [`Unusable`].
pub fn time_from_wire(time: &prost_types::Timestamp) -> Result<Timestamp, Unusable> {
    let micros = prost_types::Timestamp { nanos: time.nanos / 1000 * 1000, ..*time };
    exact_time_from_wire(&micros)
}

/// The same to the nanosecond, for what is only passed through.
pub(super) fn exact_time_from_wire(time: &prost_types::Timestamp) -> Result<Timestamp, Unusable> {
    let nanos = u32::try_from(time.nanos).map_err(|_| Unusable(format!("{time} is no time")))?;
    match Timestamp::from_timestamp(time.seconds, nanos) {
        Some(time) => Ok(time.min(latest())),
        None if time.seconds > 0 => Ok(latest()),
        None => Err(Unusable(format!("{time} is no time"))),
    }
}

/// The end of the year 9999: what the protocol and every SDK can say.
fn latest() -> Timestamp {
    Timestamp::from_timestamp(253_402_300_799, 0).unwrap_or(Timestamp::MAX_UTC)
}

/// A time as the wire has it.
pub fn time_to_wire(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos().min(999_999_999)).unwrap_or(0);
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

/// A span of time that is not negative.
///
/// # Errors
/// [`Unusable`].
pub fn duration_from_wire(span: &prost_types::Duration) -> Result<Duration, Unusable> {
    let unusable = || Unusable(format!("{} s is no time to wait: it is negative or too long", span.seconds));
    // The conversion turns negative ones round, which the least of them does not bear.
    if span.seconds < 0 {
        return Err(unusable());
    }
    Duration::try_from(*span).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use super::{Duration, duration_from_wire, prost_types};

    #[test]
    fn spans_are_not_negative() {
        let read = |seconds, nanos| duration_from_wire(&prost_types::Duration { seconds, nanos }).ok();
        assert_eq!(read(1, 500), Some(Duration::new(1, 500)));
        assert_eq!(read(i64::MAX, 0), Some(Duration::from_secs(i64::MAX.unsigned_abs())));
        for (seconds, nanos) in [(-1, 0), (i64::MIN, 0), (i64::MIN, i32::MIN), (0, -1)] {
            assert_eq!(read(seconds, nanos), None);
        }
    }
}
