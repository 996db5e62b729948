//! Looking for work: hints wake it, polling catches what hints miss.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{BackendError, Hint, LockActivities, LockOrchestrations, LockedOrchestration, RuntimeState};

use super::incarnation::Incarnation;

/// Claims orchestrations until the node drains.
pub(super) async fn orchestrations(node: &Arc<Incarnation>) {
    let mut hints = node.backend.hints();
    while !node.draining.is_cancelled() {
        let sleep = claim_orchestrations(node).await.unwrap_or_else(|error| back_off(node, &error));
        tokio::select! {
            biased;
            () = node.draining.cancelled() => return,
            () = until_hint(&mut *hints, &Hint::Orchestrations) => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn until_hint(hints: &mut dyn everdure_core::HintStream, wanted: &Hint) {
    while hints.next().await != *wanted {}
}

fn back_off(node: &Incarnation, error: &BackendError) -> Duration {
    tracing::warn!(error = error as &dyn std::error::Error, "could not look for work");
    node.options.poll
}

async fn claim_orchestrations(node: &Arc<Incarnation>) -> Result<Duration, BackendError> {
    if !node.is_alive() {
        return Ok(node.options.poll);
    }
    let request = LockOrchestrations {
        node: node.node,
        names: node.registry.orchestration_names(),
        limit: u32::try_from(node.room().min(100)).unwrap_or(100),
        messages: node.options.events_per_turn,
    };
    let locked = node.backend.lock_orchestrations(request).await?;
    for item in locked.items {
        if item.was_held {
            node.deliver(item.key, item.messages);
        } else {
            admit(node, item);
        }
    }
    Ok(locked.next_due.map_or(node.options.poll, |due| due.clamp(Duration::from_millis(1), node.options.poll)))
}

/// Begins residency: what is open and has neither a row nor a waiting result runs again, here.
fn admit(node: &Arc<Incarnation>, item: LockedOrchestration) {
    let fresh = RuntimeState::new(item.key, item.execution, item.execution_turn, item.started);
    let state = match fresh.replay(&item.history) {
        Ok(state) => state,
        Err(error) => {
            // Held by us and untouched: an operator has to look, and nothing else suffers.
            tracing::error!(error = &error as &dyn std::error::Error, "set aside");
            return;
        }
    };
    let waiting: BTreeSet<_> = item.messages.iter().filter_map(|message| message.body.dispatch()).collect();
    let open: Vec<_> = state
        .open_activities()
        .filter(|activity| !item.activities.contains(&activity.dispatch) && !waiting.contains(&activity.dispatch))
        .cloned()
        .collect();
    node.admit(state, item.claim, |actor| {
        actor.history = item.history;
        actor.receive(item.messages);
        actor.dispatch_again(open);
    });
}

/// Claims activities that have rows until the node drains.
pub(super) async fn activities(node: &Arc<Incarnation>) {
    let mut hints = node.backend.hints();
    while !node.draining.is_cancelled() {
        let sleep = claim_activities(node).await.unwrap_or_else(|error| back_off(node, &error));
        tokio::select! {
            biased;
            () = node.draining.cancelled() => return,
            () = until_hint(&mut *hints, &Hint::Activities) => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn claim_activities(node: &Arc<Incarnation>) -> Result<Duration, BackendError> {
    let free = node.places.available_permits();
    if free == 0 || !node.is_alive() {
        return Ok(Duration::from_millis(20).min(node.options.poll));
    }
    let request = LockActivities {
        node: node.node,
        names: node.registry.activity_names(),
        limit: u32::try_from(free).unwrap_or(u32::MAX),
    };
    let locked = node.backend.lock_activities(request).await?;
    for item in locked.items {
        super::activities::run_row(node, item);
    }
    Ok(locked.next_due.map_or(node.options.poll, |due| due.clamp(Duration::from_millis(1), node.options.poll)))
}
