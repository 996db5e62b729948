//! Answers on their way to the server: sent again while it is away, in parts when they are large, and as a failure when
//! it can never take them.

use std::future::Future;
use std::time::Duration;

use everdure_core::FailureDetails;
use everdure_proto::prost::Message;
use everdure_proto::{convert, pb};
use tonic::metadata::MetadataValue;
use tonic::{Code, Response, Status};

use super::super::connection::{Stub, jittered};
use super::{Shared, orchestrations};

/// What one message may take: what every SDK and server is sure to accept, less some room.
const PART_BYTES: usize = 3_900_000;

const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells the server, again and again while it is away. After the last try it has given the item to somebody else.
async fn tell<T, F>(tell: impl Fn() -> F) -> Result<(), Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        match tell().await {
            Ok(_) => return Ok(()),
            Err(status) if left > 0 && passes(status.code()) => {}
            Err(status) => return Err(status),
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::Internal | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted
    )
}

/// Whether the server will never take the answer as it is.
fn refuses(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted)
}

fn lost(what: &'static str, status: &Status) {
    tracing::warn!(error = status as &dyn std::error::Error, what, "an answer did not arrive; its item comes again");
}

pub(super) async fn activity(shared: &Shared, response: pb::ActivityResponse) {
    let Err(status) = send_activity(shared, response.clone()).await else { return };
    if !refuses(status.code()) {
        return lost("activity", &status);
    }
    let failure = FailureDetails::new("InvalidResult", format!("the server cannot take it: {}", status.message()));
    let failure_details = Some(convert::failure_to_wire(&failure.non_retriable()));
    let failed = pb::ActivityResponse { result: None, failure_details, ..response };
    if let Err(status) = send_activity(shared, failed).await {
        lost("activity", &status);
    }
}

async fn send_activity(shared: &Shared, response: pb::ActivityResponse) -> Result<(), Status> {
    let (stub, connection) = (shared.connection.stub(), &shared.connection);
    let send = || {
        let (mut stub, mut request): (Stub, _) = (stub.clone(), connection.request(response.clone()));
        request.metadata_mut().insert(convert::PATIENT, MetadataValue::from_static("1"));
        async move { stub.complete_activity_task(request).await }
    };
    tell(send).await
}

pub(super) async fn orchestration(shared: &Shared, response: pb::OrchestratorResponse) {
    let (instance_id, token) = (response.instance_id.clone(), response.completion_token.clone());
    let Err(status) = send_parts(shared, parts(response)).await else { return };
    if !refuses(status.code()) {
        return lost("turn", &status);
    }
    let failure =
        FailureDetails::new("InvalidAction", format!("the server cannot take the turn: {}", status.message()));
    let failed = orchestrations::failed(instance_id, failure);
    let failed = pb::OrchestratorResponse { completion_token: token, ..failed };
    if let Err(status) = send_parts(shared, vec![failed]).await {
        lost("turn", &status);
    }
}

pub(super) async fn entity(shared: &Shared, result: pb::EntityBatchResult) {
    let Err(status) = send_batch(shared, result.clone()).await else { return };
    if !refuses(status.code()) {
        return lost("batch", &status);
    }
    tracing::error!(error = &status as &dyn std::error::Error, "the server cannot take a batch; it goes back");
    give_back_entity(shared, result.completion_token).await;
}

async fn send_batch(shared: &Shared, result: pb::EntityBatchResult) -> Result<(), Status> {
    let (stub, connection) = (shared.connection.stub(), &shared.connection);
    let send = || {
        let (mut stub, request): (Stub, _) = (stub.clone(), connection.request(result.clone()));
        async move { stub.complete_entity_task(request).await }
    };
    tell(send).await
}

async fn send_parts(shared: &Shared, parts: Vec<pb::OrchestratorResponse>) -> Result<(), Status> {
    for part in parts {
        let (stub, connection) = (shared.connection.stub(), &shared.connection);
        let send = || {
            let (mut stub, request): (Stub, _) = (stub.clone(), connection.request(part.clone()));
            async move { stub.complete_orchestrator_task(request).await }
        };
        tell(send).await?;
    }
    Ok(())
}

/// The answer in parts that fit into one message each; most are one part. The last one closes it.
#[expect(deprecated, reason = "servers take answers in parts, whatever the description says of their future")]
fn parts(mut response: pb::OrchestratorResponse) -> Vec<pb::OrchestratorResponse> {
    if response.encoded_len() <= PART_BYTES {
        return vec![response];
    }
    let mut groups = vec![Vec::new()];
    let mut bytes = 0;
    for action in std::mem::take(&mut response.actions) {
        let size = action.encoded_len() + 8;
        if bytes + size > PART_BYTES && bytes > 0 {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(group) = groups.last_mut() {
            group.push(action);
        }
    }
    let last = groups.len() - 1;
    let part = |(number, actions): (usize, Vec<_>)| pb::OrchestratorResponse {
        actions,
        is_partial: number < last,
        chunk_index: (last > 0).then(|| i32::try_from(number).unwrap_or(i32::MAX)),
        ..response.clone()
    };
    groups.into_iter().enumerate().map(part).collect()
}

/// What does not arrive is given back at the end of the stream.
pub(super) async fn give_back_orchestration(shared: &Shared, completion_token: String) {
    let request = pb::AbandonOrchestrationTaskRequest { completion_token };
    let mut stub = shared.connection.stub();
    let _ = stub.abandon_task_orchestrator_work_item(shared.connection.request(request)).await;
}

pub(super) async fn give_back_activity(shared: &Shared, completion_token: String) {
    let request = pb::AbandonActivityTaskRequest { completion_token };
    let mut stub = shared.connection.stub();
    let _ = stub.abandon_task_activity_work_item(shared.connection.request(request)).await;
}

pub(super) async fn give_back_entity(shared: &Shared, completion_token: String) {
    let request = pb::AbandonEntityTaskRequest { completion_token };
    let mut stub = shared.connection.stub();
    let _ = stub.abandon_task_entity_work_item(shared.connection.request(request)).await;
}

#[cfg(test)]
mod tests {
    use everdure_proto::pb;
    use everdure_proto::pb::orchestrator_action::OrchestratorActionType;
    use everdure_proto::prost::Message;

    #[test]
    #[expect(deprecated, reason = "what is tested")]
    fn a_large_answer_goes_in_parts_with_all_actions_in_order() {
        let action = |id| {
            let input = Some("x".repeat(1_000_000));
            let task = pb::ScheduleTaskAction { name: "a".to_owned(), input, ..Default::default() };
            pb::OrchestratorAction { id, orchestrator_action_type: Some(OrchestratorActionType::ScheduleTask(task)) }
        };
        let actions = (0..10).map(action).collect();
        let whole = pb::OrchestratorResponse { actions, custom_status: Some("s".to_owned()), ..Default::default() };
        let parts = super::parts(whole);
        assert_eq!(parts.len(), 4);
        assert!(parts.iter().all(|part| part.encoded_len() <= super::PART_BYTES + 64));
        let flags: Vec<_> = parts.iter().map(|part| (part.is_partial, part.chunk_index)).collect();
        assert_eq!(flags, [(true, Some(0)), (true, Some(1)), (true, Some(2)), (false, Some(3))]);
        let ids: Vec<_> = parts.iter().flat_map(|part| &part.actions).map(|action| action.id).collect();
        assert_eq!(ids, (0..10).collect::<Vec<_>>());
        assert_eq!(parts[3].custom_status.as_deref(), Some("s"));
    }
}
