//! Orchestrations that connected workers run: each turn goes out with the history before it, encoded already.

use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{EventData, ExecutionStarted, FailureDetails, HistoryTurn, TurnActions};
use everdure_engine::{Ack, LiveOrchestration, NewTurn, OrchestrationExecutor, TurnFault};
use everdure_proto::pb;
use everdure_proto::pb::work_item::Request;

use super::Shared;
use super::encoded::{self, Encoded};
use super::filters::Kind;
use super::items::{Answer, Asked, Group, Reply, too_large};
use everdure_proto::convert;

/// Stands in for whoever runs them.
pub(super) struct RemoteOrchestrations(pub Arc<Shared>);

impl OrchestrationExecutor for RemoteOrchestrations {
    fn begin(&self, started: &ExecutionStarted) -> Box<dyn LiveOrchestration> {
        let past = self.0.encoded.take(started.execution_id).unwrap_or_default();
        Box::new(RemoteOrchestration {
            shared: Arc::clone(&self.0),
            started: started.clone(),
            past,
            ack: None,
            ended: false,
        })
    }
}

struct RemoteOrchestration {
    shared: Arc<Shared>,
    started: ExecutionStarted,
    past: Encoded,
    /// Who waits to hear that the turn is durable.
    ack: Option<Ack>,
    /// It does not come again.
    ended: bool,
}

impl RemoteOrchestration {
    fn work(&self, turn: &NewTurn<'_>) -> pb::OrchestratorRequest {
        let trace = self.past.trace.as_ref().map(|trace| pb::OrchestrationTraceContext {
            span_id: trace.span_id.clone(),
            span_start_time: trace.started_at.map(convert::time_to_wire),
        });
        pb::OrchestratorRequest {
            instance_id: self.started.instance_id.to_string(),
            execution_id: Some(self.started.execution_id.to_string()),
            past_events: self.past.events.clone(),
            new_events: encoded::encode(&self.started, self.past.is_empty(), turn.time, turn.events),
            entity_parameters: Some(pb::OrchestratorEntityParameters {
                entity_message_reorder_window: Some(everdure_proto::prost_types::Duration::default()),
            }),
            requires_history_streaming: false,
            properties: std::collections::BTreeMap::new(),
            orchestration_trace_context: trace,
        }
    }

    async fn ask(&self, key: &str, turn: &NewTurn<'_>) -> Reply {
        let group =
            Group { kind: Kind::Orchestration, name: self.started.name.clone(), version: self.started.version.clone() };
        let asked = Asked { instance_id: self.started.instance_id.to_string(), task_id: None };
        self.shared.ask(key, group, asked, Request::OrchestratorRequest(self.work(turn))).await
    }
}

#[async_trait]
impl LiveOrchestration for RemoteOrchestration {
    async fn replay(&mut self, turn: &HistoryTurn) -> Result<(), FailureDetails> {
        self.past.add(&self.started, turn.turn, turn.time, &turn.events);
        Ok(())
    }

    async fn run_turn(&mut self, turn: NewTurn<'_>) -> Result<TurnActions, TurnFault> {
        let key = self.started.execution_id.to_string();
        let (response, ack) = match self.ask(&key, &turn).await {
            Reply::Answered(Answer::Orchestration(response, ack)) => (response, ack),
            Reply::NotTaken | Reply::Answered(_) => return Err(TurnFault::NotTaken),
            Reply::TooLarge(bytes) => return Err(TurnFault::Failed(too_large(bytes))),
            Reply::GivenBack(by) => {
                self.shared.pause(&key, by).await;
                return Err(TurnFault::NotTaken);
            }
        };
        self.shared.rejections.forget(&key);
        let opening = if self.past.is_empty() { 2 } else { 1 };
        self.ack = Some(ack);
        convert::decided(*response, opening).map_err(|unusable| TurnFault::Unusable(unusable.to_string()))
    }

    fn settled(&mut self, turn: NewTurn<'_>) {
        self.past.add(&self.started, turn.number, turn.time, turn.events);
        self.ended = turn
            .events
            .iter()
            .any(|event| matches!(event.data, EventData::ExecutionCompleted { .. } | EventData::ContinueAsNew { .. }));
        if let Some(ack) = self.ack.take() {
            // Who has gone away since does not mind.
            let _ = ack.send(());
        }
    }
}

impl Drop for RemoteOrchestration {
    fn drop(&mut self) {
        if !self.ended && !self.past.is_empty() {
            self.shared.encoded.keep(self.started.execution_id, std::mem::take(&mut self.past));
        }
    }
}
