//! User code: an orchestration that follows its plan, and the activities.
//!
//! It knows its steps by dispatch id alone. The ids of its actions begin at zero in every turn, as those of some
//! SDKs repeat too, so an engine that went by them would mix steps up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use everdure_core::{
    Action, ActionKind, DispatchId, EventData, ExecutionStarted, FailureDetails, HistoryEvent, HistoryTurn, InstanceId,
    Tags, Timestamp, TurnActions,
};
use everdure_engine::{LiveOrchestration, NewTurn, OrchestrationExecutor, TurnFault};

use crate::entities::{NOTE, entity_id, entry, section};
use crate::plan::{Plans, Step, event_input, gathered, label, outcome};
use crate::world::World;

/// The name of every orchestration.
pub const SCRIPT: &str = "script";
/// The name of every external event.
pub const EVENT: &str = "event";

/// Makes orchestrations that follow their plans.
pub struct Scripts(pub Arc<World>, pub Arc<Plans>);

impl OrchestrationExecutor for Scripts {
    fn begin(&self, started: &ExecutionStarted) -> Box<dyn LiveOrchestration> {
        Box::new(Script::new(Arc::clone(&self.0), Arc::clone(&self.1), started))
    }
}

/// The input of an orchestration that has come to `place` and gathered `found`.
pub fn input(plan: usize, place: usize, taken: usize, found: &[String]) -> String {
    let mut lines = vec![format!("{plan} {place} {taken}")];
    lines.extend_from_slice(found);
    lines.join("\n")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Kept(usize),
    Ignored(i32),
    Timer(i32),
    Child,
    Lock,
}

struct Script {
    world: Arc<World>,
    plans: Arc<Plans>,
    id: InstanceId,
    plan: usize,
    place: usize,
    /// Events taken so far, those of former executions included.
    taken: usize,
    found: Vec<String>,
    events: VecDeque<Option<String>>,
    waiting: BTreeMap<DispatchId, Waiting>,
    /// Whether the step at `place` has begun, and events that it still wants.
    begun: Option<usize>,
    suspended: bool,
    fault: Option<String>,
    turn: i64,
    index: u32,
    time: Timestamp,
    actions: Vec<Action>,
}

impl Script {
    fn new(world: Arc<World>, plans: Arc<Plans>, started: &ExecutionStarted) -> Self {
        let mut lines = started.input.as_deref().unwrap_or_default().split('\n');
        let mut numbers = lines.next().unwrap_or_default().split(' ').map(|n| n.parse().unwrap_or(usize::MAX));
        let mut number = || numbers.next().unwrap_or(usize::MAX);
        let (plan, place, taken) = (number(), number(), number());
        let fault = (plan >= plans.plans.len()).then(|| "an input that nobody wrote".to_owned());
        Self {
            world,
            plans,
            id: started.instance_id.clone(),
            plan,
            place,
            taken,
            found: lines.map(str::to_owned).collect(),
            events: VecDeque::new(),
            waiting: BTreeMap::new(),
            begun: None,
            suspended: false,
            fault,
            turn: 0,
            index: 0,
            time: Timestamp::UNIX_EPOCH,
            actions: Vec::new(),
        }
    }

    fn turn(&mut self, number: i64, time: Timestamp, events: &[HistoryEvent]) -> Vec<Action> {
        (self.turn, self.index, self.time) = (number, 0, time);
        self.actions.clear();
        for event in events {
            self.see(event);
        }
        if let Some(fault) = &self.fault {
            let failure = FailureDetails::new("Fault", fault.clone());
            self.act(ActionKind::Fail { failure });
        } else if !self.suspended {
            while self.advance() {}
        }
        std::mem::take(&mut self.actions)
    }

