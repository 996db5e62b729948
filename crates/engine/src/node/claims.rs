//! Looking for work: hints wake it, polling catches what hints miss.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    BackendError, Demote, FailedAttempt, Hint, LockActivities, LockOrchestrations, LockedOrchestration, RuntimeState,
};

use tokio::time::Instant;

use super::handover;
use super::incarnation::Incarnation;

/// Of two claims in a row, the second waits that long after the first found nothing: hints come with every commit.
const BREATH: Duration = Duration::from_millis(5);
/// How many polls an idle node leaves out while hints of other processes arrive.
const PATIENCE: u32 = 5;

/// How long a node that has no room waits before it looks again.
const FULL: Duration = Duration::from_millis(20);

/// What a claim found.
struct Found {
    count: usize,
    next_due: Option<Duration>,
}

/// Claims orchestrations until the node drains.
pub(super) async fn orchestrations(node: &Arc<Incarnation>) {
    keep_claiming(node, Hint::Orchestrations, || claim_orchestrations(node)).await;
}

/// Claims activities that have rows until the node drains.
pub(super) async fn activities(node: &Arc<Incarnation>) {
    keep_claiming(node, Hint::Activities, || claim_activities(node)).await;
}

async fn keep_claiming<F>(node: &Arc<Incarnation>, wanted: Hint, claim: impl Fn() -> F)
where
    F: Future<Output = Result<Found, BackendError>>,
{
    let mut hints = node.backend.hints();
    while !node.draining.is_cancelled() {
        let begun = Instant::now();
        let (sleep, breath) = match claim().await {
            Ok(found) => {
                let most = if hints.is_reliable() { node.options.poll * PATIENCE } else { node.options.poll };
                let sleep = found.next_due.map_or(most, |due| due.clamp(Duration::from_millis(1), most));
                (sleep, if found.count == 0 { BREATH } else { Duration::ZERO })
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not look for work");
                (node.options.poll, node.options.poll)
            }
        };
        tokio::select! {
            biased;
            () = node.draining.cancelled() => return,
            () = node.mail_came.notified(), if wanted == Hint::Orchestrations => {}
            () = until_hint(&mut *hints, &wanted) => tokio::time::sleep_until(begun + breath).await,
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn until_hint(hints: &mut dyn everdure_core::HintStream, wanted: &Hint) {
    while hints.next().await != *wanted {}
}

async fn claim_orchestrations(node: &Arc<Incarnation>) -> Result<Found, BackendError> {
    if !node.is_alive() {
        return Ok(Found { count: 0, next_due: Some(node.options.poll) });
    }
    let room = node.room();
    let request = LockOrchestrations {
        node: node.node,
        names: node.registry.orchestration_names(),
        limit: u32::try_from(room.min(100)).unwrap_or(100),
        messages: node.options.events_per_turn,
    };
    let locked = node.backend.lock_orchestrations(request).await?;
    let mut found = Found { count: locked.items.len(), next_due: locked.next_due };
    if room == 0 {
        // What is due cannot be taken yet: not to be asked for again at once.
        if found.next_due.is_some_and(|due| due.is_zero()) {
            node.make_place();
        }
        found.next_due = found.next_due.map(|due| due.max(FULL));
    }
    for item in locked.items {
        if item.was_held {
            node.deliver(item.key, item.messages);
        } else {
            admit(node, item);
        }
    }
    Ok(found)
}

/// Begins residency: what is open and has neither a row nor a waiting result runs again, here.
fn admit(node: &Arc<Incarnation>, item: LockedOrchestration) {
    let instance_id = item.started.instance_id.clone();
    let fresh = RuntimeState::new(item.key, item.execution, item.execution_turn, item.started);
    let state = match fresh.replay(&item.history) {
        Ok(state) => state,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, %instance_id, "set aside");
            let failure = FailedAttempt { reason: format!("its history cannot be folded: {error}"), lasting: true };
            let demote = Demote {
                key: item.key,
                instance_id,
                node: node.node,
                claim: item.claim,
                turn: item.turn,
                execution: item.execution,
                activities: Vec::new(),
                running: Vec::new(),
                completions: Vec::new(),
                retry_after: None,
                failure: Some(failure),
            };
            let node = Arc::clone(node);
            tokio::spawn(async move { handover::demote(&node, demote).await });
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

async fn claim_activities(node: &Arc<Incarnation>) -> Result<Found, BackendError> {
    let free = node.places.available_permits();
    if free == 0 || !node.is_alive() {
        return Ok(Found { count: 0, next_due: Some(FULL) });
    }
    let request = LockActivities {
        node: node.node,
        names: node.registry.activity_names(),
        limit: u32::try_from(free).unwrap_or(u32::MAX),
    };
    let locked = node.backend.lock_activities(request).await?;
    let found = Found { count: locked.items.len(), next_due: locked.next_due };
    for item in locked.items {
        super::activities::run_row(node, item);
    }
    Ok(found)
}
