//! One life of a node under one id: its signs of life, its actors, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everdure_core::{
    ActivityId, Backend, BackendError, BackendResult, Checkpoint, ChildOutcome, CreateInstance, CreateOutcome,
    ExecutionStarted, InstanceKey, Message, NewChild, NodeId, RegisterNode, RuntimeState, SendMessage, SendOutcome,
    Sent,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actor::{Actor, Mail};
use super::finished::finished;
use super::options::NodeOptions;
use super::rooms::Rooms;
use super::signs::Signs;
use super::watch::Turns;
use crate::Workers;

/// How often a node that runs activities with rows asks whether they are still wanted.
const LOST: Duration = Duration::from_secs(2);

/// How often forgotten rows are looked for.
const TIDY: Duration = Duration::from_secs(60);

/// How many actors are asked at once to make place.
const ASKED_AT_ONCE: usize = 100;

/// Instances removed in one transaction, and the pause after it: nobody shall wait for them.
const EXPIRED_AT_ONCE: u32 = 200;
const BETWEEN_PURGES: Duration = Duration::from_millis(20);

/// Why an incarnation ended by itself.
pub(super) enum Ending {
    LeaseLost,
}

/// The actors by instance, and mail that came before its actor.
#[derive(Default)]
struct Residents {
    actors: BTreeMap<InstanceKey, mpsc::UnboundedSender<Mail>>,
    early_mail: BTreeMap<InstanceKey, Vec<Message>>,
    /// Up to which of them all have been asked to make place.
    asked: Option<InstanceKey>,
}

pub(super) struct Incarnation {
    pub node: NodeId,
    pub backend: Arc<dyn Backend>,
    pub workers: Arc<dyn Workers>,
    pub options: NodeOptions,
    /// Places for running activities.
    pub places: Arc<Semaphore>,
    /// Places and backlog together: what this node takes without a row.
    pub accepted: Arc<Semaphore>,
    /// No claims any more.
    pub draining: CancellationToken,
    /// Nothing any more.
    pub ended: CancellationToken,
    signs: Mutex<Signs>,
    live_nodes: AtomicU32,
    /// Turns under way.
    pub turns: Turns,
    residents: Mutex<Residents>,
    /// Activity rows that run or wait here, and what tells each that nobody wants its result any more.
    rows: Mutex<BTreeMap<ActivityId, CancellationToken>>,
    /// There is mail in the store for an instance that is held here.
    pub mail_came: Notify,
    /// An actor, or an activity that has a row, ended.
    left: Notify,
}

impl Incarnation {
    pub async fn begin(
        backend: &Arc<dyn Backend>,
        workers: &Arc<dyn Workers>,
        options: NodeOptions,
    ) -> BackendResult<Arc<Self>> {
        let sent = Instant::now();
        let lease = backend.register_node(RegisterNode { lease: options.lease, address: workers.address() }).await?;
        Ok(Arc::new(Self {
            node: lease.node,
            backend: Arc::clone(backend),
            workers: Arc::clone(workers),
            options,
            places: Arc::new(Semaphore::new(options.max_activities)),
            accepted: Arc::new(Semaphore::new(options.max_activities + options.activity_backlog)),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
            signs: Mutex::new(Signs::new(options.lease, sent)),
            live_nodes: AtomicU32::new(lease.live_nodes),
            turns: Turns::default(),
            residents: Mutex::default(),
            rows: Mutex::default(),
            mail_came: Notify::new(),
            left: Notify::new(),
        }))
    }

