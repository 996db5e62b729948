//! How much a node takes on, and how patient it is.

use std::time::Duration;

/// Limits and times of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// Instances held in memory at once.
    pub max_orchestrations: usize,
    /// Activities running at once.
    pub max_activities: usize,
    /// Activities waiting here for one of those places while no other node lives; more become rows. While others
    /// live, no more than [`NodeOptions::max_activities`] wait here, so that the work spreads.
    pub activity_backlog: usize,
    /// How long others wait for a sign of life before they take over what this node holds.
    pub lease: Duration,
    /// How long an idle node sleeps at most before it looks again; five times that while the store's hints of other
    /// processes arrive.
    pub poll: Duration,
    /// Messages that one turn sees at most.
    pub events_per_turn: u32,
    /// How long a turn that could not be run waits before it is offered again.
    pub retry_after: Duration,
    /// How long an instance stays in memory that only waits for activities that run here. Then they get rows, go on
    /// running, and the instance can be claimed by any node when something happens.
    pub idle_after: Duration,
    /// How often instances are looked for that have been kept for as long as the hub's settings say.
    pub expire_every: Duration,
    /// How long one turn may run before its instance is given up: an orchestration that blocks.
    pub turn_deadline: Duration,
    /// How long one activity may run before it fails with `ActivityDeadlineExceeded`, which a retry policy may try
    /// again. `None`: as long as it takes.
    pub activity_deadline: Option<Duration>,
    /// Whether an orchestration stays alive between its turns. Off, each turn replays the whole history first: slow,
    /// and for tests that look for code which replay does not find as it left it.
    pub keep_live: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            max_orchestrations: 10_000,
            max_activities: 200,
            activity_backlog: 10_000,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            events_per_turn: 1000,
            retry_after: Duration::from_secs(1),
            idle_after: Duration::from_secs(10),
            expire_every: Duration::from_secs(60),
            turn_deadline: Duration::from_secs(60),
            activity_deadline: None,
            keep_live: true,
        }
    }
}
