//! The turn: messages and results in, a checkpoint out.
//!
//! [`OpenTurn::begin`] decides what the orchestration sees; user code decides what to do; [`OpenTurn::apply`] turns
//! that into a [`Checkpoint`]. Both are pure: the same arguments give the same result on any node.
//!
//! Ignored on purpose: answers to steps that are not open (they were answered, given up, or belong to an earlier
//! execution), everything after a request to terminate, and actions that follow the one that ends the execution.

use std::collections::HashSet;

use chrono::TimeDelta;

use crate::{
    Action, ActionKind, Checkpoint, DispatchId, EventData, FailureDetails, HistoryEvent, InstanceId, Message,
    MessageBody, NewActivity, NewChild, NewTimer, NextExecution, NodeId, OpenDispatch, OpenKind, OrchestrationStatus,
    OutboundMessage, ParentLink, RuntimeState, Tags, Target, Timestamp, TurnActions,
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
            time: state.last_time.map_or(now, |last| now.max(last + TimeDelta::microseconds(1))),
            events: Vec::new(),
            consumed: Vec::new(),
            terminated: None,
        };
        let mut answered = HashSet::new();
        let taken = inbox.len().min(limit);
        for item in inbox.drain(..taken) {
            turn.take(state, item, &mut answered);
        }
        Some(turn)
    }

    fn take(&mut self, state: &RuntimeState, item: InboxItem, answered: &mut HashSet<DispatchId>) {
        let (at, body) = match item {
            InboxItem::Completion { dispatch, at, outcome } => (
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
                (message.sent_at.max(message.visible_at), message.body)
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
        self.events.push(HistoryEvent::unsolicited(at, body.into_event(task_id)));
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
        };
        checkpoint.status = status_after(state, &checkpoint.events);
        let mut decisions = Decisions { state, number: self.number, index: 0, checkpoint };
        match self.terminated {
            Some((reason, recurse)) => decisions.terminate(reason, recurse),
            None => decisions.take_all(actions.actions)?,
        }
        Ok(decisions.checkpoint)
    }
}

