//! Many steps at once, and the first of several.

use everdure::testing::Mode;
use everdure::{Failure, Orchestration, OrchestrationContext};

use crate::support::{INC, STUCK, functions, in_all_modes, in_all_modes_but_the_wire, secs};

const FAN: Orchestration<u32, u32> = Orchestration::new("fan");
const CHILD: Orchestration<u32, u32> = Orchestration::new("child");
const FIRST: Orchestration<(), u32> = Orchestration::new("first");

#[tokio::test(start_paused = true)]
async fn two_thousand_activities_are_joined() {
    let functions = functions().orchestration(FAN, async |ctx: OrchestrationContext, count: u32| {
        let calls = (0..count).map(|number| ctx.call_activity(&INC, number));
        let results = futures::future::try_join_all(calls).await?;
        Ok::<_, Failure>(results.into_iter().sum())
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&FAN, 2_000).await;
        run.assert_completed(&(2_000 * 2_001 / 2));
        assert_eq!(run.history().activities().len(), 2_000);
        assert_eq!(run.history().events().count(), 4_001, "each result stands in history once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_thousand_children_are_joined() {
    let functions = functions()
        .orchestration(CHILD, async |_: OrchestrationContext, number: u32| Ok::<_, Failure>(number + 1))
        .orchestration(FAN, async |ctx: OrchestrationContext, count: u32| {
            let calls = (0..count).map(|number| ctx.call_sub_orchestration(&CHILD, number));
            let results = futures::future::try_join_all(calls).await?;
            Ok::<_, Failure>(results.into_iter().sum())
        });
    in_all_modes(functions, async |hub, mode| {
        // A crash after each of two thousand ends is two thousand replays of two thousand children.
        let children = if mode == Mode::CrashAfterEachStep { 200 } else { 2_000 };
        let run = hub.run(&FAN, children).await;
        run.assert_completed(&(children * (children + 1) / 2));
        assert_eq!(run.history().children().len(), children as usize);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_cancelled_on_record() {
    let functions = functions().orchestration(FIRST, async |ctx: OrchestrationContext, (): ()| {
        let winner = tokio::select! {
            result = ctx.call_activity(&STUCK, ()) => result?,
            () = ctx.sleep(secs(60)) => 1,
        };
        let second = tokio::select! {
            result = ctx.call_activity(&INC, winner) => result?,
            () = ctx.sleep(secs(3600)) => 0,
        };
        Ok::<_, Failure>(ctx.call_activity(&INC, second).await?)
    });
    let why = "the protocol has no cancellation: see over_the_wire::what_is_given_up_comes_to_its_end_unheard";
    in_all_modes_but_the_wire(why, functions, async |hub, _| {
        let run = hub.run(&FIRST, ()).await;
        run.assert_completed(&3);
        let steps = run.history().steps();
        for step in ["stuck cancelled", "timer cancelled"] {
            assert_eq!(steps.iter().filter(|taken| *taken == step).count(), 1, "{}", run.history());
        }
    })
    .await;
}
