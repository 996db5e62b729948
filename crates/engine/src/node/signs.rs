//! A node's signs of life, and when the silence of others says that they are dead.
//!
//! While the store is away nobody can give a sign of life. The first node that reaches it again must not take over from
//! those that are just about to, itself among them: it gives all of them as long as a lease.

use std::time::Duration;

use tokio::time::Instant;

pub(super) struct Signs {
    lease: Duration,
    /// When the last good sign of life was sent.
    sent: Instant,
    /// When the store was back, if it has been away.
    back: Option<Instant>,
}

impl Signs {
    /// The registration is the first of them.
    pub fn new(lease: Duration, sent: Instant) -> Self {
        Self { lease, sent, back: None }
    }

    /// How long after a sign of life the next one is sent. Two of three may fail.
    pub fn every(&self) -> Duration {
        self.lease / 3
    }

    /// One that was sent at `sent` has been answered, at `now`.
    pub fn given(&mut self, sent: Instant, now: Instant) {
        // Others gave their last one up to a third of a lease before this node: whatever kept this one waiting for less
        // than two thirds has cost nobody the lease.
        if now - self.sent >= self.lease * 2 / 3 {
            self.back = Some(now);
        }
        self.sent = sent;
    }

    /// Whether the lease is certain.
    pub fn are_fresh(&self, now: Instant) -> bool {
        now - self.sent < self.lease
    }

    /// Whether others had the time to give theirs.
    pub fn silence_counts(&self, now: Instant) -> bool {
        self.back.is_none_or(|back| now - back >= self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Signs};

    const LEASE: Duration = Duration::from_secs(15);

    fn seconds(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn who_has_given_all_signs_may_judge_at_once() {
        let begun = Instant::now();
        let mut signs = Signs::new(LEASE, begun);
        assert!(signs.silence_counts(begun));
        for at in [5, 10, 15] {
            signs.given(seconds(begun, at), seconds(begun, at + 1));
            assert!(signs.silence_counts(seconds(begun, at + 1)));
        }
        // One was missed: nobody has lost the lease by that.
        signs.given(seconds(begun, 24), seconds(begun, 24));
        assert!(signs.silence_counts(seconds(begun, 24)));
    }

    #[test]
    fn after_an_outage_the_others_have_a_lease() {
        let begun = Instant::now();
        let mut signs = Signs::new(LEASE, begun);
        signs.given(seconds(begun, 40), seconds(begun, 40));
        assert!(!signs.silence_counts(seconds(begun, 40)));
        signs.given(seconds(begun, 45), seconds(begun, 45));
        signs.given(seconds(begun, 50), seconds(begun, 50));
        assert!(!signs.silence_counts(seconds(begun, 54)));
        assert!(signs.silence_counts(seconds(begun, 55)));
    }

    #[test]
    fn an_answer_that_came_late_tells_of_an_outage_too() {
        let begun = Instant::now();
        let mut signs = Signs::new(LEASE, begun);
        signs.given(seconds(begun, 5), seconds(begun, 25));
        assert!(!signs.silence_counts(seconds(begun, 25)) && !signs.are_fresh(seconds(begun, 25)));
        signs.given(seconds(begun, 26), seconds(begun, 26));
        assert!(signs.are_fresh(seconds(begun, 40)) && !signs.are_fresh(seconds(begun, 41)));
    }
}
