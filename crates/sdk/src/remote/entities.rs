//! Entities over a connection to a server.

use everdure_core::{
    CleanEntities, CleanedEntities, EntityPage, EntityQuery, EntityRecord, InstanceId, InstanceKey, MessageBody,
    SendMessage,
};
use everdure_proto::{convert, pb};

use super::connection::Connection;
use super::status::{about, general, unreadable};
use crate::client::ClientError;

pub(super) async fn signal(connection: &Connection, request: SendMessage) -> Result<(), ClientError> {
    let id = request.instance_id.clone();
    let MessageBody::EntityOperation { request_id, operation, input, trace, .. } = request.body else {
        return Err(ClientError::unsupported("a message of this kind"));
    };
    let signal = pb::SignalEntityRequest {
        instance_id: id.to_string(),
        name: operation,
        input,
        request_id,
        scheduled_time: request.not_before.map(convert::time_to_wire),
        parent_trace_context: convert::trace_to_wire(trace.as_ref()),
        request_time: None,
    };
    // Its id makes a repetition harmless.
    let answered = connection.ask(|mut stub| {
        let request = connection.request(signal.clone());
        async move { stub.signal_entity(request).await }
    });
    answered.await.map(drop).map_err(|status| about(connection.address(), &id, status))
}

pub(super) async fn get(connection: &Connection, id: InstanceId) -> Result<Option<EntityRecord>, ClientError> {
    let message = pb::GetEntityRequest { instance_id: id.to_string(), include_state: true };
    let answered = connection.ask(|mut stub| {
        let request = connection.request(message.clone());
        async move { stub.get_entity(request).await }
    });
    let answer = answered.await.map_err(|status| about(connection.address(), &id, status))?;
    let found = answer.entity.filter(|_| answer.exists).map(record).transpose();
    found.map_err(|unusable| unreadable(connection.address(), unusable))
}

pub(super) async fn query(connection: &Connection, query: EntityQuery) -> Result<EntityPage, ClientError> {
    let wire = pb::EntityQuery {
        instance_id_starts_with: query.id_prefix,
        last_modified_from: query.updated_from.map(convert::time_to_wire),
        last_modified_to: query.updated_to.map(convert::time_to_wire),
        include_state: query.include_state,
        include_transient: query.include_transient,
        page_size: i32::try_from(query.page_size).ok(),
        continuation_token: query.after.map(String::from),
    };
    let answered = connection.ask(|mut stub| {
        let request = connection.request(pb::QueryEntitiesRequest { query: Some(wire.clone()) });
        async move { stub.query_entities(request).await }
    });
    let answer = answered.await.map_err(|status| general(connection.address(), status))?;
    let entities = answer.entities.into_iter().map(record).collect::<Result<_, _>>();
    let page = entities.and_then(|entities| Ok(EntityPage { entities, next: place(answer.continuation_token)? }));
    page.map_err(|unusable| unreadable(connection.address(), unusable))
}

pub(super) async fn clean(connection: &Connection, request: CleanEntities) -> Result<CleanedEntities, ClientError> {
    let message = pb::CleanEntityStorageRequest {
        continuation_token: request.after.map(String::from),
        remove_empty_entities: request.remove_empty,
        release_orphaned_locks: request.release_orphaned_locks,
    };
    let answered = connection.ask(|mut stub| {
        let request = connection.request(message.clone());
        async move { stub.clean_entity_storage(request).await }
    });
    let answer = answered.await.map_err(|status| general(connection.address(), status))?;
    let count = |count: i32| u64::try_from(count).unwrap_or(0);
    let next = place(answer.continuation_token).map_err(|unusable| unreadable(connection.address(), unusable))?;
    let (removed, released) = (count(answer.empty_entities_removed), count(answer.orphaned_locks_released));
    Ok(CleanedEntities { removed, released, next })
}

fn place(token: Option<String>) -> Result<Option<InstanceId>, convert::Unusable> {
    Ok(token.filter(|token| !token.is_empty()).map(InstanceId::new).transpose()?)
}

/// Servers tell of entities that have a state, unless others are asked for; the row's key is not told.
fn record(entity: pb::EntityMetadata) -> Result<EntityRecord, convert::Unusable> {
    let changed = entity.last_modified_time.ok_or_else(|| convert::Unusable("an entity without a time".to_owned()))?;
    Ok(EntityRecord {
        key: InstanceKey(0),
        instance_id: convert::entity_id(&entity.instance_id)?,
        exists: true,
        state: entity.serialized_state,
        locked_by: entity.locked_by.as_deref().map(convert::instance_id).transpose()?,
        backlog: u64::try_from(entity.backlog_queue_size).unwrap_or(0),
        updated_at: convert::time_from_wire(&changed)?,
    })
}
