//! Writing a rewinding: the plan as JSON, applied by one function.

use everdure_core::{
    BackendResult, DispatchId, HistoryTurn, InstanceId, Observed, OpenCall, OutboundMessage, Rewinding, Target,
    Timestamp,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::committer::json_text;
use crate::committer::steps;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    key: i64,
    failed_turn: i64,
    execution_id: String,
    anew: bool,
    status: i16,
    turns: Vec<Turn>,
    calls: Vec<Call>,
    steps: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Turn {
    turn: i64,
    at: Timestamp,
    events: Box<RawValue>,
}

#[derive(Serialize)]
struct Call {
    dispatch: DispatchId,
    target: InstanceId,
    lost: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    key: i64,
    ended_at: Option<i64>,
}

fn raw(text: String) -> Box<RawValue> {
    // Unwrap safety: serde has just written it.
    RawValue::from_string(text).expect("text that serde wrote is JSON")
}

fn item(rewinding: &Rewinding) -> BackendResult<Item> {
    let turn = |turn: &HistoryTurn| Turn {
        turn: turn.turn,
        at: turn.time,
        events: raw(HistoryTurn::encode_events(&turn.events, turn.time)),
    };
    let to_itself = |body: &everdure_core::MessageBody| {
        let target = Target::Execution {
            key: rewinding.key,
            instance_id: rewinding.instance_id.clone(),
            execution: rewinding.execution,
        };
        OutboundMessage::new(target, body.clone())
    };
    let messages = rewinding.messages.iter().map(to_itself).chain(rewinding.locks.iter().cloned());
    let messages: Vec<_> = messages.collect();
    let call = |call: &OpenCall| {
        Ok(Call { dispatch: call.dispatch, target: call.target.clone(), lost: raw(json_text(&call.lost)?) })
    };
    Ok(Item {
        key: rewinding.key.0,
        failed_turn: rewinding.failed_turn,
        execution_id: rewinding.execution_id.to_string(),
        anew: rewinding.anew,
        status: rewinding.status.code(),
        turns: rewinding.turns.iter().map(turn).collect(),
        calls: rewinding.calls.iter().map(call).collect::<BackendResult<_>>()?,
        steps: steps::of_rewinding(rewinding, &messages)?.map(raw),
    })
}

impl PostgresBackend {
    pub(crate) async fn rewind(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        let items = items.iter().map(item).collect::<BackendResult<Vec<_>>>()?;
        let seen = |seen: &Observed| Seen { key: seen.key.0, ended_at: seen.ended_at };
        let observed: Vec<_> = observed.iter().map(seen).collect();
        let (items, observed) = (json_text(&items)?, json_text(&observed)?);
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.hub, &items, &observed];
        let row = self.query_one("rewinding", "_rewind_instances", 3, &parameters).await?;
        self.hints.orchestrations();
        Ok(row.get(0))
    }
}
