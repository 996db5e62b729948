//! Nodes: live processes and their leases.

use std::time::Duration;

use crate::NodeId;

/// Makes this process known to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterNode {
    /// How long others wait for a sign of life before they take its work over.
    pub lease: Duration,
    /// Where other nodes reach it, if it listens.
    pub address: Option<String>,
}

/// Whether a node lives, and where other nodes reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It does not live.
    Gone,
    /// It lives, and told nobody where.
    Untold,
    /// It lives and is reached at this address.
    At(String),
}

/// The answer to a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLease {
    /// The node.
    pub node: NodeId,
    /// How long the lease lasts, counted from the moment at which the request was *sent*.
    pub lease: Duration,
    /// Live nodes of the task hub, this one included.
    pub live_nodes: u32,
}

/// What reaping found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Nodes whose lease had run out.
    pub nodes: Vec<NodeId>,
    /// Instances and activities that they held and that are free again.
    pub released: u64,
}
