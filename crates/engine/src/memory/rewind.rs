//! Applying a rewinding: first every condition, then every change.

use everdure_core::{Message, MessageBody, NewTimer, Observed, OrchestrationStatus, Rewinding, Timestamp};

use super::store::{Row, Store};

pub(super) fn rewind_instances(
    store: &mut Store,
    items: Vec<Rewinding>,
    observed: &[Observed],
    now: Timestamp,
) -> bool {
    let failed = |item: &Rewinding| {
        let stands = |row: &Row| row.turn == item.failed_turn && row.status == OrchestrationStatus::Failed;
        store.rows.get(&item.key).is_some_and(stands)
    };
    let as_seen = |seen: &Observed| {
        let stands = |row: &Row| row.completed_at.map(|_| row.turn) == seen.ended_at;
        store.rows.get(&seen.key).is_some_and(stands)
    };
    if !items.iter().all(failed) || !observed.iter().all(as_seen) {
        return false;
    }
    items.into_iter().for_each(|item| apply(store, item, now));
    true
}

fn apply(store: &mut Store, item: Rewinding, now: Timestamp) {
    store.poison.remove(&(item.key, None));
    let Some(row) = store.rows.get_mut(&item.key) else { return };
    row.turn = item.turn();
    row.started.execution_id = item.execution_id;
    (row.status, row.completed_at, row.updated_at) = (item.status, None, now);
    (row.output, row.failure) = (None, None);
    (row.locked_by, row.due_at) = (None, Some(now));
    if item.anew {
        row.history.clear();
        row.execution_turn = row.turn;
    }
    for turn in item.turns {
        match row.history.iter_mut().find(|old| old.turn == turn.turn) {
            Some(old) => *old = turn,
            None => row.history.push(turn),
        }
    }
    let execution = Some(item.execution);
    for body in item.messages {
        store.post(item.key, execution, body, now, now);
    }
    for NewTimer { dispatch, fire_at } in item.timers {
        let body = MessageBody::TimerFired { dispatch, fire_at };
        store.post(item.key, execution, body, now, fire_at);
    }
    for call in item.calls {
        let mine = |message: &Message| match &message.body {
            MessageBody::EntityOperation { caller: Some(caller), .. } => {
                (caller.key, caller.dispatch) == (item.key, Some(call.dispatch))
            }
            _ => false,
        };
        let entity = store.row_of(&call.target).map(|(_, row)| row);
        let waits = entity.is_some_and(|row| row.all_messages().any(mine));
        if !waits {
            store.post(item.key, execution, call.lost, now, now);
        }
    }
    for request in item.locks {
        super::checkpoint::send(store, (item.key, item.execution), request, now);
    }
    for child in item.children {
        super::checkpoint::create_child_unheld(store, child, now);
    }
}