    fn see(&mut self, event: &HistoryEvent) {
        match &event.data {
            EventData::EventRaised { input, .. } => self.events.push_back(input.clone()),
            EventData::ExecutionSuspended { .. } => self.suspended = true,
            EventData::ExecutionResumed { .. } => self.suspended = false,
            EventData::TaskCompleted { dispatch, result, .. } => {
                self.answered(*dispatch, result.clone().unwrap_or_default());
            }
            EventData::TaskFailed { dispatch, failure, .. } => {
                self.answered(*dispatch, format!("!{}", failure.error_message));
            }
            EventData::SubOrchestrationInstanceCompleted { dispatch, result, .. } => {
                self.answered(*dispatch, gathered(Ok(result.clone().unwrap_or_default())));
            }
            EventData::SubOrchestrationInstanceFailed { dispatch, failure, .. } => {
                self.answered(*dispatch, gathered(Err(failure.error_message.clone())));
            }
            EventData::EntityOperationCompleted { dispatch, output, .. } => {
                self.answered(*dispatch, output.clone().unwrap_or_default());
            }
            EventData::EntityOperationFailed { dispatch, failure, .. } => {
                self.answered(*dispatch, format!("!{}", failure.error_message));
            }
            EventData::EntityLockGranted { dispatch, .. } => self.answered(*dispatch, String::new()),
            EventData::TimerFired { dispatch, fire_at, .. } => {
                if self.time < *fire_at {
                    self.fault = Some(format!("timer {dispatch} fired early"));
                }
                self.answered(*dispatch, String::new());
            }
            _ => {}
        }
    }

    fn answered(&mut self, dispatch: DispatchId, result: String) {
        match self.waiting.remove(&dispatch) {
            Some(Waiting::Kept(index)) => {
                if result != outcome(&label(self.plan, self.place, index)) {
                    self.fault = Some(format!("step {dispatch} got the result {result} of another one"));
                }
                self.found.push(result);
            }
            Some(Waiting::Child) => self.found.push(result),
            Some(Waiting::Ignored(_) | Waiting::Timer(_) | Waiting::Lock) => {}
            None => self.fault = Some(format!("an answer to step {dispatch}, which does not wait for one")),
        }
    }

    fn act(&mut self, kind: ActionKind) -> i32 {
        let id = i32::try_from(self.actions.len()).expect("a handful of actions");
        self.actions.push(Action { id, kind });
        id
    }

    fn dispatch(&mut self, kind: ActionKind, waiting: impl FnOnce(i32) -> Waiting) {
        let id = self.act(kind);
        let dispatch = DispatchId { turn: self.turn, index: self.index };
        self.index += 1;
        self.waiting.insert(dispatch, waiting(id));
    }

    fn activity(&mut self, name: &str, index: usize, waiting: impl FnOnce(i32) -> Waiting) {
        let input = Some(label(self.plan, self.place, index));
        let kind =
            ActionKind::ScheduleTask { name: name.to_owned(), version: None, input, tags: Tags::new(), trace: None };
        self.dispatch(kind, waiting);
    }

    fn timer(&mut self, after: std::time::Duration) {
        let fire_at = self.time + TimeDelta::from_std(after).expect("a few seconds");
        self.dispatch(ActionKind::CreateTimer { fire_at }, Waiting::Timer);
    }

    /// Does what can be done now; `true` when the next step is to be looked at.
    fn advance(&mut self) -> bool {
        let plans = Arc::clone(&self.plans);
        let Some(step) = plans.plans[self.plan].steps.get(self.place) else {
            self.finish();
            return false;
        };
        if self.begun.is_none() {
            let wanted = self.begin(step);
            self.begun = Some(wanted);
        }
        match step {
            Step::Events(_) | Step::UntilEvent => self.take_events(),
            Step::Staggered(_)
                if self.begun == Some(1) && !self.waits(|waiting| matches!(waiting, Waiting::Timer(_))) =>
            {
                self.activity("work", 1, |_| Waiting::Kept(1));
                self.begun = Some(0);
            }
            Step::Children(children, true)
                if self.begun == Some(1) && !self.waits(|waiting| matches!(waiting, Waiting::Timer(_))) =>
            {
                for child in children {
                    let all = self.plans.events(*child);
                    self.tell(*child, all / 2..all);
                }
                self.begun = Some(0);
            }
            Step::Critical(entities, _) if self.begun == Some(1) && self.waiting.is_empty() => {
                let section = section(self.plan, self.place);
                for (index, entity) in entities.iter().chain(entities).enumerate() {
                    self.call(*entity, &section, index);
                }
                self.begun = Some(0);
            }
            _ => {}
        }
        let done = match step {
            Step::Deadline(_) => !self.waits(|waiting| matches!(waiting, Waiting::Kept(_))),
            Step::GiveUp(_) | Step::ContinueAsNew => !self.waits(|waiting| matches!(waiting, Waiting::Timer(_))),
            Step::UntilEvent => self.begun == Some(0),
            _ => self.begun == Some(0) && self.waiting.is_empty(),
        };
        if done {
            self.begun = None;
            self.place += 1;
            match step {
                Step::Critical(entities, true) => self.unlock(entities),
                Step::ContinueAsNew | Step::Critical(..) => {
                    self.continue_as_new();
                    return false;
                }
                _ => {}
            }
            self.give_up_the_rest();
        }
        done
    }

