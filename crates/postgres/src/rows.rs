//! From rows to the vocabulary. What cannot be understood is an error that names the row; nothing is guessed.

use everdure_core::{
    BackendError, BackendResult, BoxError, EventData, Execution, ExecutionId, ExecutionStarted, ExportedInstance,
    HistoryTurn, InstanceId, InstanceKey, InstanceRecord, LockedOrchestration, Message, MessageNumber,
    OrchestrationStatus, ParentLink, Tags, Timestamp, TraceContext,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// A column that must be there.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> BackendResult<T> {
    row.try_get(column).map_err(|error| corrupt(column, error))
}

pub(crate) fn corrupt(what: &str, error: impl Into<BoxError>) -> BackendError {
    BackendError::corrupt(format!("the database holds a value of '{what}' that cannot be understood"), error)
}

pub(crate) fn instance_id(text: String) -> BackendResult<InstanceId> {
    InstanceId::new(text).map_err(|error| corrupt("instance_id", error))
}

pub(crate) fn status(code: i16) -> BackendResult<OrchestrationStatus> {
    OrchestrationStatus::from_code(code).ok_or_else(|| corrupt("status", format!("no status has the number {code}")))
}

pub(crate) fn json<'a, T: serde::Deserialize<'a>>(what: &str, text: &'a str) -> BackendResult<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

pub(crate) fn tags(row: &Row) -> BackendResult<Tags> {
    get::<Option<&str>>(row, "tags")?.map_or(Ok(Tags::new()), |text| json("tags", text))
}

pub(crate) fn micros(micros: i64) -> BackendResult<Timestamp> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| corrupt("time", format!("{micros} is out of range")))
}

pub(crate) fn execution_id(row: &Row) -> BackendResult<ExecutionId> {
    get(row, "execution_id").map(ExecutionId::from_uuid)
}

pub(crate) fn record(row: &Row) -> BackendResult<InstanceRecord> {
    Ok(InstanceRecord {
        key: InstanceKey(get(row, "key")?),
        instance_id: instance_id(get(row, "instance_id")?)?,
        execution_id: execution_id(row)?,
        execution: get(row, "execution")?,
        name: get(row, "name")?,
        version: get(row, "version")?,
        parent_instance_id: get::<Option<String>>(row, "parent_instance_id")?.map(instance_id).transpose()?,
        tags: tags(row)?,
        status: status(get(row, "status")?)?,
        created_at: get(row, "created_at")?,
        scheduled_start: get(row, "scheduled_at")?,
        updated_at: get(row, "updated_at")?,
        completed_at: get(row, "completed_at")?,
        turn: get(row, "turn")?,
        input: get(row, "input")?,
        output: get(row, "output")?,
        custom_status: get(row, "custom_status")?,
        failure: get::<Option<&str>>(row, "failure")?.map(|text| json("failure", text)).transpose()?,
        parent: get::<Option<&str>>(row, "parent")?.map(|text| json("parent", text)).transpose()?,
        trace: trace(row)?,
    })
}

/// What an execution ended with is stored once, in the instance's row.
pub(crate) fn derive_end(record: &InstanceRecord, turns: &mut [HistoryTurn]) {
    let last = turns.last_mut().and_then(|turn| {
        turn.events.iter_mut().rev().find_map(|event| match &mut event.data {
            EventData::ExecutionCompleted { result, failure, .. } => Some((result, failure)),
            _ => None,
        })
    });
    if let Some((result @ None, failure @ None)) = last {
        result.clone_from(&record.output);
        failure.clone_from(&record.failure);
    }
}

pub(crate) fn execution(row: &Row) -> BackendResult<Execution> {
    Ok(Execution {
        execution: get(row, "execution")?,
        execution_id: execution_id(row)?,
        version: get(row, "version")?,
        input: get(row, "input")?,
        turn: get(row, "turn")?,
        ended_at: get(row, "ended_at")?,
    })
}

