//! Writing a turn: first every condition, then every change.

use everdure_core::{
    Checkpoint, CheckpointOutcome, ChildOutcome, Execution, FailureDetails, HistoryTurn, InstanceId, InstanceKey,
    Landed, Message, MessageBody, NewChild, NodeId, OrchestrationStatus, OutboundMessage, Sent, Target, Timestamp,
};

use super::entities;
use super::store::{Row, Store};

/// Applies `checkpoint`, all of it or nothing.
pub(super) fn checkpoint(store: &mut Store, checkpoint: Checkpoint, now: Timestamp) -> CheckpointOutcome {
    match check(store, &checkpoint, now) {
        Some(refused) => refused,
        None => CheckpointOutcome::Landed(apply(store, checkpoint, now)),
    }
}

fn check(store: &Store, checkpoint: &Checkpoint, now: Timestamp) -> Option<CheckpointOutcome> {
    let held = |row: &&Row| {
        row.turn == checkpoint.turn && row.locked_by == Some(checkpoint.node) && row.claim == checkpoint.claim
    };
    let Some(row) = store.rows.get(&checkpoint.key).filter(held) else { return Some(CheckpointOutcome::Lost) };
    let mut early = false;
    for number in &checkpoint.consumed {
        match row.messages.get(number) {
            None => return Some(CheckpointOutcome::Lost),
            Some(message) => early |= message.visible_at > now,
        }
    }
    early.then_some(CheckpointOutcome::Early)
}

fn apply(store: &mut Store, checkpoint: Checkpoint, now: Timestamp) -> Landed {
    let (key, node) = (checkpoint.key, checkpoint.node);
    let ends = checkpoint.status.is_terminal();
    let continues = checkpoint.next_execution.is_some();
    let hold = checkpoint.hold && !ends;
    let first_turn = checkpoint.turn == 0;
    let mut delivered: Vec<Sent> = Vec::new();

    store.drop_activities(key, |dispatch| ends || continues || checkpoint.cancelled.contains(&dispatch));
    write_row(store, &checkpoint, now);
    if let Some(next) = checkpoint.next_execution {
        let carried = store.post_carried(key, next.carry_over, now);
        delivered.extend(carried.into_iter().map(|message| Sent { key, message }));
    }
    for timer in checkpoint.timers {
        let body = MessageBody::TimerFired { dispatch: timer.dispatch, fire_at: timer.fire_at };
        store.post(key, Some(checkpoint.execution), body, now, timer.fire_at);
    }
    for activity in checkpoint.activities {
        store.add_activity(key, activity, now);
    }
    let children = checkpoint.children.into_iter().map(|child| create_child(store, child, node, now));
    let mut outcomes = Vec::new();
    for (outcome, told) in children {
        outcomes.push(outcome);
        delivered.extend(told);
    }
    // Only a turn that ends the execution writes to its children, so the number is still that of the sender.
    let sender = (key, store.rows.get(&key).map_or(0, |row| row.execution));
    for message in checkpoint.messages {
        delivered.extend(send(store, sender, message, now));
    }
    if let Some(change) = checkpoint.entity {
        entities::change(store, key, change, hold, now);
    } else if hold {
        offer_mail(store, key, first_turn);
    } else {
        release(store, key, continues, now);
    }
    delivered.retain(|sent| store.rows.get(&sent.key).is_some_and(|row| row.locked_by == Some(node)));
    Landed { children: outcomes, delivered }
}

fn write_row(store: &mut Store, checkpoint: &Checkpoint, now: Timestamp) {
    let keeps = store.settings.contains_key("retention.executions");
    // Unwrap safety: the check has found the row, and the store is locked since.
    let row = store.rows.get_mut(&checkpoint.key).expect("the row was there a moment ago");
    row.turn += 1;
    if checkpoint.entity.is_some() {
        row.execution_turn = row.turn;
        row.updated_at = now;
        for number in &checkpoint.consumed {
            row.messages.remove(number);
        }
        return;
    }
    let turn = HistoryTurn { turn: row.turn, time: checkpoint.time, events: checkpoint.events.clone() };
    row.status = checkpoint.status;
    row.updated_at = now;
    if let Some(custom_status) = &checkpoint.custom_status {
        row.custom_status = Some(custom_status.clone());
    }
    for number in &checkpoint.consumed {
        row.messages.remove(number);
    }
    let cancelled = |message: &Message| message.body.dispatch().is_some_and(|d| checkpoint.cancelled.contains(&d));
    row.messages.retain(|_, message| !cancelled(message));
    match &checkpoint.next_execution {
        Some(next) => {
            row.messages.retain(|_, message| message.execution.is_none());
            let mut history = std::mem::take(&mut row.history);
            if keeps {
                history.push(turn);
                row.former.push((Execution { ended_at: Some(now), ..row.execution() }, history));
            }
            row.execution += 1;
            row.execution_turn = row.turn;
            row.started.execution_id = next.execution_id;
            row.started.version.clone_from(&next.version);
            row.started.input.clone_from(&next.input);
        }
        None => row.history.push(turn),
    }
    if checkpoint.status.is_terminal() {
        row.output.clone_from(&checkpoint.output);
        row.failure.clone_from(&checkpoint.failure);
        row.finish(checkpoint.status, now);
    }
}