    fn waits(&self, what: impl Fn(Waiting) -> bool) -> bool {
        self.waiting.values().any(|waiting| what(*waiting))
    }

    /// Returns how many events the step wants.
    fn begin(&mut self, step: &Step) -> usize {
        match step {
            Step::Activities(count) => (0..*count).for_each(|i| self.activity("work", i, |_| Waiting::Kept(i))),
            Step::Sleep(time) => self.timer(*time),
            Step::Events(count) => return *count,
            Step::Children(children, late) => {
                for child in children {
                    self.child(*child);
                    let all = self.plans.events(*child);
                    self.tell(*child, 0..if *late { all / 2 } else { all });
                }
                if *late {
                    self.timer(std::time::Duration::from_millis(100));
                    return 1;
                }
            }
            Step::Staggered(time) => {
                self.activity("work", 0, |_| Waiting::Kept(0));
                self.timer(*time);
                return 1;
            }
            Step::Signals(entities, later) => {
                let not_before = later.map(|later| self.time + TimeDelta::from_std(later).expect("a few seconds"));
                for (index, entity) in entities.iter().enumerate() {
                    let (target, input) = (entity_id(*entity), Some(entry("", &label(self.plan, self.place, index))));
                    let (request_id, operation) = (self.request(), NOTE.to_owned());
                    self.act(ActionKind::SignalEntity {
                        request_id,
                        target,
                        operation,
                        input,
                        not_before,
                        trace: None,
                    });
                }
            }
            Step::Calls(entities) => {
                entities.iter().enumerate().for_each(|(index, entity)| self.call(*entity, "", index));
            }
            Step::Critical(entities, _) => {
                let lock_set = entities.iter().map(|entity| entity_id(*entity)).collect();
                let critical_section = self.section();
                self.dispatch(ActionKind::LockEntities { critical_section, lock_set }, |_| Waiting::Lock);
                return 1;
            }
            Step::Deadline(time) => {
                self.activity("work", 0, |_| Waiting::Kept(0));
                self.timer(*time);
            }
            Step::GiveUp(time) => {
                self.activity("slow", 0, Waiting::Ignored);
                self.timer(*time);
            }
            Step::UntilEvent => {
                self.activity("forever", 0, Waiting::Ignored);
                return 1;
            }
            Step::ContinueAsNew => {
                self.activity("work", 0, Waiting::Ignored);
                let fire_at = self.time + TimeDelta::seconds(2);
                self.dispatch(ActionKind::CreateTimer { fire_at }, Waiting::Ignored);
                self.timer(std::time::Duration::from_millis(10));
            }
        }
        0
    }

    /// The id of the next request: no other has it.
    fn request(&self) -> String {
        format!("{} {}.{}", self.id, self.turn, self.actions.len())
    }

    fn call(&mut self, entity: usize, section: &str, index: usize) {
        let input = Some(entry(section, &label(self.plan, self.place, index)));
        let kind = ActionKind::CallEntity {
            request_id: self.request(),
            target: entity_id(entity),
            operation: NOTE.to_owned(),
            input,
            not_before: None,
            trace: None,
        };
        self.dispatch(kind, |_| Waiting::Kept(index));
    }

    /// The critical section of the step at `place`; each is entered once.
    fn section(&self) -> String {
        format!("{} {}", self.id, self.place)
    }

    fn unlock(&mut self, entities: &[usize]) {
        self.place -= 1;
        let critical_section = self.section();
        self.place += 1;
        for entity in entities {
            let (critical_section, target) = (critical_section.clone(), entity_id(*entity));
            self.act(ActionKind::UnlockEntity { critical_section, target });
        }
    }

    fn child_id(&self, child: usize) -> InstanceId {
        InstanceId::new(format!("{}/{child}", self.id)).expect("a valid id")
    }

    fn child(&mut self, child: usize) {
        let id = self.child_id(child);
        let kind = ActionKind::CreateSubOrchestration {
            name: SCRIPT.to_owned(),
            version: None,
            instance_id: Some(id.clone()),
            input: Some(input(child, 0, 0, &[])),
            tags: Tags::new(),
            trace: None,
            forget: false,
        };
        self.dispatch(kind, |_| Waiting::Child);
    }

