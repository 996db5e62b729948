//! What a history adds up to: which steps are open, where the instance stands.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    DispatchId, EntityCaller, EventData, ExecutionStarted, HistoryEvent, HistoryTurn, InstanceKey, MessageBody,
    NewActivity, OrchestrationStatus, OrchestrationTrace, ParentLink, Timestamp,
};

/// A step that was scheduled and has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDispatch {
    /// The orchestrator's id for it.
    pub task_id: i32,
    /// What it is.
    pub kind: OpenKind,
}

/// The kinds of open steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenKind {
    /// An activity; with all that is needed to dispatch it again.
    Task(NewActivity),
    /// A timer and its fire time.
    Timer(Timestamp),
    /// A child and its instance id.
    SubOrchestration(crate::InstanceId),
    /// An operation of an entity.
    EntityCall,
    /// Entities to be locked.
    EntityLock,
}

impl OpenKind {
    /// Whether the answer comes from an entity, which sends it to this row and no other.
    pub(crate) fn is_of_entity(&self) -> bool {
        matches!(self, Self::EntityCall | Self::EntityLock)
    }
}

/// A history that cannot be what this project wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("history of instance row {key}: {problem}")]
pub struct CorruptHistory {
    /// The row.
    pub key: InstanceKey,
    /// What does not fit.
    pub problem: String,
}

/// The state of one execution, folded from its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeState {
    /// The row.
    pub key: InstanceKey,
    /// The generation number.
    pub execution: i32,
    /// What opened the execution.
    pub started: ExecutionStarted,
    /// The last turn that is durable.
    pub turn: i64,
    /// The turn at which this execution began; its first own turn is the next.
    pub execution_turn: i64,
    /// The time of the last turn, if there was one.
    pub last_time: Option<Timestamp>,
    /// Where it stands after the last turn.
    pub status: OrchestrationStatus,
    /// The span of this execution, as its SDK keeps it.
    pub trace: Option<OrchestrationTrace>,
    open: BTreeMap<DispatchId, OpenDispatch>,
    /// Entities that are locked or asked for, by critical section.
    locks: BTreeMap<String, Vec<crate::InstanceId>>,
}

