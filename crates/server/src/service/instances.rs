//! One instance: looking at it, waiting for it, talking to it.

use std::time::Duration;

use everdure::ClientError;
use everdure_core::{InstanceId, InstanceRecord, MessageBody, SendMessage, SendOutcome};
use everdure_proto::pb;
use tokio::time::Instant;
use tonic::{Request, Status};
use uuid::Uuid;

use super::{client_status, invalid};
use crate::dispatch::Asked;
use crate::hubs::{Hub, Hubs, store_status};
use everdure_proto::convert;

/// Requests for many instances name at most so many.
pub(super) const BATCH: usize = 500;

/// How long a client that names no deadline waits in one go.
const VERY_LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long before a client's deadline it is told that this has passed.
const EARLY: Duration = Duration::from_millis(30);

/// How often an instance that is to end at once is taken from its worker.
const RECALLS: usize = 20;

/// How often it is looked whether an instance has appeared that somebody waits for.
const APPEARS: Duration = Duration::from_millis(100);

fn response(record: Option<InstanceRecord>, payloads: bool) -> pb::GetInstanceResponse {
    let orchestration_state = record.map(|record| convert::state(record, payloads));
    pb::GetInstanceResponse { exists: orchestration_state.is_some(), orchestration_state }
}

pub(super) async fn get_instance(
    hubs: &Hubs,
    request: Request<pb::GetInstanceRequest>,
) -> Result<pb::GetInstanceResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let Ok(id) = convert::instance_id(&request.instance_id) else { return Ok(response(None, false)) };
    if id.as_str().starts_with('@') {
        return Ok(response(None, false));
    }
    let record = hub.client.get(&id).await.map_err(|error| client_status(&error))?;
    Ok(response(record, request.get_inputs_and_outputs))
}

pub(super) async fn wait_for_instance_start(
    hubs: &Hubs,
    request: Request<pb::GetInstanceRequest>,
) -> Result<pb::GetInstanceResponse, Status> {
    wait(hubs, request, false).await
}

pub(super) async fn wait_for_instance_completion(
    hubs: &Hubs,
    request: Request<pb::GetInstanceRequest>,
) -> Result<pb::GetInstanceResponse, Status> {
    wait(hubs, request, true).await
}

/// Waits for as long as the client does: a call that the client gives up is dropped here.
async fn wait(
    hubs: &Hubs,
    request: Request<pb::GetInstanceRequest>,
    end: bool,
) -> Result<pb::GetInstanceResponse, Status> {
    let hub = hubs.of(&request).await?;
    let deadline = deadline(&request);
    let request = request.into_inner();
    let id = convert::instance_id(&request.instance_id).map_err(invalid)?;
    if id.is_entity() {
        // No orchestration ever appears under it.
        return Ok(response(None, false));
    }
    let waiting = found(hubs, &hub, &id, end);
    let waited = match deadline {
        None => waiting.await?,
        Some(deadline) => tokio::time::timeout(deadline, waiting).await.map_err(|_| too_late(&id))??,
    };
    Ok(response(waited, request.get_inputs_and_outputs))
}

fn too_late(id: &InstanceId) -> Status {
    Status::deadline_exceeded(format!("'{id}' is not there yet: wait again, or for longer"))
}

/// The client's deadline, a little early: the transport would answer it with CANCELLED.
fn deadline<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    let patience = match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(patience.saturating_sub((patience / 10).min(EARLY)))
}

/// Until the instance has started or ended; `None` if it does not appear for a while.
async fn found(hubs: &Hubs, hub: &Hub, id: &InstanceId, end: bool) -> Result<Option<InstanceRecord>, Status> {
    let begun = Instant::now();
    loop {
        let waiting = async {
            if end {
                hub.client.wait_for_end(id, VERY_LONG).await
            } else {
                hub.client.wait_for_start(id, VERY_LONG).await
            }
        };
        let stopping = || Status::unavailable("this server is stopping: ask another one");
        let found = hubs.closing.run_until_cancelled(waiting).await.ok_or_else(stopping)?;
        match found {
            Ok(record) => return Ok(Some(record)),
            Err(ClientError::NotFound(_)) if begun.elapsed() >= hubs.options().patience => {
                return Ok(None);
            }
            Err(ClientError::NotFound(_)) => tokio::time::sleep(APPEARS).await,
            Err(ClientError::TimedOut { .. }) => {}
            Err(error) => return Err(client_status(&error)),
        }
    }
}

pub(super) async fn rewind_instance(
    hubs: &Hubs,
    request: Request<pb::RewindInstanceRequest>,
) -> Result<pb::RewindInstanceResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let id = convert::instance_id(&request.instance_id).map_err(invalid)?;
    hub.client.rewind(&id, request.reason.as_deref()).await.map_err(|error| client_status(&error))?;
    Ok(pb::RewindInstanceResponse {})
}

