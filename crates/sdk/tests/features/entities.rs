//! Entities: calls, signals, failures, and what they do to others.

use everdure::testing::TestHub;
use everdure::{
    CleanEntities, ClientError, Entity, EntityContext, EntityId, EntityQuery, EntityState, Failure, Functions,
    Operation, Orchestration, OrchestrationContext, OrchestrationStatus,
};
use serde::{Deserialize, Serialize};

use crate::support::{functions, id, in_all_modes, secs};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub balance: i64,
}

pub const ACCOUNT: Entity<Account> = Entity::new("Account");
pub const DEPOSIT: Operation<Account, i64, i64> = ACCOUNT.operation("deposit");
const WITHDRAW: Operation<Account, i64, i64> = ACCOUNT.operation("withdraw");
const BALANCE: Operation<Account, (), i64> = ACCOUNT.operation("balance");
const CLOSE: Operation<Account, (), i64> = ACCOUNT.operation("close");
const PANIC: Operation<Account, (), ()> = ACCOUNT.operation("panic");
const REMIND: Operation<Account, u64, ()> = ACCOUNT.operation("remind");
const REPORT: Operation<Account, String, ()> = ACCOUNT.operation("report");
const UNKNOWN: Operation<Account, (), ()> = ACCOUNT.operation("unknown");

const AUDIT: Entity<Vec<String>> = Entity::new("audit");
const NOTE: Operation<Vec<String>, String, ()> = AUDIT.operation("note");

const REPORTING: Orchestration<i64, i64> = Orchestration::new("reporting");

pub fn account(key: &str) -> EntityId<Account> {
    ACCOUNT.id(key).expect("a good key")
}

fn audit() -> EntityId<Vec<String>> {
    AUDIT.id("all").expect("a good key")
}

/// Changes and signals first, so that there is something to take back.
async fn withdraw(ctx: EntityContext, mut account: EntityState<Account>, amount: i64) -> everdure::Result<i64> {
    account.balance -= amount;
    ctx.signal_entity(&audit(), &NOTE, format!("{}: -{amount}", ctx.key()))?;
    ctx.start_orchestration(&REPORTING, account.balance)?.id(id("withdrawn"));
    if account.balance < 0 {
        return Err(Failure::new("Overdrawn", format!("{} is too much", amount)));
    }
    Ok(account.balance)
}

async fn panics(_: EntityContext, mut account: EntityState<Account>, (): ()) -> everdure::Result<()> {
    account.balance = -1;
    panic!("out of paper")
}

async fn remind(ctx: EntityContext, _: EntityState<Account>, after: u64) -> everdure::Result<()> {
    let due = ctx.sent_at() + chrono::TimeDelta::seconds(after.cast_signed());
    let itself = EntityId::<Account>::try_from(ctx.entity_id().clone())?;
    ctx.signal_entity(&itself, &DEPOSIT, 1)?.at(due);
    Ok(())
}

async fn report(ctx: EntityContext, account: EntityState<Account>, name: String) -> everdure::Result<()> {
    ctx.start_orchestration(&REPORTING, account.balance)?.id(id(&name));
    Ok(())
}

pub fn bank() -> Functions {
    let functions = functions().entity(ACCOUNT, |account| {
        account
            .operation(DEPOSIT, async |_: EntityContext, mut account: EntityState<Account>, amount: i64| {
                account.balance += amount;
                Ok::<_, Failure>(account.balance)
            })
            .operation(WITHDRAW, withdraw)
            .operation(BALANCE, async |_: EntityContext, account: EntityState<Account>, (): ()| {
                Ok::<_, Failure>(account.balance)
            })
            .operation(CLOSE, async |ctx: EntityContext, account: EntityState<Account>, (): ()| {
                ctx.delete_state();
                Ok::<_, Failure>(account.balance)
            })
            .operation(PANIC, panics)
            .operation(REMIND, remind)
            .operation(REPORT, report)
    });
    let functions = functions.entity(AUDIT, |audit| {
        audit.operation(NOTE, async |_: EntityContext, mut notes: EntityState<Vec<String>>, note: String| {
            notes.push(note);
            Ok::<_, Failure>(())
        })
    });
    functions.orchestration(REPORTING, async |_: OrchestrationContext, balance: i64| Ok::<_, Failure>(balance))
}

/// Signals and waits until it is done.
async fn deposit(hub: &TestHub, account: &EntityId<Account>, amount: i64) {
    let before = hub.entity(account).await.unwrap_or_default().balance;
    hub.client().signal_entity(account, &DEPOSIT, amount).await.expect("signalled");
    hub.until_entity(account, |now| now.is_some_and(|now| now.state.balance == before + amount)).await;
}

const PAYS: Orchestration<(), Vec<i64>> = Orchestration::new("pays");

