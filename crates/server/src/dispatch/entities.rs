//! Entities that connected workers run, a batch at a time.

use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{EntityBatch, EntityBatchResult, FailureDetails};
use everdure_engine::{EntityExecutor, EntityReturn, TurnFault};
use everdure_proto::convert;
use everdure_proto::pb::work_item::Request;

use super::Shared;
use super::filters::Kind;
use super::items::{Answer, Asked, Group, Reply, too_large};

/// Stands in for whoever runs them.
pub(super) struct RemoteEntities(pub Arc<Shared>);

#[async_trait]
impl EntityExecutor for RemoteEntities {
    async fn run_batch(&self, batch: EntityBatch) -> Result<EntityReturn, TurnFault> {
        let id = batch.instance_id.to_string();
        let name = batch.instance_id.entity_parts().map_or_else(|| id.clone(), |(name, _)| name.to_owned());
        let group = Group { kind: Kind::Entity, name, version: None };
        let asked = Asked { instance_id: id.clone(), task_id: None };
        let request = Request::EntityRequestV2(convert::entity_request(&batch));
        let (result, ack) = match self.0.ask(&id, group, asked, request).await {
            Reply::Answered(Answer::Entity(result, ack)) => (result, ack),
            Reply::NotTaken | Reply::Answered(_) => return Err(TurnFault::NotTaken),
            Reply::TooLarge(bytes) => return Err(TurnFault::Failed(too_large(bytes))),
            Reply::GivenBack(by) => {
                self.0.pause(&id, by).await;
                return Err(TurnFault::NotTaken);
            }
        };
        self.0.rejections.forget(&id);
        if let Some(failure) = result.failure_details.as_ref().filter(|_| result.results.is_empty()) {
            let reason = format!("{}: {}", failure.error_type, failure.error_message);
            // The worker has said all that it knows.
            let _ = ack.send(());
            return Err(TurnFault::Failed(reason));
        }
        match convert::batch_result(*result) {
            Ok(result) => Ok(EntityReturn { result, ack: Some(ack) }),
            // Its sender is told, and the entity goes on.
            Err(unusable) if batch.operations.len() == 1 => {
                let failure = FailureDetails::new("InvalidAction", unusable.to_string()).non_retriable();
                let (results, actions, state) = (vec![Err(failure)], Vec::new(), batch.state);
                Ok(EntityReturn { result: EntityBatchResult { results, actions, state }, ack: Some(ack) })
            }
            Err(unusable) => Err(TurnFault::Unusable(unusable.to_string())),
        }
    }
}
