//! Turns of orchestrations.

use everdure_core::{FailureDetails, HistoryTurn, TurnActions};
use everdure_engine::{NewTurn, Workers};
use everdure_proto::convert::{self, Unusable, WireHistory};
use everdure_proto::pb;
use everdure_proto::prost::Message;
use everdure_proto::prost::bytes::Bytes;

use super::deadline::Kind;
use super::live::{Live, Seen};
use super::{Shared, answers, deadline};

/// Why a turn goes back.
enum Refusal {
    /// No function here has that name and version.
    NotHere(String),
    /// It cannot be read, or its history cannot be had.
    Unusable(String),
    /// The function could not be run.
    Fault(String),
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(unusable.to_string())
    }
}

/// Runs a turn and answers.
pub(super) async fn run(shared: &Shared, request: pb::OrchestratorRequest, token: String) {
    let instance = request.instance_id.clone();
    match deadline::within(shared, Kind::Turn, &instance, &token, decide(shared, request)).await {
        Some(Ok(mut response)) => {
            response.completion_token = token;
            answers::orchestration(shared, response).await;
        }
        Some(Err(refusal)) => {
            let (Refusal::NotHere(why) | Refusal::Unusable(why) | Refusal::Fault(why)) = refusal;
            tracing::warn!(instance, why, "a turn goes back");
            answers::give_back_orchestration(shared, token).await;
        }
        None => {}
    }
}

async fn decide(shared: &Shared, mut request: pb::OrchestratorRequest) -> Result<pb::OrchestratorResponse, Refusal> {
    if request.requires_history_streaming {
        request.past_events = past(shared, &request).await?;
    }
    let new = read(&request.new_events)?;
    let key = (request.instance_id, request.execution_id.unwrap_or_default());
    let resting = shared.live.take(&key).filter(|live| live.seen.is(&request.past_events));
    let mut live = match resting {
        Some(live) => live,
        None => match replayed(shared, &request.past_events, &new).await? {
            Ok(live) => live,
            // The code decides something else than history says: that ends the orchestration.
            Err(failure) => return Ok(failed(key.0, failure)),
        },
    };
    let turn = new.turns.last().ok_or_else(|| Refusal::Unusable("a turn without events".to_owned()))?;
    live.turns += 1;
    let new_turn = NewTurn { number: live.turns, time: turn.time, events: &turn.events };
    let decided = live.orchestration.run_turn(new_turn).await.map_err(|fault| Refusal::Fault(fault.to_string()))?;
    live.seen = Seen::after(&request.past_events, &request.new_events, &decided.actions);
    let opening = request.new_events.len() - turn.events.len();
    let ends = decided.actions.iter().any(|action| action.kind.is_end());
    let response = response(&live, key.0.clone(), decided, turn, opening);
    if !ends && shared.options.keep_live {
        shared.live.keep(key, live);
    }
    Ok(response)
}

/// What had happened before the turn, when it is too long to come along.
async fn past(shared: &Shared, request: &pb::OrchestratorRequest) -> Result<Vec<Bytes>, Refusal> {
    let wanted = pb::StreamInstanceHistoryRequest {
        instance_id: request.instance_id.clone(),
        execution_id: request.execution_id.clone(),
        for_work_item_processing: true,
    };
    let missing = |status: tonic::Status| Refusal::Unusable(format!("its history did not come: {status}"));
    let mut stub = shared.connection.stub();
    let opened = stub.stream_instance_history(shared.connection.request(wanted)).await;
    let mut chunks = opened.map_err(missing)?.into_inner();
    let mut events = Vec::new();
    while let Some(chunk) = chunks.message().await.map_err(missing)? {
        events.extend(chunk.events);
    }
    Ok(events)
}

fn read(events: &[Bytes]) -> Result<WireHistory, Unusable> {
    let mut history = WireHistory::default();
    for event in events {
        let event = pb::HistoryEvent::decode(event.as_ref()).map_err(|error| Unusable(error.to_string()))?;
        history.add(event)?;
    }
    Ok(history)
}

/// Makes the orchestration anew and shows it what has happened.
async fn replayed(shared: &Shared, past: &[Bytes], new: &WireHistory) -> Result<Result<Live, FailureDetails>, Refusal> {
    let history = read(past)?;
    let started = history.started.or_else(|| new.started.clone());
    let started = started.ok_or_else(|| Refusal::Unusable("a history without its start".to_owned()))?;
    let executor = shared.functions.orchestration(&started.name, started.version.as_deref()).ok_or_else(|| {
        let version = started.version.as_deref().unwrap_or("none");
        Refusal::NotHere(format!("no orchestration '{}' of version {version} is registered", started.name))
    })?;
    let mut orchestration = executor.begin(&started);
    for turn in &history.turns {
        if let Err(failure) = orchestration.replay(turn).await {
            return Ok(Err(failure));
        }
    }
    let turns = history.turns.last().map_or(0, |turn| turn.turn);
    Ok(Ok(Live { orchestration, started, turns, seen: Seen::default() }))
}

fn response(
    live: &Live,
    instance_id: String,
    decided: TurnActions,
    turn: &HistoryTurn,
    opening: usize,
) -> pb::OrchestratorResponse {
    let seen = decided.events_seen.map(|seen| i32::try_from(seen + opening).unwrap_or(i32::MAX));
    pb::OrchestratorResponse {
        instance_id,
        actions: convert::actions_to_wire(decided.actions, &live.started, turn.time),
        // The protocol takes away what a turn does not say again.
        custom_status: live.orchestration.custom_status(),
        num_events_processed: seen,
        ..pb::OrchestratorResponse::default()
    }
}

/// The end with a failure.
pub(super) fn failed(instance_id: String, failure: FailureDetails) -> pb::OrchestratorResponse {
    let end = pb::CompleteOrchestrationAction {
        orchestration_status: pb::OrchestrationStatus::Failed.into(),
        failure_details: Some(convert::failure_to_wire(&failure)),
        ..pb::CompleteOrchestrationAction::default()
    };
    let kind = pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(end);
    let action = pb::OrchestratorAction { id: -1, orchestrator_action_type: Some(kind) };
    pb::OrchestratorResponse { instance_id, actions: vec![action], ..pb::OrchestratorResponse::default() }
}
