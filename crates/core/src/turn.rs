//! The turn: messages and results in, a checkpoint out.
//!
//! [`OpenTurn::begin`] decides what the orchestration sees; user code decides what to do; [`OpenTurn::apply`] turns
//! that into a [`Checkpoint`]. Both are pure: the same arguments give the same result on any node.
//!
//! Ignored on purpose: answers to steps that are not open (they were answered, given up, or belong to an earlier
//! execution), everything after a request to terminate, and actions that follow the one that ends the execution.

mod decisions;

use std::collections::HashSet;

use chrono::TimeDelta;

use decisions::Decisions;

use crate::{
    Checkpoint, DispatchId, EventData, FailureDetails, HistoryEvent, Message, MessageBody, NodeId, OpenDispatch,
    OpenKind, OrchestrationStatus, RuntimeState, Timestamp, TurnActions,
};

/// Something for the orchestration to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxItem {
    /// A message from the store.
    Message(Message),
    /// The result of an activity that ran on this node and has no row.
    Completion {
        /// The step.
        dispatch: DispatchId,
        /// When it ended.
        at: Timestamp,
        /// What it returned.
        outcome: Result<Option<String>, FailureDetails>,
    },
}

/// Actions that no orchestrator may send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// A sub-orchestration under an entity's id.
    #[error("sub-orchestration '{0}' has the id of an entity: an orchestration's id does not begin with '@'")]
    EntityId(crate::InstanceId),
    /// A cancellation of something that is not open.
    #[error("the orchestration gave up step {task_id}, which is not an open {what}")]
    NotOpen {
        /// The id that it named.
        task_id: i32,
        /// What it should have been.
        what: &'static str,
    },
}

/// A turn between the moment its events are chosen and the moment user code has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTurn {
    number: i64,
    time: Timestamp,
    events: Vec<HistoryEvent>,
    /// Where each event came from, for those that user code does not get to.
    origins: Vec<Origin>,
    consumed: Vec<crate::MessageNumber>,
    terminated: Option<(Option<String>, bool)>,
}

impl OpenTurn {
    /// Chooses what the next turn sees, in the order given, at most `limit` items; what is left stays in `inbox`.
    /// `now` is an estimate of the database clock; the turn's time is never before the last turn nor before a timer
    /// that it sees. `None` when there is nothing to do.
    pub fn begin(state: &RuntimeState, inbox: &mut Vec<InboxItem>, now: Timestamp, limit: usize) -> Option<Self> {
        let first = state.turn == state.execution_turn;
        if inbox.is_empty() && !first {
            return None;
        }
        let mut turn = Self {
            number: state.turn + 1,
            time: match state.last_time {
                Some(last) => now.max(last + TimeDelta::microseconds(1)),
                // By an estimate of the clock it could begin before its time.
                None => state.started.scheduled_start.map_or(now, |start| now.max(start)),
            },
            events: Vec::new(),
            origins: Vec::new(),
            consumed: Vec::new(),
            terminated: None,
        };
        let mut answered = HashSet::new();
        let taken = fitting(inbox.iter().map(InboxItem::payload_bytes)).min(limit);
        for item in inbox.drain(..taken) {
            turn.take(state, item, &mut answered);
        }
        Some(turn)
    }

    fn take(&mut self, state: &RuntimeState, item: InboxItem, answered: &mut HashSet<DispatchId>) {
        let (origin, at, body) = match item {
            InboxItem::Completion { dispatch, at, outcome } => (
                Origin::Completion,
                at,
                match outcome {
                    Ok(result) => MessageBody::TaskCompleted { dispatch, result },
                    Err(failure) => MessageBody::TaskFailed { dispatch, failure },
                },
            ),
            InboxItem::Message(message) => {
                self.consumed.push(message.number);
                if message.execution.is_some_and(|execution| execution != state.execution) {
                    return;
                }
                let Message { number, execution, sent_at, visible_at, body } = message;
                (Origin::Message { number, execution, sent_at, visible_at }, sent_at.max(visible_at), body)
            }
        };
        if self.terminated.is_some() {
            return;
        }
        let task_id = match body.dispatch() {
            None => -1,
            Some(dispatch) => match state.open_dispatch(dispatch) {
                Some(open) if open.accepts(&body) && answered.insert(dispatch) => open.task_id,
                _ => return,
            },
        };
        match &body {
            MessageBody::TimerFired { fire_at, .. } => self.time = self.time.max(*fire_at),
            MessageBody::ExecutionTerminated { reason, recurse } => {
                self.terminated = Some((reason.clone(), *recurse));
            }
            _ => {}
        }
        if let Some(event) = body.into_event(task_id) {
            self.events.push(HistoryEvent::unsolicited(at, event));
            self.origins.push(origin);
        }
    }

    /// Takes back all events behind the first `seen`: user code did not get to them, and they come again.
    pub fn put_back(&mut self, seen: usize, inbox: &mut Vec<InboxItem>) {
        if seen >= self.events.len() {
            return;
        }
        let unseen = self.events.split_off(seen);
        let unseen: Vec<_> = self.origins.split_off(seen).into_iter().zip(unseen).filter_map(Origin::item).collect();
        self.consumed.retain(|number| !unseen.iter().any(|item| item.is_message(*number)));
        inbox.splice(0..0, unseen);
    }

