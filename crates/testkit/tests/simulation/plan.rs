//! What the orchestrations of a run do, and what must come out: drawn from the seed before the run begins.

use std::time::Duration;

use fastrand::Rng;

use crate::entities::ENTITIES;

/// One step of an orchestration.
#[derive(Clone, Debug)]
pub enum Step {
    /// Activities side by side; waits for all. A number that is divisible by five names one that fails.
    Activities(usize),
    /// A durable timer.
    Sleep(Duration),
    /// External events, in the order in which they were sent.
    Events(usize),
    /// Children side by side (indices of plans), each sent its events in the turn that creates it, or, if that is
    /// set, half of them in a later turn.
    Children(Vec<usize>, bool),
    /// An activity under a timer that is given up when the activity ends.
    Deadline(Duration),
    /// An activity, and another one, under the same id, after a while; waits for both.
    Staggered(Duration),
    /// A slow activity that is given up when a timer fires.
    GiveUp(Duration),
    /// An activity that never ends by itself, given up when the next external event comes.
    UntilEvent,
    /// Starts an activity and a timer for nothing, and continues as new soon after; events not yet taken are carried.
    ContinueAsNew,
    /// Signals these entities, and goes on.
    Signals(Vec<usize>, Option<Duration>),
    /// Calls these entities, all at once.
    Calls(Vec<usize>),
    /// Locks these entities and calls each of them twice; at the end they are unlocked, or the orchestration continues as
    /// new and leaves that to the engine.
    Critical(Vec<usize>, bool),
}

/// An orchestration.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Ends with a failure instead of its result.
    pub fails: bool,
    /// So many signals its client sends to entities.
    pub signals: usize,
}

/// All orchestrations of a run; children stand behind their parents.
#[derive(Clone, Debug)]
pub struct Plans {
    pub plans: Vec<Plan>,
    /// The first so many are started by clients, the others by their parents.
    pub roots: usize,
    /// Those of them that are terminated on their way.
    pub doomed: Vec<usize>,
}

impl Plans {
    pub fn draw(rng: &mut Rng) -> Self {
        let roots = rng.usize(2..=6);
        let mut plans = Self { plans: Vec::new(), roots, doomed: Vec::new() };
        plans.plans.resize_with(roots, || Plan { steps: Vec::new(), fails: false, signals: 0 });
        for root in 0..roots {
            let doomed = rng.u8(..8) == 0;
            plans.doomed.extend(doomed.then_some(root));
            plans.plans[root] = plans.plan(rng, 2, doomed);
            plans.plans[root].signals = rng.usize(..3);
        }
        plans
    }

    fn plan(&mut self, rng: &mut Rng, depth: usize, doomed: bool) -> Plan {
        let steps = (0..rng.usize(1..=5)).map(|_| self.step(rng, depth, doomed)).collect();
        Plan { steps, fails: rng.u8(..8) == 0, signals: 0 }
    }

    fn step(&mut self, rng: &mut Rng, depth: usize, doomed: bool) -> Step {
        match rng.u8(..25) {
            0..=4 => Step::Activities(1),
            5..=6 => Step::Activities(rng.usize(2..=8)),
            7..=8 => Step::Sleep(Duration::from_millis(rng.u64(1..=8000))),
            9..=11 => Step::Events(rng.usize(1..=4)),
            12..=13 if depth > 0 => {
                let children = (0..rng.usize(1..=3)).map(|_| {
                    let plan = self.plan(rng, depth - 1, doomed);
                    self.plans.push(plan);
                    self.plans.len() - 1
                });
                let children = children.collect();
                // Who is terminated in between leaves its children waiting for ever.
                Step::Children(children, !doomed && rng.bool())
            }
            14 => Step::Deadline(Duration::from_millis(rng.u64(1..=5000))),
            15 => Step::Staggered(Duration::from_millis(rng.u64(1..=300))),
            12..=13 => Step::GiveUp(Duration::from_millis(rng.u64(1..=5000))),
            16..=17 => Step::UntilEvent,
            18..=19 => Step::ContinueAsNew,
            20..=21 => {
                let later = rng.bool().then(|| Duration::from_millis(rng.u64(1..=5000)));
                Step::Signals(entities(rng, 3), later)
            }
            22 => Step::Calls(entities(rng, 3)),
            23..=24 => {
                let mut locked = entities(rng, ENTITIES);
                locked.sort_unstable();
                locked.dedup();
                Step::Critical(locked, rng.u8(..3) > 0)
            }
            _ => Step::Activities(2),
        }
    }

