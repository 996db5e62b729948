//! Entities that this node holds: a batch of operations after the other, for as long as there are some.
//!
//! An entity stays in memory only while it has something to do: its state is in its row, so that coming back costs one
//! claim, and that claim brings all that waits. What a batch decides is written like a turn; where it fails, nothing has
//! happened, and it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use everdure_core::{
    BackendError, Checkpoint, CheckpointOutcome, Demote, EntityBatchResult, FailedAttempt, FailureDetails, HeldEntity,
    Limits, LockedOrchestration, Message, MessageNumber, OpenBatch, TooLarge,
};
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::actor::Mail;
use super::handover;
use super::incarnation::Incarnation;
use crate::{Ack, EntityReturn, TurnFault};

/// Operations of one batch.
const BATCH: usize = 100;

struct EntityActor {
    node: Arc<Incarnation>,
    entity: HeldEntity,
    mail: mpsc::UnboundedSender<Mail>,
    received: mpsc::UnboundedReceiver<Mail>,
    inbox: BTreeMap<MessageNumber, Message>,
    seen: BTreeSet<MessageNumber>,
    given_up: bool,
    /// So many operations run one by one: among them is one whose result cannot be used.
    singly: usize,
}

/// Begins to work on an entity that was claimed.
pub(super) fn admit(node: &Arc<Incarnation>, mut item: LockedOrchestration) {
    let (mail, received) = node.welcome(item.key);
    let messages = std::mem::take(&mut item.messages);
    let mut actor = EntityActor {
        node: Arc::clone(node),
        entity: HeldEntity::new(item),
        mail,
        received,
        inbox: BTreeMap::new(),
        seen: BTreeSet::new(),
        given_up: false,
        singly: 0,
    };
    actor.receive(messages);
    let ended = node.ended.clone();
    tokio::spawn(async move { ended.run_until_cancelled(actor.run()).await });
}

/// Why an entity is given back before its batch is written.
enum GiveUp {
    /// Others may take it at once.
    NotTaken,
    /// It was tried, and that counts.
    Failed(String),
    /// One of several operations is to blame, and its neighbours may be others'.
    Unusable(String),
}

impl EntityActor {
    async fn run(mut self) {
        while self.step().await {}
        self.node.leave(self.entity.key, &self.mail);
    }