impl OpenDispatch {
    fn accepts(&self, body: &MessageBody) -> bool {
        matches!(
            (&self.kind, body),
            (OpenKind::Task(_), MessageBody::TaskCompleted { .. } | MessageBody::TaskFailed { .. })
                | (OpenKind::Timer(_), MessageBody::TimerFired { .. })
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

struct Decisions<'a> {
    state: &'a RuntimeState,
    number: i64,
    index: u32,
    checkpoint: Checkpoint,
}

impl Decisions<'_> {
    fn take_all(&mut self, actions: Vec<Action>) -> Result<(), TurnError> {
        for action in actions {
            if self.checkpoint.status.is_terminal() || self.checkpoint.next_execution.is_some() {
                break;
            }
            self.take(action)?;
        }
        Ok(())
    }

    fn take(&mut self, Action { id, kind }: Action) -> Result<(), TurnError> {
        match kind {
            ActionKind::ScheduleTask { name, version, input, tags } => {
                self.schedule_task(id, name, version, input, tags);
            }
            ActionKind::CancelTask { task_id } => self.cancel_task(id, task_id)?,
            ActionKind::CreateSubOrchestration { name, version, instance_id, input, tags } => {
                self.create_child(id, name, version, instance_id, input, tags);
            }
            ActionKind::CreateTimer { fire_at } => {
                let dispatch = self.next_dispatch();
                self.record(id, EventData::TimerCreated { dispatch, fire_at });
                self.checkpoint.timers.push(NewTimer { dispatch, fire_at });
            }
            ActionKind::CancelTimer { timer_id } => self.cancel_timer(id, timer_id)?,
            ActionKind::SendEvent { instance_id, name, input } => self.send_event(id, instance_id, name, input),
            ActionKind::Complete { result } => {
                self.finish(id, OrchestrationStatus::Completed, result, None);
            }
            ActionKind::Fail { failure } => self.finish(id, OrchestrationStatus::Failed, None, Some(failure)),
            ActionKind::ContinueAsNew { input, version, carry_over } => {
                self.continue_as_new(id, input, version, carry_over);
            }
        }
        Ok(())
    }

    fn next_dispatch(&mut self) -> DispatchId {
        let dispatch = DispatchId { turn: self.number, index: self.index };
        self.index += 1;
        dispatch
    }

    fn record(&mut self, event_id: i32, data: EventData) {
        let timestamp = self.checkpoint.time;
        self.checkpoint.events.push(HistoryEvent { event_id, timestamp, data });
    }

    fn schedule_task(&mut self, id: i32, name: String, version: Option<String>, input: Option<String>, own_tags: Tags) {
        let dispatch = self.next_dispatch();
        let mut tags = self.state.started.tags.clone();
        tags.extend(own_tags);
        self.record(
            id,
            EventData::TaskScheduled {
                dispatch,
                name: name.clone(),
                version: version.clone(),
                input: input.clone(),
                tags: tags.clone(),
            },
        );
        self.checkpoint.activities.push(NewActivity { dispatch, name, version, input, tags });
    }

    fn create_child(
        &mut self,
        id: i32,
        name: String,
        version: Option<String>,
        instance_id: Option<InstanceId>,
        input: Option<String>,
        own_tags: Tags,
    ) {
        let dispatch = self.next_dispatch();
        let parent_execution = self.state.started.execution_id;
        // Unwrap safety: hexadecimal digits, a colon and a dispatch id are visible characters.
        let instance_id = instance_id.unwrap_or_else(|| {
            InstanceId::new(format!("{parent_execution}:{dispatch}")).expect("a derived instance id is valid")
        });
        let mut tags = self.state.started.tags.clone();
        tags.extend(own_tags);
        self.record(
            id,
            EventData::SubOrchestrationInstanceCreated {
                dispatch,
                name: name.clone(),
                version: version.clone(),
                instance_id: instance_id.clone(),
                input: input.clone(),
                tags: tags.clone(),
            },
        );
        self.checkpoint.children.push(NewChild {
            instance_id,
            execution_id: parent_execution.child(dispatch),
            name,
            version,
            input,
            tags,
            parent: ParentLink {
                key: self.state.key,
                execution: self.state.execution,
                dispatch,
                instance_id: self.state.started.instance_id.clone(),
                task_id: id,
            },
            born_claimed: false,
        });
    }

    fn send_event(&mut self, id: i32, instance_id: InstanceId, name: String, input: Option<String>) {
        self.record(
            id,
            EventData::EventSent { instance_id: instance_id.clone(), name: name.clone(), input: input.clone() },
        );
        self.checkpoint.messages.push(OutboundMessage {
            target: Target::Instance(instance_id),
            body: MessageBody::EventRaised { name, input },
        });
    }

    /// A step scheduled and given up in the same turn leaves its two events in history and nothing else.
    fn cancel_task(&mut self, id: i32, task_id: i32) -> Result<(), TurnError> {
        let dispatch = self.find(task_id, |data| match data {
            EventData::TaskScheduled { dispatch, .. } => Some(*dispatch),
            _ => None,
        });
        let dispatch = dispatch
            .or_else(|| self.find_open(task_id, |kind| matches!(kind, OpenKind::Task(_))))
            .ok_or(TurnError::NotOpen { task_id, what: "activity" })?;
        self.checkpoint.activities.retain(|activity| activity.dispatch != dispatch);
        self.give_up(dispatch);
        self.record(id, EventData::TaskCancelled { dispatch, task_id });
        Ok(())
    }

    fn cancel_timer(&mut self, id: i32, timer_id: i32) -> Result<(), TurnError> {
        let dispatch = self.find(timer_id, |data| match data {
            EventData::TimerCreated { dispatch, .. } => Some(*dispatch),
            _ => None,
        });
        let dispatch = dispatch
            .or_else(|| self.find_open(timer_id, |kind| matches!(kind, OpenKind::Timer(_))))
            .ok_or(TurnError::NotOpen { task_id: timer_id, what: "timer" })?;
        self.checkpoint.timers.retain(|timer| timer.dispatch != dispatch);
        self.give_up(dispatch);
        self.record(id, EventData::TimerCancelled { dispatch, timer_id });
        Ok(())
    }

    fn give_up(&mut self, dispatch: DispatchId) {
        if dispatch.turn != self.number {
            self.checkpoint.cancelled.push(dispatch);
        }
    }

    /// The step that this turn recorded under that id.
    fn find(&self, task_id: i32, pick: impl Fn(&EventData) -> Option<DispatchId>) -> Option<DispatchId> {
        self.checkpoint
            .events
            .iter()
            .rev()
            .filter(|event| event.event_id == task_id)
            .find_map(|event| pick(&event.data))
    }

    /// The latest step of earlier turns that is open under that id.
    fn find_open(&self, task_id: i32, is_kind: impl Fn(&OpenKind) -> bool) -> Option<DispatchId> {
        self.state
            .open_dispatches()
            .filter(|(_, open)| open.task_id == task_id && is_kind(&open.kind))
            .last()
            .map(|(dispatch, _)| dispatch)
    }

    fn terminate(&mut self, reason: Option<String>, recurse: bool) {
        if recurse {
            let children = self.state.open_dispatches().filter_map(|(_, open)| match &open.kind {
                OpenKind::SubOrchestration(instance_id) => Some(instance_id.clone()),
                _ => None,
            });
            self.checkpoint.messages.extend(children.map(|instance_id| OutboundMessage {
                target: Target::Instance(instance_id),
                body: MessageBody::ExecutionTerminated { reason: reason.clone(), recurse },
            }));
        }
        self.finish(-1, OrchestrationStatus::Terminated, reason, None);
    }

    /// Ends the execution: nothing that it left running matters any more, and whoever waits is told.
    fn finish(
        &mut self,
        id: i32,
        status: OrchestrationStatus,
        result: Option<String>,
        failure: Option<FailureDetails>,
    ) {
        self.record(id, EventData::ExecutionCompleted { status, result: result.clone(), failure: failure.clone() });
        if let Some(parent) = &self.state.started.parent {
            let message = notify_parent(parent, &self.state.started.name, status, &result, &failure);
            self.checkpoint.messages.push(message);
        }
        self.checkpoint.activities.clear();
        self.checkpoint.timers.clear();
        self.checkpoint.status = status;
        self.checkpoint.output = result;
        self.checkpoint.failure = failure;
    }

    fn continue_as_new(
        &mut self,
        id: i32,
        input: Option<String>,
        version: Option<String>,
        carry_over: Vec<(String, Option<String>)>,
    ) {
        self.record(id, EventData::ContinueAsNew { input: input.clone() });
        self.checkpoint.activities.clear();
        self.checkpoint.timers.clear();
        self.checkpoint.next_execution = Some(NextExecution {
            execution_id: self.state.started.execution_id.next(self.number),
            version: version.or_else(|| self.state.started.version.clone()),
            input,
            carry_over: carry_over.into_iter().map(|(name, input)| MessageBody::EventRaised { name, input }).collect(),
        });
    }
}

fn notify_parent(
    parent: &ParentLink,
    name: &str,
    status: OrchestrationStatus,
    result: &Option<String>,
    failure: &Option<FailureDetails>,
) -> OutboundMessage {
    let dispatch = parent.dispatch;
    let body = match (status, failure) {
        (OrchestrationStatus::Completed, _) => {
            MessageBody::SubOrchestrationInstanceCompleted { dispatch, result: result.clone() }
        }
        (_, Some(failure)) => MessageBody::SubOrchestrationInstanceFailed { dispatch, failure: failure.clone() },
        (_, None) => MessageBody::SubOrchestrationInstanceFailed {
            dispatch,
            failure: FailureDetails::new(
                "OrchestrationTerminated",
                format!(
                    "sub-orchestration '{name}' was terminated: {}",
                    result.as_deref().unwrap_or("no reason given")
                ),
            ),
        },
    };
    OutboundMessage {
        target: Target::Execution {
            key: parent.key,
            instance_id: parent.instance_id.clone(),
            execution: parent.execution,
        },
        body,
    }
}
