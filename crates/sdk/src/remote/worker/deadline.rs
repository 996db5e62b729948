//! Turns and batches that do not end: the stream that is their lease lives, and says nothing about them.
//!
//! Past the deadline the item is given back under its token; who is given it next has another one, so that the late answer
//! counts for nothing. The thread that user code blocks is lost until it returns: nothing can stop it. One task looks after
//! all of them: what blocks would keep an alarm of its own, which its thread had just spawned, from ever beginning.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Shared, answers};

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Turn,
    Batch,
}

struct Item {
    kind: Kind,
    instance_id: String,
    token: String,
    begun: Instant,
}

/// What runs, by numbers of its own.
#[derive(Default)]
pub(super) struct UnderWay {
    next: AtomicU64,
    items: Mutex<HashMap<u64, Item>>,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, kind: Kind, instance_id: &str, token: &str) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (instance_id, token) = (instance_id.to_owned(), token.to_owned());
        self.lock().insert(number, Item { kind, instance_id, token, begun: Instant::now() });
        number
    }

    /// `None` when it was overdue.
    fn end(&self, number: u64) -> Option<Item> {
        self.lock().remove(&number)
    }

    /// Takes those out that have run for so long.
    fn overdue(&self, deadline: Duration) -> Vec<Item> {
        self.lock().extract_if(|_, item| item.begun.elapsed() >= deadline).map(|(_, item)| item).collect()
    }
}

/// The output of `running`, or `None` when it did not end in time and was given back.
pub(super) async fn within<T>(
    shared: &Shared,
    kind: Kind,
    instance_id: &str,
    token: &str,
    running: impl Future<Output = T>,
) -> Option<T> {
    let number = shared.under_way.begin(kind, instance_id, token);
    let ended = tokio::time::timeout(shared.options.turn_deadline, running).await;
    let item = shared.under_way.end(number)?;
    if ended.is_err() {
        give_back(shared, item).await;
    }
    ended.ok()
}

/// Gives back what blocks, until the worker ends.
pub(super) async fn watch(shared: &Shared) {
    let deadline = shared.options.turn_deadline;
    while shared.ended.run_until_cancelled(tokio::time::sleep(deadline / 4)).await.is_some() {
        for item in shared.under_way.overdue(deadline) {
            give_back(shared, item).await;
        }
    }
}

async fn give_back(shared: &Shared, Item { kind, instance_id, token, .. }: Item) {
    tracing::error!(
        instance = instance_id,
        "a {} did not end in {:?} and goes back to the server. Orchestrations and entities must not block: look for loops \
         without an end and for blocking calls in its code",
        match kind {
            Kind::Turn => "turn",
            Kind::Batch => "batch",
        },
        shared.options.turn_deadline,
    );
    match kind {
        Kind::Turn => answers::give_back_orchestration(shared, token).await,
        Kind::Batch => answers::give_back_entity(shared, token).await,
    }
}
