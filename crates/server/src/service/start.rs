//! Starting instances, and starting them again.

use everdure::ReusePolicy;
use everdure_core::{
    BackendError, CreateInstance, CreateOutcome, ExecutionId, InstanceId, Limits, OrchestrationStatus, StatusSet,
};
use everdure_proto::pb;
use tonic::{Request, Status};
use uuid::Uuid;

use super::{client_status, invalid};
use crate::hubs::{Hub, Hubs, store_status};
use everdure_proto::convert;

/// Clients look for exactly these words.
const EXCLUDES_TERMINATED: &str =
    "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances";

pub(super) async fn start_instance(
    hubs: &Hubs,
    request: Request<pb::CreateInstanceRequest>,
) -> Result<pb::CreateInstanceResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let policy = request.orchestration_id_reuse_policy.clone();
    let (reuse, ignore) = reuse(policy)?;
    let create = CreateInstance { reuse, ..creation(request)? };
    let id = create.instance_id.clone();
    let created = match hub.node.create_instance(create.clone()).await {
        Err(BackendError::HubGone { .. }) => hubs.instead_of(&hub).await?.node.create_instance(create).await,
        created => created,
    };
    match created.map_err(|error| store_status(&error))? {
        CreateOutcome::Created { .. } => {}
        CreateOutcome::AlreadyExists { status } if ignore.contains(status) => {}
        CreateOutcome::AlreadyExists { status } => {
            return Err(client_status(&everdure::ClientError::AlreadyExists { id, status }));
        }
        CreateOutcome::Rejected(failure) => return Err(Status::invalid_argument(failure.to_string())),
    }
    Ok(pb::CreateInstanceResponse { instance_id: id.into() })
}

fn creation(request: pb::CreateInstanceRequest) -> Result<CreateInstance, Status> {
    let id = match request.instance_id {
        empty if empty.is_empty() => Uuid::new_v4().as_simple().to_string(),
        id => id,
    };
    if id.starts_with('@') {
        let message = format!("'{id}' is the id of an entity: an orchestration's id does not begin with '@'");
        return Err(Status::invalid_argument(message));
    }
    let instance_id = convert::instance_id(&id).map_err(invalid)?;
    let execution_id = match request.execution_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => {
            id.parse().map_err(|error: everdure_core::InvalidId| Status::invalid_argument(error.to_string()))?
        }
        None => ExecutionId::from_uuid(Uuid::new_v4()),
    };
    let tags = request.tags.into_iter().collect();
    let limits = Limits::default();
    let checked = limits
        .check_name("the name of the orchestration", &request.name)
        .and_then(|()| limits.check_payload("the input of the orchestration", request.input.as_deref()))
        .and_then(|()| limits.check_payload("the version of the orchestration", request.version.as_deref()))
        .and_then(|()| limits.check_tags(&tags));
    checked.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let starts =
        request.scheduled_start_timestamp.as_ref().map(convert::time_from_wire).transpose().map_err(invalid)?;
    Ok(CreateInstance {
        instance_id,
        execution_id,
        name: request.name,
        version: request.version,
        input: request.input,
        tags,
        // Some SDKs say the beginning of 1970 for "at once".
        scheduled_start: starts.filter(|time| *time > chrono::DateTime::UNIX_EPOCH),
        reuse: ReusePolicy::default(),
        request_id: None,
        born_claimed: None,
        trace: convert::trace_from_wire(request.parent_trace_context),
    })
}

/// What is replaced, and what is left alone without an error.
fn reuse(policy: Option<pb::OrchestrationIdReusePolicy>) -> Result<(ReusePolicy, StatusSet), Status> {
    let Some(policy) = policy else { return Ok((ReusePolicy::ReplaceFinished, StatusSet::default())) };
    let listed = policy.replaceable_status.iter().filter_map(|code| convert::status_from_wire(*code).transpose());
    let listed: StatusSet = listed.collect::<Result<_, _>>().map_err(invalid)?;
    match policy.action.map(pb::CreateOrchestrationAction::try_from) {
        // Older SDKs: the list says when the action holds.
        Some(Ok(pb::CreateOrchestrationAction::Ignore)) => return Ok((ReusePolicy::Never, listed)),
        Some(Ok(pb::CreateOrchestrationAction::Error)) => return Ok((ReusePolicy::Never, StatusSet::default())),
        Some(Ok(pb::CreateOrchestrationAction::Terminate)) => {
            return Ok((ReusePolicy::Replace(listed), StatusSet::default()));
        }
        Some(Err(_)) => return Err(Status::invalid_argument("the action of the reuse policy is unknown")),
        None => {}
    }
    let live = [OrchestrationStatus::Running, OrchestrationStatus::Pending, OrchestrationStatus::Suspended];
    if live.iter().any(|status| listed.contains(*status)) && !listed.contains(OrchestrationStatus::Terminated) {
        return Err(Status::invalid_argument(EXCLUDES_TERMINATED));
    }
    Ok((ReusePolicy::Replace(listed), StatusSet::default()))
}

pub(super) async fn restart_instance(
    hubs: &Hubs,
    request: Request<pb::RestartInstanceRequest>,
) -> Result<pb::RestartInstanceResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let id = convert::instance_id(&request.instance_id).map_err(invalid)?;
    if id.is_entity() {
        return Err(Status::invalid_argument(format!(
            "'{id}' is the id of an entity: only orchestrations are restarted"
        )));
    }
    let restarted = if request.restart_with_new_instance_id {
        hub.client.restart_with_new_id(&id).await
    } else {
        refuse_live(&hub, &id).await?;
        hub.client.restart(&id).await
    };
    let id = restarted.map_err(|error| match error {
        everdure::ClientError::AlreadyExists { .. } => still_runs(&id),
        error => client_status(&error),
    })?;
    Ok(pb::RestartInstanceResponse { instance_id: id.into() })
}

async fn refuse_live(hub: &Hub, id: &InstanceId) -> Result<(), Status> {
    match hub.client.get(id).await.map_err(|error| client_status(&error))? {
        Some(record) if !record.status.is_terminal() => Err(still_runs(id)),
        _ => Ok(()),
    }
}

fn still_runs(id: &InstanceId) -> Status {
    Status::failed_precondition(format!(
        "instance '{id}' has not ended, so that it cannot be restarted under its id: wait for its end, or restart it \
         with a new id"
    ))
}
