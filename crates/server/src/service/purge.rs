//! Removing instances that have ended.

use std::time::Duration;

use everdure_core::{InstanceId, OrchestrationStatus, PurgeFilter, PurgeOutcome};
use everdure_proto::pb;
use everdure_proto::pb::purge_instances_request::Request as What;
use tokio::time::Instant;
use tonic::{Request, Status};

use super::instances::{check_batch, ids};
use super::queries::{statuses, time};
use super::{client_status, invalid};
use crate::hubs::{Hub, Hubs};
use everdure_proto::convert;

/// Instances removed in one transaction.
const AT_ONCE: u32 = 500;

pub(super) async fn purge_instances(
    hubs: &Hubs,
    request: Request<pb::PurgeInstancesRequest>,
) -> Result<pb::PurgeInstancesResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let outcome = match request.request {
        Some(What::InstanceId(id)) => purge_ids(&hub, ids(vec![id]), request.recursive).await?,
        Some(What::InstanceBatch(batch)) => {
            check_batch(&batch.instance_ids)?;
            purge_ids(&hub, ids(batch.instance_ids), request.recursive).await?
        }
        Some(What::PurgeInstanceFilter(filter)) => purge_filter(&hub, filter, request.recursive).await?,
        None => return Err(Status::invalid_argument("nothing to purge: name an instance, a batch or a filter")),
    };
    Ok(pb::PurgeInstancesResponse {
        deleted_instance_count: i32::try_from(outcome.purged).unwrap_or(i32::MAX),
        is_complete: Some(outcome.complete),
    })
}

async fn purge_ids(hub: &Hub, ids: Vec<InstanceId>, recurse: bool) -> Result<PurgeOutcome, Status> {
    let filter = PurgeFilter::Instances { ids, force: false, recurse };
    let outcome = hub.client.purge(filter).await.map_err(|error| client_status(&error))?;
    // What has not ended is left, and that is all there was to do.
    Ok(PurgeOutcome { complete: true, ..outcome })
}

/// A bit at a time, until all is gone or the time is over.
async fn purge_filter(hub: &Hub, filter: pb::PurgeInstanceFilter, recurse: bool) -> Result<PurgeOutcome, Status> {
    let patience = filter.timeout.as_ref().map(convert::duration_from_wire).transpose().map_err(invalid)?;
    let limit = patience.filter(|patience| *patience > Duration::ZERO);
    // Whoever waits for longer than there is time waits for ever.
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let nothing = PurgeOutcome { purged: 0, complete: true };
    let Some(statuses) = statuses(&filter.runtime_status)? else { return Ok(nothing) };
    let named = !statuses.is_empty();
    let statuses: Vec<_> = statuses.into_iter().filter(|status: &OrchestrationStatus| status.is_terminal()).collect();
    if named && statuses.is_empty() {
        return Ok(nothing);
    }
    let created_from = time(filter.created_time_from.as_ref())?;
    let created_to = time(filter.created_time_to.as_ref())?;
    let mut purged = 0;
    loop {
        let filter = PurgeFilter::Finished {
            statuses: statuses.clone(),
            created_from,
            created_to,
            completed_to: None,
            limit: AT_ONCE,
            recurse,
        };
        let outcome = hub.client.purge(filter).await.map_err(|error| client_status(&error))?;
        purged += outcome.purged;
        if outcome.complete || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(PurgeOutcome { purged, complete: outcome.complete });
        }
    }
}