    fn receive(&mut self, messages: Vec<Message>) {
        for message in messages {
            if self.seen.insert(message.number) {
                self.inbox.insert(message.number, message);
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Messages(messages) => self.receive(messages),
            Mail::Look => self.node.mail_came.notify_one(),
            Mail::GiveUp => self.given_up = true,
            Mail::Completed(..) | Mail::Yield => {}
        }
    }

    /// One batch; whether there is another one to be expected.
    async fn step(&mut self) -> bool {
        while let Ok(mail) = self.received.try_recv() {
            self.take(mail);
        }
        let limit = if self.singly > 0 { 1 } else { BATCH };
        let open = self.entity.open(&self.inbox, limit).filter(|_| !self.given_up);
        let Some(open) = open else {
            self.demote(None).await;
            return false;
        };
        let begun = Instant::now();
        let (result, ack) = match self.decide(&open).await {
            Ok(decided) => decided,
            Err(GiveUp::NotTaken) => {
                self.demote(None).await;
                return false;
            }
            Err(GiveUp::Unusable(reason)) if open.len() > 1 => {
                tracing::warn!(hub = self.node.hub(), entity = %self.entity.instance_id, reason, "a batch was of no use; its operations run singly");
                self.singly = open.len();
                return true;
            }
            Err(GiveUp::Failed(reason) | GiveUp::Unusable(reason)) => {
                tracing::warn!(hub = self.node.hub(), entity = %self.entity.instance_id, reason, "a batch could not be run; backing off");
                self.demote(Some(reason)).await;
                return false;
            }
        };
        let next = self.write(open, result, ack).await;
        metrics::histogram!("everdure_turn_seconds", "kind" => "entity").record(begun.elapsed());
        next
    }

    async fn decide(&mut self, open: &OpenBatch) -> Result<(EntityBatchResult, Option<Ack>), GiveUp> {
        if !open.runs_user_code() {
            let state = self.entity.state.clone();
            return Ok((EntityBatchResult { state, ..EntityBatchResult::default() }, None));
        }
        let id = &self.entity.instance_id;
        let name = id.entity_parts().map_or(id.as_str(), |(name, _)| name);
        let executor = self.node.workers.entity(name).ok_or(GiveUp::NotTaken)?;
        let batch = self.entity.batch(open);
        let deadline = self.node.options.turn_deadline;
        let running = AssertUnwindSafe(executor.run_batch(batch)).catch_unwind();
        let running = tokio::time::timeout(deadline, running);
        tokio::pin!(running);
        let ran = loop {
            tokio::select! {
                biased;
                ran = &mut running => break ran,
                Some(mail) = self.received.recv() => self.take(mail),
            }
        };
        match ran {
            Ok(Ok(Ok(EntityReturn { result, .. }))) if result.results.is_empty() => {
                Err(GiveUp::Failed("the worker ran none of its operations".to_owned()))
            }
            Ok(Ok(Ok(EntityReturn { result, ack }))) => Ok((result, ack)),
            Ok(Ok(Err(TurnFault::NotTaken))) => Err(GiveUp::NotTaken),
            Ok(Ok(Err(TurnFault::Failed(reason)))) => Err(GiveUp::Failed(reason)),
            Ok(Ok(Err(TurnFault::Unusable(reason)))) => Err(GiveUp::Unusable(reason)),
            Ok(Err(_)) => Err(GiveUp::Failed("the entity panicked outside of its operations".to_owned())),
            Err(_) => Err(GiveUp::Failed(format!("its operations did not end in {deadline:?}"))),
        }
    }

    async fn write(&mut self, open: OpenBatch, result: EntityBatchResult, ack: Option<Ack>) -> bool {
        let failing = open.clone();
        match self.try_write(open, result).await {
            Ok(next) => {
                // Who has gone away since does not mind.
                let _ = ack.map(|ack| ack.send(()));
                next
            }
            Err(None) => false,
            Err(Some(rejected)) if failing.len() > 1 => {
                tracing::warn!(%rejected, hub = self.node.hub(), entity = %self.entity.instance_id, "a batch cannot be stored; its operations run singly");
                self.singly = failing.len();
                true
            }
            Err(Some(rejected)) => {
                tracing::error!(%rejected, hub = self.node.hub(), entity = %self.entity.instance_id, "a batch cannot be stored; it fails");
                let result = failing.all_failed(self.entity.state.clone(), &rejected);
                let next = self.try_write(failing, result).await;
                let _ = ack.map(|ack| ack.send(()));
                match next {
                    Ok(next) => next,
                    Err(None) => false,
                    Err(Some(_)) => {
                        self.demote_for_good("neither its batch nor the failure of it can be stored").await;
                        false
                    }
                }
            }
        }
    }

    /// Writes a batch until the store has answered.
    ///
    /// # Errors
    /// Why this batch, and no other, cannot be stored; `None` when the entity is not ours any more.
    async fn try_write(&mut self, open: OpenBatch, result: EntityBatchResult) -> Result<bool, Option<FailureDetails>> {
        if let Err(problem) = within_limits(&result) {
            return Err(Some(FailureDetails::new("InvalidResult", problem.to_string())));
        }
        let mut checkpoint = self.entity.apply(open, result, self.node.node, self.node.backend.now());
        checkpoint.hold = self.goes_on(&checkpoint);
        self.node.welcome_children(&mut checkpoint);
        let landed = loop {
            match self.node.backend.checkpoint(checkpoint.clone()).await {
                Ok(CheckpointOutcome::Landed(landed)) => break landed,
                Ok(CheckpointOutcome::Lost) | Err(BackendError::NodeGone) => return Err(None),
                Ok(CheckpointOutcome::Early) => {
                    self.demote(None).await;
                    return Err(None);
                }
                Ok(CheckpointOutcome::Rejected(failure)) => return Err(Some(failure)),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        hub = self.node.hub(),
                        entity = %self.entity.instance_id,
                        "could not write a batch; trying again"
                    );
                    tokio::time::sleep(self.node.options.retry_after).await;
                }
            }
        };
        let Checkpoint { consumed, children, entity, hold, .. } = checkpoint;
        let change = entity.unwrap_or_default();
        consumed.iter().chain(&change.parked).for_each(|number| {
            self.inbox.remove(number);
        });
        self.entity.landed(change);
        self.singly = self.singly.saturating_sub(1);
        let newborn = self.node.admit_children(children, &landed.children);
        let (own, others): (Vec<_>, Vec<_>) =
            landed.delivered.into_iter().partition(|sent| sent.key == self.entity.key);
        self.receive(own.into_iter().map(|sent| sent.message).collect());
        self.node.deliver_written(others, &newborn);
        Ok(hold)
    }

    /// Whether something is left to do that need not be claimed. What was parked comes before it, by a claim.
    fn goes_on(&self, checkpoint: &Checkpoint) -> bool {
        let change = checkpoint.entity.as_ref();
        let unpark = change.is_some_and(|change| change.unpark);
        let parked = change.map_or(0, |change| change.parked.len());
        !unpark
            && !self.given_up
            && !self.node.draining.is_cancelled()
            && self.inbox.len() > checkpoint.consumed.len() + parked
    }

    async fn demote(&self, failure: Option<String>) {
        self.release(failure.map(|reason| FailedAttempt { reason, lasting: false })).await;
    }

    async fn demote_for_good(&self, reason: &str) {
        self.release(Some(FailedAttempt { reason: reason.to_owned(), lasting: true })).await;
    }

    async fn release(&self, failure: Option<FailedAttempt>) {
        let request = Demote {
            key: self.entity.key,
            instance_id: self.entity.instance_id.clone(),
            node: self.node.node,
            claim: self.entity.claim,
            turn: self.entity.turn,
            execution: self.entity.execution,
            activities: Vec::new(),
            running: Vec::new(),
            completions: Vec::new(),
            retry_after: failure.as_ref().map(|_| self.node.options.retry_after),
            failure,
        };
        handover::demote(&self.node, request).await;
    }
}

fn within_limits(result: &EntityBatchResult) -> Result<(), TooLarge> {
    let limits = Limits::default();
    let answers = result.results.iter().flatten();
    answers.fold(limits.check_payload("the state of the entity", result.state.as_deref()), |checked, answer| {
        checked.and_then(|()| limits.check_payload("the result of the operation", answer.as_deref()))
    })
}
