//! Suspend, resume, terminate, custom status, scheduled start.

use everdure::{Failure, Functions, Orchestration, OrchestrationContext, OrchestrationStatus};

use crate::support::{INC, functions, id, in_all_modes, secs};

const WAITS: Orchestration<u32, u32> = Orchestration::new("waits");
const PARENT: Orchestration<(), u32> = Orchestration::new("parent");

async fn waits(ctx: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    ctx.set_custom_status("waiting")?;
    let event: u32 = ctx.wait_for_event("go").await?;
    ctx.set_custom_status("counting")?;
    Ok(ctx.call_activity(&INC, number + event).await?)
}

async fn parent(ctx: OrchestrationContext, (): ()) -> everdure::Result<u32> {
    Ok(ctx.call_sub_orchestration(&WAITS, 0).instance_id(id("waiting-child")).await?)
}

fn all() -> Functions {
    functions().orchestration(WAITS, waits).orchestration(PARENT, parent)
}

#[tokio::test(start_paused = true)]
async fn a_suspended_instance_holds_still_until_it_is_resumed() {
    in_all_modes(all(), async |hub, _| {
        let instance = hub.start(&WAITS, 1).await;
        instance.suspend().await;
        instance.raise_event("go", &1).await;
        hub.advance(secs(3600)).await;
        assert_eq!(instance.record().await.status, OrchestrationStatus::Suspended);
        assert!(instance.history().await.activities().is_empty());
        instance.resume().await;
        instance.end().await.assert_completed(&3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_custom_status_is_seen_from_outside() {
    in_all_modes(all(), async |hub, _| {
        let instance = hub.start(&WAITS, 1).await;
        hub.client().wait_for_start(instance.id(), secs(3600)).await.expect("it starts");
        assert_eq!(instance.record().await.custom_status.as_deref(), Some("\"waiting\""));
        instance.raise_event("go", &1).await;
        let run = instance.end().await;
        assert_eq!(run.history().record().custom_status.as_deref(), Some("\"counting\""));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn termination_reaches_the_children_when_asked_to() {
    for recurse in [true, false] {
        in_all_modes(all(), async |hub, _| {
            let child = id("waiting-child");
            let parent = hub.start(&PARENT, ()).await;
            parent.until_step("started waits").await;
            hub.client().wait_for_start(&child, secs(3600)).await.expect("the child starts");
            parent.terminate("enough", recurse).await;
            parent.end().await.assert_terminated("enough");
            if recurse {
                let ended = hub.client().wait_for_end(&child, secs(3600)).await.expect("it ends");
                assert_eq!(ended.status, OrchestrationStatus::Terminated);
            } else {
                hub.advance(secs(60)).await;
                assert_eq!(hub.record(&child).await.status, OrchestrationStatus::Running);
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_start_waits_for_its_time() {
    in_all_modes(all(), async |hub, _| {
        let at = hub.now() + chrono::TimeDelta::hours(2);
        let instance = hub.start_with(&WAITS, 1, |start| start.scheduled_at(at)).await;
        instance.raise_event("go", &1).await;
        hub.advance(secs(3600)).await;
        assert_eq!(instance.record().await.status, OrchestrationStatus::Pending);
        let run = instance.end().await;
        run.assert_completed(&3);
        assert!(run.history().turns()[0].time >= at);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_terminated_before_its_start_never_runs() {
    const IDLE: Orchestration<(), ()> = Orchestration::new("idle");
    let functions = all().orchestration(IDLE, async |_: OrchestrationContext, (): ()| Ok::<_, Failure>(()));
    in_all_modes(functions, async |hub, _| {
        let at = hub.now() + chrono::TimeDelta::hours(2);
        let instance = hub.start_with(&WAITS, 1, |start| start.scheduled_at(at)).await;
        instance.terminate("not needed", false).await;
        let run = instance.end().await;
        run.assert_terminated("not needed");
        assert!(run.history().turns().is_empty());
        hub.run(&IDLE, ()).await.assert_completed(&());
    })
    .await;
}
