//! Work that workers give back: it comes again, later each time, so that a worker that takes nothing does not spin. Those
//! who have not had it go before those who gave it back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// When something was not given back for so long, it begins anew.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// Of how many streams it is known that they gave something back.
const REMEMBERED: usize = 100;

struct Rejected {
    times: u32,
    last: Instant,
    by: VecDeque<u64>,
}

/// How often each step was given back, and by which streams, by its key.
#[derive(Default)]
pub(super) struct Rejections(Mutex<HashMap<String, Rejected>>);

impl Rejections {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Rejected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more, and tells how long to wait before the next try.
    pub fn add(&self, key: &str, by: Option<u64>) -> Duration {
        let now = Instant::now();
        let mut all = self.lock();
        all.retain(|_, rejected| now.duration_since(rejected.last) < FORGOTTEN);
        let new = || Rejected { times: 0, last: now, by: VecDeque::new() };
        let rejected = all.entry(key.to_owned()).or_insert_with(new);
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(rejected.times)).min(LONGEST);
        rejected.times = rejected.times.saturating_add(1);
        rejected.last = now;
        rejected.by.retain(|stream| Some(*stream) != by);
        rejected.by.extend(by);
        if rejected.by.len() > REMEMBERED {
            rejected.by.pop_front();
        }
        wait
    }

    /// The streams that gave it back.
    pub fn by(&self, key: &str) -> Vec<u64> {
        self.lock().get(key).map(|rejected| rejected.by.iter().copied().collect()).unwrap_or_default()
    }

    /// It came to an end.
    pub fn forget(&self, key: &str) {
        let mut all = self.lock();
        if !all.is_empty() {
            all.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Rejections};

    #[test]
    fn c41_longer_each_time_and_known_by_whom() {
        let rejections = Rejections::default();
        let waits: Vec<_> = [Some(7), Some(8), None, Some(7)].map(|by| rejections.add("step", by)).into();
        assert_eq!(waits, [1, 2, 4, 8].map(Duration::from_secs));
        assert_eq!(rejections.by("step"), [8, 7]);
        assert!(rejections.by("other").is_empty());
        rejections.forget("step");
        assert!(rejections.by("step").is_empty());
        assert_eq!(rejections.add("step", None), Duration::from_secs(1));
    }
}
