//! Activities.

use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use everdure_core::{ActivityTask, FailureDetails, InstanceKey};
use everdure_engine::{ActivityExecutor, ActivityOutcome, Workers};
use everdure_proto::{convert, pb};
use futures::FutureExt;

use super::{Shared, answers};
use crate::replay::panic_details;

/// A step of an execution: the ids of both.
pub(super) type Step = (String, i32);

/// Runs an activity and answers. One that runs here already, and comes again because the stream broke in between, is not
/// run twice: its answer goes under the last token.
pub(super) async fn run(shared: &Shared, request: pb::ActivityRequest, token: String) {
    let instance = request.orchestration_instance.clone().unwrap_or_default();
    let step = (instance.execution_id.unwrap_or_default(), request.task_id);
    match shared.running.lock().unwrap_or_else(PoisonError::into_inner).entry(step.clone()) {
        Entry::Occupied(mut running) => {
            running.insert(token);
            return;
        }
        Entry::Vacant(free) => {
            free.insert(token);
        }
    }
    let outcome = outcome(shared, &step.0, request).await;
    let token = shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&step).unwrap_or_default();
    match outcome {
        ActivityOutcome::Ended(ended) => {
            let (result, failure_details) = match ended {
                Ok(result) => (result, None),
                Err(failure) => (None, Some(convert::failure_to_wire(&failure))),
            };
            let response = pb::ActivityResponse {
                instance_id: instance.instance_id,
                task_id: step.1,
                result,
                failure_details,
                completion_token: token,
            };
            answers::activity(shared, response).await;
        }
        ActivityOutcome::GivenBack | ActivityOutcome::NotRun(_) => answers::give_back_activity(shared, token).await,
    }
}

async fn outcome(shared: &Shared, execution_id: &str, request: pb::ActivityRequest) -> ActivityOutcome {
    let Some(executor) = find(shared, &request).await else {
        tracing::warn!(activity = request.name, version = request.version, "no such activity here: it goes back");
        return ActivityOutcome::GivenBack;
    };
    let name = request.name.clone();
    let task = match task(execution_id, request) {
        Ok(task) => task,
        Err(unusable) => return ActivityOutcome::Ended(Err(FailureDetails::new("Unusable", unusable.to_string()))),
    };
    let cancelled = shared.ended.child_token();
    let running = AssertUnwindSafe(executor.run(task, cancelled.clone())).catch_unwind();
    let returned = match shared.options.activity_deadline {
        None => running.await,
        Some(deadline) => match tokio::time::timeout(deadline, running).await {
            Ok(returned) => returned,
            Err(_) => {
                cancelled.cancel();
                let message = format!("activity '{name}' ran for longer than {deadline:?} and was given up");
                return ActivityOutcome::Ended(Err(FailureDetails::new("ActivityDeadlineExceeded", message)));
            }
        },
    };
    match returned {
        Ok(returned) => returned.outcome,
        Err(panic) => ActivityOutcome::Ended(Err(panic_details(panic.as_ref()))),
    }
}

/// The function for it. A call that names no version means that of its orchestration, which the protocol does not tell:
/// it is asked for when it matters.
async fn find(shared: &Shared, request: &pb::ActivityRequest) -> Option<Arc<dyn ActivityExecutor>> {
    let mut known = shared.functions.activity_names();
    let versioned = known.any(|filter| filter.name == request.name && filter.version.is_some());
    if request.version.is_some() || !versioned {
        return shared.functions.activity(&request.name, request.version.as_deref());
    }
    let instance_id = request.orchestration_instance.clone()?.instance_id;
    let asked = pb::GetInstanceRequest { instance_id, get_inputs_and_outputs: false };
    let answered = shared.connection.ask(|mut stub| {
        let request = shared.connection.request(asked.clone());
        async move { stub.get_instance(request).await }
    });
    let version = answered.await.ok()?.orchestration_state?.version;
    shared.functions.activity(&request.name, version.as_deref())
}

fn task(execution_id: &str, request: pb::ActivityRequest) -> Result<ActivityTask, convert::Unusable> {
    let instance = request.orchestration_instance.unwrap_or_default();
    let dispatch = convert::wire_dispatch(request.task_id);
    let execution_id: everdure_core::ExecutionId = execution_id.parse()?;
    Ok(ActivityTask {
        key: InstanceKey(0),
        instance_id: convert::instance_id(&instance.instance_id)?,
        execution: 0,
        execution_id,
        dispatch,
        task_id: request.task_id,
        name: request.name,
        version: request.version,
        input: request.input,
        tags: request.tags.into_iter().collect(),
        orchestration_version: None,
        trace: convert::trace_from_wire(request.parent_trace_context),
        idempotency_key: execution_id.idempotency_key(dispatch),
    })
}