fn release(store: &mut Store, key: InstanceKey, first_turn_waits: bool, now: Timestamp) {
    if let Some(row) = store.rows.get_mut(&key).filter(|row| !row.status.is_terminal()) {
        row.locked_by = None;
        row.due_at = if first_turn_waits { Some(now) } else { row.next_message() };
    }
}

/// Messages to a pending instance do not make it due; once it runs, those that came meanwhile do.
fn offer_mail(store: &mut Store, key: InstanceKey, first_turn: bool) {
    if let Some(row) = store.rows.get_mut(&key).filter(|_| first_turn) {
        row.due_at = row.next_message();
    }
}

/// A child whose id is in use by a live instance fails the call; a finished one is replaced.
fn create_child(store: &mut Store, child: NewChild, node: NodeId, now: Timestamp) -> (ChildOutcome, Option<Sent>) {
    if store.row_of(&child.instance_id).is_some_and(|(_, row)| !row.status.is_terminal()) {
        let Some(parent) = child.parent else { return (ChildOutcome::AlreadyExists, None) };
        let failure = FailureDetails::new(
            "OrchestrationAlreadyExists",
            format!("orchestration instance already exists: '{}' has not ended", child.instance_id),
        );
        let body = MessageBody::SubOrchestrationInstanceFailed { dispatch: parent.dispatch, failure };
        let message = store.post(parent.key, Some(parent.execution), body, now, now);
        return (ChildOutcome::AlreadyExists, message.map(|message| Sent { key: parent.key, message }));
    }
    let born_claimed = child.born_claimed;
    let mut row = Row::new(child.into_started(), None, now);
    if born_claimed {
        row.locked_by = Some(node);
        row.due_at = None;
    }
    (ChildOutcome::Created(store.insert(row)), None)
}

/// The same for one that no node has asked for.
pub(super) fn create_child_unheld(store: &mut Store, child: NewChild, now: Timestamp) {
    create_child(store, NewChild { born_claimed: false, ..child }, everdure_core::SET_ASIDE, now);
}

/// Dropped without an error when the target is gone, has ended, or has gone on to another execution.
pub(super) fn send(
    store: &mut Store,
    sender: (InstanceKey, i32),
    message: OutboundMessage,
    now: Timestamp,
) -> Option<Sent> {
    let (key, execution) = match message.target {
        Target::Instance(id) if id.is_entity() => (store.entity(&id, now), None),
        Target::Instance(id) => (*store.ids.get(&id)?, None),
        Target::Child(id) => {
            let key = *store.ids.get(&id)?;
            let parent = store.rows.get(&key)?.started.parent.as_ref()?;
            if (parent.key, parent.execution) != sender {
                return None;
            }
            (key, None)
        }
        Target::Execution { key, execution, .. } => (key, Some(execution)),
    };
    if let MessageBody::ExecutionTerminated { reason, .. } = &message.body
        && store.rows.get(&key).is_some_and(|row| row.status == OrchestrationStatus::Pending)
        && store.terminate_unheld(key, reason.as_deref(), false, now)
    {
        return None;
    }
    if let MessageBody::EntityLockRequested { critical_section, lock_set, owner, .. } = &message.body
        && owner.key != sender.0
        && store.rows.get(&owner.key).is_none_or(|row| row.status.is_terminal() || row.execution != owner.execution)
    {
        // Going on, it could wait for long, and what it has locked with it.
        unlock_all(store, critical_section, lock_set, now);
        return None;
    }
    let there = store.rows.get(&key).filter(|row| !row.status.is_terminal());
    if there.is_none_or(|row| execution.is_some_and(|execution| execution != row.execution)) {
        if let MessageBody::EntityLockGranted { critical_section, lock_set, .. } = message.body {
            unlock_all(store, &critical_section, &lock_set, now);
        }
        return None;
    }
    let visible_at = message.not_before.map_or(now, |time| time.max(now));
    let message = store.post(key, execution, message.body, now, visible_at)?;
    Some(Sent { key, message }).filter(|_| visible_at <= now)
}

/// A granted lock that finds its owner gone.
fn unlock_all(store: &mut Store, critical_section: &str, lock_set: &[InstanceId], now: Timestamp) {
    for id in lock_set {
        if let Some(key) = store.ids.get(id).copied() {
            let body = MessageBody::EntityUnlock { critical_section: critical_section.to_owned() };
            store.post(key, None, body, now, now);
        }
    }
}