#[tokio::test(start_paused = true)]
async fn calls_and_signals_of_one_orchestration_keep_their_order() {
    let functions = bank().orchestration(PAYS, async |ctx: OrchestrationContext, (): ()| {
        let account = ACCOUNT.id("Ada")?;
        let first = ctx.call_entity(&account, &DEPOSIT, 100).await?;
        ctx.signal_entity(&account, &DEPOSIT, 10)?;
        let calls = [ctx.call_entity(&account, &WITHDRAW, 50), ctx.call_entity(&account, &DEPOSIT, 1)];
        let [second, third] = futures::future::try_join_all(calls).await?[..] else { unreachable!("two calls") };
        Ok::<_, Failure>(vec![first, second, third])
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&PAYS, ()).await;
        run.assert_completed(&[100, 60, 61][..]);
        let steps = [
            "called deposit of @account@Ada",
            "deposit returned",
            "signalled deposit to @account@Ada",
            "called withdraw of @account@Ada",
            "called deposit of @account@Ada",
            "withdraw returned",
            "deposit returned",
            "completed",
        ];
        assert_eq!(run.history().steps(), steps);
        assert_eq!(run.history().signals(), [(account("Ada").instance_id(), "deposit")]);
        assert_eq!(hub.entity(&account("Ada")).await, Some(Account { balance: 61 }));
        hub.until_entity(&audit(), |now| now.is_some_and(|now| now.state == ["Ada: -50"])).await;
    })
    .await;
}

const FAILS: Orchestration<(), Vec<String>> = Orchestration::new("fails");

