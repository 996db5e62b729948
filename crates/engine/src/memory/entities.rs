//! Entities: what a batch changes, and what clients see.

use everdure_core::{
    CleanEntities, CleanedEntities, EntityChange, EntityPage, EntityQuery, EntityRecord, FailureDetails, InstanceId,
    InstanceKey, MessageBody, Timestamp,
};

use super::store::{Row, Store};

/// Writes what a batch changes; the rest of its checkpoint is written already. One that is left with nothing goes.
pub(super) fn change(store: &mut Store, key: InstanceKey, change: EntityChange, hold: bool, now: Timestamp) {
    let Some(row) = store.rows.get_mut(&key) else { return };
    for number in &change.parked {
        if let Some(message) = row.messages.remove(number) {
            row.hidden.insert(*number, message);
        }
    }
    let withdrawn = |body: &MessageBody| match body {
        MessageBody::EntityLockRequested { critical_section, .. } => change.withdrawn.contains(critical_section),
        _ => false,
    };
    row.hidden.retain(|_, message| !withdrawn(&message.body));
    if change.unpark {
        // As far as the next request for a lock: what is behind it would only be hidden again.
        let asks = |body: &MessageBody| matches!(body, MessageBody::EntityLockRequested { .. });
        let behind = row.hidden.iter().position(|(_, message)| asks(&message.body)).map_or(usize::MAX, |at| at + 1);
        for _ in 0..behind {
            let Some((number, message)) = row.hidden.pop_first() else { break };
            row.messages.insert(number, everdure_core::Message { visible_at: now, ..message });
        }
    }
    row.started.input = change.state;
    row.entity_lock = change.lock;
    row.due_at = row.next_message();
    if !hold {
        row.locked_by = None;
        if is_empty(row) {
            remove(store, key);
        }
    }
}

/// An entity that nobody has locked and nothing waits for.
pub(super) fn is_idle(row: &Row) -> bool {
    let waits = !row.messages.is_empty() || !row.hidden.is_empty();
    row.started.instance_id.is_entity() && row.entity_lock.is_none() && !waits
}

fn is_empty(row: &Row) -> bool {
    row.started.input.is_none() && is_idle(row)
}

/// Tells those who wait for entities that are about to be purged by force.
pub(super) fn dismiss_waiting(store: &mut Store, keys: &[InstanceKey], now: Timestamp) {
    let gone = keys.iter().filter_map(|key| store.rows.get(key)).filter(|row| row.started.instance_id.is_entity());
    let ids: Vec<_> = gone.clone().map(|row| row.started.instance_id.clone()).collect();
    let waiting = gone.flat_map(Row::all_messages).cloned();
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_by_key(|message| message.number);
    for message in waiting {
        match message.body {
            MessageBody::EntityOperation { request_id, caller: Some(caller), .. } => {
                let Some(dispatch) = caller.dispatch else { continue };
                let failure = FailureDetails::new("EntityPurged", "the entity was purged");
                let body = MessageBody::EntityOperationFailed { dispatch, request_id, failure };
                store.post(caller.key, Some(caller.execution), body, now, now);
            }
            MessageBody::EntityLockRequested { critical_section, lock_set, position, owner } => {
                let Some(dispatch) = owner.dispatch else { continue };
                let stays = |(place, id): &(usize, &InstanceId)| *place > position && !ids.contains(id);
                match lock_set.iter().enumerate().find(stays).map(|(place, id)| (place, id.clone())) {
                    Some((position, id)) => {
                        let next = store.entity(&id, now);
                        let body = MessageBody::EntityLockRequested { critical_section, lock_set, position, owner };
                        store.post(next, None, body, now, now);
                    }
                    None => {
                        let body = MessageBody::EntityLockGranted { dispatch, critical_section, lock_set };
                        store.post(owner.key, Some(owner.execution), body, now, now);
                    }
                }
            }
            _ => {}
        }
    }
}

fn remove(store: &mut Store, key: InstanceKey) {
    if let Some(row) = store.rows.get(&key) {
        let id = row.started.instance_id.clone();
        store.ids.remove(&id);
        store.forget(key);
    }
}

fn record(key: InstanceKey, row: &Row, include_state: bool) -> EntityRecord {
    let waiting = row.all_messages();
    let backlog = waiting.filter(|message| matches!(message.body, MessageBody::EntityOperation { .. })).count();
    EntityRecord {
        key,
        instance_id: row.started.instance_id.clone(),
        exists: row.started.input.is_some(),
        state: row.started.input.clone().filter(|_| include_state),
        locked_by: row.entity_lock.as_ref().map(|lock| lock.owner.instance_id.clone()),
        backlog: u64::try_from(backlog).unwrap_or(u64::MAX),
        updated_at: row.updated_at,
    }
}

pub(super) fn get_entity(store: &mut Store, id: &InstanceId, include_state: bool) -> Option<EntityRecord> {
    let (key, row) = store.row_of(id).filter(|_| id.is_entity())?;
    Some(record(key, row, include_state))
}

pub(super) fn query_entities(store: &Store, query: &EntityQuery) -> EntityPage {
    let prefix = query.id_prefix.as_deref().unwrap_or("@");
    let mut found: Vec<_> = store
        .ids
        .iter()
        .filter(|(id, _)| id.is_entity() && id.as_str().starts_with(prefix))
        .filter(|(id, _)| query.after.as_ref().is_none_or(|after| *id > after))
        .filter_map(|(_, key)| Some((*key, store.rows.get(key)?)))
        .filter(|(_, row)| query.include_transient || row.started.input.is_some())
        .filter(|(_, row)| query.updated_from.is_none_or(|from| row.updated_at >= from))
        .filter(|(_, row)| query.updated_to.is_none_or(|to| row.updated_at <= to))
        .map(|(key, row)| record(key, row, query.include_state))
        .collect();
    found.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| more).map(|last| last.instance_id.clone());
    EntityPage { entities: found, next }
}

pub(super) fn clean_entities(store: &mut Store, request: &CleanEntities, now: Timestamp) -> CleanedEntities {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let behind = |id: &InstanceId| request.after.as_ref().is_none_or(|after| id > after);
    let mut ids: Vec<_> = store.ids.iter().filter(|(id, _)| id.is_entity() && behind(id)).collect();
    ids.sort();
    let ids: Vec<_> = ids.into_iter().take(limit).map(|(id, key)| (id.clone(), *key)).collect();
    let next = ids.last().filter(|_| ids.len() == limit).map(|(id, _)| id.clone());
    let mut cleaned = CleanedEntities { next, ..CleanedEntities::default() };
    for (_, key) in ids {
        let Some(row) = store.rows.get(&key) else { continue };
        if request.remove_empty && row.locked_by.is_none() && is_empty(row) {
            remove(store, key);
            cleaned.removed += 1;
        } else if let Some(lock) = row.entity_lock.clone().filter(|_| request.release_orphaned_locks) {
            let owner = store.rows.get(&lock.owner.key);
            let runs = owner.is_some_and(|row| row.execution == lock.owner.execution && !row.status.is_terminal());
            if !runs {
                let body = MessageBody::EntityUnlock { critical_section: lock.critical_section };
                store.post(key, None, body, now, now);
                cleaned.released += 1;
            }
        }
    }
    cleaned
}
