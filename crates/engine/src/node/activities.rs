//! Running activities: those that have a row, and those that only history knows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use everdure_core::{
    ActivityTask, BackendError, CompleteActivity, CompleteOutcome, FailureDetails, Limits, LockedActivity, MessageBody,
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::incarnation::Incarnation;

/// Runs an activity to its end; a panic is a failure, and so is a result that cannot be stored.
pub(super) async fn run(
    node: &Incarnation,
    task: ActivityTask,
    cancelled: CancellationToken,
) -> Result<Option<String>, FailureDetails> {
    let name = task.name.clone();
    let Some(executor) = node.registry.activity(&name, task.version.as_deref()).cloned() else {
        return Err(FailureDetails::new("ActivityNotRegistered", format!("no worker here takes activity '{name}'")));
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
                return Err(FailureDetails::new("ActivityDeadlineExceeded", message));
            }
        },
    };
    let result = outcome.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(FailureDetails::new("Panic", format!("activity '{name}' panicked: {}", what.unwrap_or("no message"))))
    });
    match result {
        Ok(result) => match Limits::default().check_payload("the result of the activity", result.as_deref()) {
            Ok(()) => Ok(result),
            Err(problem) => Err(FailureDetails::new("InvalidResult", format!("activity '{name}': {problem}"))),
        },
        Err(failure) => Err(storable(failure)),
    }
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
    let body = match run(node, task, cancelled).await {
        Ok(result) => MessageBody::TaskCompleted { dispatch, result },
        Err(failure) => MessageBody::TaskFailed { dispatch, failure },
    };
    if node.ended.is_cancelled() {
        // What an activity returns because its node stops is no result: the row goes to another node.
        return;
    }
    let completion =
        CompleteActivity { id: item.id, attempt: item.attempt, node: node.node, key, instance_id, execution, body };
    deliver(node, completion).await;
}

/// Delivers the result of an activity that has a row, until the store has answered.
pub(super) async fn deliver(node: &Arc<Incarnation>, completion: CompleteActivity) {
    loop {
        match node.backend.complete_activity(completion.clone()).await {
            Ok(CompleteOutcome::Delivered { sent, held_by }) => {
                if held_by == Some(node.node) {
                    node.deliver_sent(vec![sent]);
                }
                return;
            }
            Ok(CompleteOutcome::Lost | CompleteOutcome::Rejected(_)) | Err(BackendError::NodeGone) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not deliver a result; trying again");
                tokio::time::sleep(node.options.retry_after).await;
            }
        }
    }
}
