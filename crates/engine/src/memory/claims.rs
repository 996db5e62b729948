//! Handing out what is due.

use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{
    AbandonActivity, CompleteActivity, CompleteOutcome, Demote, DemoteOutcome, InstanceKey, LockActivities,
    LockOrchestrations, LockedActivities, LockedActivity, LockedOrchestration, LockedOrchestrations, MessageBody,
    NameFilter, SET_ASIDE, Sent, Timestamp,
};

use super::store::{Row, Store};

/// Mail that no turn has taken after so long is offered again: the answer to the claim that read it may be lost.
const MAIL_AGAIN: TimeDelta = TimeDelta::seconds(60);
/// What was too much for one claim is offered again after this, when a turn may have taken the first part.
const MORE_MAIL: TimeDelta = TimeDelta::milliseconds(100);

fn takes(names: &[NameFilter], name: &str, version: Option<&str>) -> bool {
    names.iter().any(|filter| filter.takes(name, version))
}

fn in_how_long(due: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    due.map(|due| (due - now).to_std().unwrap_or(Duration::ZERO))
}

pub(super) fn lock_orchestrations(
    store: &mut Store,
    request: &LockOrchestrations,
    now: Timestamp,
) -> LockedOrchestrations {
    let mine = |row: &Row| row.locked_by == Some(request.node);
    let wanted = |row: &Row| {
        mine(row) || row.locked_by.is_none() && takes(&request.names, &row.started.name, row.started.version.as_deref())
    };
    let mut due: Vec<(Timestamp, InstanceKey, bool)> = store
        .rows
        .iter()
        .filter(|(_, row)| wanted(row))
        .filter_map(|(key, row)| Some((row.due_at?, *key, mine(row))))
        .collect();
    due.sort_unstable();
    let mut items = Vec::new();
    let mut free = request.limit;
    let mut next_due = None;
    for (due_at, key, was_held) in due {
        if due_at > now || (!was_held && free == 0) {
            next_due = next_due.or(Some(due_at));
            continue;
        }
        if !was_held {
            free -= 1;
        }
        items.extend(lock(store, key, request, was_held, now));
    }
    LockedOrchestrations { items, next_due: in_how_long(next_due, now) }
}

fn lock(
    store: &mut Store,
    key: InstanceKey,
    request: &LockOrchestrations,
    was_held: bool,
    now: Timestamp,
) -> Option<LockedOrchestration> {
    let rows = store.activities.values().filter(|activity| activity.task.key == key && !was_held);
    let mut activities: Vec<_> = rows.map(|activity| activity.task.dispatch).collect();
    let row = store.rows.get_mut(&key)?;
    if !was_held {
        row.claim += 1;
        row.locked_by = Some(request.node);
        row.claimed_at = now;
    }
    let mut visible = row.messages.values().filter(|message| message.visible_at <= now);
    let limit = usize::try_from(request.messages).unwrap_or(usize::MAX);
    let messages: Vec<_> = visible.by_ref().take(limit).cloned().collect();
    let more_messages = visible.next().is_some();
    let later = row.messages.values().map(|message| message.visible_at).filter(|visible_at| *visible_at > now).min();
    if more_messages && !was_held {
        activities.extend(row.messages.values().filter_map(|message| message.body.dispatch()));
    }
    let again = (was_held && !messages.is_empty()).then(|| now + MAIL_AGAIN);
    row.due_at = if more_messages { Some(now + MORE_MAIL) } else { later.into_iter().chain(again).min() };
    Some(LockedOrchestration {
        key,
        claim: row.claim,
        was_held,
        execution: row.execution,
        execution_turn: row.execution_turn,
        turn: row.turn,
        status: row.status,
        started: row.started.clone(),
        entity_lock: row.entity_lock.clone(),
        history: if was_held { Vec::new() } else { row.history.clone() },
        messages,
        more_messages,
        activities,
    })
}

