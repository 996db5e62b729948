//! What the demo promises, checked: history (what took effect) against the journal (what ran).

use std::collections::{BTreeMap, BTreeSet};

use everdure::OrchestrationStatus;
use everdure_core::{DispatchId, EventData};
use serde_json::{Value, json};

use super::follow::Seen;
use super::journal::Entry;

/// Activities that are named one by one.
const SHOWN: usize = 3;

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
        Check::new("both runs end with the same result", &wrong, format!("orders compared: {}", self.first.len()))
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
        let (mut wrong, mut twice) = (Vec::new(), Vec::new());
        for key in self.journal.iter().map(|entry| entry.key.as_str()).collect::<BTreeSet<_>>() {
            let runs = self.runs(key);
            match (runs.as_slice(), in_flight.get(key)) {
                ([_], None) => {}
                // Its result was on its way: the database had it, and recorded it after we looked.
                ([first], Some(_)) if *first == self.killed => {}
                ([first, second], Some(entry)) if (*first, *second) == (self.killed, self.heir) => {
                    twice.push(format!("{} with key {key}, by {first} and {second}", entry.activity));
                }
                (runs, in_flight) => {
                    let was = if in_flight.is_some() { "was" } else { "was not" };
                    wrong.push(format!("{key} {was} in flight and was run by {runs:?}"));
                }
            }
        }
        if twice.is_empty() {
            wrong.push("nothing ran twice: the kill hit no activity".to_owned());
        }
        let more = twice.len().saturating_sub(SHOWN);
        twice.truncate(SHOWN);
        if more > 0 {
            twice.push(format!("and {more} more"));
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
    seen.record.execution_id.idempotency_key(dispatch)
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

#[cfg(test)]
mod tests {
    use everdure::{HistoryTurn, InstanceId, InstanceRecord, Tags, Timestamp};
    use everdure_core::{ExecutionId, HistoryEvent, InstanceKey};

    use super::*;

    const EXECUTION: &str = "00000000000000000000000000000001";
    const FIRST: DispatchId = DispatchId { turn: 1, index: 0 };
    const SECOND: DispatchId = DispatchId { turn: 2, index: 0 };
    const KILLED: u32 = 1;
    const HEIR: u32 = 2;

    fn seen(turns: Vec<Vec<EventData>>) -> Seen {
        let time = Timestamp::UNIX_EPOCH;
        let turn = |events: Vec<EventData>| HistoryTurn {
            turn: 0,
            time,
            events: events.into_iter().map(|data| HistoryEvent::unsolicited(time, data)).collect(),
        };
        let record = InstanceRecord {
            key: InstanceKey(1),
            instance_id: InstanceId::new("order").expect("a valid id"),
            execution_id: EXECUTION.parse::<ExecutionId>().expect("a valid id"),
            execution: 0,
            name: "process_order".to_owned(),
            version: None,
            parent_instance_id: None,
            parent: None,
            trace: None,
            tags: Tags::new(),
            status: OrchestrationStatus::Completed,
            created_at: time,
            scheduled_start: None,
            updated_at: time,
            completed_at: Some(time),
            turn: 0,
            input: None,
            output: Some("1".to_owned()),
            custom_status: None,
            failure: None,
        };
        Seen { record, turns: turns.into_iter().map(turn).collect() }
    }

    fn ask(dispatch: DispatchId) -> EventData {
        let name = "step".to_owned();
        EventData::TaskScheduled { dispatch, name, version: None, input: None, tags: Tags::new(), trace: None }
    }

    fn answer(dispatch: DispatchId) -> EventData {
        EventData::TaskCompleted { dispatch, task_id: 0, result: None }
    }

    fn ran(dispatch: DispatchId, pid: u32) -> Entry {
        let key = EXECUTION.parse::<ExecutionId>().expect("a valid id").idempotency_key(dispatch);
        Entry { instance_id: "order".to_owned(), key, activity: "step".to_owned(), pid }
    }

    /// The promises that were broken, given the end of the second run and who ran what.
    fn broken(end: &[EventData], journal: &[Entry]) -> Vec<&'static str> {
        let at_kill = [seen(vec![vec![ask(FIRST)], vec![answer(FIRST), ask(SECOND)]])];
        let second = [seen(vec![vec![ask(FIRST)], vec![answer(FIRST), ask(SECOND)], end.to_vec()])];
        let first = [seen(vec![])];
        let evidence = Evidence {
            first: &first,
            at_kill: &at_kill,
            second: &second,
            children: &[],
            journal,
            killed: KILLED,
            heir: HEIR,
        };
        evidence.check().into_iter().filter(|check| !check.kept).map(|check| check.promise).collect()
    }

    #[test]
    fn a_good_recovery_breaks_no_promise() {
        let journal = [ran(FIRST, KILLED), ran(SECOND, KILLED), ran(SECOND, HEIR)];
        assert!(broken(&[answer(SECOND)], &journal).is_empty());
    }

    #[test]
    fn a_recorded_step_that_runs_again_is_seen() {
        let journal = [ran(FIRST, KILLED), ran(SECOND, KILLED), ran(FIRST, HEIR), ran(SECOND, HEIR)];
        assert!(broken(&[answer(SECOND)], &journal).contains(&"no recorded step ran again"));
    }

    #[test]
    fn a_second_result_and_a_missing_one_are_seen() {
        let journal = [ran(FIRST, KILLED), ran(SECOND, KILLED), ran(SECOND, HEIR)];
        let promise = "each step's result stands in history exactly once";
        assert_eq!(broken(&[answer(SECOND), answer(SECOND)], &journal), [promise]);
        assert_eq!(broken(&[], &journal), [promise]);
    }

    #[test]
    fn a_kill_that_hits_nothing_and_a_step_that_nobody_ran_are_seen() {
        let missed = broken(&[answer(SECOND)], &[ran(FIRST, KILLED), ran(SECOND, HEIR)]);
        assert_eq!(missed, ["only what was in flight at the kill ran twice, with the same idempotency key"]);
        let unknown = broken(&[answer(SECOND)], &[ran(FIRST, KILLED)]);
        assert!(unknown.contains(&"history holds exactly the activities that ran"));
    }
}
