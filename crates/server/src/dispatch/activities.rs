//! Activities that connected workers run.

use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{ActivityTask, FailureDetails};
use everdure_engine::{ActivityExecutor, ActivityOutcome, ActivityReturn, CancellationToken};
use everdure_proto::pb;
use everdure_proto::pb::work_item::Request;

use super::Shared;
use super::filters::Kind;
use super::items::{Answer, Asked, Group, Reply, too_large};
use everdure_proto::convert;

/// Stands in for whoever runs them.
pub(super) struct RemoteActivities(pub Arc<Shared>);

#[async_trait]
impl ActivityExecutor for RemoteActivities {
    async fn run(&self, task: ActivityTask, cancelled: CancellationToken) -> ActivityReturn {
        cancelled.run_until_cancelled(self.ask(task)).await.unwrap_or(ActivityReturn::GIVEN_BACK)
    }
}

impl RemoteActivities {
    async fn ask(&self, task: ActivityTask) -> ActivityReturn {
        let group = Group {
            kind: Kind::Activity,
            name: task.name.clone(),
            version: task.filtered_version().map(str::to_owned),
        };
        let asked = Asked { instance_id: task.instance_id.to_string(), task_id: Some(task.task_id) };
        let key = task.idempotency_key.clone();
        match self.0.ask(&key, group, asked, Request::ActivityRequest(work(task))).await {
            Reply::Answered(Answer::Activity(response, ack, patient)) => {
                self.0.rejections.forget(&key);
                ActivityReturn { outcome: ActivityOutcome::Ended(ended(*response)), ack: Some(ack), patient }
            }
            Reply::NotTaken | Reply::Answered(_) => ActivityReturn::GIVEN_BACK,
            Reply::TooLarge(bytes) => {
                let reason = too_large(bytes);
                tracing::warn!(activity = key, "{reason}");
                ActivityReturn { outcome: ActivityOutcome::NotRun(reason), ..ActivityReturn::GIVEN_BACK }
            }
            Reply::GivenBack(by) => {
                self.0.pause(&key, by).await;
                ActivityReturn::GIVEN_BACK
            }
        }
    }
}

fn work(task: ActivityTask) -> pb::ActivityRequest {
    let execution_id = Some(task.execution_id.to_string());
    pb::ActivityRequest {
        name: task.name,
        version: task.version,
        input: task.input,
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: task.instance_id.to_string(),
            execution_id,
        }),
        task_id: task.task_id,
        parent_trace_context: convert::trace_to_wire(task.trace.as_ref()),
        tags: task.tags.clone(),
    }
}

fn ended(response: pb::ActivityResponse) -> Result<Option<String>, FailureDetails> {
    match response.failure_details {
        Some(failure) => Err(convert::failure_from_wire(failure)),
        None => Ok(response.result),
    }
}