#[tokio::test(start_paused = true)]
async fn a_failed_operation_is_told_and_leaves_nothing_behind() {
    let functions = bank().orchestration(FAILS, async |ctx: OrchestrationContext, (): ()| {
        let account = ACCOUNT.id("Ada")?;
        ctx.call_entity(&account, &DEPOSIT, 100).await?;
        let mut told = Vec::new();
        let overdrawn = ctx.call_entity(&account, &WITHDRAW, 101).await.expect_err("too much");
        assert_eq!(overdrawn.to_string(), "operation 'withdraw of @account@Ada' failed: 101 is too much");
        told.push(overdrawn.details().error_type.clone());
        let panic = ctx.call_entity(&account, &PANIC, ()).await.expect_err("a panic");
        assert_eq!(panic.details().error_message, "out of paper");
        told.push(panic.details().error_type.clone());
        let unknown = ctx.call_entity(&account, &UNKNOWN, ()).await.expect_err("no such operation");
        told.push(unknown.details().error_type.clone());
        assert_eq!(ctx.call_entity(&account, &BALANCE, ()).await?, 100);
        Ok::<_, Failure>(told)
    });
    in_all_modes(functions, async |hub, _| {
        hub.run(&FAILS, ()).await.assert_completed(&["Overdrawn", "Panic", "OperationNotFound"][..]);
        hub.advance(secs(60)).await;
        assert_eq!(hub.entity(&audit()).await, None, "the signal was taken back");
        assert!(hub.client().get(&id("withdrawn")).await.expect("readable").is_none(), "and so was the start");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_call_is_the_cause_of_that_of_the_orchestration() {
    const BROKE: Orchestration<(), i64> = Orchestration::new("broke");
    let functions = bank().orchestration(BROKE, async |ctx: OrchestrationContext, (): ()| {
        Ok::<_, Failure>(ctx.call_entity(&account("Ada"), &WITHDRAW, 1).await?)
    });
    in_all_modes(functions, async |hub, _| {
        let run = hub.run(&BROKE, ()).await;
        let types: Vec<_> = run.failure().chain().map(|failure| failure.error_type.as_str()).collect();
        assert_eq!(types, ["EntityOperationFailed", "Overdrawn"]);
        assert_eq!(hub.entity(&account("Ada")).await, None, "it never came to be");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delayed_signal_comes_at_its_time() {
    const LATER: Orchestration<(), ()> = Orchestration::new("later");
    let functions = bank().orchestration(LATER, async |ctx: OrchestrationContext, (): ()| {
        let due = ctx.now() + chrono::TimeDelta::hours(2);
        ctx.signal_entity(&account("by an orchestration"), &DEPOSIT, 1)?.at(due);
        ctx.sleep(secs(1)).await;
        Ok::<_, Failure>(())
    });
    in_all_modes(functions, async |hub, _| {
        let due = hub.now() + chrono::TimeDelta::hours(2);
        let client = hub.client();
        client.signal_entity(&account("by a client"), &DEPOSIT, 1).scheduled_at(due).await.expect("signalled");
        client.signal_entity(&account("by itself"), &REMIND, 7200).await.expect("signalled");
        hub.run(&LATER, ()).await.assert_completed(&());
        hub.advance(secs(7200 - 60)).await;
        for early in ["by a client", "by itself", "by an orchestration"] {
            let balance = hub.entity(&account(early)).await.map_or(0, |account| account.balance);
            assert_eq!(balance, 0, "{early}");
        }
        for then in ["by a client", "by itself", "by an orchestration"] {
            hub.until_entity(&account(then), |now| now.is_some_and(|now| now.state.balance == 1)).await;
            let updated = hub.snapshot(&account(then)).await.expect("it is there").updated_at;
            assert!(updated >= due, "{then}: {updated} is not before {due}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_entity_starts_an_orchestration_that_has_no_parent() {
    in_all_modes(bank(), async |hub, _| {
        deposit(hub, &account("Ada"), 7).await;
        hub.client().signal_entity(&account("Ada"), &REPORT, "the-report".to_owned()).await.expect("signalled");
        // It begins some time after the signal.
        hub.until_entity(&account("Ada"), |now| now.is_some_and(|now| now.backlog == 0)).await;
        let ended = hub.client().wait_for_end(&id("the-report"), secs(3600)).await.expect("it ends");
        assert_eq!((ended.status, ended.output.as_deref()), (OrchestrationStatus::Completed, Some("7")));
        assert_eq!(ended.parent_instance_id, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_entity_is_gone_and_begins_anew() {
    in_all_modes(bank(), async |hub, _| {
        let (ada, delete) = (account("Ada"), ACCOUNT.operation::<(), ()>("Delete"));
        deposit(hub, &ada, 7).await;
        hub.client().signal_entity(&ada, &CLOSE, ()).await.expect("signalled");
        hub.until_entity(&ada, |now| now.is_none()).await;
        deposit(hub, &ada, 1).await;
        hub.client().signal_entity(&ada, &delete, ()).await.expect("signalled");
        hub.until_entity(&ada, |now| now.is_none()).await;
        assert_eq!(hub.client().entity_record(ada.instance_id()).await.expect("readable"), None, "no trace of it");
        let cleaned = hub.client().clean_entities(CleanEntities { remove_empty: true, ..CleanEntities::default() });
        assert_eq!(cleaned.await.expect("tidied up").removed, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_sent_twice_under_one_request_id_counts_once() {
    in_all_modes(bank(), async |hub, _| {
        let request = uuid::Uuid::from_u128(7);
        for _ in 0..3 {
            let signal = hub.client().signal_entity(&account("Ada"), &DEPOSIT, 1).request_id(request);
            signal.await.expect("signalled");
        }
        hub.client().signal_entity(&account("Ada"), &DEPOSIT, 10).await.expect("signalled");
        hub.until_entity(&account("Ada"), |now| now.is_some_and(|now| now.state.balance >= 11)).await;
        hub.advance(secs(60)).await;
        assert_eq!(hub.entity(&account("Ada")).await, Some(Account { balance: 11 }));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn entities_are_listed_page_by_page() {
    let hub = TestHub::new(bank()).await;
    for key in ["a", "b", "c", "d", "e"] {
        deposit(&hub, &account(key), 1).await;
    }
    hub.client().signal_entity(&audit(), &NOTE, "x".to_owned()).await.expect("signalled");
    hub.until_entity(&audit(), |now| now.is_some()).await;
    let mut found = Vec::new();
    let mut query = EntityQuery { id_prefix: Some("ACCOUNT@".to_owned()), page_size: 2, ..EntityQuery::default() };
    loop {
        let page = hub.client().query_entities(query.clone()).await.expect("a page");
        assert!(page.entities.len() <= 2);
        found.extend(page.entities.into_iter().map(|entity| entity.instance_id.to_string()));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(found, ["@account@a", "@account@b", "@account@c", "@account@d", "@account@e"]);
    let all = EntityQuery { include_state: true, ..EntityQuery::default() };
    let all = hub.client().query_entities(all).await.expect("a page").entities;
    assert_eq!(all.last().and_then(|last| last.state.as_deref()), Some(r#"["x"]"#));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_entity_and_what_is_no_orchestration_is_refused() {
    let hub = TestHub::new(bank()).await;
    let start = hub.client().start(&REPORTING, 1).id(id("@account@Ada")).await;
    let error = start.expect_err("that is an entity");
    assert!(matches!(error, ClientError::Invalid(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "'@account@Ada' is the id of an entity: an orchestration's id does not begin with '@'"
    );
    let error = hub.client().entity_record(&id("Ada")).await.expect_err("that is none");
    assert_eq!(error.to_string(), "'Ada' is not the id of an entity: it has the form @name@key");
    assert!(ACCOUNT.id("x".repeat(100)).is_err(), "too long");
    assert!(Entity::<()>::new("a@b").id("x").is_err(), "no name");
    let wrong = Entity::<String>::new("account").id("Ada").expect("a good key");
    deposit(&hub, &account("Ada"), 1).await;
    let error = hub.client().get_entity(&wrong).await.expect_err("another type");
    assert!(matches!(error, ClientError::Json(_)), "{error:?}");
}
