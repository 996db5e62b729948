//! Entities: batches for workers, and what clients see.

use crate::pb;
use crate::pb::history_event::EventType;
use crate::pb::operation_action::OperationActionType;
use crate::pb::operation_result::ResultType;
use everdure_core::{
    EntityAction, EntityBatch, EntityBatchResult, EntityOperation, EntityRecord, ExecutionId, InvalidId,
};
use uuid::Uuid;

use super::{Unusable, entity_id, failure_from_wire, instance_id, time_from_wire, time_to_wire, trace_from_wire};

/// A batch in the newer form, in which every operation is an event.
pub fn entity_request(batch: &EntityBatch) -> pb::EntityRequest {
    pb::EntityRequest {
        instance_id: batch.instance_id.to_string(),
        execution_id: batch.execution_id.to_string(),
        entity_state: batch.state.clone(),
        operation_requests: batch.operations.iter().map(operation).collect(),
    }
}

fn operation(operation: &EntityOperation) -> pb::HistoryEvent {
    let (request_id, name, input) =
        (operation.request_id.clone(), operation.operation.clone(), operation.input.clone());
    let event_type = match operation.caller.as_ref().filter(|_| !operation.is_signal()) {
        Some(caller) => EventType::EntityOperationCalled(pb::EntityOperationCalledEvent {
            request_id,
            operation: name,
            scheduled_time: None,
            input,
            parent_instance_id: Some(caller.instance_id.to_string()),
            parent_execution_id: Some(caller.execution_id.to_string()),
            target_instance_id: None,
        }),
        None => EventType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
            request_id,
            operation: name,
            scheduled_time: None,
            input,
            target_instance_id: None,
        }),
    };
    pb::HistoryEvent { event_id: -1, timestamp: Some(time_to_wire(operation.sent_at)), event_type: Some(event_type) }
}

/// What a worker made of a batch.
///
/// # Errors
/// [`Unusable`].
pub fn batch_result(result: pb::EntityBatchResult) -> Result<EntityBatchResult, Unusable> {
    let results = result.results.into_iter().map(|result| match result.result_type {
        Some(ResultType::Success(success)) => Ok(Ok(success.result)),
        Some(ResultType::Failure(failure)) => Ok(Err(failure_from_wire(failure.failure_details.unwrap_or_default()))),
        None => Err(Unusable("an operation without a result".to_owned())),
    });
    Ok(EntityBatchResult {
        results: results.collect::<Result<_, _>>()?,
        actions: result
            .actions
            .into_iter()
            .filter_map(|action| action.operation_action_type)
            .map(action)
            .collect::<Result<_, _>>()?,
        state: result.entity_state.filter(|state| !state.is_empty()),
    })
}

fn action(action: OperationActionType) -> Result<EntityAction, Unusable> {
    Ok(match action {
        OperationActionType::SendSignal(signal) => EntityAction::Signal {
            target: entity_id(&signal.instance_id)?,
            request_id: Uuid::new_v4().to_string(),
            operation: signal.name,
            input: signal.input,
            not_before: signal.scheduled_time.as_ref().map(time_from_wire).transpose()?,
            trace: trace_from_wire(signal.parent_trace_context),
        },
        OperationActionType::StartNewOrchestration(start) => {
            let id = match start.instance_id {
                empty if empty.is_empty() => Uuid::new_v4().as_simple().to_string(),
                id if id.starts_with('@') => return Err(InvalidId::Entity(id).into()),
                id => id,
            };
            EntityAction::Start {
                instance_id: instance_id(&id)?,
                execution_id: ExecutionId::from_uuid(Uuid::new_v4()),
                name: start.name,
                version: start.version,
                input: start.input,
                scheduled_start: start.scheduled_time.as_ref().map(time_from_wire).transpose()?,
                trace: trace_from_wire(start.parent_trace_context),
            }
        }
    })
}

/// An entity as clients see it.
pub fn entity_metadata(record: EntityRecord) -> pb::EntityMetadata {
    pb::EntityMetadata {
        instance_id: record.instance_id.into(),
        last_modified_time: Some(time_to_wire(record.updated_at)),
        backlog_queue_size: i32::try_from(record.backlog).unwrap_or(i32::MAX),
        locked_by: record.locked_by.map(String::from),
        serialized_state: record.state,
    }
}
