//! Versions, tags, deterministic time and GUIDs.

use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext};

use crate::support::{INC, functions, in_all_modes, secs};

const GREET: Orchestration<(), String> = Orchestration::new("greet");
const TAGGED: Activity<(), String> = Activity::new("tagged");

#[tokio::test(start_paused = true)]
async fn a_version_has_its_own_function() {
    let functions = functions()
        .orchestration(GREET.version("1"), async |_: OrchestrationContext, (): ()| Ok::<_, Failure>("one".to_owned()))
        .orchestration(GREET, async |ctx: OrchestrationContext, (): ()| {
            ctx.call_activity(&INC, 1).await?;
            Ok::<_, Failure>(format!("{:?}", ctx.version()))
        });
    in_all_modes(functions, async |hub, _| {
        hub.run(&GREET.version("1"), ()).await.assert_completed("one");
        hub.run(&GREET.version("2"), ()).await.assert_completed("Some(\"2\")");
        hub.run(&GREET, ()).await.assert_completed("None");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tags_of_instance_and_call_reach_the_activity() {
    let functions = functions()
        .activity(TAGGED, async |ctx: ActivityContext, (): ()| {
            Ok::<_, Failure>(format!("{} {}", ctx.tags()["region"], ctx.tags()["kind"]))
        })
        .orchestration(GREET, async |ctx: OrchestrationContext, (): ()| {
            assert_eq!(ctx.tags()["region"], "eu");
            Ok::<_, Failure>(ctx.call_activity(&TAGGED, ()).tag("kind", "big").await?)
        });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start_with(&GREET, (), |start| start.tag("region", "eu")).await;
        instance.end().await.assert_completed("eu big");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn time_and_guids_are_the_same_each_time_the_code_runs() {
    let functions = functions().orchestration(GREET, async |ctx: OrchestrationContext, (): ()| {
        let (time, guid) = (ctx.now(), ctx.new_guid());
        // Were they others in replay, the timer and the event would go to other places than history says.
        ctx.send_event(&guid.to_string(), "hello", &time)?;
        ctx.sleep(secs(60)).await;
        ctx.send_event(&guid.to_string(), "hello", &time)?;
        ctx.call_activity(&INC, 1).await?;
        Ok::<_, Failure>(format!("{guid} {time}"))
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&GREET, ()).await;
        let (output, turns) = (run.output(), run.history().turns());
        assert!(output.ends_with(&turns[0].time.to_string()), "{output}");
        let sent: Vec<_> = run.history().steps().into_iter().filter(|step| step.starts_with("event hello")).collect();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
    })
    .await;
}
