//! Rewinding: a failed execution goes back to before it failed, and its failed steps run again.
//!
//! What the last turn saw comes again, except failures; the turns before stay, for what they decided has happened. A
//! failure in an earlier turn is taken back as well if that turn decided nothing: then nothing is known that followed from
//! it (of a fan-out whose other results came later). One that was answered, by a retry or a compensation, stays. A step
//! without its failure is open again, and whoever claims the instance dispatches it, under the same idempotency key. The
//! execution keeps its id, because GUIDs that the orchestration made are derived from it.

use chrono::TimeDelta;

use crate::{
    CorruptHistory, DispatchId, EventData, HistoryEvent, HistoryTurn, InstanceId, InstanceKey, MessageBody, NewChild,
    NewTimer, OpenKind, OrchestrationStatus, ParentLink, RuntimeState, Timestamp,
};

/// A failed instance as it shall stand after rewinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewinding {
    /// The row.
    pub key: InstanceKey,
    /// Its instance id.
    pub instance_id: InstanceId,
    /// The turn at which it failed; the row must still stand there.
    pub failed_turn: i64,
    /// Its generation number.
    pub execution: i32,
    /// Whether it begins anew, because it failed in its first turn; then no turn is left.
    pub anew: bool,
    /// The turns that differ from what is stored, and the one that notes the rewinding.
    pub turns: Vec<HistoryTurn>,
    /// Where it stands.
    pub status: OrchestrationStatus,
    /// What it gets to see again.
    pub messages: Vec<MessageBody>,
    /// The timers that are open; their messages went with the failure.
    pub timers: Vec<NewTimer>,
    /// Sub-orchestrations to create again, because they were purged.
    pub children: Vec<NewChild>,
}

impl Rewinding {
    /// The turn at which it stands afterwards.
    #[must_use]
    pub fn turn(&self) -> i64 {
        self.failed_turn + 1
    }
}

/// A sub-orchestration that is open after rewinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChild {
    /// The step.
    pub dispatch: DispatchId,
    /// Its instance id.
    pub instance_id: InstanceId,
    /// How to create it again.
    pub again: NewChild,
}

/// An instance that must stand as it was seen when the rewinding was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The row.
    pub key: InstanceKey,
    /// The turn at which it had ended; `None`: it had not ended.
    pub ended_at: Option<i64>,
}

/// Plans the rewinding of one execution: `fresh` has seen no turn, `history` is all of it. Also returns the
/// sub-orchestrations whose answer is missing: what became of them, only the store knows.
///
/// # Errors
/// [`CorruptHistory`] when the history cannot be folded.
pub fn rewind(
    fresh: RuntimeState,
    history: &[HistoryTurn],
    reason: Option<String>,
    now: Timestamp,
) -> Result<(Rewinding, Vec<OpenChild>), CorruptHistory> {
    let Some((last, before)) = history.split_last() else {
        return Err(CorruptHistory { key: fresh.key, problem: "it failed and has no turn".into() });
    };
    let anew = before.is_empty();
    let mut kept: Vec<HistoryTurn> = before.to_vec();
    let mut changed: Vec<HistoryTurn> = kept.iter_mut().filter_map(take_failures_back).collect();
    if !anew {
        kept.push(HistoryTurn { turn: last.turn, time: last.time, events: Vec::new() });
        let time = now.max(last.time + TimeDelta::microseconds(1));
        let note = HistoryEvent::unsolicited(time, EventData::ExecutionRewound { reason });
        kept.push(HistoryTurn { turn: last.turn + 1, time, events: vec![note] });
        changed.extend_from_slice(&kept[kept.len() - 2..]);
    }
    let state = fresh.replay(&kept)?;
    let seen_again = last.events.iter().filter(|event| !is_failure(&event.data));
    let messages: Vec<_> = seen_again.filter_map(|event| MessageBody::from_event(&event.data)).collect();
    let answered: Vec<_> = messages.iter().filter_map(MessageBody::dispatch).collect();
    let open = || state.open_dispatches().filter(|(dispatch, _)| !answered.contains(dispatch));
    let timers = open().filter_map(|(dispatch, open)| match open.kind {
        OpenKind::Timer(fire_at) => Some(NewTimer { dispatch, fire_at }),
        _ => None,
    });
    let rewinding = Rewinding {
        key: state.key,
        instance_id: state.started.instance_id.clone(),
        failed_turn: last.turn,
        execution: state.execution,
        anew,
        turns: changed,
        status: state.status,
        timers: timers.collect(),
        children: Vec::new(),
        messages,
    };
    let waits = |dispatch: DispatchId| open().any(|(open, _)| open == dispatch);
    let created = kept.iter().flat_map(|turn| &turn.events);
    let children = created.filter_map(|event| child(&state, event)).filter(|child| waits(child.dispatch)).collect();
    Ok((rewinding, children))
}

/// The turn without its failures, if it had some and decided nothing.
fn take_failures_back(turn: &mut HistoryTurn) -> Option<HistoryTurn> {
    let decided = turn.events.iter().any(|event| event.data.is_decision());
    let before = turn.events.len();
    if !decided {
        turn.events.retain(|event| !is_failure(&event.data));
    }
    (turn.events.len() < before).then(|| turn.clone())
}

fn is_failure(event: &EventData) -> bool {
    matches!(event, EventData::TaskFailed { .. } | EventData::SubOrchestrationInstanceFailed { .. })
}

fn child(state: &RuntimeState, event: &HistoryEvent) -> Option<OpenChild> {
    let EventData::SubOrchestrationInstanceCreated { dispatch, name, version, instance_id, input, tags } = &event.data
    else {
        return None;
    };
    let again = NewChild {
        instance_id: instance_id.clone(),
        execution_id: state.started.execution_id.child(*dispatch),
        name: name.clone(),
        version: version.clone(),
        input: input.clone(),
        tags: tags.clone(),
        parent: ParentLink {
            key: state.key,
            execution: state.execution,
            dispatch: *dispatch,
            instance_id: state.started.instance_id.clone(),
            task_id: event.event_id,
        },
        born_claimed: false,
    };
    Some(OpenChild { dispatch: *dispatch, instance_id: instance_id.clone(), again })
}