    /// Whether an orchestration may be ended from outside, by itself or with those above it.
    pub fn is_doomed(&self, plan: usize) -> bool {
        if plan < self.roots {
            return self.doomed.contains(&plan);
        }
        let is_child = |step: &Step| matches!(step, Step::Children(children, _) if children.contains(&plan));
        let parent = self.plans.iter().position(|parent| parent.steps.iter().any(is_child));
        parent.is_none_or(|parent| self.is_doomed(parent))
    }

    /// How many external events an orchestration takes until its end.
    pub fn events(&self, plan: usize) -> usize {
        let events = self.plans[plan].steps.iter().map(|step| match step {
            Step::Events(count) => *count,
            Step::UntilEvent => 1,
            _ => 0,
        });
        events.sum()
    }

    /// Everything that an orchestration has to gather until its end.
    pub fn expected(&self, plan: usize) -> Result<String, String> {
        let mut found = Vec::new();
        let mut event = 0;
        for (place, step) in self.plans[plan].steps.iter().enumerate() {
            match step {
                Step::Activities(count) => found.extend((0..*count).map(|i| outcome(&label(plan, place, i)))),
                Step::Events(count) => {
                    found.extend((event..event + count).map(|number| event_input(plan, number)));
                    event += count;
                }
                Step::UntilEvent => {
                    found.push(event_input(plan, event));
                    event += 1;
                }
                Step::Children(children, _) => {
                    found.extend(children.iter().map(|child| gathered(self.expected(*child))))
                }
                Step::Staggered(_) => found.extend((0..2).map(|i| outcome(&label(plan, place, i)))),
                Step::Calls(entities) => found.extend((0..entities.len()).map(|i| outcome(&label(plan, place, i)))),
                Step::Critical(entities, _) => {
                    found.extend((0..2 * entities.len()).map(|i| outcome(&label(plan, place, i))));
                }
                Step::Deadline(_) => found.push(outcome(&label(plan, place, 0))),
                Step::Sleep(_) | Step::GiveUp(_) | Step::ContinueAsNew | Step::Signals(..) => {}
            }
        }
        self.result(plan, found)
    }

    /// What an orchestration returns that has gathered this.
    pub fn result(&self, plan: usize, mut found: Vec<String>) -> Result<String, String> {
        found.sort_unstable();
        let all = found.join(",");
        if self.plans[plan].fails { Err(all) } else { Ok(all) }
    }
}

/// Some entities, at most so many.
fn entities(rng: &mut Rng, most: usize) -> Vec<usize> {
    (0..rng.usize(1..=most)).map(|_| rng.usize(..ENTITIES)).collect()
}

/// What a parent keeps of a child's end.
pub fn gathered(end: Result<String, String>) -> String {
    match end {
        Ok(result) => format!("[{result}]"),
        Err(failure) => format!("![{failure}]"),
    }
}

/// The input of an activity.
pub fn label(plan: usize, place: usize, index: usize) -> String {
    format!("a{plan}.{place}.{index}")
}

/// Whether the activity with this input fails, every time.
pub fn fails(label: &str) -> bool {
    label.bytes().map(u32::from).sum::<u32>() % 5 == 0
}

/// What an orchestration keeps of an activity's end.
pub fn outcome(label: &str) -> String {
    if fails(label) { format!("!{label}") } else { label.to_owned() }
}

/// The input of an external event.
pub fn event_input(plan: usize, number: usize) -> String {
    format!("e{plan}.{number:03}")
}
