//! What was signalled or started, for as long as it can still be changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everdure_core::{ActionKind, EntityAction, FailureDetails, InstanceId, InvalidId, Timestamp};

use crate::replay::Shared;

/// What an operation does besides changing the state.
#[derive(Clone, Default)]
pub(super) struct Effects(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(super) struct Inner {
    pub actions: Vec<EntityAction>,
    /// The state goes.
    pub deleted: bool,
    /// The operation has ended; nothing more happens in its name.
    pub over: bool,
    /// Misuse that has no other way to be told.
    pub fault: Option<FailureDetails>,
}

impl Effects {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an action; gives its place.
    ///
    /// # Errors
    /// When the operation is over.
    pub fn push(&self, action: EntityAction) -> Result<usize, FailureDetails> {
        let mut inner = self.lock();
        if inner.over {
            return Err(FailureDetails::new(
                "OperationOver",
                "the operation has ended: its context signals and starts nothing any more",
            ));
        }
        inner.actions.push(action);
        Ok(inner.actions.len() - 1)
    }

    fn amend(&self, place: usize, change: impl FnOnce(&mut EntityAction)) {
        let mut inner = self.lock();
        if let Some(action) = inner.actions.get_mut(place) {
            change(action);
        }
    }
}

/// A signal that leaves when the turn, or the operation, is recorded. It may be dropped.
pub struct SentSignal(Sender);

enum Sender {
    Orchestration(Shared, i32),
    Entity(Effects, usize),
}

impl SentSignal {
    pub(crate) fn by_orchestration(shared: &Shared, action: i32) -> Self {
        Self(Sender::Orchestration(shared.clone(), action))
    }

    pub(super) fn by_entity(effects: &Effects, place: usize) -> Self {
        Self(Sender::Entity(effects.clone(), place))
    }

    /// Delivers it not before that time, by the database clock. To be called where the signal is made.
    pub fn at(self, time: Timestamp) {
        match &self.0 {
            Sender::Orchestration(shared, action) => {
                shared.lock().amend(*action, |action| {
                    if let ActionKind::SignalEntity { not_before, .. } = action {
                        *not_before = Some(time);
                    }
                });
            }
            Sender::Entity(effects, place) => effects.amend(*place, |action| {
                if let EntityAction::Signal { not_before, .. } = action {
                    *not_before = Some(time);
                }
            }),
        }
    }
}

/// An orchestration that begins when the operation is recorded. It may be dropped.
pub struct SentStart {
    effects: Effects,
    place: usize,
}

impl SentStart {
    pub(super) fn new(effects: &Effects, place: usize) -> Self {
        Self { effects: effects.clone(), place }
    }

    /// Under that id instead of a random one. When it is in use, nothing is started and nobody is told.
    pub fn id(self, id: InstanceId) -> Self {
        if id.is_entity() {
            let invalid = InvalidId::Entity(id.into());
            self.effects.lock().fault = Some(FailureDetails::new("InvalidId", invalid.to_string()));
            return self;
        }
        self.amend(|action| {
            if let EntityAction::Start { instance_id, .. } = action {
                *instance_id = id;
            }
        })
    }

    /// That version of the orchestration.
    pub fn version(self, wanted: &str) -> Self {
        self.amend(|action| {
            if let EntityAction::Start { version, .. } = action {
                *version = Some(wanted.to_owned());
            }
        })
    }

    /// Not before that time, by the database clock.
    pub fn scheduled_at(self, time: Timestamp) -> Self {
        self.amend(|action| {
            if let EntityAction::Start { scheduled_start, .. } = action {
                *scheduled_start = Some(time);
            }
        })
    }

    fn amend(self, change: impl FnOnce(&mut EntityAction)) -> Self {
        self.effects.amend(self.place, change);
        self
    }
}
