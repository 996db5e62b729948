//! Poison: work that fails again and again, or takes its node down each time.
//!
//! Attempts are counted where they fail: when a node is reaped, for all that it held, and when a turn or an activity is
//! given back as failed. What moved on between two failures counts from one again. Each attempt waits longer than the
//! one before; after as many as the hub allows (see [`crate::SettingName::Attempts`]) the work is set aside until an
//! operator lets it go on. What is set aside keeps receiving messages, and can be terminated and purged.

use std::time::Duration;

use crate::{ActivityId, DispatchId, InstanceId, NodeId, Timestamp};

/// Attempts where the hub has decided nothing.
pub const DEFAULT_ATTEMPTS: u32 = 20;

/// Who holds what was set aside: no node has this id.
pub const SET_ASIDE: NodeId = NodeId(0);

/// Why a turn or an activity did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// For the operator.
    pub reason: String,
    /// Nothing will change by trying again: set aside at once.
    pub lasting: bool,
}

/// Something that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poisoned {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its orchestration.
    pub name: String,
    /// The activity, if not the instance's next turn.
    pub activity: Option<PoisonedActivity>,
    /// How often it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub reason: String,
    /// Since when it is set aside.
    pub since: Timestamp,
}

/// An activity that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonedActivity {
    /// Its row.
    pub id: ActivityId,
    /// Its name.
    pub name: String,
    /// The step that scheduled it; `None` when that is what cannot be read.
    pub dispatch: Option<DispatchId>,
}

/// How long to wait after so many failed attempts: nothing after the first, then a second, doubled each time up to
/// five minutes.
#[must_use]
pub fn back_off(attempts: u32) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(300.min(1 << (more - 2).min(20))),
    }
}
