//! Everybody who waits for an instance, served by one task: what this process commits wakes it, one query looks for
//! all, and a pause that grows makes up for what other processes commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use everdure_core::{Backend, BackendError, Hint, InstanceId, InstanceRecord, OrchestrationStatus};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Instances looked at in one query.
const CHUNK: usize = 1000;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Started,
    Ended,
}

impl Until {
    pub fn is_reached(self, status: OrchestrationStatus) -> bool {
        match self {
            Self::Started => status != OrchestrationStatus::Pending,
            Self::Ended => status.is_terminal(),
        }
    }
}

/// What the look found: the instance as it stands when that is enough, `None` when there is no such instance.
pub(super) type Found = Result<Option<InstanceRecord>, Arc<BackendError>>;

struct Waiter {
    until: Until,
    found: oneshot::Sender<Found>,
}

#[derive(Default)]
struct Waiting {
    waiters: HashMap<InstanceId, Vec<Waiter>>,
    /// To be looked at now: somebody new waits for them, or they changed.
    fresh: Vec<InstanceId>,
    running: bool,
}

pub(super) struct Waiters {
    backend: Arc<dyn Backend>,
    waiting: Mutex<Waiting>,
    more: Notify,
}

impl Waiters {
    pub fn new(backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { backend, waiting: Mutex::default(), more: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a waiter. Dropping the receiver ends the waiting.
    pub fn wait(self: &Arc<Self>, id: &InstanceId, until: Until) -> oneshot::Receiver<Found> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.waiters.entry(id.clone()).or_default().push(Waiter { until, found: sender });
        waiting.fresh.push(id.clone());
        if !waiting.running {
            waiting.running = true;
            // Subscribed before the first look, so that no change falls between the two.
            tokio::spawn(serve(Arc::downgrade(self), self.backend.hints()));
        }
        drop(waiting);
        self.more.notify_one();
        receiver
    }

    fn changed(&self, ids: Vec<InstanceId>, what: Until) {
        let mut waiting = self.lock();
        // The end is also news for who waits for the start.
        let wants = |waiter: &Waiter| what == Until::Ended || waiter.until == what;
        let awaited = |id: &InstanceId| waiting.waiters.get(id).is_some_and(|waiters| waiters.iter().any(wants));
        let awaited: Vec<_> = ids.into_iter().filter(awaited).collect();
        if !awaited.is_empty() {
            waiting.fresh.extend(awaited);
            self.more.notify_one();
        }
    }

    /// The ids to look at: the fresh ones, or all when the pause is over. Those who gave up waiting are forgotten.
    fn take(&self, all: bool) -> Vec<InstanceId> {
        let mut waiting = self.lock();
        let mut ids = std::mem::take(&mut waiting.fresh);
        if all {
            waiting.waiters.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.found.is_closed());
                !waiters.is_empty()
            });
            ids = waiting.waiters.keys().cloned().collect();
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    async fn look(&self, ids: Vec<InstanceId>) {
        for chunk in ids.chunks(CHUNK) {
            match self.backend.get_instances(chunk.to_vec(), true).await {
                Ok(records) => self.tell(chunk, records),
                // Passing faults are for the next look; those who wait have deadlines of their own.
                Err(error) if error.is_transient() => {}
                Err(error) => self.fail(chunk, &Arc::new(error)),
            }
        }
    }

    fn tell(&self, ids: &[InstanceId], records: Vec<InstanceRecord>) {
        let mut records: HashMap<_, _> =
            records.into_iter().map(|record| (record.instance_id.clone(), record)).collect();
        let mut waiting = self.lock();
        for id in ids {
            let record = records.remove(id);
            let reached = |until: Until| record.as_ref().is_none_or(|record| until.is_reached(record.status));
            let Some(waiters) = waiting.waiters.get_mut(id) else { continue };
            let (done, rest): (Vec<_>, Vec<_>) = waiters.drain(..).partition(|waiter| reached(waiter.until));
            *waiters = rest;
            if waiters.is_empty() {
                waiting.waiters.remove(id);
            }
            for waiter in done {
                // Who does not wait any more does not mind.
                let _ = waiter.found.send(Ok(record.clone()));
            }
        }
    }

    fn fail(&self, ids: &[InstanceId], error: &Arc<BackendError>) {
        let mut waiting = self.lock();
        for waiter in ids.iter().filter_map(|id| waiting.waiters.remove(id)).flatten() {
            let _ = waiter.found.send(Err(Arc::clone(error)));
        }
    }

    /// Whether the task may end: nobody waits. Decided under the lock, so that no newcomer is missed.
    fn rest(&self) -> bool {
        let mut waiting = self.lock();
        if waiting.waiters.is_empty() {
            waiting.running = false;
        }
        !waiting.running
    }
}

/// Serves until nobody waits.
async fn serve(waiters: Weak<Waiters>, mut hints: Box<dyn everdure_core::HintStream>) {
    let mut pause = FIRST_PAUSE;
    let mut next_full = Instant::now() + pause;
    loop {
        let Some(waiters) = waiters.upgrade() else { return };
        let full = Instant::now() >= next_full;
        let ids = waiters.take(full);
        waiters.look(ids).await;
        if full {
            if waiters.rest() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            next_full = Instant::now() + pause;
        }
        loop {
            tokio::select! {
                () = waiters.more.notified() => break,
                () = tokio::time::sleep_until(next_full) => break,
                hint = hints.next() => {
                    match hint {
                        Hint::Started(ids) => waiters.changed(ids, Until::Started),
                        Hint::Ended(ids) => waiters.changed(ids, Until::Ended),
                        Hint::Orchestrations | Hint::Activities => {}
                    }
                }
            }
        }
    }
}
