//! The driver: applies events, polls, collects decisions.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use everdure_core::{
    Action, ActionKind, EventData, ExecutionStarted, FailureDetails, HistoryEvent, HistoryTurn, Timestamp, TurnActions,
};
use everdure_engine::{LiveOrchestration, NewTurn, TurnFault};
use futures::future::BoxFuture;

use super::{Function, Outcome, Shared, compare};
use crate::context::OrchestrationContext;
use crate::failure::{Ending, Failure};

/// Polls without a new event and without a decision after which a function is taken to spin.
const MAX_IDLE_POLLS: u32 = 100_000;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

enum Body {
    New(Arc<Function>),
    Running(BoxFuture<'static, Outcome>),
    Done,
}

pub(crate) struct Live {
    shared: Shared,
    body: Body,
    flag: Arc<Flag>,
    suspended: bool,
    held_back: VecDeque<EventData>,
    custom_status: Option<String>,
}

#[async_trait]
impl LiveOrchestration for Live {
    async fn replay(&mut self, turn: &HistoryTurn) -> Result<(), FailureDetails> {
        let (recorded, outside): (Vec<_>, Vec<_>) = turn.events.iter().partition(|event| event.data.is_decision());
        if outside.iter().any(|event| matches!(event.data, EventData::ExecutionTerminated { .. })) {
            return Ok(());
        }
        let decided = self.drive(turn.time, true, outside.into_iter());
        compare::check(turn.turn, &recorded, &decided.actions)?;
        recorded.iter().for_each(|event| self.shared.note_request(event));
        Ok(())
    }

    async fn run_turn(&mut self, turn: NewTurn<'_>) -> Result<TurnActions, TurnFault> {
        Ok(self.drive(turn.time, false, turn.events.iter()))
    }

    fn custom_status(&self) -> Option<String> {
        self.custom_status.clone()
    }
}

impl Live {
    pub(super) fn new(function: Arc<Function>, started: ExecutionStarted) -> Self {
        Self {
            shared: Shared::new(started),
            body: Body::New(function),
            flag: Arc::default(),
            suspended: false,
            held_back: VecDeque::new(),
            custom_status: None,
        }
    }

    fn drive<'a>(
        &mut self,
        time: Timestamp,
        replaying: bool,
        events: impl Iterator<Item = &'a HistoryEvent>,
    ) -> TurnActions {
        {
            let mut inner = self.shared.lock();
            inner.time = time;
            inner.replaying = replaying;
        }
        self.start();
        for event in events {
            self.take(&event.data);
        }
        self.check_waits();
        let mut inner = self.shared.lock();
        let custom_status = inner.custom_status.take();
        if custom_status.is_some() {
            self.custom_status.clone_from(&custom_status);
        }
        TurnActions { actions: std::mem::take(&mut inner.actions), custom_status, ..TurnActions::default() }
    }

    fn start(&mut self) {
        let Body::New(function) = &self.body else { return };
        let function = Arc::clone(function);
        let context = OrchestrationContext::new(self.shared.clone());
        let input = self.shared.started.input.clone();
        self.body = Body::Running(function(context, input));
        self.poll();
    }

    fn take(&mut self, event: &EventData) {
        match event {
            EventData::EventRaised { name, input } if matches!(self.body, Body::Done) => {
                self.carry_over(name, input);
            }
            EventData::ExecutionSuspended { .. } => self.suspended = true,
            EventData::ExecutionResumed { .. } => {
                self.suspended = false;
                while let Some(event) = self.held_back.pop_front() {
                    self.apply(&event);
                }
            }
            other if self.suspended => {
                self.shared.note_arrival(other);
                self.held_back.push_back(other.clone());
            }
            other => self.apply(other),
        }
    }

    /// An event that came in the turn of continue-as-new, behind the one that led to it, is for the next execution.
    fn carry_over(&self, name: &str, input: &Option<String>) {
        if let Some(Action { kind: ActionKind::ContinueAsNew { carry_over, .. }, .. }) =
            self.shared.lock().actions.last_mut()
        {
            carry_over.push((name.to_owned(), input.clone()));
        }
    }

