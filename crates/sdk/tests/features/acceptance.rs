//! Scenarios of the field's own acceptance suites that no other module shows; `docs/contract.md` has their numbers.

use everdure::testing::Mode;
use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext, RetryPolicy};
use everdure_core::OrchestrationStatus;

use crate::support::{Counter, INC, functions, id, in_all_modes, in_all_modes_but_the_wire, secs};

const MAIN: Orchestration<u32, u32> = Orchestration::new("main");
const CHILD: Orchestration<u32, u32> = Orchestration::new("child");
const WORDS: Orchestration<(), String> = Orchestration::new("words");
const WORD: Orchestration<(), String> = Orchestration::new("word");
const SPEAK: Activity<(), String> = Activity::new("speak");

#[tokio::test(start_paused = true)]
async fn an_empty_orchestration_returns_its_input() {
    let functions = functions()
        .orchestration(CHILD, async |ctx: OrchestrationContext, number: u32| {
            // The other modes need a step to crash after, or to replay.
            ctx.call_activity(&INC, number).await?;
            Ok::<_, Failure>(number)
        })
        .orchestration(MAIN, async |_: OrchestrationContext, number: u32| Ok::<_, Failure>(number));
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&MAIN, 7).await;
        run.assert_completed(&7);
        assert!(run.history().record().tags.is_empty());
        assert_eq!((run.history().turns().len(), run.history().steps()), (1, vec!["completed".to_owned()]));
        hub.run(&CHILD, 7).await.assert_completed(&7);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_timer_takes_two_turns() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
        ctx.sleep(secs(3)).await;
        Ok::<_, Failure>(0)
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&MAIN, 0).await;
        let record = run.history().record();
        assert_eq!(run.history().turns().len(), 2);
        assert!(record.completed_at.expect("it has ended") >= record.created_at + secs(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn replaying_is_told_turn_by_turn() {
    const TOLD: Orchestration<(), Vec<bool>> = Orchestration::new("told");
    let functions = functions().orchestration(TOLD, async |ctx: OrchestrationContext, (): ()| {
        let mut told = vec![ctx.is_replaying()];
        for _ in 0..2 {
            ctx.sleep_until(ctx.now()).await;
            told.push(ctx.is_replaying());
        }
        Ok::<_, Failure>(told)
    });
    let why = "there code that waits for a timer stays in memory: see over_the_wire::replaying_is_told";
    in_all_modes_but_the_wire(why, functions, async |hub, mode| {
        let told = hub.run(&TOLD, ()).await.output();
        // Who waits for a timer leaves memory, so that even live code begins anew; after the last crash the last
        // step may be known already.
        let certain = if mode == Mode::CrashAfterEachStep { 2 } else { 3 };
        assert_eq!(told[..certain], [true, true, false][..certain]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_chains_run_side_by_side() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, mut number: u32| {
        for _ in 0..10 {
            number = ctx.call_activity(&INC, number).await?;
        }
        Ok::<_, Failure>(number)
    });
    in_all_modes(functions, async |hub, mode| {
        let many = if mode == Mode::CrashAfterEachStep { 10 } else { 100 };
        let chains = futures::future::join_all((0..many).map(|number| hub.start(&MAIN, number))).await;
        for (number, chain) in chains.into_iter().enumerate() {
            assert_eq!(chain.end().await.output(), u32::try_from(number).expect("a hundred") + 10);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_events_are_taken_in_order() {
    const COLLECTS: Orchestration<(), Vec<u32>> = Orchestration::new("collects");
    let functions = functions().orchestration(COLLECTS, async |ctx: OrchestrationContext, (): ()| {
        let mut seen = Vec::new();
        while seen.len() < 100 {
            seen.push(ctx.wait_for_event("number").await?);
        }
        Ok::<_, Failure>(seen)
    });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start(&COLLECTS, ()).await;
        for number in 0..100 {
            instance.raise_event("number", &number).await;
        }
        instance.end().await.assert_completed(&(0..100).collect::<Vec<u32>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_instance_is_terminated() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
        ctx.call_activity(&INC, 1).await?;
        Ok::<_, Failure>(ctx.wait_for_event("never").await?)
    });
    in_all_modes(functions, async |hub, _| {
        let instance = hub.start(&MAIN, 0).await;
        instance.until_step("inc returned").await;
        instance.suspend().await;
        instance.terminate("Bye!", false).await;
        instance.end().await.assert_terminated("Bye!");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn children_nest_three_deep() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, depth: u32| {
        if depth == 3 {
            return Ok(ctx.call_activity(&INC, 4).await?);
        }
        let child = ctx.call_sub_orchestration(&MAIN, depth + 1).instance_id(id(&format!("at depth {}", depth + 1)));
        Ok::<_, Failure>(child.await? + 5)
    });
    in_all_modes(functions, async |hub, _| {
        hub.run(&MAIN, 1).await.assert_completed(&15);
        let deepest = hub.record(&id("at depth 3")).await;
        assert_eq!(deepest.parent_instance_id, Some(id("at depth 2")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn versions_of_children_and_activities_find_their_code() {
    let functions = functions()
        .activity(SPEAK.version("1"), async |_: ActivityContext, (): ()| Ok::<_, Failure>("old".to_owned()))
        .activity(SPEAK.version("2"), async |_: ActivityContext, (): ()| Ok::<_, Failure>("new".to_owned()))
        .orchestration(WORD.version("1"), async |ctx: OrchestrationContext, (): ()| {
            Ok::<_, Failure>(format!("child 1 {}", ctx.call_activity(&SPEAK.version("1"), ()).await?))
        })
        .orchestration(WORD.version("2"), async |ctx: OrchestrationContext, (): ()| {
            Ok::<_, Failure>(format!("child 2 {}", ctx.call_activity(&SPEAK.version("2"), ()).await?))
        })
        .orchestration(WORDS, async |ctx: OrchestrationContext, (): ()| {
            let old = ctx.call_sub_orchestration(&WORD.version("1"), ()).await?;
            let new = ctx.call_sub_orchestration(&WORD.version("2"), ()).await?;
            Ok::<_, Failure>(format!("{old}, {new}"))
        });
    in_all_modes(functions, async |hub, _| {
        hub.run(&WORDS, ()).await.assert_completed("child 1 old, child 2 new");
    })
    .await;
}

/// The field hangs here: its finished child keeps the id.
#[tokio::test(start_paused = true)]
async fn a_child_with_a_given_id_is_retried() {
    const COUNT: Activity<(), u32> = Activity::new("count");
    let runs = Counter::default();
    let counted = runs.clone();
    let functions = functions()
        .activity(COUNT, move |_: ActivityContext, (): ()| {
            let before = counted.next();
            async move { Ok::<_, Failure>(before) }
        })
        .orchestration(CHILD, async |ctx: OrchestrationContext, number: u32| {
            if ctx.call_activity(&COUNT, ()).await? == 0 {
                return Err(std::io::Error::other("not yet").into());
            }
            Ok::<_, Failure>(number)
        })
        .orchestration(MAIN, async |ctx: OrchestrationContext, number: u32| {
            let child = ctx.call_sub_orchestration(&CHILD, number).instance_id(id("always the same"));
            Ok::<_, Failure>(child.retry(RetryPolicy::new(3, secs(1))).await?)
        });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&MAIN, 5).await;
        run.assert_completed(&5);
        assert_eq!(run.history().children(), [&id("always the same"), &id("always the same")]);
        runs.take();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tags_reach_children_and_survive_generations() {
    let functions = functions()
        .orchestration(WORD, async |ctx: OrchestrationContext, (): ()| {
            ctx.call_activity(&INC, 1).await?;
            Ok::<_, Failure>(format!("{} {}", ctx.tags()["ort"], ctx.tags()["kind"]))
        })
        .orchestration(MAIN, async |ctx: OrchestrationContext, left: u32| {
            if left > 0 {
                return ctx.continue_as_new(&(left - 1));
            }
            let plain = ctx.call_sub_orchestration(&WORD, ()).await?;
            let other = ctx.call_sub_orchestration(&WORD, ()).tag("kind", "other").await?;
            assert_eq!((plain.as_str(), other.as_str()), ("Köln \u{1F30D} plain", "Köln \u{1F30D} other"));
            Ok::<_, Failure>(0)
        });
    in_all_modes(functions, async |hub, _| {
        let tagged = |start: everdure::Start| start.tag("ort", "Köln \u{1F30D}").tag("kind", "plain");
        let instance = hub.start_with(&MAIN, 3, tagged).await;
        let run = instance.end().await;
        run.assert_completed(&0);
        assert_eq!(run.history().record().tags["kind"], "plain");
        assert_eq!(run.history().record().status, OrchestrationStatus::Completed);
    })
    .await;
}
