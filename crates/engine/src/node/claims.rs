//! Looking for work: hints wake it, polling catches what hints miss.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    BackendError, Demote, FailedAttempt, Hint, LockActivities, LockOrchestrations, LockedOrchestration, RuntimeState,
};

use tokio::time::Instant;

use super::incarnation::Incarnation;
use super::rooms::Questions;
use super::{entities, handover};

/// Of two claims in a row, the second waits that long after the first found nothing: hints come with every commit.
const BREATH: Duration = Duration::from_millis(5);
/// How many polls an idle node leaves out while hints of other processes arrive.
const PATIENCE: u32 = 5;

/// Instances that one claim brings at most.
const AT_ONCE: usize = 100;

/// How long a node that has no room waits before it looks again.
const FULL: Duration = Duration::from_millis(20);

/// What a claim found.
struct Found {
    count: usize,
    next_due: Option<Duration>,
}

impl Found {
    /// What is due did not come: another node is taking it, or nobody here takes its version.
    fn is_in_vain(&self) -> bool {
        self.count == 0 && self.next_due.is_some_and(|due| due.is_zero())
    }

    fn add(&mut self, count: usize, next_due: Option<Duration>) {
        self.count += count;
        self.next_due = self.next_due.into_iter().chain(next_due).min();
    }
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
    let mut in_vain = 0;
    while !node.draining.is_cancelled() {
        let begun = Instant::now();
        let (sleep, breath) = match claim().await {
            Ok(found) => {
                let poll = node.options.poll;
                let most = if hints.is_reliable() { poll * PATIENCE } else { poll };
                in_vain = if found.is_in_vain() { in_vain + 1 } else { 0 };
                let least = Duration::from_millis(1 << in_vain.min(10)).min(poll);
                let sleep = found.next_due.map_or(most, |due| due.clamp(least, most));
                (sleep, if found.count == 0 { BREATH } else { Duration::ZERO })
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, hub = node.hub(), "could not look for work");
                (node.options.poll, node.options.poll)
            }
        };
        tokio::select! {
            biased;
            () = node.draining.cancelled() => return,
            () = node.mail_came.notified(), if wanted == Hint::Orchestrations => {}
            () = until_hint(&mut *hints, &wanted) => tokio::time::sleep_until(begun + breath).await,
            () = node.workers.changed(&wanted) => tokio::time::sleep_until(begun + breath).await,
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
    let mut questions = Questions::new(node.workers.orchestration_places());
    let mut found = Found { count: 0, next_due: None };
    // Without a place as well: there may be mail for what is held here.
    let mut next = questions.next().or(Some((Vec::new(), 0)));
    while let Some((names, free)) = next {
        let room = node.room();
        let limit = free.min(room).min(AT_ONCE);
        let request = LockOrchestrations {
            node: node.node,
            names,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            messages: node.options.events_per_turn,
        };
        let mut locked = node.backend.lock_orchestrations(request).await?;
        if room == 0 && free > 0 {
            // What is due cannot be taken yet: not to be asked for again at once.
            if locked.next_due.is_some_and(|due| due.is_zero()) {
                node.make_place();
            }
            locked.next_due = locked.next_due.map(|due| due.max(FULL));
        }
        found.add(locked.items.len(), locked.next_due);
        let came = locked.items.iter().filter(|item| !item.was_held);
        questions.answered(limit, came.map(|item| (item.started.name.as_str(), item.started.version.as_deref())));
        for item in locked.items {
            if item.was_held {
                node.deliver(item.key, item.messages);
            } else if item.started.instance_id.is_entity() {
                entities::admit(node, item);
            } else {
                admit(node, item);
            }
        }
        next = questions.next().filter(|_| limit > 0);
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
            tracing::error!(error = &error as &dyn std::error::Error, hub = node.hub(), instance = %instance_id, "set aside");
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
    let mut questions = Questions::new(node.workers.activity_places());
    let mut places = node.places.available_permits();
    let mut found = Found { count: 0, next_due: None };
    let mut next = questions.next().filter(|_| places > 0 && node.is_alive());
    if next.is_none() {
        found.next_due = Some(FULL);
    }
    while let Some((names, free)) = next {
        let limit = free.min(places);
        let request = LockActivities { node: node.node, names, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let locked = node.backend.lock_activities(request).await?;
        places = places.saturating_sub(locked.items.len());
        found.add(locked.items.len(), locked.next_due);
        let came = locked.items.iter().map(|item| (item.task.name.as_str(), item.task.filtered_version()));
        questions.answered(limit, came);
        for item in locked.items {
            super::activities::run_row(node, item);
        }
        next = questions.next().filter(|_| places > 0);
    }
    Ok(found)
}
