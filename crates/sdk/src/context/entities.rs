//! Entities, as orchestrations use them.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use everdure_core::InstanceId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::OrchestrationContext;
use crate::call::Pending;
use crate::entity::{EntityId, Operation, SentSignal};
use crate::failure::{CallError, Callee, Failure};
use crate::json;
use crate::replay::Shared;

impl OrchestrationContext {
    /// Calls an entity and waits for the result of the operation. Dropping the call leaves the operation to run.
    pub fn call_entity<S, In, Out>(
        &self,
        entity: &EntityId<S>,
        operation: &Operation<S, In, Out>,
        input: In,
    ) -> EntityCall<Out>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        let target = entity.instance_id();
        let step = json::encode("the input of the operation", &input)
            .and_then(|input| self.shared.call_entity(target, operation.name(), input));
        EntityCall {
            name: format!("{} of {target}", operation.name()),
            pending: Pending::step(&self.shared, step),
            output: PhantomData,
        }
    }

    /// Signals an entity: nobody waits, and nothing tells whether the operation succeeds. `.at(time)` delays it.
    ///
    /// # Errors
    /// [`Failure`] when the input cannot be written as JSON, or when this orchestration has the entity locked.
    pub fn signal_entity<S, In: Serialize, Out>(
        &self,
        entity: &EntityId<S>,
        operation: &Operation<S, In, Out>,
        input: In,
    ) -> Result<SentSignal, Failure> {
        let input = json::encode("the input of the operation", &input)?;
        let action = self.shared.signal_entity(entity.instance_id(), operation.name(), input)?;
        Ok(SentSignal::by_orchestration(&self.shared, action))
    }

    /// Waits until this orchestration alone may use these entities: all others wait, in their order, until the
    /// [`CriticalSection`] is released, or the execution ends in any way. Whoever locks takes the entities in the
    /// same order, so that no two orchestrations wait for each other.
    ///
    /// While it lasts, only these entities may be called, none of them signalled, no sub-orchestration called, and nothing else
    /// locked. Dropping the wait gives up.
    pub fn lock_entities<I: Into<InstanceId>>(&self, entities: impl IntoIterator<Item = I>) -> LockWait {
        let step = self.shared.lock_entities(entities.into_iter().map(Into::into).collect());
        let section = step.as_ref().ok().copied();
        LockWait { pending: Pending::step(&self.shared, step), shared: self.shared.clone(), section }
    }
}

/// A call of an entity under way. Dropped, it leaves the operation to run and ignores its result.
#[must_use = "the result of a call that is dropped is lost"]
pub struct EntityCall<Out> {
    name: String,
    pending: Pending,
    output: PhantomData<fn() -> Out>,
}

impl<Out: DeserializeOwned> Future for EntityCall<Out> {
    type Output = Result<Out, CallError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.pending.poll(cx));
        let output = answer.and_then(|output| json::decode("the result", output.as_deref()));
        Poll::Ready(output.map_err(|details| CallError { what: Callee::Operation, name: self.name.clone(), details }))
    }
}

/// A wait for locks. Dropped, it gives up: what was locked by then is released.
#[must_use = "a wait that is dropped locks nothing"]
pub struct LockWait {
    pending: Pending,
    shared: Shared,
    /// The step that asked.
    section: Option<i32>,
}

impl Future for LockWait {
    type Output = Result<CriticalSection, CallError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.pending.poll(cx));
        let shared = self.shared.clone();
        Poll::Ready(match answer {
            Ok(_) => Ok(CriticalSection { shared, section: self.section.take() }),
            Err(details) => Err(CallError { what: Callee::Lock, name: "lock_entities".to_owned(), details }),
        })
    }
}

/// The time in which an orchestration has its entities to itself. It ends when this is released or dropped.
#[must_use = "the locks are given back when this is dropped"]
pub struct CriticalSection {
    shared: Shared,
    section: Option<i32>,
}

impl CriticalSection {
    /// Gives the locks back; the same as dropping it, in words.
    pub fn release(self) {}
}

impl Drop for CriticalSection {
    fn drop(&mut self) {
        if let Some(section) = self.section {
            self.shared.release(section);
        }
    }
}

impl fmt::Debug for CriticalSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CriticalSection").field(&self.section).finish()
    }
}