    fn tell(&mut self, child: usize, numbers: std::ops::Range<usize>) {
        let id = self.child_id(child);
        for number in numbers {
            let input = Some(event_input(child, number));
            self.act(ActionKind::SendEvent { instance_id: id.clone(), name: EVENT.to_owned(), input });
        }
    }

    fn take_events(&mut self) {
        while let Some(wanted @ 1..) = self.begun
            && let Some(event) = self.events.pop_front()
        {
            let event = event.unwrap_or_default();
            if event != event_input(self.plan, self.taken) {
                self.fault = Some(format!("event {event} came as number {}", self.taken));
            }
            self.taken += 1;
            self.found.push(event);
            self.begun = Some(wanted - 1);
        }
    }

    fn give_up_the_rest(&mut self) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            match waiting {
                Waiting::Ignored(task_id) => _ = self.act(ActionKind::CancelTask { task_id }),
                Waiting::Timer(timer_id) => _ = self.act(ActionKind::CancelTimer { timer_id }),
                Waiting::Kept(_) | Waiting::Child | Waiting::Lock => {
                    self.fault = Some("a step ended before its parts".to_owned())
                }
            }
        }
    }

    /// What still waits is left behind, and must not reach the next execution.
    fn continue_as_new(&mut self) {
        let carry_over = self.events.drain(..).map(|input| (EVENT.to_owned(), input)).collect();
        let input = Some(input(self.plan, self.place, self.taken, &self.found));
        self.act(ActionKind::ContinueAsNew { input, version: None, carry_over });
    }

    fn finish(&mut self) {
        let kind = match (self.fault.take(), self.plans.result(self.plan, self.found.clone())) {
            (None, Ok(result)) => ActionKind::Complete { result: Some(result) },
            (None, Err(message)) => ActionKind::Fail { failure: FailureDetails::new("Planned", message) },
            (Some(fault), _) => ActionKind::Fail { failure: FailureDetails::new("Fault", fault) },
        };
        self.act(kind);
    }
}

#[async_trait]
impl LiveOrchestration for Script {
    async fn replay(&mut self, turn: &HistoryTurn) -> Result<(), FailureDetails> {
        let then: Vec<_> = turn.events.iter().filter_map(|event| scheduled(&event.data)).collect();
        let before = self.index_of(&turn.events);
        let actions = self.turn(turn.turn, turn.time, &turn.events[..before]);
        let now = actions.iter().filter(|action| is_dispatch(&action.kind)).count();
        if now == then.len() {
            return Ok(());
        }
        let problem = format!("turn {} scheduled {} steps and now schedules {now}", turn.turn, then.len());
        Err(FailureDetails::new("Fault", problem))
    }

    async fn run_turn(&mut self, turn: NewTurn<'_>) -> Result<TurnActions, TurnFault> {
        if self.world.chance(self.world.weather.faults) {
            let not_well = TurnFault::Failed("the worker is not well".to_owned());
            return Err(if self.world.rng().bool() { not_well } else { TurnFault::NotTaken });
        }
        let actions = self.turn(turn.number, turn.time, turn.events);
        Ok(TurnActions { actions, ..TurnActions::default() })
    }
}

impl Script {
    /// Where what user code decided begins.
    #[allow(clippy::unused_self)]
    fn index_of(&self, events: &[HistoryEvent]) -> usize {
        events.iter().position(|event| event.event_id >= 0).unwrap_or(events.len())
    }
}

fn is_dispatch(kind: &ActionKind) -> bool {
    matches!(
        kind,
        ActionKind::ScheduleTask { .. }
            | ActionKind::CreateTimer { .. }
            | ActionKind::CreateSubOrchestration { .. }
            | ActionKind::CallEntity { .. }
            | ActionKind::LockEntities { .. }
    )
}

/// The step that an event records as scheduled.
pub fn scheduled(data: &EventData) -> Option<DispatchId> {
    match data {
        EventData::TaskScheduled { dispatch, .. }
        | EventData::TimerCreated { dispatch, .. }
        | EventData::SubOrchestrationInstanceCreated { dispatch, .. }
        | EventData::EntityOperationCalled { dispatch, .. }
        | EventData::EntityLockRequested { dispatch, .. } => Some(*dispatch),
        _ => None,
    }
}
