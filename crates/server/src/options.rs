//! How a server behaves.

use std::collections::BTreeSet;
use std::time::Duration;

use everdure_engine::NodeOptions;

/// Limits and times of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The task hubs that there are; `None`: each is made when it is first asked for.
    pub hubs: Option<BTreeSet<String>>,
    /// Task hubs that are open at once, when anybody may name one: each takes connections of the database. Then one
    /// without workers and calls is closed for another.
    pub max_hubs: usize,
    /// The task hub of calls that name none.
    pub default_hub: String,
    /// Where other servers reach this one, as `host:port`. `None`: at the address that it listens on, if that is one of
    /// a single interface; answers that reach another server are UNAVAILABLE otherwise.
    pub address: Option<String>,
    /// Bytes of one message that is taken.
    pub max_message_bytes: usize,
    /// Items of each kind that a worker gets at once when it names no limit.
    pub items_per_worker: usize,
    /// How long a request for an instance that does not exist waits for it to appear.
    pub patience: Duration,
    /// How often a connection is asked whether it lives, and how long it has to answer.
    pub keepalive: (Duration, Duration),
    /// The node of each task hub.
    pub node: NodeOptions,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            hubs: None,
            max_hubs: 25,
            default_hub: "default".to_owned(),
            address: None,
            max_message_bytes: 64 * 1024 * 1024,
            items_per_worker: 100,
            patience: Duration::from_secs(10),
            keepalive: (Duration::from_secs(20), Duration::from_secs(10)),
            node: NodeOptions {
                // Workers say how much they take: what waits for some must not take the places of others. A turn may
                // wait for as long as its worker lives.
                max_activities: 1_000_000,
                turn_deadline: Duration::from_secs(365 * 24 * 60 * 60),
                ..NodeOptions::default()
            },
        }
    }
}