impl RuntimeState {
    /// An execution of which no turn is durable yet.
    #[must_use]
    pub fn new(key: InstanceKey, execution: i32, execution_turn: i64, started: ExecutionStarted) -> Self {
        Self {
            key,
            execution,
            started,
            turn: execution_turn,
            execution_turn,
            last_time: None,
            status: if execution == 0 { OrchestrationStatus::Pending } else { OrchestrationStatus::Running },
            trace: None,
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    /// Folds a stored history.
    ///
    /// # Errors
    /// [`CorruptHistory`] when turns are missing or out of order, or an answer has no question.
    pub fn replay(mut self, history: &[HistoryTurn]) -> Result<Self, CorruptHistory> {
        for turn in history {
            if turn.turn != self.turn + 1 {
                return Err(self.corrupt(format!("turn {} follows turn {}", turn.turn, self.turn)));
            }
            self.fold(turn.turn, turn.time, &turn.events)?;
        }
        Ok(self)
    }

    /// Adds one turn.
    ///
    /// # Errors
    /// [`CorruptHistory`] when an answer has no question.
    pub fn fold(&mut self, turn: i64, time: Timestamp, events: &[HistoryEvent]) -> Result<(), CorruptHistory> {
        self.turn = turn;
        self.last_time = Some(time);
        if self.status == OrchestrationStatus::Pending {
            self.status = OrchestrationStatus::Running;
        }
        events.iter().try_for_each(|event| self.fold_event(event))
    }

    fn fold_event(&mut self, event: &HistoryEvent) -> Result<(), CorruptHistory> {
        let task_id = event.event_id;
        match &event.data {
            EventData::TaskScheduled { dispatch, name, version, input, tags, trace } => {
                let activity = NewActivity {
                    task_id,
                    dispatch: *dispatch,
                    name: name.clone(),
                    version: version.clone(),
                    input: input.clone(),
                    tags: tags.clone(),
                    trace: trace.clone(),
                };
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::Task(activity) });
            }
            EventData::TimerCreated { dispatch, fire_at } => {
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::Timer(*fire_at) });
            }
            EventData::SubOrchestrationInstanceCreated { forget: true, .. } => {}
            EventData::SubOrchestrationInstanceCreated { dispatch, instance_id, .. } => {
                let kind = OpenKind::SubOrchestration(instance_id.clone());
                self.open.insert(*dispatch, OpenDispatch { task_id, kind });
            }
            EventData::EntityOperationCalled { dispatch, .. } => {
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::EntityCall });
            }
            EventData::EntityLockRequested { dispatch, critical_section, lock_set } => {
                self.locks.insert(critical_section.clone(), lock_set.clone());
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::EntityLock });
            }
            EventData::EntityUnlockSent { critical_section, target } => self.unlock(critical_section, target),
            EventData::OrchestrationTraced { trace } => self.trace = Some(trace.clone()),
            // Already closed when its answer came in the very turn in which it was given up.
            EventData::TaskCancelled { dispatch, .. } | EventData::TimerCancelled { dispatch, .. } => {
                self.open.remove(dispatch);
            }
            EventData::ExecutionSuspended { .. } => self.status = OrchestrationStatus::Suspended,
            EventData::ExecutionResumed { .. } => self.status = OrchestrationStatus::Running,
            EventData::ExecutionCompleted { status, .. } => self.status = *status,
            other => {
                if let Some(dispatch) = other.answers() {
                    self.close(dispatch)?;
                }
            }
        }
        Ok(())
    }

    fn unlock(&mut self, critical_section: &str, target: &crate::InstanceId) {
        if let Some(locked) = self.locks.get_mut(critical_section) {
            locked.retain(|entity| entity != target);
            if locked.is_empty() {
                self.locks.remove(critical_section);
            }
        }
    }

    fn close(&mut self, dispatch: DispatchId) -> Result<(), CorruptHistory> {
        match self.open.remove(&dispatch) {
            Some(_) => Ok(()),
            None => Err(self.corrupt(format!("an answer to step {dispatch}, which is not open"))),
        }
    }

    fn corrupt(&self, problem: String) -> CorruptHistory {
        CorruptHistory { key: self.key, problem }
    }

    /// The open step with that id.
    #[must_use]
    pub fn open_dispatch(&self, dispatch: DispatchId) -> Option<&OpenDispatch> {
        self.open.get(&dispatch)
    }

    /// The steps that are open and that none of these messages answers, oldest first.
    pub fn unanswered<'a>(
        &self,
        messages: impl Iterator<Item = &'a MessageBody>,
    ) -> impl Iterator<Item = (DispatchId, &OpenDispatch)> {
        let answered: BTreeSet<_> = messages.filter_map(MessageBody::dispatch).collect();
        self.open_dispatches().filter(move |(dispatch, _)| !answered.contains(dispatch))
    }

    /// This execution, as entities know who calls, signals or locks them.
    #[must_use]
    pub fn caller(&self, dispatch: Option<DispatchId>) -> EntityCaller {
        EntityCaller {
            key: self.key,
            execution: self.execution,
            instance_id: self.started.instance_id.clone(),
            execution_id: self.started.execution_id,
            dispatch,
        }
    }

    /// The steps that are open, oldest first.
    pub fn open_dispatches(&self) -> impl Iterator<Item = (DispatchId, &OpenDispatch)> {
        self.open.iter().map(|(dispatch, open)| (*dispatch, open))
    }

    /// The activities that are open, oldest first: what a new holder must dispatch again if it has neither a row
    /// nor a waiting result.
    pub fn open_activities(&self) -> impl Iterator<Item = &NewActivity> {
        self.open.values().filter_map(|open| match &open.kind {
            OpenKind::Task(activity) => Some(activity),
            _ => None,
        })
    }

    /// Critical sections that are open or asked for, with the entities of each that were not unlocked.
    pub fn locks(&self) -> impl Iterator<Item = (&str, &[crate::InstanceId])> {
        self.locks.iter().map(|(section, entities)| (section.as_str(), entities.as_slice()))
    }

    /// What a child of that step keeps, to tell its end to this execution.
    #[must_use]
    pub fn parent_link(&self, dispatch: DispatchId, task_id: i32) -> ParentLink {
        ParentLink {
            key: self.key,
            execution: self.execution,
            dispatch,
            instance_id: self.started.instance_id.clone(),
            task_id,
            name: self.started.name.clone(),
            version: self.started.version.clone(),
            execution_id: Some(self.started.execution_id),
        }
    }

    /// The key under which an activity's side effects may be made idempotent: the same each time it runs.
    #[must_use]
    pub fn idempotency_key(&self, dispatch: DispatchId) -> String {
        self.started.execution_id.idempotency_key(dispatch)
    }
}
