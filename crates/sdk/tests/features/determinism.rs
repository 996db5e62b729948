//! Code that decides something else in replay is found, and told with both sides.

use everdure::testing::{Mode, TestHub};
use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext};

use crate::support::{Counter, INC, functions};

const OTHER: Activity<u32, u32> = Activity::new("other");
const FICKLE: Orchestration<(), u32> = Orchestration::new("fickle");

#[tokio::test(start_paused = true)]
async fn code_that_changes_its_mind_fails_with_both_sides_in_words() {
    for mode in [Mode::FullReplay, Mode::CrashAfterEachStep] {
        let begun = Counter::default();
        let functions = functions()
            .activity(OTHER, async |_: ActivityContext, number: u32| Ok::<_, Failure>(number))
            .orchestration(FICKLE, move |ctx: OrchestrationContext, (): ()| {
                let first = begun.next() == 0;
                async move {
                    let call = if first { ctx.call_activity(&INC, 1) } else { ctx.call_activity(&OTHER, 1) };
                    Ok::<_, Failure>(call.await?)
                }
            });
        let hub = TestHub::in_mode(mode, functions).await;
        let run = hub.run(&FICKLE, ()).await;
        let failure = run.failure();
        assert_eq!(failure.error_type, "NonDeterministicOrchestration");
        for side in ["history has call of activity 'inc'", "now decides call of activity 'other'"] {
            assert!(failure.error_message.contains(side), "{failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn live_code_logs_a_line_once() {
    let lines = Counter::default();
    let counter = lines.clone();
    let functions = functions().orchestration(FICKLE, move |ctx: OrchestrationContext, (): ()| {
        let counter = counter.clone();
        async move {
            for step in 0..4 {
                // What `ctx.log` asks before it writes.
                if !ctx.is_replaying() {
                    counter.next();
                }
                ctx.call_activity(&INC, step).await?;
            }
            Ok::<_, Failure>(4)
        }
    });
    for mode in [Mode::Live, Mode::FullReplay, Mode::CrashAfterEachStep] {
        let hub = TestHub::in_mode(mode, functions.clone()).await;
        hub.run(&FICKLE, ()).await.assert_completed(&4);
        assert_eq!(lines.take(), 4, "{mode:?}");
    }
}