pub(super) fn demote(store: &mut Store, request: Demote, now: Timestamp) -> DemoteOutcome {
    let held =
        |row: &&Row| row.turn == request.turn && row.locked_by == Some(request.node) && row.claim == request.claim;
    if store.rows.get(&request.key).filter(held).is_none() {
        return DemoteOutcome::Lost;
    }
    for activity in request.activities {
        store.add_activity(request.key, activity, now);
    }
    let mut running = Vec::new();
    for activity in request.running {
        let dispatch = activity.dispatch;
        if let Some(id) = store.add_activity(request.key, activity, now)
            && let Some(row) = store.activities.get_mut(&id)
        {
            (row.locked_by, row.attempt) = (Some(request.node), 1);
            running.push((dispatch, id));
        }
    }
    for body in request.completions {
        store.post(request.key, Some(request.execution), body, now, now);
    }
    let pause = match &request.failure {
        None => Some(TimeDelta::zero()),
        Some(failed) => store.count_failure(request.key, None, request.turn, &failed.reason, failed.lasting, now),
    };
    if let Some(row) = store.rows.get_mut(&request.key) {
        row.locked_by = pause.is_none().then_some(SET_ASIDE);
        let first_turn_waits = row.turn == row.execution_turn && !row.started.instance_id.is_entity();
        row.due_at = if first_turn_waits { Some(now) } else { row.next_message() };
        let delay = request.retry_after.and_then(|delay| TimeDelta::from_std(delay).ok()).unwrap_or_default();
        row.due_at = row.due_at.map(|due| due.max(now + delay.max(pause.unwrap_or_default())));
    }
    end_if_told(store, request.key, now);
    DemoteOutcome::Released { running }
}

/// Told to end while somebody had it: now that nobody has, it needs no worker for that.
fn end_if_told(store: &mut Store, key: InstanceKey, now: Timestamp) {
    let told = store.rows.get(&key).and_then(|row| {
        row.messages.values().find_map(|message| match &message.body {
            MessageBody::ExecutionTerminated { reason, recurse } => Some((reason.clone(), *recurse)),
            _ => None,
        })
    });
    if let Some((reason, recurse)) = told {
        store.terminate_unheld(key, reason.as_deref(), recurse, now);
    }
}

pub(super) fn lock_activities(store: &mut Store, request: &LockActivities, now: Timestamp) -> LockedActivities {
    let mut items = Vec::new();
    let mut next_due: Option<Timestamp> = None;
    for (id, row) in &mut store.activities {
        let wanted = takes(&request.names, &row.task.name, row.task.version.as_deref());
        if row.locked_by.is_some() || !wanted {
            continue;
        }
        if row.visible_at > now || items.len() >= usize::try_from(request.limit).unwrap_or(usize::MAX) {
            next_due = Some(next_due.map_or(row.visible_at, |due| due.min(row.visible_at)));
            continue;
        }
        row.locked_by = Some(request.node);
        row.visible_at = now;
        row.attempt += 1;
        items.push(LockedActivity { id: *id, attempt: row.attempt, task: row.task.clone() });
    }
    LockedActivities { items, next_due: in_how_long(next_due, now) }
}

pub(super) fn complete_activity(store: &mut Store, request: CompleteActivity, now: Timestamp) -> CompleteOutcome {
    let held = match request.id {
        None => store.rows.get(&request.key).is_some_and(|row| row.locked_by == Some(request.node)),
        Some(id) => store.activities.get(&id).is_some_and(|row| {
            row.locked_by == Some(request.node) && row.attempt == request.attempt && row.task.key == request.key
        }),
    };
    if !held {
        return CompleteOutcome::Lost;
    }
    request.id.map(|id| store.activities.remove(&id));
    let Some(row) = store.rows.get(&request.key).filter(|row| row.execution == request.execution) else {
        return CompleteOutcome::Lost;
    };
    let held_by = row.locked_by;
    match store.post(request.key, Some(request.execution), request.body, now, now) {
        Some(message) => CompleteOutcome::Delivered { sent: Sent { key: request.key, message }, held_by },
        None => CompleteOutcome::Lost,
    }
}

pub(super) fn abandon_activity(store: &mut Store, request: AbandonActivity, now: Timestamp) -> bool {
    let row = store.activities.get_mut(&request.id);
    let held = row.filter(|row| row.locked_by == Some(request.node) && row.attempt == request.attempt);
    let Some(key) = held.map(|row| row.task.key) else { return false };
    let pause = match &request.failure {
        None => Some(TimeDelta::zero()),
        Some(failed) => store.count_failure(key, Some(request.id), 0, &failed.reason, failed.lasting, now),
    };
    if let Some(row) = store.activities.get_mut(&request.id) {
        row.locked_by = pause.is_none().then_some(SET_ASIDE);
        let delay = TimeDelta::from_std(request.retry_after).unwrap_or_default();
        row.visible_at = now + delay.max(pause.unwrap_or_default());
    }
    true
}
