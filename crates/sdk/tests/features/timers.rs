//! Durable timers.

use everdure::{Failure, Orchestration, OrchestrationContext, Timestamp};

use crate::support::{functions, in_all_modes, in_all_modes_but_the_wire, secs};

const SLEEPER: Orchestration<u64, u64> = Orchestration::new("sleeper");
const ALARM: Orchestration<Timestamp, Timestamp> = Orchestration::new("alarm");
const LADDER: Orchestration<(), Vec<u64>> = Orchestration::new("ladder");

#[tokio::test(start_paused = true)]
async fn a_timer_waits_a_month_and_never_fires_early() {
    let functions = functions().orchestration(SLEEPER, async |ctx: OrchestrationContext, seconds: u64| {
        let began = ctx.now();
        ctx.sleep(secs(seconds)).await;
        Ok::<_, Failure>((ctx.now() - began).num_seconds().unsigned_abs())
    });
    let why = "a month has 130,000 signs of life: see over_the_wire::a_timer_waits_an_hour";
    in_all_modes_but_the_wire(why, functions, async |hub, _| {
        let month = 30 * 86_400;
        let began = hub.now();
        let run = hub.run(&SLEEPER, month).await;
        assert_eq!(run.output(), month);
        assert!(hub.now() - began >= chrono::TimeDelta::days(30));
        assert_eq!(run.history().steps(), ["timer set", "timer fired", "completed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timer_in_the_past_fires_at_once() {
    let functions = functions().orchestration(ALARM, async |ctx: OrchestrationContext, at: Timestamp| {
        ctx.sleep_until(at).await;
        ctx.sleep(secs(0)).await;
        Ok::<_, Failure>(ctx.now())
    });
    in_all_modes(functions, async |hub, _| {
        let began = hub.now();
        let run = hub.run(&ALARM, began - chrono::TimeDelta::days(1)).await;
        assert!(run.output() >= began, "time does not run backwards");
        assert!(run.output() - began < chrono::TimeDelta::seconds(60));
        assert_eq!(run.history().timers().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn timers_fire_in_the_order_of_their_times() {
    let functions = functions().orchestration(LADDER, async |ctx: OrchestrationContext, (): ()| {
        use futures::StreamExt;
        let timers = [30, 10, 20].map(|seconds| {
            let timer = ctx.sleep(secs(seconds));
            async move {
                timer.await;
                seconds
            }
        });
        let fired: Vec<u64> = timers.into_iter().collect::<futures::stream::FuturesUnordered<_>>().collect().await;
        Ok::<_, Failure>(fired)
    });
    in_all_modes(functions, async |hub, _| {
        hub.run(&LADDER, ()).await.assert_completed(&[10, 20, 30][..]);
    })
    .await;
}