    /// Works until the lease is lost.
    pub async fn work(self: &Arc<Self>) -> Ending {
        let claims = async {
            let work = futures::future::join(super::claims::orchestrations(self), super::claims::activities(self));
            let upkeep = futures::future::join3(self.tidy(), self.expire(), self.tell_lost_activities());
            futures::future::join3(work, upkeep, super::watch::watch(self)).await;
        };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => std::future::pending().await,
            ending = self.stay_alive() => ending,
            () = claims => std::future::pending().await,
        }
    }

    /// Renews the lease thrice in its time, and takes over from those who no longer do.
    async fn stay_alive(&self) -> Ending {
        let mut pause = self.signs().every();
        loop {
            tokio::time::sleep(pause).await;
            let sent = Instant::now();
            match self.backend.renew_node(self.node).await {
                Ok(lease) => {
                    self.signs().given(sent, Instant::now());
                    self.live_nodes.store(lease.live_nodes, Ordering::Relaxed);
                    pause = self.signs().every();
                }
                Err(BackendError::NodeGone) => return Ending::LeaseLost,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, hub = self.hub(), "no sign of life given");
                    // When the store is back, whoever reaches it first sees how long the others have been silent.
                    pause = self.signs().every().min(self.options.poll);
                    continue;
                }
            }
            if !self.signs().silence_counts(Instant::now()) {
                continue;
            }
            // Tried for longer, it could come after an outage that began just now.
            let reaped = tokio::time::timeout(pause, self.backend.reap_nodes()).await;
            if let Ok(Err(error)) = reaped {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    hub = self.hub(),
                    "could not look for dead nodes"
                );
            }
        }
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once a minute, rows that memory does not know are released: left over from claims whose answer was lost.
    async fn tidy(&self) {
        while !self.draining.is_cancelled() {
            tokio::time::sleep(TIDY).await;
            self.residents().early_mail.clear();
            self.release_unknown().await;
        }
    }

    /// Tells activities that have rows when these are not ours any more: their orchestration was terminated, or gave
    /// them up. What is resident hears it from its actor.
    async fn tell_lost_activities(&self) {
        loop {
            tokio::time::sleep(LOST.min(self.options.lease / 3)).await;
            let known: Vec<_> = self.rows().keys().copied().collect();
            if known.is_empty() {
                continue;
            }
            match self.backend.get_lost_activities(self.node, known).await {
                Ok(lost) => {
                    let rows = self.rows();
                    lost.iter().filter_map(|id| rows.get(id)).for_each(CancellationToken::cancel);
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "could not look for lost activities");
                }
            }
        }
    }

    /// Removes what has been kept for long enough, a little at a time.
    async fn expire(&self) {
        while !self.draining.is_cancelled() {
            tokio::time::sleep(self.options.expire_every).await;
            loop {
                match self.backend.purge_expired(EXPIRED_AT_ONCE).await {
                    Ok(outcome) if !outcome.complete => tokio::time::sleep(BETWEEN_PURGES).await,
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            hub = self.hub(),
                            "could not purge what has expired"
                        );
                        break;
                    }
                }
            }
        }
    }

    async fn release_unknown(&self) {
        let known = self.residents().actors.keys().copied().collect();
        if let Err(error) = self.backend.release_unknown(self.node, known, TIDY).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                hub = self.hub(),
                "could not release what memory does not know"
            );
        }
        let known = self.rows().keys().copied().collect();
        if let Err(error) = self.backend.release_unknown_activities(self.node, known, TIDY).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                hub = self.hub(),
                "could not release unknown activities"
            );
        }
    }

    /// Whether the lease is certain, counted from the moment at which the last good sign of life was sent.
    pub fn is_alive(&self) -> bool {
        self.signs().are_fresh(Instant::now())
    }

    /// The task hub, for the log.
    pub fn hub(&self) -> &str {
        self.backend.hub()
    }

    /// Whether no other node lives, as far as it is known.
    pub fn is_alone(&self) -> bool {
        self.live_nodes.load(Ordering::Relaxed) <= 1
    }

    /// How many more of an activity may be given to the workers here: what they take now; while no other node lives, a
    /// backlog besides.
    pub fn activity_room(&self, name: &str, version: Option<&str>) -> usize {
        let Some(free) = self.workers.activity_room(name, version) else { return 0 };
        match self.is_alone() {
            true => {
                free.saturating_add(self.options.activity_backlog.saturating_sub(self.workers.waiting_activities()))
            }
            false => free,
        }
    }

    /// A place for an activity without a row; `None` when the node has enough of them.
    pub fn accept_activity(&self) -> Option<OwnedSemaphorePermit> {
        let waiting = match self.is_alone() {
            true => 0,
            false => self.options.activity_backlog.saturating_sub(self.options.max_activities),
        };
        if self.draining.is_cancelled() || self.accepted.available_permits() <= waiting {
            return None;
        }
        Arc::clone(&self.accepted).try_acquire_owned().ok()
    }

    fn residents(&self) -> MutexGuard<'_, Residents> {
        self.residents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn rows(&self) -> MutexGuard<'_, BTreeMap<ActivityId, CancellationToken>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more instances may be held.
    pub fn room(&self) -> usize {
        self.options.max_orchestrations.saturating_sub(self.residents().actors.len())
    }

    /// Starts the actor of an instance that this node holds from now on.
    pub fn admit(self: &Arc<Self>, state: RuntimeState, claim: i32, prepare: impl FnOnce(&mut Actor)) {
        let (mail, inbox) = mpsc::unbounded_channel();
        let mut actor = Actor::new(Arc::clone(self), state, claim, mail.clone(), inbox);
        prepare(&mut actor);
        let mut residents = self.residents();
        let early = residents.early_mail.remove(&actor.state.key).unwrap_or_default();
        // A claim has brought all that waits; only who was born here can have missed something.
        if claim == 0 {
            actor.receive(early);
        }
        residents.actors.insert(actor.state.key, mail);
        drop(residents);
        let ended = self.ended.clone();
        tokio::spawn(async move { ended.run_until_cancelled(actor.run()).await });
    }

    /// Mail for an instance that this node holds from now on without an actor: who calls takes what comes.
    pub fn welcome(&self, key: InstanceKey) -> (mpsc::UnboundedSender<Mail>, mpsc::UnboundedReceiver<Mail>) {
        let (mail, received) = mpsc::unbounded_channel();
        let mut residents = self.residents();
        // The claim has brought all that waits.
        residents.early_mail.remove(&key);
        residents.actors.insert(key, mail.clone());
        (mail, received)
    }

    /// Starts an instance that was born held by this node, from memory.
    pub fn admit_newborn(self: &Arc<Self>, key: InstanceKey, started: ExecutionStarted) {
        self.admit(RuntimeState::new(key, 0, 0, started), 0, |_| {});
    }

    /// An activity that has a row has ended here.
    pub fn forget_row(&self, id: ActivityId) {
        self.rows().remove(&id);
        self.left.notify_waiters();
    }

    /// Asks some of the actors to go if they only wait; others the next time.
    pub fn make_place(&self) {
        let mut residents = self.residents();
        let after = residents.asked.map_or(Bound::Unbounded, Bound::Excluded);
        let some = residents.actors.range((after, Bound::Unbounded)).take(ASKED_AT_ONCE);
        residents.asked = some.fold(None, |_, (key, actor)| {
            // Who ends just now makes place as well.
            let _ = actor.send(Mail::Yield);
            Some(*key)
        });
    }

    /// Forgets an actor, unless another has taken its place.
    pub fn leave(&self, key: InstanceKey, mail: &mpsc::UnboundedSender<Mail>) {
        let mut residents = self.residents();
        if residents.actors.get(&key).is_some_and(|current| current.same_channel(mail)) {
            residents.actors.remove(&key);
        }
        drop(residents);
        self.left.notify_waiters();
    }

    /// Forgets an actor that does not end its turn: whatever it does later is lost.
    pub fn forget(&self, key: InstanceKey) {
        self.residents().actors.remove(&key);
        self.left.notify_waiters();
    }

    /// Hands messages to the actor of an instance; keeps them when it is about to begin.
    pub fn deliver(&self, key: InstanceKey, messages: Vec<Message>) {
        let mut residents = self.residents();
        let undelivered = match residents.actors.get(&key) {
            Some(actor) => match actor.send(Mail::Messages(messages)) {
                Err(mpsc::error::SendError(Mail::Messages(messages))) => messages,
                _ => return,
            },
            None => messages,
        };
        residents.early_mail.entry(key).or_default().extend(undelivered);
    }

    pub fn deliver_sent(&self, sent: Vec<Sent>) {
        for Sent { key, message } in sent {
            self.deliver(key, vec![message]);
        }
    }

    /// Hands on what a checkpoint wrote to instances that this node holds: answers and the mail of the `newborn` from
    /// memory; all else comes in its order by the next claim.
    pub fn deliver_written(&self, written: Vec<Sent>, newborn: &BTreeSet<InstanceKey>) {
        let (at_once, ordered): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|sent| newborn.contains(&sent.key) || sent.message.body.dispatch().is_some());
        self.deliver_sent(at_once);
        ordered.iter().for_each(|sent| self.look(sent.key));
    }

    /// Has the children of a checkpoint that workers here take be born held by this node, as far as there is room.
    pub fn welcome_children(&self, checkpoint: &mut Checkpoint) {
        if checkpoint.children.is_empty() || self.draining.is_cancelled() {
            return;
        }
        let mut room = self.room();
        let mut rooms = Rooms::new(|name, version| self.workers.orchestration_room(name, version));
        let welcome = checkpoint.children.iter().map(|child| {
            let starts = child.scheduled_start.is_none() && room > 0;
            let welcome = starts && rooms.take(&child.name, child.version.as_deref());
            room -= usize::from(welcome);
            welcome
        });
        let welcome: Vec<_> = welcome.collect();
        for (child, welcome) in checkpoint.children.iter_mut().zip(welcome) {
            child.born_claimed = welcome;
        }
    }

    /// Starts the children of a checkpoint that were born held by this node; returns their keys.
    pub fn admit_children(
        self: &Arc<Self>,
        children: Vec<NewChild>,
        outcomes: &[ChildOutcome],
    ) -> BTreeSet<InstanceKey> {
        let mut newborn = BTreeSet::new();
        for (child, outcome) in children.into_iter().zip(outcomes) {
            if let (true, ChildOutcome::Created(key)) = (child.born_claimed, outcome) {
                newborn.insert(*key);
                self.admit_newborn(*key, child.into_started());
            }
        }
        newborn
    }

    /// An instance that was born held by this node gets its actor, also when the caller goes away meanwhile.
    pub async fn create_instance(self: &Arc<Self>, mut request: CreateInstance) -> BackendResult<CreateOutcome> {
        let taken = self.workers.orchestration_room(&request.name, request.version.as_deref()) > 0;
        let welcome = taken && self.room() > 0 && self.is_alive() && !self.draining.is_cancelled();
        request.born_claimed = (welcome && request.scheduled_start.is_none()).then_some(self.node);
        let node = Arc::clone(self);
        finished(async move {
            let started = request.started();
            let outcome = node.backend.create_instance(request).await?;
            if let CreateOutcome::Created { key, born_claimed: true, .. } = outcome {
                node.admit_newborn(key, started);
            }
            Ok(outcome)
        })
        .await
    }

    /// The message goes the way of all mail: handed over here, it could overtake one that its sender sent before by
    /// another way and that still waits in the store, a resumption the suspension that it ends.
    pub async fn send_message(self: &Arc<Self>, request: SendMessage) -> BackendResult<SendOutcome> {
        let node = Arc::clone(self);
        finished(async move {
            let outcome = node.backend.send_message(request).await?;
            if let SendOutcome::Sent { key, held_by: Some(holder), .. } = outcome
                && holder == node.node
            {
                node.look(key);
            }
            Ok(outcome)
        })
        .await
    }

    /// Has the next claim fetch the mail of an instance as soon as it can see it.
    pub fn look(&self, key: InstanceKey) {
        let told = self.residents().actors.get(&key).is_some_and(|actor| actor.send(Mail::Look).is_ok());
        if !told {
            self.mail_came.notify_one();
        }
    }

    /// Lets the actors finish what they do, for up to `patience`, then has them give up what they hold.
    pub async fn drain(&self, patience: Duration) {
        self.draining.cancel();
        if tokio::time::timeout(patience, self.empty()).await.is_err() {
            for actor in self.residents().actors.values() {
                // An actor that ends just now needs no telling.
                let _ = actor.send(Mail::GiveUp);
            }
            // Giving up is one write each; who does not manage is released with the node.
            let _ = tokio::time::timeout(self.options.lease, self.empty()).await;
        }
        self.end();
    }

    async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.residents().actors.is_empty() && self.rows().is_empty() {
                return;
            }
            left.await;
        }
    }

    pub fn end(&self) {
        self.draining.cancel();
        self.ended.cancel();
    }
}
