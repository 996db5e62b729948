//! Little programs about one number, and their interpreter: what the runtime of `runtime.rs` drives.
//!
//! A program is decided anew in each turn from all that its execution has seen, which is what replaying comes to.

use chrono::TimeDelta;
use everdure_core::{Action, ActionKind, EventData, ExecutionStarted, FailureDetails, HistoryEvent, Tags, Timestamp};

use super::fixture::id;

/// Each is started under its own name with that input; `child` is what `parent` starts.
pub const STARTED: &[(&str, &str)] = &[
    ("chain", "2"),
    ("fan", "1"),
    ("timer", "5"),
    ("event", "1"),
    ("parent", "3"),
    ("generations", "1"),
    ("flaky", "7"),
    ("postponed", "6"),
    ("broken", "1"),
];
pub const ACTIVITIES: &[&str] = &["double", "next", "flaky", "broken"];

enum Step {
    /// So many activities side by side, with rising inputs; their results are added up.
    Call(&'static str, i32),
    Sleep(TimeDelta),
    Await,
    Child,
    Again,
}

fn program(name: &str, number: i64) -> Vec<Step> {
    match name {
        "fan" => vec![Step::Call("double", 3)],
        "timer" => vec![Step::Sleep(TimeDelta::milliseconds(20)), Step::Call("double", 1)],
        "event" => vec![Step::Await],
        "parent" => vec![Step::Child],
        "generations" if number < 3 => vec![Step::Call("next", 1), Step::Again],
        "generations" => vec![],
        "flaky" => vec![Step::Call("flaky", 1)],
        "postponed" => vec![Step::Call("double", 1)],
        "broken" => vec![Step::Call("broken", 1)],
        _ => vec![Step::Call("double", 1), Step::Call("double", 1)],
    }
}

pub fn number(text: Option<&String>) -> i64 {
    text.and_then(|text| text.parse().ok()).expect("every payload here is a number")
}

pub fn act(name: &str, input: i64) -> Result<Option<String>, FailureDetails> {
    match name {
        "double" => Ok(Some((input * 2).to_string())),
        "next" => Ok(Some((input + 1).to_string())),
        "flaky" => Ok(Some((input * 10).to_string())),
        _ => Err(FailureDetails::new("Broken", "it is")),
    }
}

/// What the program does next, given all that its execution has seen: nothing while it waits.
pub fn decide(started: &ExecutionStarted, seen: &[HistoryEvent], time: Timestamp) -> Vec<Action> {
    let mut value = number(started.input.as_ref());
    let mut next_id = 0;
    let mut raised = seen.iter().filter_map(|event| match &event.data {
        EventData::EventRaised { input, .. } => Some(number(input.as_ref())),
        _ => None,
    });
    for step in program(&started.name, value) {
        let width = if let Step::Call(_, width) = step { width } else { 1 };
        let ids = next_id..next_id + width;
        next_id = ids.end;
        if matches!(step, Step::Await) {
            let Some(more) = raised.next() else { return vec![] };
            value += more;
        } else if seen.iter().any(|event| event.event_id == ids.start) {
            let answers: Option<Vec<_>> = ids.map(|id| answer(seen, id, value)).collect();
            let Some(answers) = answers else { return vec![] };
            match answers.into_iter().sum::<Result<i64, _>>() {
                Ok(sum) => value = sum,
                Err(failure) => return vec![Action { id: next_id, kind: ActionKind::Fail { failure } }],
            }
        } else {
            let first = ids.start;
            return ids.map(|id| Action { id, kind: begin(&step, value + i64::from(id - first), time) }).collect();
        }
    }
    vec![Action { id: next_id, kind: ActionKind::Complete { result: Some(value.to_string()) } }]
}

fn begin(step: &Step, value: i64, time: Timestamp) -> ActionKind {
    let (version, tags) = (None, Tags::new());
    match step {
        Step::Call(name, _) => ActionKind::ScheduleTask {
            name: (*name).to_owned(),
            version,
            input: Some(value.to_string()),
            tags,
            trace: None,
        },
        Step::Sleep(span) => ActionKind::CreateTimer { fire_at: time + *span },
        Step::Child => ActionKind::CreateSubOrchestration {
            name: "child".to_owned(),
            version,
            instance_id: Some(id("child")),
            input: Some(value.to_string()),
            tags,
            trace: None,
            forget: false,
        },
        Step::Await | Step::Again => {
            ActionKind::ContinueAsNew { input: Some(value.to_string()), version, carry_over: vec![] }
        }
    }
}

fn answer(seen: &[HistoryEvent], id: i32, value: i64) -> Option<Result<i64, FailureDetails>> {
    seen.iter().find_map(|event| match &event.data {
        EventData::TaskCompleted { task_id, result, .. }
        | EventData::SubOrchestrationInstanceCompleted { task_id, result, .. }
            if *task_id == id =>
        {
            Some(Ok(number(result.as_ref())))
        }
        EventData::TaskFailed { task_id, failure, .. } if *task_id == id => Some(Err(failure.clone())),
        EventData::TimerFired { timer_id, .. } if *timer_id == id => Some(Ok(value)),
        _ => None,
    })
}
