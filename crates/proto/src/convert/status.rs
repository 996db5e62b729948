//! Where an instance stands, and the whole of what clients see of it.

use crate::pb;
use everdure_core::{InstanceKey, InstanceRecord, OrchestrationStatus, Timestamp};

use super::{Unusable, failure_from_wire, failure_to_wire, instance_id, time_from_wire, time_to_wire};

/// A state as the protocol numbers it.
pub fn status_to_wire(status: OrchestrationStatus) -> pb::OrchestrationStatus {
    match status {
        OrchestrationStatus::Pending => pb::OrchestrationStatus::Pending,
        OrchestrationStatus::Running => pb::OrchestrationStatus::Running,
        OrchestrationStatus::Suspended => pb::OrchestrationStatus::Suspended,
        OrchestrationStatus::Completed => pb::OrchestrationStatus::Completed,
        OrchestrationStatus::Failed => pb::OrchestrationStatus::Failed,
        OrchestrationStatus::Terminated => pb::OrchestrationStatus::Terminated,
    }
}

/// The state of that number; `None` for those that no instance is ever seen in.
///
/// # Errors
/// [`Unusable`].
pub fn status_from_wire(code: i32) -> Result<Option<OrchestrationStatus>, Unusable> {
    let status = pb::OrchestrationStatus::try_from(code)
        .map_err(|_| Unusable(format!("{code} is no orchestration status: the protocol knows 0 to 7")))?;
    Ok(match status {
        pb::OrchestrationStatus::Pending => Some(OrchestrationStatus::Pending),
        pb::OrchestrationStatus::Running => Some(OrchestrationStatus::Running),
        pb::OrchestrationStatus::Suspended => Some(OrchestrationStatus::Suspended),
        pb::OrchestrationStatus::Completed => Some(OrchestrationStatus::Completed),
        pb::OrchestrationStatus::Failed => Some(OrchestrationStatus::Failed),
        pb::OrchestrationStatus::Terminated => Some(OrchestrationStatus::Terminated),
        pb::OrchestrationStatus::Canceled | pb::OrchestrationStatus::ContinuedAsNew => None,
    })
}

/// An instance as clients see it; without `payloads`, no input, output and custom status.
pub fn state(record: InstanceRecord, payloads: bool) -> pb::OrchestrationState {
    pb::OrchestrationState {
        instance_id: record.instance_id.to_string(),
        name: record.name,
        version: record.version,
        orchestration_status: status_to_wire(record.status).into(),
        scheduled_start_timestamp: record.scheduled_start.map(time_to_wire),
        created_timestamp: Some(time_to_wire(record.created_at)),
        last_updated_timestamp: Some(time_to_wire(record.updated_at)),
        input: record.input.filter(|_| payloads),
        output: record.output.filter(|_| payloads),
        custom_status: record.custom_status.filter(|_| payloads),
        failure_details: record.failure.as_ref().map(failure_to_wire),
        execution_id: Some(record.execution_id.to_string()),
        completed_timestamp: record.completed_at.map(time_to_wire),
        parent_instance_id: record.parent_instance_id.map(String::from),
        tags: record.tags.clone(),
    }
}

/// An instance as a client is told of it. Key, generation and turn are not on the wire: they are 0.
///
/// # Errors
/// [`Unusable`].
pub fn record(state: pb::OrchestrationState) -> Result<InstanceRecord, Unusable> {
    let time = |time: Option<prost_types::Timestamp>| time.as_ref().map(time_from_wire).transpose();
    let missing = |what: &str| Unusable(format!("instance '{}' came without its {what}", state.instance_id));
    let created_at: Timestamp = time(state.created_timestamp)?.ok_or_else(|| missing("time of creation"))?;
    Ok(InstanceRecord {
        key: InstanceKey(0),
        instance_id: instance_id(&state.instance_id)?,
        execution_id: state.execution_id.as_deref().ok_or_else(|| missing("execution id"))?.parse()?,
        execution: 0,
        version: state.version,
        parent_instance_id: state.parent_instance_id.as_deref().map(instance_id).transpose()?,
        tags: state.tags.into_iter().collect(),
        status: status_from_wire(state.orchestration_status)?
            .ok_or_else(|| Unusable(format!("instance '{}' is in no state that there is", state.instance_id)))?,
        created_at,
        scheduled_start: time(state.scheduled_start_timestamp)?,
        updated_at: time(state.last_updated_timestamp)?.unwrap_or(created_at),
        completed_at: time(state.completed_timestamp)?,
        turn: 0,
        input: state.input,
        output: state.output,
        custom_status: state.custom_status,
        failure: state.failure_details.map(failure_from_wire),
        name: state.name,
        parent: None,
        trace: None,
    })
}
