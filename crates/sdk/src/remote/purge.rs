//! Removing instances. The protocol removes by id, or all that matches: a limited number of what matches is looked up
//! first, and removed by id.

use everdure_core::{InstanceId, InstanceQuery, OrchestrationStatus, PurgeFilter, PurgeOutcome, Timestamp};
use everdure_proto::{convert, pb};

use super::connection::Connection;
use super::query;
use super::status::general;
use crate::client::ClientError;

/// Ids in one request.
const BATCH: usize = 500;
/// Instances on a page.
const PAGE: u32 = 1000;

pub(super) async fn purge(connection: &Connection, filter: PurgeFilter) -> Result<PurgeOutcome, ClientError> {
    match filter {
        PurgeFilter::Instances { force: true, .. } => {
            Err(ClientError::unsupported("removing instances that have not ended (terminate them first)"))
        }
        PurgeFilter::Instances { ids, force: false, recurse } => {
            let purged = by_id(connection, &ids, recurse).await?;
            // Whether all of them are gone: what has not ended is left.
            let mut complete = true;
            if purged < ids.len() as u64 {
                complete = !any_left(connection, &ids).await?;
            }
            Ok(PurgeOutcome { purged, complete })
        }
        PurgeFilter::Finished { statuses, created_from, created_to, completed_to, limit, recurse } => {
            let statuses = match statuses.is_empty() {
                true => OrchestrationStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect(),
                false => statuses,
            };
            if statuses.iter().any(|status| !status.is_terminal()) {
                let message = "only what has ended can be purged by its state: name terminal states";
                return Err(ClientError::Rejected(everdure_core::FailureDetails::new("InvalidArgument", message)));
            }
            match completed_to {
                None => created(connection, statuses, (created_from, created_to), limit, recurse).await,
                Some(_) if created_from.is_some() || created_to.is_some() => {
                    Err(ClientError::unsupported("removing instances by the time of their creation and end at once"))
                }
                Some(to) => ended(connection, &statuses, to, limit, recurse).await,
            }
        }
    }
}

async fn by_id(connection: &Connection, ids: &[InstanceId], recursive: bool) -> Result<u64, ClientError> {
    let mut purged = 0;
    for batch in ids.chunks(BATCH) {
        let instance_ids = batch.iter().map(ToString::to_string).collect();
        let what = pb::purge_instances_request::Request::InstanceBatch(pb::InstanceBatch { instance_ids });
        let request = pb::PurgeInstancesRequest { request: Some(what), recursive, is_orchestration: true };
        let answered = connection.stub().purge_instances(connection.request(request)).await;
        let answer = answered.map_err(|status| general(connection.address(), status))?.into_inner();
        purged += u64::try_from(answer.deleted_instance_count).unwrap_or(0);
    }
    Ok(purged)
}

async fn any_left(connection: &Connection, ids: &[InstanceId]) -> Result<bool, ClientError> {
    for id in ids {
        let message = pb::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: false };
        let answered = connection.ask(|mut stub| {
            let request = connection.request(message.clone());
            async move { stub.get_instance(request).await }
        });
        if answered.await.map_err(|status| general(connection.address(), status))?.exists {
            return Ok(true);
        }
    }
    Ok(false)
}

/// By the time of creation, newest first.
async fn created(
    connection: &Connection,
    statuses: Vec<OrchestrationStatus>,
    (created_from, created_to): (Option<Timestamp>, Option<Timestamp>),
    limit: u32,
    recurse: bool,
) -> Result<PurgeOutcome, ClientError> {
    let mut outcome = PurgeOutcome { purged: 0, complete: false };
    let mut query = InstanceQuery { statuses, created_from, created_to, ..InstanceQuery::default() };
    let mut left = limit;
    while left > 0 && !outcome.complete {
        query.page_size = left.min(PAGE);
        let page = query::page(connection, query.clone()).await?;
        let ids: Vec<_> = page.instances.into_iter().map(|record| record.instance_id).collect();
        outcome.purged += by_id(connection, &ids, recurse).await?;
        outcome.complete = page.next.is_none();
        query.after = page.next;
        left = left.saturating_sub(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    }
    Ok(outcome)
}

/// By the time of their end, first ended first.
async fn ended(
    connection: &Connection,
    statuses: &[OrchestrationStatus],
    to: Timestamp,
    limit: u32,
    recurse: bool,
) -> Result<PurgeOutcome, ClientError> {
    let mut outcome = PurgeOutcome { purged: 0, complete: false };
    let mut list = pb::ListInstanceIdsRequest {
        runtime_status: statuses.iter().map(|status| convert::status_to_wire(*status).into()).collect(),
        completed_time_from: None,
        // Theirs is exclusive.
        completed_time_to: Some(convert::time_to_wire(to + chrono::TimeDelta::microseconds(1))),
        page_size: 0,
        last_instance_key: None,
    };
    let mut left = limit;
    while left > 0 && !outcome.complete {
        list.page_size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let answered = connection.ask(|mut stub| {
            let request = connection.request(list.clone());
            async move { stub.list_instance_ids(request).await }
        });
        let answer = answered.await.map_err(|status| general(connection.address(), status))?;
        let ids: Vec<_> = answer.instance_ids.into_iter().filter_map(|id| InstanceId::new(id).ok()).collect();
        outcome.purged += by_id(connection, &ids, recurse).await?;
        list.last_instance_key = answer.last_instance_key.filter(|key| !key.is_empty());
        outcome.complete = list.last_instance_key.is_none();
        left = left.saturating_sub(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    }
    Ok(outcome)
}
