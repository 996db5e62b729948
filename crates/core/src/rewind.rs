//! Rewinding: a failed execution goes back to before it failed, and its failed steps run again.
//!
//! What the last turn saw comes again, except failures; the turns before stay, for what they decided has happened. A
//! failure in an earlier turn is taken back as well if that turn decided nothing: then nothing is known that followed from
//! it (of a fan-out whose other results came later). One that was answered, by a retry or a compensation, stays. A step
//! without its failure is open again, and whoever claims the instance dispatches it, under the same idempotency key. The
//! execution gets another id, from which the same GUIDs derive.
//!
//! Of entities nothing is taken back: an operation has happened or failed. An operation that was under way may have been
//! answered while nobody was there to hear; its call fails then, for it must not run twice. Locks that were asked for were
//! withdrawn with the failure, and are asked for again.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::entity_turn::lock_request;
use crate::{
    CorruptHistory, DispatchId, EntityCaller, EventData, FailureDetails, HistoryEvent, HistoryTurn, InstanceId,
    InstanceKey, MessageBody, NewChild, NewTimer, OpenKind, OrchestrationStatus, OutboundMessage, RuntimeState,
    Timestamp,
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
    /// The id of its execution from now on.
    pub execution_id: crate::ExecutionId,
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
    /// Operations of entities whose answer is missing. Those that wait at their entity no longer have failed.
    pub calls: Vec<OpenCall>,
    /// Requests for locks, made again.
    pub locks: Vec<OutboundMessage>,
}

/// An operation of an entity whose answer is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// The step.
    pub dispatch: DispatchId,
    /// The entity.
    pub target: InstanceId,
    /// What the call hears when the operation does not wait there any more.
    pub lost: MessageBody,
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
    let open: BTreeMap<_, _> = state.unanswered(messages.iter()).collect();
    let timers = open.iter().filter_map(|(dispatch, open)| match open.kind {
        OpenKind::Timer(fire_at) => Some(NewTimer { dispatch: *dispatch, fire_at }),
        _ => None,
    });
    let mut rewinding = Rewinding {
        key: state.key,
        instance_id: state.started.instance_id.clone(),
        failed_turn: last.turn,
        execution: state.execution,
        execution_id: state.started.execution_id.rewound(),
        anew,
        turns: changed,
        status: state.status,
        timers: timers.collect(),
        children: Vec::new(),
        calls: Vec::new(),
        locks: Vec::new(),
        messages,
    };
    let mut children = Vec::new();
    for event in kept.iter().flat_map(|turn| &turn.events) {
        match &event.data {
            EventData::EntityOperationCalled { dispatch, request_id, target, .. } if open.contains_key(dispatch) => {
                rewinding.calls.push(open_call(*dispatch, request_id, target));
            }
            EventData::EntityLockRequested { dispatch, critical_section, lock_set } if open.contains_key(dispatch) => {
                let owner = EntityCaller { execution_id: rewinding.execution_id, ..state.caller(Some(*dispatch)) };
                rewinding.locks.extend(lock_request(critical_section.clone(), lock_set.clone(), owner));
            }
            _ => children.extend(child(&state, event).filter(|child| open.contains_key(&child.dispatch))),
        }
    }
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

fn open_call(dispatch: DispatchId, request_id: &str, target: &InstanceId) -> OpenCall {
    let what = "the operation ended while the orchestration had failed, and its answer is lost";
    let failure = FailureDetails::new("EntityAnswerLost", what);
    let lost = MessageBody::EntityOperationFailed { dispatch, request_id: request_id.to_owned(), failure };
    OpenCall { dispatch, target: target.clone(), lost }
}

fn child(state: &RuntimeState, event: &HistoryEvent) -> Option<OpenChild> {
    let EventData::SubOrchestrationInstanceCreated {
        dispatch,
        name,
        version,
        instance_id,
        input,
        tags,
        trace,
        forget: false,
    } = &event.data
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
        parent: Some(state.parent_link(*dispatch, event.event_id)),
        scheduled_start: None,
        trace: trace.clone(),
        born_claimed: false,
    };
    Some(OpenChild { dispatch: *dispatch, instance_id: instance_id.clone(), again })
}
