//! Results of activities on their way into a turn.
//!
//! One that was computed here waits in memory: should the node die, its activity runs again. One that came over a wire
//! is stored before its sender is told so. That cannot wait for a turn, for the sender may be the very worker that has
//! to run the turn, and do one thing at a time; a sender that says it is patient is told by the turn, and its result waits
//! in memory as well.

use std::sync::Arc;

use everdure_core::{
    BackendError, CompleteActivity, CompleteOutcome, DispatchId, FailureDetails, InboxItem, MessageBody,
};

use super::activities;
use super::actor::{Actor, Mail};
use super::incarnation::Incarnation;
use crate::{Ack, ActivityOutcome, ActivityReturn};

/// A result, and whom to tell that it is durable.
struct Result {
    dispatch: DispatchId,
    ended: std::result::Result<Option<String>, FailureDetails>,
    ack: Option<Ack>,
    patient: bool,
}

impl Result {
    fn is_stored_at_once(&self) -> bool {
        self.ack.is_some() && !self.patient
    }
}

impl Actor {
    /// Mail that comes while a turn runs: results are stored, all else waits for the end of the turn.
    pub(super) async fn take_aside(&mut self, mail: Mail) {
        match mail {
            Mail::Completed(dispatch, returned @ ActivityReturn { ack: Some(_), patient: false, .. }) => {
                self.complete(dispatch, returned).await;
            }
            other => self.waiting.push_back(other),
        }
    }

    /// Takes a result, and all others that have come by now, so that they are stored together.
    pub(super) async fn complete(&mut self, dispatch: DispatchId, returned: ActivityReturn) {
        let mut results: Vec<_> = self.result(dispatch, returned).into_iter().collect();
        while let Ok(mail) = self.received.try_recv() {
            match mail {
                Mail::Completed(dispatch, returned) => results.extend(self.result(dispatch, returned)),
                other => self.waiting.push_back(other),
            }
        }
        let (remote, local): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_stored_at_once);
        for result in local {
            self.take_with_ack(result);
        }
        let storing: Vec<_> = remote.iter().map(|result| store(&self.node, self.completion(result))).collect();
        let stored = futures::future::join_all(storing).await;
        for (result, outcome) in remote.into_iter().zip(stored) {
            self.stored(result, outcome);
        }
    }

    /// What is worth keeping: not what was given up meanwhile, and not what was given back.
    fn result(&mut self, dispatch: DispatchId, returned: ActivityReturn) -> Option<Result> {
        let ActivityReturn { outcome, ack, patient } = returned;
        if !self.running.contains_key(&dispatch) {
            // There is nothing to send again.
            ActivityReturn::acknowledge(ack);
            return None;
        }
        match outcome {
            ActivityOutcome::Ended(ended) => Some(Result { dispatch, ended, ack, patient }),
            // Failed attempts are those of a row, which it gets now.
            ActivityOutcome::GivenBack | ActivityOutcome::NotRun(_) => {
                self.given_back.insert(dispatch);
                None
            }
        }
    }

    fn take_with_ack(&mut self, Result { dispatch, ended, ack, .. }: Result) {
        self.take_result(dispatch, ended);
        if let Some(ack) = ack {
            self.untold.insert(dispatch, ack);
        }
    }

    /// Tells who waits that these results are durable now.
    pub(super) fn tell(&mut self, answered: impl Iterator<Item = DispatchId>) {
        if self.untold.is_empty() {
            return;
        }
        answered.for_each(|dispatch| ActivityReturn::acknowledge(self.untold.remove(&dispatch)));
    }

    /// Tells all who wait: their results are durable now, or nobody wants them any more.
    pub(super) fn tell_all(&mut self) {
        std::mem::take(&mut self.untold).into_values().for_each(|ack| ActivityReturn::acknowledge(Some(ack)));
    }

    fn take_result(&mut self, dispatch: DispatchId, outcome: std::result::Result<Option<String>, FailureDetails>) {
        self.running.remove(&dispatch);
        let at = self.node.backend.now();
        self.inbox.push(InboxItem::Completion { dispatch, at, outcome });
    }

    /// A result as a message to the instance.
    fn completion(&self, result: &Result) -> CompleteActivity {
        CompleteActivity {
            id: None,
            attempt: 0,
            node: self.node.node,
            key: self.state.key,
            instance_id: self.state.started.instance_id.clone(),
            execution: self.state.execution,
            body: activities::result(result.dispatch, result.ended.clone()),
        }
    }

    fn stored(&mut self, Result { dispatch, ack, .. }: Result, outcome: Option<CompleteOutcome>) {
        match outcome {
            Some(CompleteOutcome::Delivered { sent, .. }) => {
                self.running.remove(&dispatch);
                self.receive(vec![sent.message]);
                ActivityReturn::acknowledge(ack);
            }
            Some(CompleteOutcome::Rejected(failure)) => {
                self.take_result(dispatch, Err(failure));
                ActivityReturn::acknowledge(ack);
            }
            // The instance is not ours any more: its sender is told to send it again.
            Some(CompleteOutcome::Lost) | None => {}
        }
    }

    /// Results that came while the last turn ran, before the instance is given up.
    pub(super) fn take_waiting_results(&mut self) {
        for mail in std::mem::take(&mut self.waiting) {
            if let Mail::Completed(dispatch, returned) = mail
                && let Some(result) = self.result(dispatch, returned)
            {
                self.take_with_ack(result);
            }
        }
    }

    /// A result as the demotion hands it on.
    pub(super) fn unseen_results(&self) -> impl Iterator<Item = MessageBody> {
        self.inbox.iter().filter_map(|item| match item {
            InboxItem::Completion { dispatch, outcome, .. } => Some(activities::result(*dispatch, outcome.clone())),
            InboxItem::Message(_) => None,
        })
    }
}

/// Stores a result until the store has answered; `None` when the node has gone.
fn store(node: &Arc<Incarnation>, request: CompleteActivity) -> impl Future<Output = Option<CompleteOutcome>> + use<> {
    let node = Arc::clone(node);
    async move {
        loop {
            match node.backend.complete_activity(request.clone()).await {
                Ok(outcome) => return Some(outcome),
                Err(BackendError::NodeGone) => return None,
                Err(error) => {
                    let (hub, instance) = (node.hub(), &request.instance_id);
                    tracing::warn!(error = &error as &dyn std::error::Error, hub, %instance, "could not keep a result; trying again");
                    tokio::time::sleep(node.options.retry_after).await;
                }
            }
        }
    }
}
