//! Looking at instances, and removing them.

use chrono::TimeDelta;
use everdure_core::{
    BackendError, BackendResult, InstanceId, InstanceIdPage, InstanceKey, InstanceQuery, ListInstanceIds,
    OrchestrationStatus, Page, PageToken, PurgeFilter, PurgeOutcome, Setting, SettingName, SettingValue, Timestamp,
};

use super::entities;
use super::store::{Row, Store};

/// Pages of more would only make the caller wait.
const LARGEST_PAGE: u32 = 1000;

pub(super) fn query_instances(store: &Store, query: &InstanceQuery) -> BackendResult<Page> {
    if !(1..=LARGEST_PAGE).contains(&query.page_size) {
        let size = query.page_size;
        return Err(BackendError::invalid(format!("a page of {size} instances: ask for 1 to {LARGEST_PAGE}")));
    }
    let below = query.after.map_or(InstanceKey(i64::MAX), |token| token.0);
    let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
    let mut found = store.rows.range(..below).rev().filter(|(_, row)| matches(row, query));
    let instances: Vec<_> = found.by_ref().take(size).map(|(key, row)| row.record(*key, query.payloads)).collect();
    let next = found.next().and(instances.last()).map(|last| PageToken(last.key));
    Ok(Page { instances, next })
}

pub(super) fn count_instances(store: &Store, query: &InstanceQuery, cap: u64) -> u64 {
    let found = store.rows.values().filter(|row| matches(row, query));
    found.take(usize::try_from(cap).unwrap_or(usize::MAX)).count() as u64
}

fn within(time: Option<Timestamp>, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| time.is_some_and(|time| time >= from))
        && to.is_none_or(|to| time.is_some_and(|time| time <= to))
}

fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none() || wanted == found
}

fn matches(row: &Row, query: &InstanceQuery) -> bool {
    !row.started.instance_id.is_entity()
        && (query.statuses.is_empty() || query.statuses.contains(&row.status))
        && within(Some(row.created_at), query.created_from, query.created_to)
        && within(row.completed_at, query.completed_from, query.completed_to)
        && within(Some(row.updated_at), query.updated_from, query.updated_to)
        && query.id_prefix.as_ref().is_none_or(|prefix| row.started.instance_id.as_str().starts_with(prefix))
        && query.id_contains.as_ref().is_none_or(|part| row.started.instance_id.as_str().contains(part))
        && is(query.name.as_deref(), Some(&row.started.name))
        && is(query.version.as_deref(), row.started.version.as_deref())
        && is(query.parent.as_ref().map(InstanceId::as_str), parent(row))
        && !(query.roots_only && row.started.parent.is_some())
        && is(query.failure_type.as_deref(), row.failure.as_ref().map(|failure| failure.error_type.as_str()))
        && query
            .custom_status
            .as_ref()
            .is_none_or(|says| row.custom_status.as_ref().is_some_and(|s| says.is_said_by(s)))
        && query.tags.iter().all(|(key, value)| row.started.tags.get(key) == Some(value))
}

fn parent(row: &Row) -> Option<&str> {
    row.started.parent.as_ref().map(|parent| parent.instance_id.as_str())
}

pub(super) fn purge_instances(store: &mut Store, filter: &PurgeFilter, now: Timestamp) -> BackendResult<PurgeOutcome> {
    let keys = match filter {
        PurgeFilter::Instances { ids, force, recurse } => {
            let mut keys: Vec<_> = ids.iter().filter_map(|id| store.ids.get(id).copied()).collect();
            if *recurse {
                add_children(store, &mut keys);
            }
            let goes = |row: &Row| row.status.is_terminal() || entities::is_idle(row);
            let may_go = |key: &InstanceKey| *force || store.rows.get(key).is_some_and(goes);
            keys.retain(may_go);
            if *force {
                entities::dismiss_waiting(store, &keys, now);
            }
            keys
        }
        PurgeFilter::Finished { statuses, .. } => {
            if let Some(live) = statuses.iter().find(|status| !status.is_terminal()) {
                return Err(BackendError::invalid(format!(
                    "purging instances that are {live}: only Completed, Failed and Terminated ones are purged by filter"
                )));
            }
            finished(store, filter)
        }
    };
    let PurgeFilter::Finished { limit, recurse, .. } = filter else { return Ok(purge(store, keys, usize::MAX, now)) };
    let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
    let (complete, mut keys) = (keys.len() <= limit, keys);
    keys.truncate(limit);
    if *recurse {
        add_children(store, &mut keys);
        keys.retain(|key| store.rows.get(key).is_some_and(|row| row.status.is_terminal()));
    }
    Ok(PurgeOutcome { complete, ..purge(store, keys, usize::MAX, now) })
}