    /// The number of this turn.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// The orchestration's current time in this turn.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// What the orchestration sees in this turn, after the derived `OrchestratorStarted` and `ExecutionStarted`.
    #[must_use]
    pub fn events(&self) -> &[HistoryEvent] {
        &self.events
    }

    /// Whether user code has to run: not when the turn ends the instance from outside, and not when all that came
    /// was out of date.
    #[must_use]
    pub fn runs_user_code(&self, state: &RuntimeState) -> bool {
        self.terminated.is_none() && (!self.events.is_empty() || state.turn == state.execution_turn)
    }

    /// Turns the decisions of user code into the change to be written. When [`OpenTurn::runs_user_code`] is false,
    /// `actions` is empty.
    ///
    /// # Errors
    /// [`TurnError`] when the actions do not fit the history; the orchestration is at fault.
    pub fn apply(
        self,
        state: &RuntimeState,
        node: NodeId,
        claim: i32,
        actions: TurnActions,
    ) -> Result<Checkpoint, TurnError> {
        let mut checkpoint = Checkpoint {
            key: state.key,
            instance_id: state.started.instance_id.clone(),
            node,
            claim,
            turn: state.turn,
            execution: state.execution,
            time: self.time,
            events: self.events,
            consumed: self.consumed,
            status: OrchestrationStatus::Running,
            custom_status: actions.custom_status,
            output: None,
            failure: None,
            next_execution: None,
            messages: Vec::new(),
            timers: Vec::new(),
            children: Vec::new(),
            activities: Vec::new(),
            cancelled: Vec::new(),
            hold: false,
            entity: None,
        };
        checkpoint.status = status_after(state, &checkpoint.events);
        if let Some(trace) = actions.trace.filter(|trace| state.trace.as_ref() != Some(trace)) {
            let (event_id, timestamp) = (-1, checkpoint.time);
            checkpoint.events.push(HistoryEvent {
                event_id,
                timestamp,
                data: EventData::OrchestrationTraced { trace },
            });
        }
        let mut decisions = Decisions { state, number: self.number, index: 0, checkpoint };
        match self.terminated {
            Some((reason, recurse)) => decisions.terminate(reason, recurse),
            None => decisions.take_all(actions.actions)?,
        }
        Ok(decisions.checkpoint)
    }
}

/// Where an event of a turn came from: what its message said besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Message { number: crate::MessageNumber, execution: Option<i32>, sent_at: Timestamp, visible_at: Timestamp },
    Completion,
}

impl Origin {
    /// What it was before it became an event.
    fn item((origin, event): (Self, HistoryEvent)) -> Option<InboxItem> {
        let body = MessageBody::from_event(&event.data)?;
        Some(match (origin, body) {
            (Self::Message { number, execution, sent_at, visible_at }, body) => {
                InboxItem::Message(Message { number, execution, sent_at, visible_at, body })
            }
            (Self::Completion, MessageBody::TaskCompleted { dispatch, result }) => {
                InboxItem::Completion { dispatch, at: event.timestamp, outcome: Ok(result) }
            }
            (Self::Completion, MessageBody::TaskFailed { dispatch, failure }) => {
                InboxItem::Completion { dispatch, at: event.timestamp, outcome: Err(failure) }
            }
            (Self::Completion, _) => return None,
        })
    }
}

/// Payload that one turn, or one batch of an entity, takes at most, as far as it is more than one item: workers receive
/// 4 MB in one message.
pub(crate) const MOST_BYTES: usize = 2 * 1024 * 1024;

/// How many items of these sizes go together.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fits = |(place, size): &(usize, usize)| {
        total += size;
        *place == 0 || total <= MOST_BYTES
    };
    sizes.enumerate().take_while(fits).count()
}

impl InboxItem {
    fn payload_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.body.payload_bytes(),
            Self::Completion { outcome: Ok(result), .. } => result.as_ref().map_or(0, String::len),
            Self::Completion { outcome: Err(failure), .. } => failure.payload_bytes(),
        }
    }

    fn is_message(&self, number: crate::MessageNumber) -> bool {
        matches!(self, Self::Message(message) if message.number == number)
    }
}

impl OpenDispatch {
    fn accepts(&self, body: &MessageBody) -> bool {
        matches!(
            (&self.kind, body),
            (OpenKind::Task(_), MessageBody::TaskCompleted { .. } | MessageBody::TaskFailed { .. })
                | (OpenKind::Timer(_), MessageBody::TimerFired { .. })
                | (
                    OpenKind::EntityCall,
                    MessageBody::EntityOperationCompleted { .. } | MessageBody::EntityOperationFailed { .. }
                )
                | (OpenKind::EntityLock, MessageBody::EntityLockGranted { .. })
                | (
                    OpenKind::SubOrchestration(_),
                    MessageBody::SubOrchestrationInstanceCompleted { .. }
                        | MessageBody::SubOrchestrationInstanceFailed { .. }
                )
        )
    }
}

fn status_after(state: &RuntimeState, events: &[HistoryEvent]) -> OrchestrationStatus {
    let before = match state.status {
        OrchestrationStatus::Suspended => OrchestrationStatus::Suspended,
        _ => OrchestrationStatus::Running,
    };
    events.iter().fold(before, |status, event| match event.data {
        EventData::ExecutionSuspended { .. } => OrchestrationStatus::Suspended,
        EventData::ExecutionResumed { .. } => OrchestrationStatus::Running,
        _ => status,
    })
}
