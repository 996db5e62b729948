//! Entities: signalling them, looking at them, tidying up.

use everdure_core::{
    BackendError, CleanEntities, CleanedEntities, EntityQuery, InstanceId, Limits, MessageBody, SendMessage,
    SendOutcome,
};
use everdure_proto::{convert, pb};
use tonic::{Request, Status};
use uuid::Uuid;

use super::invalid;
use super::queries::{Filling, page_size, time};
use crate::hubs::{Hubs, store_status};

/// Entities looked at in one query of tidying up.
const CLEANED_AT_ONCE: u32 = 500;

fn entity_id(text: &str) -> Result<InstanceId, Status> {
    convert::entity_id(text).map_err(invalid)
}

pub(super) async fn signal_entity(
    hubs: &Hubs,
    request: Request<pb::SignalEntityRequest>,
) -> Result<pb::SignalEntityResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let instance_id = entity_id(&request.instance_id)?;
    let limits = Limits::default();
    let checked = limits
        .check_name("the name of the operation", &request.name)
        .and_then(|()| limits.check_payload("the input of the operation", request.input.as_deref()));
    checked.map_err(|error| Status::invalid_argument(error.to_string()))?;
    // A request that comes again is known by its id, if that is a GUID, as those of all SDKs are. Workers of .NET read
    // nothing else.
    let given = Uuid::try_parse(&request.request_id).ok();
    let guid = given.unwrap_or_else(Uuid::new_v4);
    let request_id = given.map_or_else(|| guid.to_string(), |_| request.request_id);
    let body = MessageBody::EntityOperation {
        request_id,
        operation: request.name,
        input: request.input,
        caller: None,
        trace: convert::trace_from_wire(request.parent_trace_context),
    };
    let not_before = time(request.scheduled_time.as_ref())?;
    let send = SendMessage { instance_id, body, request_id: Some(guid), not_before };
    let sent = match hub.node.send_message(send.clone()).await {
        Err(BackendError::HubGone { .. }) => hubs.instead_of(&hub).await?.node.send_message(send).await,
        sent => sent,
    };
    match sent.map_err(|error| store_status(&error))? {
        SendOutcome::Rejected(failure) => Err(Status::invalid_argument(failure.to_string())),
        _ => Ok(pb::SignalEntityResponse {}),
    }
}

pub(super) async fn get_entity(
    hubs: &Hubs,
    request: Request<pb::GetEntityRequest>,
) -> Result<pb::GetEntityResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let id = entity_id(&request.instance_id)?;
    let found = hub.backend.get_entity(id, request.include_state).await.map_err(|error| store_status(&error))?;
    // What has no state does not exist for users, even if operations wait for it.
    let entity = found.filter(|entity| entity.exists).map(convert::entity_metadata);
    Ok(pb::GetEntityResponse { exists: entity.is_some(), entity })
}

/// Names are lower case, whatever the caller's prefix is.
fn prefix(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let text = if text.starts_with('@') { text } else { format!("@{text}") };
    Some(match text[1..].find('@') {
        Some(end) => format!("{}{}", text[..=end].to_lowercase(), &text[end + 1..]),
        None => text.to_lowercase(),
    })
}

fn after(token: Option<String>) -> Result<Option<InstanceId>, Status> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let place = InstanceId::new(token).ok().filter(InstanceId::is_entity);
    let unusable = || Status::invalid_argument("the continuation token is not one that this server gave: begin anew");
    place.map(Some).ok_or_else(unusable)
}

pub(super) async fn query_entities(
    hubs: &Hubs,
    request: Request<pb::QueryEntitiesRequest>,
) -> Result<pb::QueryEntitiesResponse, Status> {
    let hub = hubs.of(&request).await?;
    let query = request.into_inner().query.unwrap_or_default();
    let wanted = page_size(query.page_size.unwrap_or(0));
    let mut query = EntityQuery {
        id_prefix: prefix(query.instance_id_starts_with),
        updated_from: time(query.last_modified_from.as_ref())?,
        updated_to: time(query.last_modified_to.as_ref())?,
        include_state: query.include_state,
        include_transient: query.include_transient,
        page_size: 1,
        after: after(query.continuation_token)?,
    };
    let mut filling = Filling::new(wanted, query.include_state);
    while let Some(size) = filling.reads() {
        (query.page_size, query.after) = (size, filling.next.clone().or(query.after));
        let read = hub.backend.query_entities(query.clone()).await.map_err(|error| store_status(&error))?;
        let entities =
            read.entities.into_iter().map(|record| (record.instance_id.clone(), convert::entity_metadata(record)));
        filling.take(entities, read.next);
    }
    Ok(pb::QueryEntitiesResponse { entities: filling.page, continuation_token: filling.next.map(String::from) })
}

pub(super) async fn clean_entity_storage(
    hubs: &Hubs,
    request: Request<pb::CleanEntityStorageRequest>,
) -> Result<pb::CleanEntityStorageResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let CleanedEntities { removed, released, next } = hub
        .backend
        .clean_entities(CleanEntities {
            remove_empty: request.remove_empty_entities,
            release_orphaned_locks: request.release_orphaned_locks,
            limit: CLEANED_AT_ONCE,
            after: after(request.continuation_token)?,
        })
        .await
        .map_err(|error| store_status(&error))?;
    let count = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(pb::CleanEntityStorageResponse {
        continuation_token: next.map(String::from),
        empty_entities_removed: count(removed),
        orphaned_locks_released: count(released),
    })
}
