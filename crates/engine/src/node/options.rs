//! How much a node takes on, and how patient it is.

use std::time::Duration;

/// Limits and times of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// Instances held in memory at once.
    pub max_orchestrations: usize,
    /// Activities running at once.
    pub max_activities: usize,
    /// Activities waiting here for one of those places; more become rows, for any node.
    pub activity_backlog: usize,
    /// How long others wait for a sign of life before they take over what this node holds.
    pub lease: Duration,
    /// How long an idle node sleeps at most before it looks again.
    pub poll: Duration,
    /// Messages that one turn sees at most.
    pub events_per_turn: u32,
    /// How long a turn that could not be run waits before it is offered again.
    pub retry_after: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            max_orchestrations: 10_000,
            max_activities: 200,
            activity_backlog: 200,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            events_per_turn: 1000,
            retry_after: Duration::from_secs(1),
        }
    }
}
