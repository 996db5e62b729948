//! Steps under way: futures that resolve when history answers.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use everdure_core::{ActionKind, FailureDetails, InstanceId, Timestamp};
use serde::de::DeserializeOwned;

use crate::failure::{CallError, Callee};
use crate::json;
use crate::replay::{Shared, SlotKind};
use crate::retry::RetryPolicy;

/// A slot that waits for its answer. Dropped before, it gives the step up.
pub(crate) struct Pending {
    shared: Shared,
    state: State,
}

enum State {
    Waiting(i32),
    Answered(Option<FailureDetails>),
}

impl Pending {
    pub(crate) fn decide(shared: &Shared, slot: SlotKind, action: ActionKind) -> Self {
        let id = shared.decide(slot, action);
        Self { shared: shared.clone(), state: State::Waiting(id) }
    }

    pub(crate) fn event(shared: &Shared, name: &str) -> Self {
        let id = shared.wait_for_event(name);
        Self { shared: shared.clone(), state: State::Waiting(id) }
    }

    /// A step that was decided already, or could not be.
    pub(crate) fn step(shared: &Shared, step: Result<i32, FailureDetails>) -> Self {
        match step {
            Ok(id) => Self { shared: shared.clone(), state: State::Waiting(id) },
            Err(failure) => Self::failed(shared, failure),
        }
    }

    /// A step that failed before it could be decided.
    pub(crate) fn failed(shared: &Shared, failure: FailureDetails) -> Self {
        Self { shared: shared.clone(), state: State::Answered(Some(failure)) }
    }

    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Option<String>, FailureDetails>> {
        match &mut self.state {
            State::Answered(failure) => failure.take().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            State::Waiting(id) => {
                let answer = ready!(self.shared.poll(*id, cx.waker()));
                self.state = State::Answered(None);
                Poll::Ready(answer)
            }
        }
    }

    /// Changes the decision, which is possible until the turn that made it is over.
    fn amend(&self, change: impl FnOnce(&mut ActionKind)) -> Option<ActionKind> {
        let State::Waiting(id) = self.state else { return None };
        self.shared.lock().amend(id, change)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let State::Waiting(id) = self.state {
            self.shared.abandon(id);
        }
    }
}

/// A call with its retries.
struct Call {
    what: Callee,
    name: String,
    pending: Pending,
    retry: Option<Retry>,
}

struct Retry {
    policy: RetryPolicy,
    again: ActionKind,
    began: Timestamp,
    attempts: u32,
    /// Whether `pending` is the timer between two tries.
    pausing: bool,
}

impl Call {
    fn new(what: Callee, name: &str, pending: Pending) -> Self {
        Self { what, name: name.to_owned(), pending, retry: None }
    }

    fn amend(&mut self, change: impl Fn(&mut ActionKind)) {
        self.pending.amend(&change);
        if let Some(retry) = &mut self.retry {
            change(&mut retry.again);
        }
    }

    fn retry(&mut self, policy: RetryPolicy) {
        if let Some(again) = self.pending.amend(|_| ()) {
            let began = self.pending.shared.lock().time;
            self.retry = Some(Retry { policy, again, began, attempts: 1, pausing: false });
        }
    }

    fn poll<Out: DeserializeOwned>(&mut self, cx: &Context<'_>) -> Poll<Result<Out, CallError>> {
        loop {
            let answer = ready!(self.pending.poll(cx));
            let pausing = self.retry.as_ref().is_some_and(|retry| retry.pausing);
            let answer = match answer {
                Ok(_) if pausing => {
                    self.try_again();
                    continue;
                }
                Err(failure) if !pausing && self.pause(&failure) => continue,
                Err(failure) => Err(failure),
                Ok(payload) => json::decode("the result", payload.as_deref()),
            };
            return Poll::Ready(answer.map_err(|details| CallError {
                what: self.what,
                name: self.name.clone(),
                details,
            }));
        }
    }

