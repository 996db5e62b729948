//! A history as a test wants to read it.

use std::fmt;
use std::time::Duration;

use everdure_core::{EventData, HistoryTurn, InstanceId, InstanceRecord, OrchestrationStatus};

/// What happened to the current execution of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    record: InstanceRecord,
    turns: Vec<HistoryTurn>,
}

impl History {
    pub(super) fn new(record: InstanceRecord, turns: Vec<HistoryTurn>) -> Self {
        Self { record, turns }
    }

    /// The instance as it stood then.
    #[must_use]
    pub fn record(&self) -> &InstanceRecord {
        &self.record
    }

    /// The turns, for [`crate::testing::check_replay`] and for a closer look.
    #[must_use]
    pub fn turns(&self) -> &[HistoryTurn] {
        &self.turns
    }

    /// The events of all turns, in order.
    pub fn events(&self) -> impl Iterator<Item = &EventData> {
        self.turns.iter().flat_map(|turn| &turn.events).map(|event| &event.data)
    }

    /// Every step in words, in order: `scheduled greet`, `greet returned`, `timer fired`, `event approved`, `completed`.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.events().map(|event| self.say(event)).collect()
    }

    /// The names of the activities that were scheduled, in order.
    #[must_use]
    pub fn activities(&self) -> Vec<&str> {
        self.pick(|event| match event {
            EventData::TaskScheduled { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of the events that were received, in order.
    #[must_use]
    pub fn events_raised(&self) -> Vec<&str> {
        self.pick(|event| match event {
            EventData::EventRaised { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// How long each durable timer was set for, in order.
    #[must_use]
    pub fn timers(&self) -> Vec<Duration> {
        let timers = self.turns.iter().flat_map(|turn| turn.events.iter().map(move |event| (turn.time, &event.data)));
        let lengths = timers.filter_map(|(now, event)| match event {
            EventData::TimerCreated { fire_at, .. } => Some((*fire_at - now).to_std().unwrap_or_default()),
            _ => None,
        });
        lengths.collect()
    }

    /// The instance ids of the sub-orchestrations that were started, in order.
    #[must_use]
    pub fn children(&self) -> Vec<&InstanceId> {
        self.pick(|event| match event {
            EventData::SubOrchestrationInstanceCreated { instance_id, .. } => Some(instance_id),
            _ => None,
        })
    }

    /// The entities that were signalled, in order, each with the operation.
    #[must_use]
    pub fn signals(&self) -> Vec<(&InstanceId, &str)> {
        self.pick(|event| match event {
            EventData::EntityOperationSignaled { target, operation, .. } => Some((target, operation.as_str())),
            _ => None,
        })
    }

    fn pick<'a, T>(&'a self, pick: impl Fn(&'a EventData) -> Option<T>) -> Vec<T> {
        self.events().filter_map(pick).collect()
    }

    fn say(&self, event: &EventData) -> String {
        use EventData as Event;
        match event {
            Event::TaskScheduled { name, .. } => format!("scheduled {name}"),
            Event::TaskCompleted { dispatch, .. } => format!("{} returned", self.callee(*dispatch)),
            Event::TaskFailed { dispatch, failure, .. } => {
                format!("{} failed: {}", self.callee(*dispatch), failure.error_message)
            }
            Event::TaskCancelled { dispatch, .. } => format!("{} cancelled", self.callee(*dispatch)),
            Event::SubOrchestrationInstanceCreated { name, .. } => format!("started {name}"),
            Event::SubOrchestrationInstanceCompleted { dispatch, .. } => format!("{} returned", self.callee(*dispatch)),
            Event::SubOrchestrationInstanceFailed { dispatch, failure, .. } => {
                format!("{} failed: {}", self.callee(*dispatch), failure.error_message)
            }
            Event::EntityOperationCalled { operation, target, .. } => format!("called {operation} of {target}"),
            Event::EntityOperationCompleted { dispatch, .. } => format!("{} returned", self.callee(*dispatch)),
            Event::EntityOperationFailed { dispatch, failure, .. } => {
                format!("{} failed: {}", self.callee(*dispatch), failure.error_message)
            }
            Event::EntityOperationSignaled { operation, target, .. } => format!("signalled {operation} to {target}"),
            Event::EntityLockRequested { lock_set, .. } => {
                let entities: Vec<_> = lock_set.iter().map(InstanceId::as_str).collect();
                format!("asked to lock {}", entities.join(", "))
            }
            Event::EntityLockGranted { .. } => "locked".to_owned(),
            Event::EntityUnlockSent { target, .. } => format!("unlocked {target}"),
            Event::TimerCreated { .. } => "timer set".to_owned(),
            Event::TimerFired { .. } => "timer fired".to_owned(),
            Event::TimerCancelled { .. } => "timer cancelled".to_owned(),
            Event::EventRaised { name, .. } => format!("event {name}"),
            Event::EventSent { name, instance_id, .. } => format!("event {name} sent to {instance_id}"),
            Event::ExecutionSuspended { .. } => "suspended".to_owned(),
            Event::ExecutionResumed { .. } => "resumed".to_owned(),
            Event::ExecutionTerminated { .. } => "termination asked for".to_owned(),
            Event::ExecutionCompleted { status: OrchestrationStatus::Completed, .. } => "completed".to_owned(),
            Event::ExecutionCompleted { failure: Some(failure), .. } => format!("failed: {}", failure.error_message),
            Event::ExecutionCompleted { .. } => "terminated".to_owned(),
            other => other.type_name().to_owned(),
        }
    }

    fn callee(&self, wanted: everdure_core::DispatchId) -> &str {
        let names = self.events().filter_map(|event| match event {
            EventData::TaskScheduled { dispatch, name, .. }
            | EventData::SubOrchestrationInstanceCreated { dispatch, name, .. }
            | EventData::EntityOperationCalled { dispatch, operation: name, .. } => Some((*dispatch, name.as_str())),
            _ => None,
        });
        names.into_iter().find(|(dispatch, _)| *dispatch == wanted).map_or("something unknown", |(_, name)| name)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InstanceRecord { instance_id, name, status, .. } = &self.record;
        write!(f, "instance '{instance_id}' of '{name}' is {status}")?;
        for (number, step) in (1..).zip(self.steps()) {
            write!(f, "\n  {number}. {step}")?;
        }
        Ok(())
    }
}