    fn apply(&mut self, event: &EventData) {
        self.shared.apply(event);
        if self.flag.0.load(Ordering::Acquire) {
            self.poll();
        }
    }

    fn poll(&mut self) {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut idle = 0;
        while let Body::Running(future) = &mut self.body {
            self.flag.0.store(false, Ordering::Release);
            let before = self.shared.lock().actions.len();
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
            let fault = self.shared.lock().fault.take();
            match (polled, fault) {
                (_, Some(fault)) => self.end(ActionKind::Fail { failure: fault }),
                (Err(panic), None) => self.end(ActionKind::Fail { failure: panic_details(panic.as_ref()) }),
                (Ok(Poll::Ready(outcome)), None) => self.finish(outcome),
                (Ok(Poll::Pending), None) if !self.flag.0.load(Ordering::Acquire) => return,
                (Ok(Poll::Pending), None) => {
                    idle = if self.shared.lock().actions.len() == before { idle + 1 } else { 0 };
                    if idle > MAX_IDLE_POLLS {
                        self.end(ActionKind::Fail { failure: spinning() });
                    }
                }
            }
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let action = match outcome {
            Ok(result) => ActionKind::Complete { result },
            Err(Failure(Ending::Failed(failure))) => ActionKind::Fail { failure: *failure },
            Err(Failure(Ending::ContinueAsNew { input, version })) => {
                let mut carry_over = self.shared.lock().take_buffered();
                carry_over.extend(std::mem::take(&mut self.held_back).into_iter().filter_map(|event| match event {
                    EventData::EventRaised { name, input } => Some((name, input)),
                    _ => None,
                }));
                ActionKind::ContinueAsNew { input, version, carry_over }
            }
        };
        self.end(action);
    }

    /// The last decision. What the function let go on its way out ends with the execution and needs no cancelling.
    fn end(&mut self, action: ActionKind) {
        let mut inner = self.shared.lock();
        let kept =
            inner.actions.iter().rposition(|action| !is_cancel(action) && !is_unlock(action)).map_or(0, |at| at + 1);
        let way_out = inner.actions.split_off(kept);
        inner.actions.extend(way_out.into_iter().filter(is_unlock));
        inner.push(action);
        inner.closing = true;
        drop(inner);
        self.drop_body();
    }

    fn drop_body(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::Done);
        if catch_unwind(AssertUnwindSafe(|| drop(body))).is_err() {
            tracing::warn!(
                instance_id = %self.shared.started.instance_id,
                "a destructor of the orchestration panicked"
            );
        }
    }

    /// A function that waits for nothing that history could answer would wait for ever.
    fn check_waits(&mut self) {
        let stuck = !self.suspended && matches!(self.body, Body::Running(_)) && !self.shared.lock().is_waiting();
        if stuck {
            self.end(ActionKind::Fail { failure: foreign() });
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.drop_body();
    }
}

fn is_cancel(action: &Action) -> bool {
    matches!(action.kind, ActionKind::CancelTask { .. } | ActionKind::CancelTimer { .. })
}

fn is_unlock(action: &Action) -> bool {
    matches!(action.kind, ActionKind::UnlockEntity { .. })
}

fn foreign() -> FailureDetails {
    FailureDetails::new(
        "ForeignFuture",
        "the orchestration waits for something that is not durable (a runtime's sleep, a spawned task, a channel, I/O): \
         wait only for what the context gives, and move everything else into an activity",
    )
}

fn spinning() -> FailureDetails {
    FailureDetails::new(
        "ForeignFuture",
        "the orchestration wakes itself again and again without waiting for a durable step: it yields in a loop, or \
         polls something that is not durable; sleep on the context, or move the loop into an activity",
    )
}

/// A panic as a failure.
pub(crate) fn panic_details(panic: &(dyn Any + Send)) -> FailureDetails {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the panic carries no text".to_owned());
    FailureDetails::new("Panic", text)
}
