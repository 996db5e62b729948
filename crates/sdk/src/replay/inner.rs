//! What the context, its pending calls and the driver share: the slots in which results land, and the decisions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use everdure_core::{Action, ActionKind, EventData, ExecutionStarted, FailureDetails, Timestamp};

use super::entities::EntitySteps;

/// What a step answered.
pub(crate) type Answer = Result<Option<String>, FailureDetails>;

/// What a slot waits for, and so what dropping it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Dropped: the activity is cancelled.
    Task,
    /// Dropped: the timer is cancelled.
    Timer,
    /// Dropped: the child goes on, nobody listens.
    Child,
    /// Dropped: the operation of the entity runs all the same, nobody listens.
    Operation,
    /// Dropped: the locks are given back.
    Lock,
    /// Dropped: the place in the queue is given up, and an event that was not taken goes back.
    Event(String),
}

struct Slot {
    kind: SlotKind,
    answer: Option<Answer>,
    waker: Option<Waker>,
}

pub(crate) struct Inner {
    pub(crate) time: Timestamp,
    pub(crate) replaying: bool,
    /// The function is over, or being dropped: what its futures do now does not count.
    pub(crate) closing: bool,
    pub(crate) actions: Vec<Action>,
    pub(crate) custom_status: Option<String>,
    /// Misuse of the context that has no other way to be told.
    pub(crate) fault: Option<FailureDetails>,
    pub(super) entities: EntitySteps,
    guids: u64,
    next_action: i32,
    next_wait: i32,
    slots: HashMap<i32, Slot>,
    /// Slots without an answer.
    unanswered: usize,
    /// Steps whose answer has arrived and waits for the orchestration to be resumed: too late to cancel them.
    arrived: HashSet<i32>,
    waiters: HashMap<String, VecDeque<i32>>,
    buffered: VecDeque<(String, Option<String>)>,
}

/// The shared part, and what never changes.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) started: Arc<ExecutionStarted>,
    inner: Arc<Mutex<Inner>>,
}

fn key(name: &str) -> String {
    name.to_lowercase()
}

impl Shared {
    pub(crate) fn new(started: ExecutionStarted) -> Self {
        let inner = Inner {
            time: Timestamp::UNIX_EPOCH,
            replaying: false,
            closing: false,
            actions: Vec::new(),
            custom_status: None,
            fault: None,
            entities: EntitySteps::default(),
            guids: 0,
            next_action: 0,
            next_wait: -2,
            slots: HashMap::new(),
            unanswered: 0,
            arrived: HashSet::new(),
            waiters: HashMap::new(),
            buffered: VecDeque::new(),
        };
        Self { started: Arc::new(started), inner: Arc::new(Mutex::new(inner)) }
    }

    /// No user code, and no drop of a waker, ever runs under this lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, and opens the slot in which the answer will land.
    pub(crate) fn decide(&self, slot: SlotKind, action: ActionKind) -> i32 {
        let mut inner = self.lock();
        let id = inner.push(action);
        inner.open(id, slot, None);
        id
    }

    /// Takes a place in the queue for an event, or the oldest one that is here already.
    pub(crate) fn wait_for_event(&self, name: &str) -> i32 {
        let mut inner = self.lock();
        let id = inner.next_wait;
        inner.next_wait -= 1;
        let wanted = key(name);
        let here = inner.buffered.iter().position(|(name, _)| key(name) == wanted);
        let answer = here.and_then(|at| inner.buffered.remove(at)).map(|(_, input)| Ok(input));
        if answer.is_none() {
            inner.waiters.entry(wanted).or_default().push_back(id);
        }
        inner.open(id, SlotKind::Event(name.to_owned()), answer);
        id
    }

