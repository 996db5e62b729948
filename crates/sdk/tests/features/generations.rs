//! Continue-as-new.

use everdure::{Failure, Orchestration, OrchestrationContext};

use crate::support::{functions, in_all_modes, secs};

const COUNTDOWN: Orchestration<u32, u32> = Orchestration::new("countdown");
const COLLECT: Orchestration<Vec<u32>, Vec<u32>> = Orchestration::new("collect");

#[tokio::test(start_paused = true)]
async fn each_execution_begins_with_an_empty_history() {
    let functions = functions().orchestration(COUNTDOWN, async |ctx: OrchestrationContext, left: u32| {
        ctx.sleep(secs(60)).await;
        if left == 0 { Ok::<_, Failure>(7) } else { ctx.continue_as_new(&(left - 1)) }
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&COUNTDOWN, 10).await;
        run.assert_completed(&7);
        assert_eq!(run.history().record().execution, 10);
        assert_eq!(run.history().steps(), ["timer set", "timer fired", "completed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_were_not_taken_go_along_in_order() {
    let functions = functions().orchestration(COLLECT, async |ctx: OrchestrationContext, mut taken: Vec<u32>| {
        if taken.is_empty() {
            ctx.sleep(secs(60)).await;
        }
        taken.push(ctx.wait_for_event("n").await?);
        if taken.len() == 4 { Ok::<_, Failure>(taken) } else { ctx.continue_as_new(&taken) }
    });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start(&COLLECT, vec![]).await;
        for number in 1..=4 {
            instance.raise_event("n", &number).await;
        }
        instance.end().await.assert_completed(&[1, 2, 3, 4][..]);
    })
    .await;
}
