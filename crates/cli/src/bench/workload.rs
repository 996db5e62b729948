//! The orchestrations that are measured, and what they must return.

use everdure::{Activity, ActivityContext, Functions, Orchestration, OrchestrationContext};

use super::Workload;

const STEP: Activity<String, String> = Activity::new("bench_step");
const SEQUENCE: Orchestration<String, String> = Orchestration::new("bench_sequence");
const SINGLE: Orchestration<String, String> = Orchestration::new("bench_single");
const FANOUT: Orchestration<String, String> = Orchestration::new("bench_fanout");
const ONE: Orchestration<String, String> = Orchestration::new("bench_one");

/// Returns its input, turned by one place: the end of a sequence tells how many ran.
async fn step(_: ActivityContext, mut payload: String) -> everdure::Result<String> {
    if let Some(last) = payload.pop() {
        payload.insert(0, last);
    }
    Ok(payload)
}

async fn steps(ctx: OrchestrationContext, mut payload: String, count: usize) -> everdure::Result<String> {
    for _ in 0..count {
        payload = ctx.call_activity(&STEP, payload).await?;
    }
    Ok(payload)
}

async fn fanout(ctx: OrchestrationContext, payload: String) -> everdure::Result<String> {
    let calls = (0..100).map(|_| ctx.call_activity(&STEP, payload.clone()));
    let results = futures::future::try_join_all(calls).await?;
    let expected = turned(&payload, 1);
    let wrong = results.iter().filter(|result| **result != expected).count();
    Ok(format!("{} right, {wrong} wrong", results.len() - wrong))
}

pub fn functions() -> Functions {
    Functions::new()
        .activity(STEP, step)
        .orchestration(SEQUENCE, |ctx, payload| steps(ctx, payload, 5))
        .orchestration(ONE, |ctx, payload| steps(ctx, payload, 1))
        .orchestration(SINGLE, |ctx, payload| steps(ctx, payload, 0))
        .orchestration(FANOUT, fanout)
}

pub fn orchestration(workload: Workload) -> Orchestration<String, String> {
    match workload {
        Workload::Sequence => SEQUENCE,
        Workload::Fanout => FANOUT,
        Workload::One => ONE,
        Workload::Single | Workload::Idle | Workload::Floor => SINGLE,
    }
}

fn turned(payload: &str, times: usize) -> String {
    let places = if payload.is_empty() { 0 } else { times % payload.len() };
    let (head, tail) = payload.split_at(payload.len() - places);
    format!("{tail}{head}")
}

/// An input that differs from one orchestration to the next.
pub fn input(number: u64, bytes: usize) -> String {
    let mut text = format!("{number:016}");
    text.extend(std::iter::repeat_n("abcdefghij", bytes / 10 + 1));
    text.truncate(bytes);
    text
}

pub fn expected(workload: Workload, input: &str) -> String {
    match workload {
        Workload::Sequence => turned(input, 5),
        Workload::One => turned(input, 1),
        Workload::Fanout => "100 right, 0 wrong".to_owned(),
        Workload::Single | Workload::Idle | Workload::Floor => input.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn turning_is_what_the_activity_does() {
        assert_eq!(super::turned("abcdef", 2), "efabcd");
        assert_eq!(super::turned("", 3), "");
    }
}
