//! What a history adds up to: which steps are open, where the instance stands.

use std::collections::BTreeMap;

use crate::{
    DispatchId, EventData, ExecutionStarted, HistoryEvent, HistoryTurn, InstanceKey, NewActivity, OrchestrationStatus,
    Timestamp,
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
    open: BTreeMap<DispatchId, OpenDispatch>,
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
            open: BTreeMap::new(),
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
            EventData::TaskScheduled { dispatch, name, version, input, tags } => {
                let activity = NewActivity {
                    dispatch: *dispatch,
                    name: name.clone(),
                    version: version.clone(),
                    input: input.clone(),
                    tags: tags.clone(),
                };
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::Task(activity) });
            }
            EventData::TimerCreated { dispatch, fire_at } => {
                self.open.insert(*dispatch, OpenDispatch { task_id, kind: OpenKind::Timer(*fire_at) });
            }
            EventData::SubOrchestrationInstanceCreated { dispatch, instance_id, .. } => {
                let kind = OpenKind::SubOrchestration(instance_id.clone());
                self.open.insert(*dispatch, OpenDispatch { task_id, kind });
            }
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

    /// The key under which an activity's side effects may be made idempotent: the same each time it runs.
    #[must_use]
    pub fn idempotency_key(&self, dispatch: DispatchId) -> String {
        format!("{}/{dispatch}", self.started.execution_id)
    }
}
