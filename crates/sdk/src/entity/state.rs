//! The state in the hands of an operation.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the state is while no operation has it.
pub(super) type Home<S> = Arc<Mutex<Option<S>>>;

/// The state of an entity, for the time of one operation: read and change it like the value itself. What the operation leaves
/// in it is stored when the operation succeeds, and forgotten when it fails.
pub struct EntityState<S> {
    value: Option<S>,
    home: Home<S>,
}

impl<S> EntityState<S> {
    pub(super) fn new(value: S, home: Home<S>) -> Self {
        Self { value: Some(value), home }
    }
}

impl<S> Deref for EntityState<S> {
    type Target = S;
    fn deref(&self) -> &S {
        // Unwrap safety: the value leaves only in `drop`.
        self.value.as_ref().expect("the state is here until it is dropped")
    }
}

impl<S> DerefMut for EntityState<S> {
    fn deref_mut(&mut self) -> &mut S {
        // Unwrap safety: the value leaves only in `drop`.
        self.value.as_mut().expect("the state is here until it is dropped")
    }
}

/// Hands the state back.
impl<S> Drop for EntityState<S> {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.value.take();
    }
}

impl<S: fmt::Debug> fmt::Debug for EntityState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
