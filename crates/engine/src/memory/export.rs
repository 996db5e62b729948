//! Instances out, and in.

use everdure_core::{
    BackendResult, ExportedInstance, ImportOutcome, InstanceKey, Limits, Message, MessageNumber, OrchestrationStatus,
    ParentLink, Timestamp,
};

use super::store::{Row, Store};

pub(super) fn export(row: &Row, key: InstanceKey) -> ExportedInstance {
    let messages = row.messages.values().cloned().collect();
    let parent = row.started.parent.as_ref();
    ExportedInstance::new(row.record(key, true), parent, row.execution_turn, &row.history, messages)
}

pub(super) fn import(store: &mut Store, instance: ExportedInstance, now: Timestamp) -> BackendResult<ImportOutcome> {
    let history = instance.check(&Limits::default())?;
    if let Some((_, row)) = store.row_of(&instance.instance_id) {
        return Ok(ImportOutcome::AlreadyExists(row.status));
    }
    let mut started = instance.started();
    if let Some(link) = &instance.parent
        && let Some((key, row)) = store.row_of(&link.instance_id)
        && row.execution == link.execution
    {
        let (instance_id, name, version) =
            (link.instance_id.clone(), row.started.name.clone(), row.started.version.clone());
        let (execution, dispatch, task_id) = (link.execution, link.dispatch, link.task_id);
        let execution_id = Some(row.started.execution_id);
        started.parent =
            Some(ParentLink { key, execution, dispatch, instance_id, task_id, name, version, execution_id });
    }
    let orphaned = instance.parent.is_some() && started.parent.is_none();
    let numbered = instance.messages.into_iter().map(|message| {
        let number = MessageNumber(store.next_number());
        let (execution, sent_at, visible_at, body) =
            (message.execution, message.sent_at, message.visible_at, message.body);
        (number, Message { number, execution, sent_at, visible_at, body })
    });
    let messages = numbered.collect();
    let start = instance.scheduled_start.filter(|_| instance.status == OrchestrationStatus::Pending);
    let due = start.map_or(now, |start| start.max(now));
    let row = Row {
        status: instance.status,
        custom_status: instance.custom_status,
        output: instance.output,
        failure: instance.failure,
        created_at: instance.created_at,
        updated_at: instance.updated_at,
        completed_at: instance.completed_at,
        turn: instance.turn,
        execution: instance.execution,
        execution_turn: instance.execution_turn,
        due_at: (!instance.status.is_terminal()).then_some(due),
        messages,
        history,
        ..Row::new(started, None, now)
    };
    Ok(ImportOutcome::Imported { key: store.insert(row), orphaned })
}
