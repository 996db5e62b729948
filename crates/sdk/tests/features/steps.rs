//! Activities.

use std::sync::{Arc, Mutex};

use everdure::testing::Mode;
use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext};

use crate::support::{Counter, INC, functions, in_all_modes};

const SEQUENCE: Orchestration<u32, u32> = Orchestration::new("sequence");
const COUNTED: Activity<u32, u32> = Activity::new("counted");
const KEYED: Activity<String, ()> = Activity::new("keyed");

async fn sequence(ctx: OrchestrationContext, start: u32) -> everdure::Result<u32> {
    let mut sum = start;
    for _ in 0..3 {
        sum = ctx.call_activity(&INC, sum).await?;
    }
    Ok(sum)
}

#[tokio::test(start_paused = true)]
async fn activities_run_one_after_the_other() {
    in_all_modes(functions().orchestration(SEQUENCE, sequence), async |hub, _| {
        let run = hub.run(&SEQUENCE, 10).await;
        run.assert_completed(&13);
        let steps = ["scheduled inc", "inc returned"];
        let expected = [&steps[..], &steps, &steps, &["completed"]].concat();
        assert_eq!(run.history().steps(), expected);
        assert_eq!(run.history().turns().len(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_recorded_result_is_never_computed_again() {
    let runs = Counter::default();
    let counter = runs.clone();
    let functions = functions()
        .activity(COUNTED, move |_: ActivityContext, number: u32| {
            counter.next();
            async move { Ok::<_, Failure>(number) }
        })
        .orchestration(SEQUENCE, async |ctx: OrchestrationContext, _: u32| {
            let mut sum = 0;
            for number in 0..5 {
                sum += ctx.call_activity(&COUNTED, number).await?;
            }
            Ok::<_, Failure>(sum)
        });
    in_all_modes(functions, async |hub, _| {
        hub.run(&SEQUENCE, 0).await.assert_completed(&10);
        // One after the other, nothing runs when the worker dies: even with crashes each runs once.
        assert_eq!(runs.take(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_idempotency_key_is_that_of_the_step() {
    let keys: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let log = Arc::clone(&keys);
    let functions = functions()
        .activity(KEYED, move |ctx: ActivityContext, step: String| {
            let seen = (step, ctx.idempotency_key().to_owned());
            log.lock().expect("no holder panics").push(seen);
            async { Ok::<_, Failure>(()) }
        })
        .orchestration(SEQUENCE, async |ctx: OrchestrationContext, _: u32| {
            let calls = ["a", "b", "c"].map(|step| ctx.call_activity(&KEYED, step.to_owned()));
            futures::future::try_join_all(calls).await?;
            ctx.call_activity(&KEYED, "d".to_owned()).await?;
            Ok::<_, Failure>(0)
        });
    in_all_modes(functions, async |hub, mode| {
        hub.run(&SEQUENCE, 0).await.assert_completed(&0);
        let mut seen = std::mem::take(&mut *keys.lock().expect("no holder panics"));
        if mode != Mode::CrashAfterEachStep {
            assert_eq!(seen.len(), 4);
        }
        // However often each ran, it had one key, and no two shared one.
        seen.sort_unstable();
        seen.dedup();
        let steps: Vec<_> = seen.iter().map(|(step, _)| step.as_str()).collect();
        assert_eq!(steps, ["a", "b", "c", "d"]);
        let mut keys: Vec<_> = seen.iter().map(|(_, key)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    })
    .await;
}
