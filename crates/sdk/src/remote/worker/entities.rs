//! Entities.

use everdure_engine::{EntityReturn, Workers};
use everdure_proto::{convert, pb};

use super::deadline::Kind;
use super::{Shared, answers, deadline};

/// Runs a batch and answers; one that cannot be run here goes back.
pub(super) async fn run(shared: &Shared, request: pb::EntityRequest, token: String) {
    let instance = request.instance_id.clone();
    match deadline::within(shared, Kind::Batch, &instance, &token, outcome(shared, request)).await {
        Some(Ok(EntityReturn { result, .. })) => {
            answers::entity(shared, convert::batch_result_to_wire(result, token)).await;
        }
        Some(Err(why)) => {
            tracing::warn!(instance, why, "a batch goes back");
            answers::give_back_entity(shared, token).await;
        }
        None => {}
    }
}

async fn outcome(shared: &Shared, request: pb::EntityRequest) -> Result<EntityReturn, String> {
    let batch = convert::entity_batch(request).map_err(|unusable| unusable.to_string())?;
    let name = batch.instance_id.entity_parts().map_or_else(String::new, |(name, _)| name.to_owned());
    let executor = shared.functions.entity(&name).ok_or_else(|| format!("there is no entity '{name}' here"))?;
    executor.run_batch(batch).await.map_err(|fault| fault.to_string())
}
