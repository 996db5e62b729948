//! What was set aside, and letting it go on.

use everdure_core::{FailureDetails, InstanceId, MessageBody, Poisoned, PoisonedActivity, SET_ASIDE, Timestamp};

use super::store::Store;

pub(super) fn get_poisoned(store: &Store, limit: u32) -> Vec<Poisoned> {
    let mut all: Vec<_> = store
        .poison
        .iter()
        .filter_map(|((key, id), poison)| {
            let row = store.rows.get(key)?;
            let activity = id.and_then(|id| store.activities.get(&id).map(|activity| (id, activity)));
            let holder = if id.is_some() { activity?.1.locked_by } else { row.locked_by };
            (holder == Some(SET_ASIDE)).then(|| Poisoned {
                instance_id: row.started.instance_id.clone(),
                name: row.started.name.clone(),
                activity: activity.map(|(id, activity)| PoisonedActivity {
                    id,
                    name: activity.task.name.clone(),
                    dispatch: Some(activity.task.dispatch),
                }),
                attempts: poison.attempts,
                reason: poison.reason.clone(),
                since: poison.failed_at,
            })
        })
        .collect();
    all.sort_by_key(|poisoned| poisoned.since);
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    all
}

pub(super) fn release_poisoned(store: &mut Store, id: &InstanceId, fail: bool, now: Timestamp) -> Option<u64> {
    let (key, row) = store.row_of(id)?;
    let execution = row.execution;
    let mut released = 0;
    if row.locked_by == Some(SET_ASIDE) {
        (row.locked_by, row.due_at) = (None, Some(now));
        store.poison.remove(&(key, None));
        released += 1;
    }
    let aside = store.activities.iter().filter(|(_, row)| row.task.key == key && row.locked_by == Some(SET_ASIDE));
    let aside: Vec<_> = aside.map(|(id, _)| *id).collect();
    for id in aside {
        let poison = store.poison.remove(&(key, Some(id)));
        if fail {
            let Some(activity) = store.activities.remove(&id) else { continue };
            let (attempts, reason) = poison.map(|poison| (poison.attempts, poison.reason)).unwrap_or_default();
            let name = activity.task.name;
            let message = format!("activity '{name}' was given up after {attempts} attempts: {reason}");
            let failure = FailureDetails::new("ActivityPoisoned", message);
            let body = MessageBody::TaskFailed { dispatch: activity.task.dispatch, failure };
            store.post(key, Some(execution), body, now, now);
        } else if let Some(activity) = store.activities.get_mut(&id) {
            (activity.locked_by, activity.visible_at) = (None, now);
        }
        released += 1;
    }
    Some(released)
}