fn add_children(store: &Store, keys: &mut Vec<InstanceKey>) {
    let mut done = 0;
    while done < keys.len() {
        let parent = keys[done];
        let is_child = |row: &Row| row.started.parent.as_ref().is_some_and(|link| link.key == parent);
        keys.extend(store.rows.iter().filter(|(_, row)| is_child(row)).map(|(key, _)| *key));
        done += 1;
    }
}

pub(super) fn purge_expired(store: &mut Store, limit: u32, now: Timestamp) -> BackendResult<PurgeOutcome> {
    let settings = store.settings.iter().map(|(name, value)| Setting::read(name, value));
    let settings = settings.collect::<BackendResult<Vec<_>>>()?;
    let span = |setting: &Setting| match setting.value {
        SettingValue::Span(kept) => TimeDelta::from_std(kept).ok(),
        SettingValue::Attempts(_) => None,
    };
    let executions = settings.iter().find(|setting| setting.name == SettingName::Executions).and_then(span);
    let before = now - executions.unwrap_or_default();
    for row in store.rows.values_mut() {
        row.former.retain(|(execution, _)| execution.ended_at.is_none_or(|ended| ended > before));
    }
    let expired = |row: &Row| {
        let for_name = |wanted: Option<&str>| {
            let wanted = SettingName::Retention { status: row.status, name: wanted.map(str::to_owned) };
            settings.iter().find(|setting| setting.name == wanted)
        };
        let kept = for_name(Some(&row.started.name)).or_else(|| for_name(None)).and_then(span);
        kept.zip(row.completed_at).is_some_and(|(kept, completed)| completed <= now - kept)
    };
    let keys = store.rows.iter().filter(|(_, row)| expired(row)).map(|(key, _)| *key).collect();
    Ok(purge(store, keys, usize::try_from(limit).unwrap_or(usize::MAX), now))
}

fn purge(store: &mut Store, keys: Vec<InstanceKey>, limit: usize, now: Timestamp) -> PurgeOutcome {
    let complete = keys.len() <= limit;
    let mut purged = 0;
    for key in keys.into_iter().take(limit) {
        if let Some(row) = store.rows.get(&key) {
            store.ids.remove(&row.started.instance_id.clone());
            store.unlock_entities(key, now);
            store.forget(key);
            purged += 1;
        }
    }
    PurgeOutcome { purged, complete }
}

fn finished(store: &Store, filter: &PurgeFilter) -> Vec<InstanceKey> {
    let PurgeFilter::Finished { statuses, created_from, created_to, completed_to, .. } = filter else {
        return Vec::new();
    };
    let wanted = |status: OrchestrationStatus| statuses.is_empty() || statuses.contains(&status);
    let rows = store.rows.iter().filter(|(_, row)| {
        row.status.is_terminal()
            && wanted(row.status)
            && created_from.is_none_or(|from| row.created_at >= from)
            && created_to.is_none_or(|to| row.created_at <= to)
            && completed_to.is_none_or(|to| row.completed_at.is_some_and(|completed| completed <= to))
    });
    rows.map(|(key, _)| *key).collect()
}

pub(super) fn list_instance_ids(store: &Store, request: &ListInstanceIds) -> InstanceIdPage {
    let wanted = |row: &Row| request.statuses.is_empty() || request.statuses.contains(&row.status);
    let mut ended: Vec<_> = store
        .rows
        .iter()
        .filter(|(_, row)| wanted(row))
        .filter_map(|(key, row)| Some(((row.completed_at?, *key), row.started.instance_id.clone())))
        .filter(|((time, _), _)| request.completed_from.is_none_or(|from| *time >= from))
        .filter(|((time, _), _)| request.completed_to.is_none_or(|to| *time < to))
        .filter(|(place, _)| request.after.is_none_or(|after| *place > after))
        .collect();
    ended.sort_unstable();
    let size = usize::try_from(request.page_size).unwrap_or(usize::MAX);
    let more = ended.len() > size;
    ended.truncate(size);
    let next = ended.last().filter(|_| more).map(|(place, _)| *place);
    InstanceIdPage { ids: ended.into_iter().map(|(_, id)| id).collect(), next }
}
