//! What the demo promises, checked: history (what took effect) against the journal (what ran).

use std::collections::{BTreeMap, BTreeSet};

use everdure::OrchestrationStatus;
use everdure_core::{DispatchId, EventData};
use serde_json::{Value, json};

use super::follow::Seen;
use super::journal::Entry;

/// A promise and whether it was kept.
pub struct Check {
    pub promise: &'static str,
    pub kept: bool,
    pub detail: String,
}

impl Check {
    fn new(promise: &'static str, wrong: &[String], detail: String) -> Self {
        let kept = wrong.is_empty();
        Self { promise, kept, detail: if kept { detail } else { wrong.join("; ") } }
    }

    pub fn to_json(&self) -> Value {
        json!({ "promise": self.promise, "kept": self.kept, "detail": self.detail })
    }
}

/// All that is known after the two runs.
pub struct Evidence<'a> {
    /// The orders of the first run.
    pub first: &'a [Seen],
    /// The orders of the second run when the worker had been killed.
    pub at_kill: &'a [Seen],
    /// The orders of the second run at their end.
    pub second: &'a [Seen],
    /// The sub-orchestrations of both runs.
    pub children: &'a [Seen],
    pub journal: &'a [Entry],
    /// The worker that was killed, and the one that took over.
    pub killed: u32,
    pub heir: u32,
}

impl Evidence<'_> {
    pub fn check(&self) -> Vec<Check> {
        vec![
            self.same_result(),
            self.each_result_once(),
            self.all_that_is_in_history_ran(),
            self.nothing_recorded_ran_again(),
            self.only_what_was_in_flight_ran_twice(),
        ]
    }

    fn same_result(&self) -> Check {
        let mut wrong = Vec::new();
        for (first, second) in self.first.iter().zip(self.second) {
            for seen in [first, second] {
                if seen.record.status != OrchestrationStatus::Completed {
                    wrong.push(format!("{} is {}", seen.record.instance_id, seen.record.status));
                }
            }
            if first.record.output != second.record.output {
                wrong.push(format!("{} and {} differ", first.record.instance_id, second.record.instance_id));
            }
        }
        let orders = self.first.len();
        Check::new("both runs end with the same result", &wrong, format!("{orders} order(s) compared"))
    }

    /// Everything that was scheduled has one answer: not none, not two.
    fn each_result_once(&self) -> Check {
        let (mut wrong, mut count) = (Vec::new(), 0);
        for seen in self.all() {
            let mut answers: BTreeMap<DispatchId, usize> = BTreeMap::new();
            for dispatch in seen.events().filter_map(|event| event.data.answers()) {
                *answers.entry(dispatch).or_default() += 1;
            }
            for dispatch in seen.events().filter_map(|event| scheduled(&event.data)) {
                count += 1;
                match answers.remove(&dispatch).unwrap_or(0) {
                    1 => {}
                    times => wrong.push(format!("{}, step {dispatch}: {times} results", seen.record.instance_id)),
                }
            }
            wrong.extend(answers.keys().map(|step| format!("{}, step {step}: unasked", seen.record.instance_id)));
        }
        Check::new("each step's result stands in history exactly once", &wrong, format!("{count} steps"))
    }

    /// No activity took effect without having run, none ran that history does not know.
    fn all_that_is_in_history_ran(&self) -> Check {
        let recorded: BTreeSet<_> = self.all().flat_map(activity_keys).collect();
        let ran: BTreeSet<_> = self.journal.iter().map(|entry| entry.key.clone()).collect();
        let unknown = ran.difference(&recorded).map(|key| format!("{key} ran and is not in history"));
        let missing = recorded.difference(&ran).map(|key| format!("{key} is in history and did not run"));
        let wrong: Vec<_> = unknown.chain(missing).collect();
        Check::new("history holds exactly the activities that ran", &wrong, format!("{} activities", ran.len()))
    }

    fn nothing_recorded_ran_again(&self) -> Check {
        let done: BTreeSet<_> = self.at_kill.iter().flat_map(done_keys).collect();
        let again = done.iter().filter(|key| self.runs(key).len() != 1);
        let wrong: Vec<_> = again.map(|key| format!("{key} ran {} times", self.runs(key).len())).collect();
        let detail = format!("{} activities were recorded before the kill", done.len());
        Check::new("no recorded step ran again", &wrong, detail)
    }

    fn only_what_was_in_flight_ran_twice(&self) -> Check {
        let done: BTreeSet<_> = self.at_kill.iter().flat_map(done_keys).collect();
        let begun = self.journal.iter().filter(|entry| entry.pid == self.killed);
        let in_flight: BTreeMap<_, _> =
            begun.filter(|entry| !done.contains(&entry.key)).map(|entry| (entry.key.as_str(), entry)).collect();
        let mut wrong = Vec::new();
        if in_flight.is_empty() {
            wrong.push("no activity was in flight when the worker was killed".to_owned());
        }
        let mut twice = Vec::new();
        for key in self.journal.iter().map(|entry| entry.key.as_str()).collect::<BTreeSet<_>>() {
            let runs = self.runs(key);
            match (runs.as_slice(), in_flight.get(key)) {
                ([_], None) => {}
                ([first, second], Some(entry)) if (*first, *second) == (self.killed, self.heir) => {
                    twice.push(format!("{} with key {key}, by {first} and {second}", entry.activity));
                }
                (runs, in_flight) => {
                    let was = if in_flight.is_some() { "was" } else { "was not" };
                    wrong.push(format!("{key} {was} in flight and was run by {runs:?}"));
                }
            }
        }
        let promise = "only what was in flight at the kill ran twice, with the same idempotency key";
        Check::new(promise, &wrong, twice.join("; "))
    }

    fn all(&self) -> impl Iterator<Item = &Seen> {
        self.first.iter().chain(self.second).chain(self.children)
    }

    /// The processes that ran the step, in order.
    fn runs(&self, key: &str) -> Vec<u32> {
        self.journal.iter().filter(|entry| entry.key == key).map(|entry| entry.pid).collect()
    }
}

fn scheduled(data: &EventData) -> Option<DispatchId> {
    match data {
        EventData::TaskScheduled { dispatch, .. }
        | EventData::TimerCreated { dispatch, .. }
        | EventData::SubOrchestrationInstanceCreated { dispatch, .. } => Some(*dispatch),
        _ => None,
    }
}

fn key(seen: &Seen, dispatch: DispatchId) -> String {
    format!("{}/{dispatch}", seen.record.execution_id)
}

/// The idempotency keys of the activities that were scheduled.
fn activity_keys(seen: &Seen) -> impl Iterator<Item = String> {
    seen.events().filter_map(|event| match event.data {
        EventData::TaskScheduled { dispatch, .. } => Some(key(seen, dispatch)),
        _ => None,
    })
}

/// The idempotency keys of the activities whose results are recorded.
fn done_keys(seen: &Seen) -> impl Iterator<Item = String> {
    seen.events().filter_map(|event| match event.data {
        EventData::TaskCompleted { dispatch, .. } | EventData::TaskFailed { dispatch, .. } => Some(key(seen, dispatch)),
        _ => None,
    })
}
