//! Critical sections: several entities for one orchestration alone.

use everdure::testing::TestHub;
use everdure::{Failure, Functions, InstanceId, Orchestration, OrchestrationContext};

use crate::entities::{ACCOUNT, Account, DEPOSIT, account, bank};
use crate::support::{INC, in_all_modes, secs};

const READ: everdure::Operation<Account, (), i64> = ACCOUNT.operation("balance");

/// Reads, waits, and writes what it read plus one: without locks, others would come in between.
async fn count_both(ctx: &OrchestrationContext, keys: [&str; 2]) -> everdure::Result<()> {
    let accounts = keys.map(account);
    let section = ctx.lock_entities(&accounts).await?;
    for account in &accounts {
        let balance = ctx.call_entity(account, &READ, ()).await?;
        ctx.sleep(secs(10)).await;
        let now: i64 = ctx.call_entity(account, &READ, ()).await?;
        assert_eq!(now, balance, "somebody else was here");
        ctx.call_entity(account, &DEPOSIT, 1).await?;
    }
    section.release();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_orchestrations_with_opposite_orders_take_turns() {
    const COUNTS: Orchestration<(String, String), ()> = Orchestration::new("counts");
    let functions = bank().orchestration(COUNTS, async |ctx: OrchestrationContext, (a, b): (String, String)| {
        for _ in 0..3 {
            count_both(&ctx, [&a, &b]).await?;
        }
        Ok::<_, Failure>(())
    });
    in_all_modes(functions, async |hub, _| {
        let (there, back) = (("a".to_owned(), "b".to_owned()), ("b".to_owned(), "a".to_owned()));
        let runs = [hub.start(&COUNTS, there).await, hub.start(&COUNTS, back).await];
        for run in runs {
            let run = run.end().await;
            run.assert_completed(&());
            assert_eq!(
                run.history().steps()[0],
                "asked to lock @account@a, @account@b",
                "the order is always the same"
            );
        }
        for key in ["a", "b"] {
            assert_eq!(hub.entity(&account(key)).await, Some(Account { balance: 6 }), "{key}");
            assert_is_free(hub, key).await;
        }
    })
    .await;
}

async fn assert_is_free(hub: &TestHub, key: &str) {
    hub.until_entity(&account(key), |now| now.is_none_or(|now| now.locked_by.is_none())).await;
}

/// Locks two accounts, and ends in a way that the input says.
const HOLDS: Orchestration<String, i64> = Orchestration::new("holds");

fn holder() -> Functions {
    bank().orchestration(HOLDS, async |ctx: OrchestrationContext, ends: String| {
        let _section = ctx.lock_entities([&account("a"), &account("b")]).await?;
        let balance = ctx.call_entity(&account("a"), &DEPOSIT, 1).await?;
        match ends.as_str() {
            "returns" => Ok(balance),
            "fails" => Err(Failure::new("Wrong", "as it was told to")),
            "panics" => panic!("as it was told to"),
            "goes on" => ctx.continue_as_new("returns"),
            _ => Ok(ctx.wait_for_event("go").await?),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn locks_are_given_back_however_their_owner_ends() {
    in_all_modes(holder(), async |hub, _| {
        for ends in ["fails", "panics", "waits", "goes on"] {
            let holder = hub.start(&HOLDS, ends.to_owned()).await;
            if ends == "waits" {
                holder.until_step("deposit returned").await;
                let snapshot = hub.snapshot(&account("b")).await;
                assert_eq!(snapshot.and_then(|now| now.locked_by), None, "b has no state, so nobody sees it");
                let record = hub.client().entity_record(account("a").instance_id()).await.expect("readable");
                assert_eq!(record.expect("it is locked").locked_by.as_ref(), Some(holder.id()));
                // A server does not show at all what has no state; a store does.
                let record = hub.client().entity_record(account("b").instance_id()).await.expect("readable");
                assert!(record.is_none_or(|record| record.locked_by.as_ref() == Some(holder.id())));
                holder.terminate("enough", false).await;
            }
            holder.end().await;
            assert_is_free(hub, "a").await;
        }
        // Each of them was alone: one after the other.
        hub.run(&HOLDS, "returns".to_owned()).await.assert_completed(&6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_locks_that_is_given_up_holds_none() {
    const HASTY: Orchestration<(), String> = Orchestration::new("hasty");
    let functions = holder().orchestration(HASTY, async |ctx: OrchestrationContext, (): ()| {
        tokio::select! {
            section = ctx.lock_entities([&account("0"), &account("a")]) => drop(section?),
            () = ctx.sleep(secs(10)) => {}
        }
        Ok::<_, Failure>(ctx.wait_for_event("end").await?)
    });
    in_all_modes(functions, async |hub, _| {
        let holder = hub.start(&HOLDS, "waits".to_owned()).await;
        holder.until_step("deposit returned").await;
        let hasty = hub.start(&HASTY, ()).await;
        hasty.until_step("unlocked @account@a").await;
        assert_is_free(hub, "0").await;
        holder.raise_event("go", &1).await;
        holder.end().await.assert_completed(&1);
        hub.run(&HOLDS, "returns".to_owned()).await.assert_completed(&2);
        hasty.raise_event("end", "at last").await;
        let run = hasty.end().await;
        run.assert_completed("at last");
        let steps = [
            "asked to lock @account@0, @account@a",
            "timer set",
            "timer fired",
            "unlocked @account@0",
            "unlocked @account@a",
            "event end",
            "completed",
        ];
        assert_eq!(run.history().steps(), steps);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fork_leaves_the_locks_of_its_source_alone() {
    let hub = TestHub::new(holder()).await;
    let source = hub.start(&HOLDS, "waits".to_owned()).await;
    source.until_step("deposit returned").await;
    let last = source.history().await.turns().last().expect("it has begun").turn;
    let fork = hub.client().fork(source.id(), last).await.expect("forked");
    hub.client().raise_event(&fork, "go", &7).await.expect("told");
    let end = hub.client().wait_for_completion::<i64>(&fork, secs(3600)).await;
    assert_eq!(end.expect("it has what it waits for"), 7);
    hub.advance(secs(60)).await;
    let locked_by = hub.snapshot(&account("a")).await.and_then(|now| now.locked_by);
    assert_eq!(locked_by.as_ref(), Some(source.id()));
    source.raise_event("go", &1).await;
    source.end().await.assert_completed(&1);
    assert_is_free(&hub, "a").await;
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_critical_sections_are_told_where_they_are_broken() {
    const RULES: Orchestration<(), Vec<String>> = Orchestration::new("rules");
    const CHILD: Orchestration<(), ()> = Orchestration::new("child");
    let functions = bank().orchestration(CHILD, async |_: OrchestrationContext, (): ()| Ok::<_, Failure>(()));
    let functions = functions.orchestration(RULES, async |ctx: OrchestrationContext, (): ()| {
        let (locked, other) = (account("a"), account("b"));
        let mut broken = Vec::new();
        let nothing: [InstanceId; 0] = [];
        broken.push(ctx.lock_entities(nothing).await.expect_err("nothing to lock").details().clone());
        let orchestration = [ctx.instance_id().clone()];
        broken.push(ctx.lock_entities(orchestration).await.expect_err("no entity").details().clone());
        let section = ctx.lock_entities([&locked, &locked]).await?;
        broken.push(ctx.lock_entities([&other]).await.expect_err("nested").details().clone());
        broken.push(ctx.call_entity(&other, &DEPOSIT, 1).await.expect_err("not locked").details().clone());
        broken.push(ctx.call_sub_orchestration(&CHILD, ()).await.expect_err("a child").details().clone());
        assert!(ctx.signal_entity(&locked, &DEPOSIT, 1).is_err(), "a locked one");
        // What is allowed.
        ctx.signal_entity(&other, &DEPOSIT, 1)?;
        ctx.call_activity(&INC, 1).await?;
        ctx.call_entity(&locked, &DEPOSIT, 1).await?;
        section.release();
        ctx.call_entity(&other, &DEPOSIT, 1).await?;
        ctx.call_sub_orchestration(&CHILD, ()).await?;
        ctx.signal_entity(&locked, &DEPOSIT, 1)?;
        drop(ctx.lock_entities([&other]).await?);
        assert!(broken.iter().all(|failure| failure.error_type == "CriticalSection" && failure.is_non_retriable));
        Ok::<_, Failure>(broken.into_iter().map(|failure| failure.error_message).collect())
    });
    in_all_modes(functions, async |hub, _| {
        let told: Vec<String> = hub.run(&RULES, ()).await.output();
        let words = ["nothing to lock", "no entity", "has locks", "not locked", "no sub-orchestration"];
        assert_eq!(told.len(), words.len());
        for (told, words) in told.iter().zip(words) {
            assert!(told.contains(words), "{told}");
        }
        assert_is_free(hub, "b").await;
    })
    .await;
}