    pub(crate) fn poll(&self, id: i32, waker: &Waker) -> Poll<Answer> {
        let mut inner = self.lock();
        let Some(slot) = inner.slots.get_mut(&id) else { return Poll::Pending };
        let old = match slot.answer.is_some() {
            true => slot.waker.take(),
            false => slot.waker.replace(waker.clone()),
        };
        let answer = match slot.answer.take() {
            Some(answer) => {
                inner.slots.remove(&id);
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        };
        drop(inner);
        drop(old);
        answer
    }

    /// The future of that slot was dropped before it was asked for its answer.
    pub(crate) fn abandon(&self, id: i32) {
        let mut inner = self.lock();
        let Some(slot) = inner.slots.remove(&id) else { return };
        if slot.answer.is_none() {
            inner.unanswered -= 1;
        }
        let woken = if inner.closing { None } else { inner.give_up(id, slot.kind, slot.answer) };
        drop(inner);
        drop(slot.waker);
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// Applies one event from outside.
    pub(crate) fn apply(&self, event: &EventData) {
        let woken = match event {
            EventData::TaskCompleted { task_id, result, .. }
            | EventData::SubOrchestrationInstanceCompleted { task_id, result, .. } => {
                self.lock().answer(*task_id, Ok(result.clone()))
            }
            EventData::TaskFailed { task_id, failure, .. }
            | EventData::SubOrchestrationInstanceFailed { task_id, failure, .. } => {
                self.lock().answer(*task_id, Err(failure.clone()))
            }
            EventData::TimerFired { timer_id, .. } => self.lock().answer(*timer_id, Ok(None)),
            EventData::EventRaised { name, input } => self.lock().raise(name, input.clone()),
            EventData::EntityOperationCompleted { request_id, output, .. } => {
                self.lock().answer_request(request_id, Ok(output.clone()))
            }
            EventData::EntityOperationFailed { request_id, failure, .. } => {
                self.lock().answer_request(request_id, Err(failure.clone()))
            }
            EventData::EntityLockGranted { critical_section, .. } => self.lock().lock_granted(critical_section),
            _ => None,
        };
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// Notes that the answer of a step is here though the orchestration may not see it yet.
    pub(crate) fn note_arrival(&self, event: &EventData) {
        match event {
            EventData::TaskCompleted { task_id, .. } | EventData::TaskFailed { task_id, .. } => {
                self.lock().arrived.insert(*task_id);
            }
            EventData::TimerFired { timer_id, .. } => {
                self.lock().arrived.insert(*timer_id);
            }
            _ => {}
        }
    }
}

impl Inner {
    /// Adds a decision; its id is the number of decisions before it.
    pub(crate) fn push(&mut self, kind: ActionKind) -> i32 {
        let id = self.next_action;
        self.next_action += 1;
        if !self.closing {
            self.actions.push(Action { id, kind });
        }
        id
    }

    /// The id of the next decision.
    pub(super) fn next_action(&self) -> i32 {
        self.next_action
    }

    pub(crate) fn next_guid(&mut self) -> u64 {
        self.guids += 1;
        self.guids
    }

    /// Whether anything that history can answer is still waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.unanswered > 0
    }

    /// The decision with that id, if the turn that made it is not over.
    fn open_action(&mut self, id: i32) -> Option<&mut ActionKind> {
        self.actions.iter_mut().rev().find(|action| action.id == id).map(|action| &mut action.kind)
    }

    /// Changes a decision, which is possible until the turn that made it is over; later it is a fault.
    pub(crate) fn amend(&mut self, id: i32, change: impl FnOnce(&mut ActionKind)) -> Option<ActionKind> {
        let Some(action) = self.open_action(id) else {
            self.fault = Some(FailureDetails::new(
                "LateOption",
                "an option was set on a call that is already under way: set options where the call is made",
            ));
            return None;
        };
        change(action);
        Some(action.clone())
    }

    /// Events that came and were not taken, oldest first.
    pub(crate) fn take_buffered(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.buffered).into()
    }

    pub(super) fn open(&mut self, id: i32, kind: SlotKind, answer: Option<Answer>) {
        self.unanswered += usize::from(answer.is_none());
        self.slots.insert(id, Slot { kind, answer, waker: None });
    }

    pub(super) fn answer(&mut self, id: i32, answer: Answer) -> Option<Waker> {
        self.arrived.remove(&id);
        let slot = self.slots.get_mut(&id).filter(|slot| slot.answer.is_none())?;
        slot.answer = Some(answer);
        self.unanswered -= 1;
        slot.waker.take()
    }

    fn raise(&mut self, name: &str, input: Option<String>) -> Option<Waker> {
        match self.next_waiter(name) {
            Some(id) => self.answer(id, Ok(input)),
            None => {
                self.buffered.push_back((name.to_owned(), input));
                None
            }
        }
    }

    fn next_waiter(&mut self, name: &str) -> Option<i32> {
        let name = key(name);
        let queue = self.waiters.get_mut(&name)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.waiters.remove(&name);
        }
        first
    }

    fn give_up(&mut self, id: i32, kind: SlotKind, answer: Option<Answer>) -> Option<Waker> {
        let open = answer.is_none() && !self.arrived.contains(&id);
        match kind {
            SlotKind::Task if open => {
                self.push(ActionKind::CancelTask { task_id: id });
            }
            SlotKind::Timer if open => {
                self.push(ActionKind::CancelTimer { timer_id: id });
            }
            SlotKind::Lock => self.release(id),
            SlotKind::Event(name) => return self.give_back(id, name, answer),
            _ => {}
        }
        None
    }

    fn give_back(&mut self, id: i32, name: String, answer: Option<Answer>) -> Option<Waker> {
        let Some(Ok(input)) = answer else {
            if let Some(queue) = self.waiters.get_mut(&key(&name)) {
                queue.retain(|waiter| *waiter != id);
            }
            return None;
        };
        match self.next_waiter(&name) {
            Some(next) => self.answer(next, Ok(input)),
            None => {
                self.buffered.push_front((name, input));
                None
            }
        }
    }
}
