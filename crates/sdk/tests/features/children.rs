//! Sub-orchestrations.

use everdure::{Failure, Functions, InstanceId, Orchestration, OrchestrationContext, OrchestrationStatus};

use crate::support::{INC, functions, id, in_all_modes};

const CHILD: Orchestration<u32, u32> = Orchestration::new("child");
const PARENT: Orchestration<u32, u32> = Orchestration::new("parent");

/// Fails for 0.
async fn child(ctx: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    match number {
        0 => Err(Failure::new("Zero", "nothing to add to")),
        _ => Ok(ctx.call_activity(&INC, number).await?),
    }
}

async fn parent(ctx: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    let own = InstanceId::new("the-child")?;
    Ok(ctx.call_sub_orchestration(&CHILD, number).instance_id(own).await?)
}

fn family() -> Functions {
    functions().orchestration(CHILD, child).orchestration(PARENT, parent)
}

#[tokio::test(start_paused = true)]
async fn a_child_is_an_instance_that_knows_its_parent() {
    in_all_modes(family(), async |hub, _| {
        let run = hub.run(&PARENT, 1).await;
        run.assert_completed(&2);
        assert_eq!(run.history().steps(), ["started child", "child returned", "completed"]);
        let child = hub.history_of(&id("the-child")).await;
        assert_eq!(child.record().parent_instance_id.as_ref(), Some(&run.history().record().instance_id));
        assert_eq!(child.steps(), ["scheduled inc", "inc returned", "completed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_child_reaches_its_parent_with_its_cause() {
    in_all_modes(family(), async |hub, _| {
        let run = hub.run(&PARENT, 0).await;
        let types: Vec<_> = run.failure().chain().map(|failure| failure.error_type.as_str()).collect();
        assert_eq!(types, ["SubOrchestrationFailed", "Zero"]);
        assert_eq!(hub.record(&id("the-child")).await.status, OrchestrationStatus::Failed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_child_id_in_use_fails_the_call_and_a_finished_one_is_replaced() {
    const WAITS: Orchestration<(), ()> = Orchestration::new("waits");
    let functions = family().orchestration(WAITS, async |ctx: OrchestrationContext, (): ()| {
        Ok::<_, Failure>(ctx.wait_for_event("go").await?)
    });
    in_all_modes(functions, async |hub, _| {
        let holder = hub.start_with(&WAITS, (), |start| start.id(id("the-child"))).await;
        let run = hub.run(&PARENT, 1).await;
        let cause = run.failure().inner_failure.as_ref().expect("the call failed for a reason");
        assert_eq!(cause.error_type, "OrchestrationAlreadyExists");
        holder.raise_event("go", &()).await;
        holder.end().await.assert_completed(&());
        hub.run(&PARENT, 1).await.assert_completed(&2);
    })
    .await;
}