pub(super) async fn raise_event(
    hubs: &Hubs,
    request: Request<pb::RaiseEventRequest>,
) -> Result<pb::RaiseEventResponse, Status> {
    let hub = hubs.of(&request).await?;
    let pb::RaiseEventRequest { instance_id, name, input } = request.into_inner();
    let limits = everdure_core::Limits::default();
    let checked = limits
        .check_name("the name of the event", &name)
        .and_then(|()| limits.check_payload("the input of the event", input.as_deref()));
    checked.map_err(|error| Status::invalid_argument(error.to_string()))?;
    known(send(&hub, &instance_id, MessageBody::EventRaised { name, input }).await?, &instance_id)?;
    Ok(pb::RaiseEventResponse {})
}

pub(super) async fn suspend_instance(
    hubs: &Hubs,
    request: Request<pb::SuspendRequest>,
) -> Result<pb::SuspendResponse, Status> {
    let hub = hubs.of(&request).await?;
    let pb::SuspendRequest { instance_id, reason } = request.into_inner();
    known(send(&hub, &instance_id, MessageBody::ExecutionSuspended { reason }).await?, &instance_id)?;
    Ok(pb::SuspendResponse {})
}

pub(super) async fn resume_instance(
    hubs: &Hubs,
    request: Request<pb::ResumeRequest>,
) -> Result<pb::ResumeResponse, Status> {
    let hub = hubs.of(&request).await?;
    let pb::ResumeRequest { instance_id, reason } = request.into_inner();
    known(send(&hub, &instance_id, MessageBody::ExecutionResumed { reason }).await?, &instance_id)?;
    Ok(pb::ResumeResponse {})
}

pub(super) async fn terminate_instance(
    hubs: &Hubs,
    request: Request<pb::TerminateRequest>,
) -> Result<pb::TerminateResponse, Status> {
    let hub = hubs.of(&request).await?;
    let pb::TerminateRequest { instance_id, output, recursive } = request.into_inner();
    if instance_id.starts_with('@') {
        return Err(Status::invalid_argument("entities cannot be terminated: signal them to delete their state"));
    }
    // Whoever is not there needs no ending.
    send(&hub, &instance_id, MessageBody::ExecutionTerminated { reason: output, recurse: recursive }).await?;
    Ok(pb::TerminateResponse {})
}

async fn send(hub: &Hub, id: &str, body: MessageBody) -> Result<SendOutcome, Status> {
    let instance_id = convert::instance_id(id).map_err(invalid)?;
    // Recognises this message if the store has to be asked again.
    let request_id = Some(Uuid::new_v4());
    let request = SendMessage { instance_id, body, request_id, not_before: None };
    match hub.node.send_message(request).await.map_err(|error| store_status(&error))? {
        SendOutcome::Rejected(failure) => Err(Status::invalid_argument(failure.to_string())),
        outcome => Ok(outcome),
    }
}

fn known(outcome: SendOutcome, id: &str) -> Result<(), Status> {
    match outcome {
        SendOutcome::NotFound => Err(Status::not_found(format!(
            "there is no instance '{id}' in this task hub: check the id, and whether it was purged"
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn skip_graceful_orchestration_terminations(
    hubs: &Hubs,
    request: Request<pb::SkipGracefulOrchestrationTerminationsRequest>,
) -> Result<pb::SkipGracefulOrchestrationTerminationsResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let ids = request.instance_batch.unwrap_or_default().instance_ids;
    check_batch(&ids)?;
    let mut unterminated_instance_ids = Vec::new();
    for id in ids {
        if !ended_at_once(&hub, &id, request.reason.clone()).await? {
            unterminated_instance_ids.push(id);
        }
    }
    Ok(pb::SkipGracefulOrchestrationTerminationsResponse { unterminated_instance_ids })
}

/// What nobody holds ends at once, and what a worker has as soon as it is given back; what has ended is not ended again.
async fn ended_at_once(hub: &Hub, id: &str, reason: Option<String>) -> Result<bool, Status> {
    if id.starts_with('@') {
        return Ok(false);
    }
    let asked = Asked { instance_id: id.to_owned(), task_id: None };
    let mut told = false;
    for _ in 0..RECALLS {
        let body = MessageBody::ExecutionTerminated { reason: reason.clone(), recurse: false };
        match send(hub, id, body).await? {
            SendOutcome::Terminated => return Ok(true),
            SendOutcome::Sent { .. } => told = true,
            // It ended just now because it was told to.
            _ => return Ok(told),
        }
        // The turn that a worker has is taken from it; the next one ends the instance.
        hub.dispatcher.recall(&asked);
        tokio::time::sleep(APPEARS / 4).await;
    }
    Ok(true)
}

/// Refuses too many at once.
pub(super) fn check_batch(ids: &[String]) -> Result<(), Status> {
    if ids.len() > BATCH {
        let message = format!("{} instances in one request, the limit is {BATCH}: send several requests", ids.len());
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

/// Ids of a batch that can be ids at all.
pub(super) fn ids(ids: Vec<String>) -> Vec<InstanceId> {
    ids.into_iter().filter_map(|id| InstanceId::new(id).ok()).collect()
}
