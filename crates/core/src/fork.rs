//! Forking: a second instance that has the past of the first up to some event, and its own future.
//!
//! The turns before the chosen one are copied; of the chosen one, what it saw up to the event comes again as messages, so
//! that its decisions are taken anew. The fork has an execution id of its own: its activities have other idempotency
//! keys, and its children other ids, than those of the source.

use crate::{
    BackendError, BackendResult, EventData, ExecutionId, ExportedInstance, ExportedMessage, ExportedTurn, HistoryTurn,
    InstanceId, InstanceKey, MessageBody, OpenKind, RuntimeState, Timestamp,
};

/// Where a fork leaves its source, and what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The id of the fork.
    pub instance_id: InstanceId,
    /// The id of its execution.
    pub execution_id: ExecutionId,
    /// The turn that is taken anew.
    pub turn: i64,
    /// Of what that turn saw, only so many events; all without.
    pub events: Option<usize>,
    /// Another input. Code that decided by it in the turns that are copied no longer fits its history.
    pub input: Option<Option<String>>,
}

/// A sub-orchestration that the source waits for at that point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedChild {
    /// The step.
    pub dispatch: crate::DispatchId,
    /// Its instance id.
    pub instance_id: InstanceId,
}

impl ExportedInstance {
    /// The fork of this instance, to be imported, and the sub-orchestrations whose answers it lacks.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such turn, with those that there are, or when it waits there for an
    /// entity: the answer is meant for the source.
    pub fn fork(mut self, fork: Fork, now: Timestamp) -> BackendResult<(Self, Vec<AwaitedChild>)> {
        let mut all = self.turns()?;
        all.iter_mut().for_each(|turn| rename_sections(turn, &fork.execution_id));
        let Some(at) = all.iter().position(|turn| turn.turn == fork.turn) else {
            let turns = match (all.first(), all.last()) {
                (Some(first), Some(last)) => format!("only turns {} to {}", first.turn, last.turn),
                _ => "no turn at all".to_owned(),
            };
            let id = self.instance_id;
            return Err(BackendError::invalid(format!(
                "instance '{id}' has no turn {} to fork from: {turns}",
                fork.turn
            )));
        };
        let source = std::mem::replace(&mut self.instance_id, fork.instance_id);
        self.execution_id = fork.execution_id;
        if let Some(input) = fork.input {
            self.input = input;
        }
        let (kept, rest) = all.split_at(at);
        let fresh = RuntimeState::new(InstanceKey(0), self.execution, self.execution_turn, self.started());
        let state = fresh.replay(kept).map_err(|error| BackendError::invalid(error.to_string()))?;
        let seen = rest[0].events.iter().filter_map(|event| MessageBody::from_event(&event.data));
        let seen: Vec<_> = seen.take(fork.events.unwrap_or(usize::MAX)).collect();
        let open = || state.unanswered(seen.iter());
        if open().any(|(_, open)| open.kind.is_of_entity()) {
            return Err(BackendError::invalid(format!(
                "at turn {} instance '{source}' waits for an entity, whose answer would not come to a fork: choose a turn \
                 before it asked, or after the answer",
                fork.turn
            )));
        }
        let timers = open().filter_map(|(dispatch, open)| match open.kind {
            OpenKind::Timer(fire_at) => Some((MessageBody::TimerFired { dispatch, fire_at }, fire_at)),
            _ => None,
        });
        let children = open().filter_map(|(dispatch, open)| match &open.kind {
            OpenKind::SubOrchestration(instance_id) => {
                Some(AwaitedChild { dispatch, instance_id: instance_id.clone() })
            }
            _ => None,
        });
        let children = children.collect();
        let execution = Some(self.execution);
        let messages = seen.iter().map(|body| (body.clone(), now)).chain(timers).map(|(body, visible_at)| {
            ExportedMessage { execution: body.dispatch().and(execution), sent_at: now, visible_at, body }
        });
        self.messages = messages.collect();
        self.history = kept.iter().map(ExportedTurn::new).collect();
        (self.turn, self.status) = (state.turn, state.status);
        (self.parent, self.scheduled_start) = (None, None);
        (self.created_at, self.updated_at, self.completed_at) = (now, now, None);
        (self.output, self.failure) = (None, None);
        Ok((self, children))
    }

    /// Gives a fork the answer that it lacks.
    pub fn answer(&mut self, body: MessageBody, now: Timestamp) {
        let execution = Some(self.execution);
        self.messages.push(ExportedMessage { execution, sent_at: now, visible_at: now, body });
    }
}

/// Critical sections get other names, so that the fork does not release what its source has locked.
fn rename_sections(turn: &mut HistoryTurn, execution_id: &ExecutionId) {
    for event in &mut turn.events {
        if let EventData::EntityLockRequested { critical_section, .. }
        | EventData::EntityLockGranted { critical_section, .. }
        | EventData::EntityUnlockSent { critical_section, .. } = &mut event.data
        {
            *critical_section = execution_id.derive(&format!("fork:{critical_section}")).to_string();
        }
    }
}