pub(crate) fn history_turn(turn: i64, time: Timestamp, events: &str) -> BackendResult<HistoryTurn> {
    let events = HistoryTurn::decode_events(events, time).map_err(|error| corrupt("events", error))?;
    Ok(HistoryTurn { turn, time, events })
}

pub(crate) fn trace(row: &Row) -> BackendResult<Option<TraceContext>> {
    get::<Option<&str>>(row, "trace")?.map(|text| json("trace", text)).transpose()
}

/// An array that an aggregate made: null when there was nothing.
fn list<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> BackendResult<Vec<T>> {
    Ok(get::<Option<Vec<T>>>(row, column)?.unwrap_or_default())
}

/// A claimed orchestration, from a row of `_lock_orchestrations`.
pub(crate) fn locked_orchestration(row: &Row) -> BackendResult<LockedOrchestration> {
    let turns = list::<i64>(row, "history_turns")?;
    let times = list::<Timestamp>(row, "history_times")?;
    let events = list::<&str>(row, "history_events")?;
    let history = turns.into_iter().zip(times).zip(events);
    let started = ExecutionStarted {
        instance_id: instance_id(get(row, "instance_id")?)?,
        execution_id: execution_id(row)?,
        name: get(row, "name")?,
        version: get(row, "version")?,
        input: get(row, "input")?,
        parent: get::<Option<&str>>(row, "parent")?.map(|text| json("parent", text)).transpose()?,
        tags: tags(row)?,
        scheduled_start: get(row, "scheduled_at")?,
        trace: trace(row)?,
    };
    let activities = list::<&str>(row, "activities")?;
    Ok(LockedOrchestration {
        key: InstanceKey(get(row, "key")?),
        claim: get(row, "claim")?,
        was_held: get(row, "was_held")?,
        execution: get(row, "execution")?,
        execution_turn: get(row, "execution_turn")?,
        turn: get(row, "turn")?,
        status: status(get(row, "status")?)?,
        started,
        entity_lock: get::<Option<&str>>(row, "entity_lock")?.map(|text| json("entity lock", text)).transpose()?,
        history: history.map(|((turn, time), events)| history_turn(turn, time, events)).collect::<Result<_, _>>()?,
        messages: messages(row)?,
        more_messages: get::<Option<bool>>(row, "more_messages")?.unwrap_or(false),
        activities: activities
            .into_iter()
            .map(|text| text.parse().map_err(|error| corrupt("dispatch", error)))
            .collect::<Result<_, _>>()?,
    })
}

/// An instance, from a row of `_export_instances`.
pub(crate) fn exported(row: &Row) -> BackendResult<ExportedInstance> {
    let record = record(row)?;
    let turns = list::<i64>(row, "history_turns")?;
    let times = list::<Timestamp>(row, "history_times")?;
    let events = list::<&str>(row, "history_events")?;
    let history = turns.into_iter().zip(times).zip(events);
    let history = history.map(|((turn, time), events)| history_turn(turn, time, events));
    let history = history.collect::<BackendResult<Vec<_>>>()?;
    let parent: Option<ParentLink> =
        get::<Option<&str>>(row, "parent")?.map(|text| json("parent", text)).transpose()?;
    let execution_turn = get(row, "execution_turn")?;
    Ok(ExportedInstance::new(record, parent.as_ref(), execution_turn, &history, messages(row)?))
}

fn messages(row: &Row) -> BackendResult<Vec<Message>> {
    let executions = list::<Option<i32>>(row, "message_executions")?;
    let sent = list::<Timestamp>(row, "message_sent")?;
    let visible = list::<Timestamp>(row, "message_visible")?;
    let bodies = list::<&str>(row, "message_bodies")?;
    let numbers = list::<i64>(row, "message_numbers")?;
    let rest = executions.into_iter().zip(sent).zip(visible).zip(bodies);
    let message = |(number, (((execution, sent_at), visible_at), body))| {
        let body = json("message", body)?;
        Ok(Message { number: MessageNumber(number), execution, sent_at, visible_at, body })
    };
    numbers.into_iter().zip(rest).map(message).collect()
}
