//! From decisions to the change that they make.

use crate::{
    Action, ActionKind, Checkpoint, DispatchId, EventData, FailureDetails, HistoryEvent, InstanceId, MessageBody,
    NewActivity, NewChild, NewTimer, NextExecution, OpenKind, OrchestrationStatus, OutboundMessage, ParentLink,
    RuntimeState, Tags, Target, Timestamp,
};

use super::TurnError;
use crate::entity_turn::lock_request;

/// What makes a child: name, version, id, input, tags and trace.
type Child = (String, Option<String>, Option<InstanceId>, Option<String>, Tags, Option<crate::TraceContext>);

pub(super) struct Decisions<'a> {
    pub state: &'a RuntimeState,
    pub number: i64,
    pub index: u32,
    pub checkpoint: Checkpoint,
}

impl Decisions<'_> {
    /// The end comes last, wherever it stands, and only the first one counts: not every worker keeps the order of its code.
    pub fn take_all(&mut self, actions: Vec<Action>) -> Result<(), TurnError> {
        let (ends, steps): (Vec<_>, Vec<_>) = actions.into_iter().partition(|action| action.kind.is_end());
        steps.into_iter().chain(ends.into_iter().next()).try_for_each(|action| self.take(action))
    }

    fn take(&mut self, Action { id, kind }: Action) -> Result<(), TurnError> {
        match kind {
            ActionKind::ScheduleTask { name, version, input, tags, trace } => {
                self.schedule_task(
                    id,
                    NewActivity { dispatch: self.here(), task_id: id, name, version, input, tags, trace },
                );
            }
            ActionKind::CancelTask { task_id } => self.cancel_task(id, task_id)?,
            ActionKind::CreateSubOrchestration { name, version, instance_id, input, tags, trace, forget } => {
                if let Some(id) = instance_id.as_ref().filter(|id| id.is_entity()) {
                    return Err(TurnError::EntityId(id.clone()));
                }
                let child = (name, version, instance_id, input, tags, trace);
                self.create_child(id, child, forget);
            }
            ActionKind::CreateTimer { fire_at } => {
                let dispatch = self.next_dispatch();
                self.record(id, EventData::TimerCreated { dispatch, fire_at });
                self.checkpoint.timers.push(NewTimer { dispatch, fire_at });
            }
            ActionKind::CancelTimer { timer_id } => self.cancel_timer(id, timer_id)?,
            ActionKind::SendEvent { instance_id, name, input } => self.send_event(id, instance_id, name, input),
            ActionKind::TerminateInstance { instance_id, reason, recurse } => {
                let event =
                    EventData::InstanceTerminated { instance_id: instance_id.clone(), reason: reason.clone(), recurse };
                self.record(id, event);
                self.send(instance_id, MessageBody::ExecutionTerminated { reason, recurse });
            }
            ActionKind::CallEntity { request_id, target, operation, input, not_before, trace } => {
                let dispatch = self.next_dispatch();
                let (request, name) = (request_id.clone(), operation.clone());
                let event = EventData::EntityOperationCalled {
                    dispatch,
                    request_id: request,
                    operation: name,
                    input: input.clone(),
                    target: target.clone(),
                    not_before,
                };
                self.record(id, event);
                let caller = Some(self.state.caller(Some(dispatch)));
                let body = MessageBody::EntityOperation { request_id, operation, input, caller, trace };
                self.send_at(target, body, not_before);
            }
            ActionKind::SignalEntity { request_id, target, operation, input, not_before, trace } => {
                let (request, name) = (request_id.clone(), operation.clone());
                let event = EventData::EntityOperationSignaled {
                    request_id: request,
                    operation: name,
                    input: input.clone(),
                    target: target.clone(),
                    not_before,
                };
                self.record(id, event);
                let caller = Some(self.state.caller(None));
                let body = MessageBody::EntityOperation { request_id, operation, input, caller, trace };
                self.send_at(target, body, not_before);
            }
            ActionKind::LockEntities { critical_section, lock_set } => {
                self.lock_entities(id, critical_section, lock_set)
            }
            ActionKind::UnlockEntity { critical_section, target } => {
                let (section, entity) = (critical_section.clone(), target.clone());
                self.record(id, EventData::EntityUnlockSent { critical_section: section, target: entity });
                self.send(target, MessageBody::EntityUnlock { critical_section });
            }
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

    /// The dispatch id that the next step gets.
    fn here(&self) -> DispatchId {
        DispatchId { turn: self.number, index: self.index }
    }

    fn schedule_task(&mut self, id: i32, activity: NewActivity) {
        self.index += 1;
        let NewActivity { dispatch, name, version, input, tags, trace, .. } = activity.clone();
        self.record(id, EventData::TaskScheduled { dispatch, name, version, input, tags, trace });
        self.checkpoint.activities.push(activity);
    }

    /// This execution, for entities to answer to.
    fn lock_entities(&mut self, id: i32, critical_section: String, lock_set: Vec<InstanceId>) {
        let dispatch = self.next_dispatch();
        let event = EventData::EntityLockRequested {
            dispatch,
            critical_section: critical_section.clone(),
            lock_set: lock_set.clone(),
        };
        self.record(id, event);
        let owner = self.state.caller(Some(dispatch));
        self.checkpoint.messages.extend(lock_request(critical_section, lock_set, owner));
    }

    fn send(&mut self, target: InstanceId, body: MessageBody) {
        self.send_at(target, body, None);
    }

    fn send_at(&mut self, target: InstanceId, body: MessageBody, not_before: Option<Timestamp>) {
        self.checkpoint.messages.push(OutboundMessage { target: Target::Instance(target), body, not_before });
    }

    /// Locks that this turn asked for included, those that it gave back not.
    fn unlock_all(&mut self) {
        let mut locks: Vec<(String, InstanceId)> = Vec::new();
        for (section, entities) in self.state.locks() {
            locks.extend(entities.iter().map(|entity| (section.to_owned(), entity.clone())));
        }
        for event in &self.checkpoint.events {
            match &event.data {
                EventData::EntityLockRequested { critical_section, lock_set, .. } => {
                    locks.extend(lock_set.iter().map(|entity| (critical_section.clone(), entity.clone())));
                }
                EventData::EntityUnlockSent { critical_section, target } => {
                    locks.retain(|(section, entity)| section != critical_section || entity != target);
                }
                _ => {}
            }
        }
        for (critical_section, target) in locks {
            self.send(target, MessageBody::EntityUnlock { critical_section });
        }
    }

    fn create_child(&mut self, id: i32, (name, version, instance_id, input, own_tags, trace): Child, forget: bool) {
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
                trace: trace.clone(),
                forget,
            },
        );
        self.checkpoint.children.push(NewChild {
            instance_id,
            execution_id: parent_execution.child(dispatch),
            name,
            version,
            input,
            tags,
            parent: (!forget).then(|| self.state.parent_link(dispatch, id)),
            scheduled_start: None,
            trace,
            born_claimed: false,
        });
    }

    fn send_event(&mut self, id: i32, instance_id: InstanceId, name: String, input: Option<String>) {
        self.record(
            id,
            EventData::EventSent { instance_id: instance_id.clone(), name: name.clone(), input: input.clone() },
        );
        self.send(instance_id, MessageBody::EventRaised { name, input });
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

    pub fn terminate(&mut self, reason: Option<String>, recurse: bool) {
        if recurse {
            let children = self.state.open_dispatches().filter_map(|(_, open)| match &open.kind {
                OpenKind::SubOrchestration(instance_id) => Some(instance_id.clone()),
                _ => None,
            });
            self.checkpoint.messages.extend(children.map(|instance_id| {
                let body = MessageBody::ExecutionTerminated { reason: reason.clone(), recurse };
                OutboundMessage::new(Target::Child(instance_id), body)
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
        self.unlock_all();
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
        self.unlock_all();
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
    let target =
        Target::Execution { key: parent.key, instance_id: parent.instance_id.clone(), execution: parent.execution };
    OutboundMessage::new(target, body)
}
