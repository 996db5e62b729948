//! Batches of entity operations for the Rust SDK, and what came of them on its way to the server.

use crate::pb;
use crate::pb::history_event::EventType;
use crate::pb::operation_action::OperationActionType;
use crate::pb::operation_result::ResultType;
use everdure_core::{
    DispatchId, EntityAction, EntityBatch, EntityBatchResult, EntityCaller, EntityOperation, FailureDetails,
    InstanceKey, Timestamp,
};

use super::{Unusable, entity_id, failure_to_wire, instance_id, time_from_wire, time_to_wire, trace_to_wire};

/// A batch as a worker got it. Keys and dispatches are not part of the protocol: a caller that waits has the first of each.
///
/// # Errors
/// [`Unusable`].
pub fn entity_batch(request: pb::EntityRequest) -> Result<EntityBatch, Unusable> {
    Ok(EntityBatch {
        key: InstanceKey(0),
        instance_id: entity_id(&request.instance_id)?,
        execution_id: request.execution_id.parse()?,
        state: request.entity_state,
        operations: request.operation_requests.into_iter().map(operation).collect::<Result<_, _>>()?,
    })
}

fn operation(event: pb::HistoryEvent) -> Result<EntityOperation, Unusable> {
    let sent_at = event.timestamp.as_ref().map(time_from_wire).transpose()?.unwrap_or(Timestamp::UNIX_EPOCH);
    let (request_id, operation, input, caller) = match event.event_type {
        Some(EventType::EntityOperationSignaled(signal)) => (signal.request_id, signal.operation, signal.input, None),
        Some(EventType::EntityOperationCalled(call)) => {
            let caller = caller(call.parent_instance_id, call.parent_execution_id)?;
            (call.request_id, call.operation, call.input, Some(caller))
        }
        _ => return Err(Unusable("something that is no operation in a batch".to_owned())),
    };
    Ok(EntityOperation { request_id, operation, input, caller, sent_at, trace: None })
}

fn caller(instance: Option<String>, execution: Option<String>) -> Result<EntityCaller, Unusable> {
    Ok(EntityCaller {
        key: InstanceKey(0),
        execution: 0,
        instance_id: instance_id(&instance.unwrap_or_default())?,
        execution_id: execution.unwrap_or_default().parse()?,
        dispatch: Some(DispatchId { turn: 0, index: 0 }),
    })
}

/// What came of a batch, for the server.
pub fn batch_result_to_wire(result: EntityBatchResult, completion_token: String) -> pb::EntityBatchResult {
    let actions = result
        .actions
        .into_iter()
        .zip(0..)
        .map(|(action, id)| pb::OperationAction { id, operation_action_type: Some(action_to_wire(action)) });
    pb::EntityBatchResult {
        results: result.results.into_iter().map(one).collect(),
        actions: actions.collect(),
        entity_state: result.state,
        failure_details: None,
        completion_token,
        operation_infos: Vec::new(),
        requires_state: false,
    }
}

fn one(result: Result<Option<String>, FailureDetails>) -> pb::OperationResult {
    let (start_time_utc, end_time_utc) = (None, None);
    let result = match result {
        Ok(result) => ResultType::Success(pb::OperationResultSuccess { result, start_time_utc, end_time_utc }),
        Err(failure) => {
            let failure_details = Some(failure_to_wire(&failure));
            ResultType::Failure(pb::OperationResultFailure { failure_details, start_time_utc, end_time_utc })
        }
    };
    pb::OperationResult { result_type: Some(result) }
}

fn action_to_wire(action: EntityAction) -> OperationActionType {
    match action {
        EntityAction::Signal { target, operation, input, not_before, trace, .. } => {
            OperationActionType::SendSignal(pb::SendSignalAction {
                instance_id: target.into(),
                name: operation,
                input,
                scheduled_time: not_before.map(time_to_wire),
                request_time: None,
                parent_trace_context: trace_to_wire(trace.as_ref()),
            })
        }
        EntityAction::Start { instance_id, name, version, input, scheduled_start, trace, .. } => {
            OperationActionType::StartNewOrchestration(pb::StartNewOrchestrationAction {
                instance_id: instance_id.into(),
                name,
                version,
                input,
                scheduled_time: scheduled_start.map(time_to_wire),
                request_time: None,
                parent_trace_context: trace_to_wire(trace.as_ref()),
            })
        }
    }
}
