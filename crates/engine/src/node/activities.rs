//! Running activities: those that have a row, and those that only history knows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    AbandonActivity, ActivityId, ActivityTask, BackendError, CompleteActivity, CompleteOutcome, DispatchId,
    FailedAttempt, FailureDetails, Limits, LockedActivity, MessageBody,
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::incarnation::Incarnation;
use crate::{Ack, ActivityOutcome, ActivityReturn};

/// Runs an activity to its end; a panic is a failure, and so is a result that cannot be stored.
pub(super) async fn run(node: &Incarnation, task: ActivityTask, cancelled: CancellationToken) -> ActivityReturn {
    let name = task.name.clone();
    let Some(executor) = node.workers.activity(&name, task.filtered_version()) else {
        return ActivityReturn::GIVEN_BACK;
    };
    let deadline = node.options.activity_deadline;
    let running = AssertUnwindSafe(executor.run(task, cancelled.clone())).catch_unwind();
    let outcome = match deadline {
        None => running.await,
        Some(deadline) => match tokio::time::timeout(deadline, running).await {
            Ok(outcome) => outcome,
            Err(_) => {
                cancelled.cancel();
                let message = format!("activity '{name}' ran for longer than {deadline:?} and was given up");
                return Err(FailureDetails::new("ActivityDeadlineExceeded", message)).into();
            }
        },
    };
    let ActivityReturn { outcome, ack, patient } = outcome.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(FailureDetails::new("Panic", format!("activity '{name}' panicked: {}", what.unwrap_or("no message"))))
            .into()
    });
    let ActivityOutcome::Ended(result) = outcome else { return ActivityReturn { outcome, ack, patient } };
    let result = match result {
        Ok(result) => match Limits::default().check_payload("the result of the activity", result.as_deref()) {
            Ok(()) => Ok(result),
            Err(problem) => Err(FailureDetails::new("InvalidResult", format!("activity '{name}': {problem}"))),
        },
        Err(failure) => Err(storable(failure)),
    };
    ActivityReturn { outcome: ActivityOutcome::Ended(result), ack, patient }
}

/// PostgreSQL text cannot hold U+0000; in a message it says nothing that its replacement does not.
fn storable(mut failure: FailureDetails) -> FailureDetails {
    let clean = |text: &mut String| {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{FFFD}");
        }
    };
    clean(&mut failure.error_type);
    clean(&mut failure.error_message);
    failure.stack_trace.as_mut().map(clean);
    failure.data.as_mut().map(clean);
    failure.inner_failure = failure.inner_failure.map(|inner| Box::new(storable(*inner)));
    failure
}

/// Runs an activity that has a row, and delivers its result.
pub(super) fn run_row(node: &Arc<Incarnation>, item: LockedActivity) {
    let node = Arc::clone(node);
    let id = item.id;
    let cancelled = node.ended.child_token();
    node.rows().insert(id, cancelled.clone());
    tokio::spawn(async move {
        let ended = node.ended.clone();
        ended.run_until_cancelled(run_and_deliver(&node, item, cancelled)).await;
        node.forget_row(id);
    });
}

async fn run_and_deliver(node: &Arc<Incarnation>, item: LockedActivity, cancelled: CancellationToken) {
    let Some(Ok(_place)) = cancelled.run_until_cancelled(node.places.acquire()).await else { return };
    let task = item.task;
    let (key, instance_id, execution) = (task.key, task.instance_id.clone(), task.execution);
    let dispatch = task.dispatch;
    let ActivityReturn { outcome, ack, .. } = run(node, task, cancelled).await;
    if node.ended.is_cancelled() {
        // What an activity returns because its node stops is no result: the row goes to another node.
        return;
    }
    let ended = match outcome {
        ActivityOutcome::Ended(ended) => ended,
        ActivityOutcome::GivenBack => return give_back(node, item.id, item.attempt, None).await,
        ActivityOutcome::NotRun(reason) => return give_back(node, item.id, item.attempt, Some(reason)).await,
    };
    let body = result(dispatch, ended);
    let completion = CompleteActivity {
        id: Some(item.id),
        attempt: item.attempt,
        node: node.node,
        key,
        instance_id,
        execution,
        body,
    };
    deliver(node, completion, ack).await;
}

/// The result of an activity, as a message.
pub(super) fn result(dispatch: DispatchId, ended: Result<Option<String>, FailureDetails>) -> MessageBody {
    match ended {
        Ok(result) => MessageBody::TaskCompleted { dispatch, result },
        Err(failure) => MessageBody::TaskFailed { dispatch, failure },
    }
}

/// Gives back an activity that nobody here takes any more, or that could not be run for that reason, until the store has
/// answered.
pub(super) async fn give_back(node: &Arc<Incarnation>, id: ActivityId, attempt: i32, failed: Option<String>) {
    let retry_after = failed.as_ref().map_or(Duration::ZERO, |_| node.options.retry_after);
    let failure = failed.map(|reason| FailedAttempt { reason, lasting: false });
    let request = AbandonActivity { id, attempt, node: node.node, retry_after, failure };
    loop {
        match node.backend.abandon_activity(request.clone()).await {
            Ok(_) | Err(BackendError::NodeGone) => return,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    hub = node.hub(),
                    "could not give an activity back; trying again"
                );
                tokio::time::sleep(node.options.retry_after).await;
            }
        }
    }
}

/// Delivers the result of an activity that has a row, until the store has answered.
pub(super) async fn deliver(node: &Arc<Incarnation>, completion: CompleteActivity, ack: Option<Ack>) {
    loop {
        match node.backend.complete_activity(completion.clone()).await {
            Ok(CompleteOutcome::Delivered { sent, held_by }) => {
                ActivityReturn::acknowledge(ack);
                if held_by == Some(node.node) {
                    node.deliver_sent(vec![sent]);
                }
                return;
            }
            // Nobody wants it, or it has become a failure: there is nothing to send again.
            Ok(CompleteOutcome::Lost | CompleteOutcome::Rejected(_)) => return ActivityReturn::acknowledge(ack),
            Err(BackendError::NodeGone) => return,
            Err(error) => {
                let (hub, instance) = (node.hub(), &completion.instance_id);
                tracing::warn!(error = &error as &dyn std::error::Error, hub, %instance, "could not deliver a result; trying again");
                tokio::time::sleep(node.options.retry_after).await;
            }
        }
    }
}
