//! The end of residency, and activities that outlive it.
//!
//! Each of these has a row that this node holds; its result goes the way of rows. Who decides what a result becomes changes at
//! one moment, the end of the actor: results come by the same channel, first to the actor, then here, each once.
//! When nobody wants one any more, its context is cancelled, as that of every row.

use std::collections::BTreeMap;
use std::sync::Arc;

use everdure_core::{ActivityId, BackendError, CompleteActivity, Demote, DemoteOutcome, DispatchId, RuntimeState};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::activities;
use super::actor::Mail;
use super::incarnation::Incarnation;
use crate::{ActivityOutcome, ActivityReturn};

/// Gives an instance up until the store has answered; `None` when the node has gone.
pub(super) async fn demote(node: &Incarnation, request: Demote) -> Option<DemoteOutcome> {
    loop {
        match node.backend.demote(request.clone()).await {
            Ok(outcome) => return Some(outcome),
            Err(BackendError::NodeGone) => return None,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    hub = node.hub(),
                    instance = %request.instance_id,
                    "could not give an instance back; trying again"
                );
                tokio::time::sleep(node.options.retry_after).await;
            }
        }
    }
}

/// Delivers the results of `running` as they come.
pub(super) fn hand_over(
    node: &Arc<Incarnation>,
    state: &RuntimeState,
    mut received: UnboundedReceiver<Mail>,
    running: Vec<(DispatchId, ActivityId, CancellationToken)>,
) {
    node.rows().extend(running.iter().map(|(_, id, cancel)| (*id, cancel.clone())));
    let node = Arc::clone(node);
    let (key, instance_id, execution) = (state.key, state.started.instance_id.clone(), state.execution);
    tokio::spawn(async move {
        let mut left: BTreeMap<_, _> = running.into_iter().map(|(dispatch, id, _)| (dispatch, id)).collect();
        while !left.is_empty() {
            let Some(Some(mail)) = node.ended.run_until_cancelled(received.recv()).await else { return };
            let Mail::Completed(dispatch, outcome) = mail else { continue };
            let Some(id) = left.remove(&dispatch) else { continue };
            let (node, instance_id) = (Arc::clone(&node), instance_id.clone());
            tokio::spawn(async move {
                let deliver = async {
                    let ActivityReturn { outcome, ack, .. } = outcome;
                    let ended = match outcome {
                        ActivityOutcome::Ended(ended) => ended,
                        ActivityOutcome::GivenBack => return activities::give_back(&node, id, 1, None).await,
                        ActivityOutcome::NotRun(reason) => {
                            return activities::give_back(&node, id, 1, Some(reason)).await;
                        }
                    };
                    let body = activities::result(dispatch, ended);
                    let completion = CompleteActivity {
                        id: Some(id),
                        attempt: 1,
                        node: node.node,
                        key,
                        instance_id,
                        execution,
                        body,
                    };
                    activities::deliver(&node, completion, ack).await;
                };
                node.ended.clone().run_until_cancelled(deliver).await;
                node.forget_row(id);
            });
        }
    });
}
