//! External events.

use everdure::testing::TestInstance;
use everdure::{Failure, Functions, Orchestration, OrchestrationContext};

use crate::support::{INC, functions, id, in_all_modes, secs};

const THREE: Orchestration<(), Vec<u32>> = Orchestration::new("three");
const RECEIVER: Orchestration<(), u32> = Orchestration::new("receiver");
const SENDER: Orchestration<String, ()> = Orchestration::new("sender");

async fn three(ctx: OrchestrationContext, (): ()) -> everdure::Result<Vec<u32>> {
    ctx.sleep(secs(60)).await;
    let mut taken = Vec::new();
    for name in ["item", "ITEM", "Item"] {
        taken.push(ctx.wait_for_event(name).await?);
    }
    Ok(taken)
}

fn three_functions() -> Functions {
    functions().orchestration(THREE, three)
}

async fn raise(instance: &TestInstance<'_, Vec<u32>>, events: &[(&str, u32)]) {
    for (name, payload) in events {
        instance.raise_event(name, payload).await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_came_early_wait_in_order_whatever_the_case() {
    in_all_modes(three_functions(), async |hub, _| {
        let instance = hub.start(&THREE, ()).await;
        raise(&instance, &[("iTEM", 1), ("other", 9), ("item", 2), ("ITEM", 3)]).await;
        let run = instance.end().await;
        run.assert_completed(&[1, 2, 3][..]);
        assert_eq!(run.history().events_raised(), ["iTEM", "other", "item", "ITEM"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_come_late_are_waited_for() {
    in_all_modes(three_functions(), async |hub, _| {
        let instance = hub.start(&THREE, ()).await;
        for number in 1..=3 {
            hub.advance(secs(3600)).await;
            raise(&instance, &[("item", number)]).await;
        }
        let run = instance.end().await;
        run.assert_completed(&[1, 2, 3][..]);
        let event = "event item";
        assert_eq!(run.history().steps(), ["timer set", "timer fired", event, event, event, "completed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waits_are_served_in_the_order_in_which_they_began() {
    let functions = functions().orchestration(THREE, async |ctx: OrchestrationContext, (): ()| {
        let (first, second) = (ctx.wait_for_event::<u32>("a"), ctx.wait_for_event::<u32>("a"));
        let given_up = ctx.wait_for_event::<u32>("a");
        let last = ctx.wait_for_event::<u32>("a");
        drop(given_up);
        Ok::<_, Failure>(vec![last.await?, second.await?, first.await?])
    });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start(&THREE, ()).await;
        raise(&instance, &[("a", 1), ("a", 2), ("a", 3)]).await;
        instance.end().await.assert_completed(&[3, 2, 1][..]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_another_type_is_told() {
    let functions = functions().orchestration(RECEIVER, async |ctx: OrchestrationContext, (): ()| {
        let error = ctx.wait_for_event::<u32>("number").await.expect_err("the payload is a text");
        assert_eq!(error.details().error_type, "Serialization");
        Ok::<_, Failure>(ctx.wait_for_event("number").await?)
    });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start(&RECEIVER, ()).await;
        instance.raise_event("number", "seven").await;
        instance.raise_event("number", &7).await;
        instance.end().await.assert_completed(&7);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_orchestration_sends_events_to_another() {
    let functions = functions()
        .orchestration(RECEIVER, async |ctx: OrchestrationContext, (): ()| {
            let (one, two): (u32, u32) = (ctx.wait_for_event("n").await?, ctx.wait_for_event("n").await?);
            Ok::<_, Failure>(one * 10 + two)
        })
        .orchestration(SENDER, async |ctx: OrchestrationContext, to: String| {
            ctx.send_event("nobody", "n", &0)?;
            ctx.send_event(&to, "n", &1)?;
            let two = ctx.call_activity(&INC, 1).await?;
            ctx.send_event(&to, "n", &two)?;
            Ok::<_, Failure>(())
        });
    in_all_modes(functions, async |hub, _| {
        let receiver = hub.start_with(&RECEIVER, (), |start| start.id(id("receiver"))).await;
        let sender = hub.run(&SENDER, "receiver".to_owned()).await;
        receiver.end().await.assert_completed(&12);
        let expected = [
            "event n sent to nobody",
            "event n sent to receiver",
            "scheduled inc",
            "inc returned",
            "event n sent to receiver",
            "completed",
        ];
        assert_eq!(sender.history().steps(), expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_to_what_has_ended_is_dropped() {
    in_all_modes(three_functions(), async |hub, _| {
        let instance = hub.start(&THREE, ()).await;
        raise(&instance, &[("item", 1), ("item", 2), ("item", 3)]).await;
        instance.end().await.assert_completed(&[1, 2, 3][..]);
        raise(&instance, &[("item", 4)]).await;
        assert_eq!(instance.history().await.events_raised().len(), 3);
        let error = hub.client().raise_event(&id("nobody"), "item", &1).await.expect_err("nobody is there");
        assert!(error.to_string().contains("there is no instance 'nobody'"), "{error}");
    })
    .await;
}
