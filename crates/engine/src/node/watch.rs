//! Turns that do not end: a lease says nothing about them, for their node lives.
//!
//! Past the deadline the instance is given back under its claim; whoever claims it next does so under a new one, so
//! that the late result never lands. The thread that a turn blocks is lost until it returns: nothing can stop it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use everdure_core::{BackendError, Demote, InstanceKey};
use tokio::time::Instant;

use super::incarnation::Incarnation;

/// Turns under way, with what gives their instance back.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<InstanceKey, (Instant, Demote)>>);

/// A turn under way; it ends when this is dropped.
pub(super) struct Watched<'a> {
    turns: &'a Turns,
    key: InstanceKey,
}

impl Turns {
    pub fn watch(&self, giving_up: Demote) -> Watched<'_> {
        let key = giving_up.key;
        self.lock().insert(key, (Instant::now(), giving_up));
        Watched { turns: self, key }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<InstanceKey, (Instant, Demote)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overdue(&self, since: Instant) -> Vec<Demote> {
        let mut turns = self.lock();
        let keys: Vec<_> = turns.iter().filter(|(_, (begun, _))| *begun <= since).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| turns.remove(key)).map(|(_, demote)| demote).collect()
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.key);
    }
}

/// Gives up turns that are past their deadline, until the node drains.
pub(super) async fn watch(node: &Arc<Incarnation>) {
    let deadline = node.options.turn_deadline;
    while !node.draining.is_cancelled() {
        tokio::time::sleep(deadline / 4).await;
        let Some(since) = Instant::now().checked_sub(deadline) else { continue };
        for demote in node.turns.overdue(since) {
            tracing::error!(
                hub = node.hub(),
                instance = %demote.instance_id,
                "a turn did not end in {deadline:?}: the instance is given back. Orchestrations must not block: look \
                 for loops without an end and for blocking calls in its code"
            );
            node.forget(demote.key);
            match node.backend.demote(demote).await {
                Ok(_) | Err(BackendError::NodeGone) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, hub = node.hub(), "could not give it back")
                }
            }
        }
    }
}
