//! Stores that break one rule of the design each: the simulation is worth something only if it notices.
//!
//! The store itself stays as it is; a request is changed into one that a careless store would have taken it for, or
//! an answer into what such a store would have given.

use chrono::TimeDelta;
use everdure_core::{
    Checkpoint, CompleteActivity, Demote, LockedOrchestration, LockedOrchestrations, MessageBody, RuntimeState,
};

use crate::world::World;

/// Which rule is broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A node that was reaped writes on.
    Rule1,
    /// A turn whose answer was lost is written once more.
    Rule2,
    /// Rows from claims whose answer was lost are never given back.
    Rule2Forget,
    /// Consumed messages are not deleted by their numbers: whatever waits goes.
    Rule3,
    /// History is read before the claim, and lacks the last turn.
    Rule4,
    /// What was open at a claim is not dispatched again.
    Rule5,
    /// A held instance gets no mail.
    Rule6,
    /// Residency is given up for whoever has it now.
    Rule7,
    /// Residency is given up without the results that no turn has seen.
    Rule7Forget,
    /// A result goes to the latest step with the same task id.
    Rule8,
    /// An entity forgets by whom it is locked.
    Lock,
    /// What waited for the end of a critical section waits on.
    Unpark,
}

pub fn checkpoint(world: &World, mut checkpoint: Checkpoint) -> Checkpoint {
    if let Some(change) = &mut checkpoint.entity {
        match world.sabotage {
            Some(Sabotage::Lock) => change.lock = None,
            Some(Sabotage::Unpark) => change.unpark = false,
            _ => {}
        }
    }
    let mut ledger = world.ledger();
    let Some((holder, claim, turn, execution)) = ledger.place(checkpoint.key) else { return checkpoint };
    match world.sabotage {
        Some(Sabotage::Rule1) if !ledger.is_live(checkpoint.node) => {
            checkpoint.node = holder.unwrap_or(checkpoint.node);
            checkpoint.claim = claim;
        }
        Some(Sabotage::Rule2) if holder == Some(checkpoint.node) && turn == checkpoint.turn + 1 => {
            (checkpoint.turn, checkpoint.execution) = (turn, execution);
            checkpoint.consumed.clear();
            checkpoint.children.clear();
        }
        Some(Sabotage::Rule3) => {
            checkpoint.consumed.extend(ledger.waiting(checkpoint.key));
            checkpoint.consumed.sort_unstable();
            checkpoint.consumed.dedup();
        }
        _ => {}
    }
    checkpoint
}

pub fn demote(world: &World, mut demote: Demote) -> Demote {
    if world.sabotage == Some(Sabotage::Rule7)
        && let Some((Some(holder), claim, turn, execution)) = world.ledger().place(demote.key)
    {
        (demote.node, demote.claim, demote.turn, demote.execution) = (holder, claim, turn, execution);
    }
    if world.sabotage == Some(Sabotage::Rule7Forget) {
        demote.completions.clear();
    }
    demote
}

pub fn complete(world: &World, mut completion: CompleteActivity) -> CompleteActivity {
    if world.sabotage == Some(Sabotage::Rule8)
        && let Some(own) = completion.body.dispatch()
        && let Some(other) = world.ledger().namesake(completion.key, own)
        && let MessageBody::TaskCompleted { dispatch, .. } | MessageBody::TaskFailed { dispatch, .. } =
            &mut completion.body
    {
        *dispatch = other;
    }
    completion
}

pub fn locked(world: &World, locked: &mut LockedOrchestrations) {
    match world.sabotage {
        Some(Sabotage::Rule4) => {
            let recent = world.now() - TimeDelta::seconds(1);
            let items = locked.items.iter_mut().filter(|item| !item.was_held);
            items.filter(|item| item.history.last().is_some_and(|turn| turn.time > recent)).for_each(forget_last_turn);
        }
        Some(Sabotage::Rule5) => locked.items.iter_mut().filter(|item| !item.was_held).for_each(believe_in_rows),
        Some(Sabotage::Rule6) => locked.items.retain(|item| !item.was_held),
        _ => {}
    }
}

/// The turns that are left are renumbered, so that the last one seems to be that of the row.
fn forget_last_turn(item: &mut LockedOrchestration) {
    item.history.pop();
    item.execution_turn += 1;
    item.history.iter_mut().for_each(|turn| turn.turn += 1);
}

fn believe_in_rows(item: &mut LockedOrchestration) {
    let fresh = RuntimeState::new(item.key, item.execution, item.execution_turn, item.started.clone());
    if let Ok(state) = fresh.replay(&item.history) {
        item.activities = state.open_activities().map(|activity| activity.dispatch).collect();
    }
}
