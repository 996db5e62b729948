//! Retry policies.

use std::time::Duration;

use everdure::{Activity, ActivityContext, Failure, Functions, Orchestration, OrchestrationContext, RetryPolicy};

use crate::support::{Counter, functions, in_all_modes, secs};

const FLAKY: Activity<(), u32> = Activity::new("flaky");
const CALLER: Orchestration<(), u32> = Orchestration::new("caller");
const CHILD: Orchestration<(), u32> = Orchestration::new("child");

/// `flaky` fails that often, with that error type, and then returns how often it had failed.
fn flaky(failures: u32, error_type: &'static str, runs: &Counter) -> Functions {
    let runs = runs.clone();
    functions().activity(FLAKY, move |_: ActivityContext, (): ()| {
        let before = runs.next();
        async move {
            match before < failures {
                true => Err(Failure::new(error_type, "not yet")),
                false => Ok(before),
            }
        }
    })
}

/// What a caller with that policy sees, in all modes; `pauses` are the seconds between its tries.
async fn calls(failures: u32, error_type: &'static str, policy: RetryPolicy, pauses: &[i64], completes: bool) {
    let runs = Counter::default();
    let functions =
        flaky(failures, error_type, &runs).orchestration(CALLER, move |ctx: OrchestrationContext, (): ()| {
            let policy = policy.clone();
            async move { Ok::<_, Failure>(ctx.call_activity(&FLAKY, ()).retry(policy).await?) }
        });
    let tries = pauses.len() + 1;
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&CALLER, ()).await;
        assert_eq!(run.history().activities(), vec!["flaky"; tries]);
        assert_eq!(run.history().timers(), seconds(pauses));
        assert_eq!(runs.take() as usize, tries);
        if completes {
            run.assert_completed(&failures);
        } else {
            let failure = run.failure();
            assert_eq!(failure.error_type, "TaskFailed");
            assert_eq!(failure.inner_failure.as_ref().map(|inner| inner.error_type.as_str()), Some(error_type));
        }
    })
    .await;
}

fn seconds(pauses: &[i64]) -> Vec<Duration> {
    pauses.iter().map(|pause| secs(pause.unsigned_abs())).collect()
}

#[tokio::test(start_paused = true)]
async fn tries_again_after_the_first_interval() {
    calls(2, "Io", RetryPolicy::new(5, secs(10)), &[10, 10], true).await;
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_so_many_attempts() {
    calls(9, "Io", RetryPolicy::new(3, secs(10)), &[10, 10], false).await;
    calls(9, "Io", RetryPolicy::new(1, secs(10)), &[], false).await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_by_the_coefficient_up_to_the_longest() {
    let policy = RetryPolicy::new(6, secs(1)).backoff_coefficient(3.0).max_interval(secs(20));
    calls(5, "Io", policy, &[1, 3, 9, 20, 20], true).await;
}

#[tokio::test(start_paused = true)]
async fn no_try_begins_after_the_timeout() {
    calls(9, "Io", RetryPolicy::new(10, secs(10)).timeout(secs(35)), &[10, 10, 10], false).await;
}

#[tokio::test(start_paused = true)]
async fn the_handler_decides() {
    let policy = || RetryPolicy::new(5, secs(10)).handler(|failure| failure.error_type == "Io");
    calls(1, "Io", policy(), &[10], true).await;
    calls(1, "Declined", policy(), &[], false).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_retriable_is_not_retried() {
    let functions = functions()
        .activity(FLAKY, async |_: ActivityContext, (): ()| Err::<u32, _>(Failure::new("Bad", "input").non_retriable()))
        .orchestration(CALLER, async |ctx: OrchestrationContext, (): ()| {
            let call = ctx.call_activity(&FLAKY, ()).retry(RetryPolicy::new(5, secs(10)));
            Ok::<_, Failure>(call.await?)
        });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&CALLER, ()).await;
        let expected = ["scheduled flaky", "flaky failed: input", "failed: activity 'flaky' failed: input"];
        assert_eq!(run.history().steps(), expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sub_orchestrations_are_retried_too() {
    let runs = Counter::default();
    let functions = flaky(2, "Io", &runs)
        .orchestration(CHILD, async |ctx: OrchestrationContext, (): ()| {
            Ok::<_, Failure>(ctx.call_activity(&FLAKY, ()).await?)
        })
        .orchestration(CALLER, async |ctx: OrchestrationContext, (): ()| {
            let call = ctx.call_sub_orchestration(&CHILD, ()).retry(RetryPolicy::new(3, secs(60)));
            Ok::<_, Failure>(call.await?)
        });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&CALLER, ()).await;
        run.assert_completed(&2);
        assert_eq!(run.history().children().len(), 3);
        assert_eq!(run.history().timers(), seconds(&[60, 60]));
        runs.take();
    })
    .await;
}