    fn pause(&mut self, failure: &FailureDetails) -> bool {
        let Some(retry) = &mut self.retry else { return false };
        let shared = self.pending.shared.clone();
        let now = shared.lock().time;
        let Some(fire_at) = retry.policy.next_attempt(retry.attempts, retry.began, now, failure) else { return false };
        retry.pausing = true;
        self.pending = Pending::decide(&shared, SlotKind::Timer, ActionKind::CreateTimer { fire_at });
        true
    }

    fn try_again(&mut self) {
        let Some(retry) = &mut self.retry else { return };
        retry.attempts += 1;
        retry.pausing = false;
        let slot = match self.what {
            Callee::SubOrchestration => SlotKind::Child,
            _ => SlotKind::Task,
        };
        let shared = self.pending.shared.clone();
        self.pending = Pending::decide(&shared, slot, retry.again.clone());
    }
}

macro_rules! call {
    ($(#[$doc:meta])* $type:ident, $what:ident) => {
        $(#[$doc])*
        #[must_use = "a call that is dropped is given up"]
        pub struct $type<Out> {
            call: Call,
            output: PhantomData<fn() -> Out>,
        }

        impl<Out> $type<Out> {
            pub(crate) fn new(name: &str, pending: Pending) -> Self {
                Self { call: Call::new(Callee::$what, name, pending), output: PhantomData }
            }

            /// Tries again when it fails.
            pub fn retry(mut self, policy: RetryPolicy) -> Self {
                self.call.retry(policy);
                self
            }

            /// Adds a tag to those of the instance.
            pub fn tag(mut self, key: &str, value: &str) -> Self {
                self.call.amend(|action| match action {
                    ActionKind::ScheduleTask { tags, .. } | ActionKind::CreateSubOrchestration { tags, .. } => {
                        tags.insert(key.to_owned(), value.to_owned());
                    }
                    _ => {}
                });
                self
            }

            /// Asks for that version.
            pub fn version(mut self, wanted: &str) -> Self {
                self.call.amend(|action| match action {
                    ActionKind::ScheduleTask { version, .. } | ActionKind::CreateSubOrchestration { version, .. } => {
                        *version = Some(wanted.to_owned());
                    }
                    _ => {}
                });
                self
            }
        }

        impl<Out: DeserializeOwned> Future for $type<Out> {
            type Output = Result<Out, CallError>;
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.call.poll(cx)
            }
        }
    };
}

call! {
    /// An activity under way. Dropping it cancels the activity.
    ActivityCall, Activity
}
call! {
    /// A sub-orchestration under way. Dropping it leaves the child running and ignores its result.
    SubOrchestrationCall, SubOrchestration
}

impl<Out> SubOrchestrationCall<Out> {
    /// Gives the child that id instead of a derived one. A finished instance of that id is replaced; a live one
    /// fails the call.
    pub fn instance_id(mut self, id: InstanceId) -> Self {
        self.call.amend(|action| {
            if let ActionKind::CreateSubOrchestration { instance_id, .. } = action {
                *instance_id = Some(id.clone());
            }
        });
        self
    }
}

/// A durable timer. Dropping it cancels it.
#[must_use = "a timer that is dropped is cancelled"]
pub struct Sleep(Pending);

impl Sleep {
    pub(crate) fn new(pending: Pending) -> Self {
        Self(pending)
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx).map(|_| ())
    }
}

/// A wait for an event. Dropping it gives its place in the queue up.
#[must_use = "a wait that is dropped takes no event"]
pub struct EventWait<T> {
    name: String,
    pending: Pending,
    payload: PhantomData<fn() -> T>,
}

impl<T> EventWait<T> {
    pub(crate) fn new(name: &str, pending: Pending) -> Self {
        Self { name: name.to_owned(), pending, payload: PhantomData }
    }
}

impl<T: DeserializeOwned> Future for EventWait<T> {
    type Output = Result<T, CallError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.pending.poll(cx));
        let payload = answer.and_then(|payload| json::decode("the payload", payload.as_deref()));
        Poll::Ready(payload.map_err(|details| CallError { what: Callee::Event, name: self.name.clone(), details }))
    }
}
