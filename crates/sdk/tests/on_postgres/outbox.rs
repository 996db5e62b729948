//! Starts and events in the caller's own transaction, seen by workers elsewhere.

use std::time::Duration;

use everdure::{ClientError, InstanceId, NodeOptions, Orchestration, OrchestrationStatus, Outbox};
use tokio_postgres::{Client as Session, NoTls};

use super::support::{COUNT, FAN, Hub, PATIENCE, client};

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

async fn session(hub: &Hub) -> Session {
    let (session, connection) = tokio_postgres::connect(&hub.server.url(), NoTls).await.expect("a session");
    tokio::spawn(connection);
    session.batch_execute("create table if not exists orders (id bigint primary key)").await.expect("a table");
    session
}

async fn orders(session: &Session) -> Vec<i64> {
    let rows = session.query("select id from orders order by id", &[]).await.expect("readable");
    rows.iter().map(|row| row.get(0)).collect()
}

/// What is notified before a backend listens is for its polling to find; the tests want to see the notification do it.
async fn both_listen(session: &Session) {
    let listeners = "select count(*) from pg_stat_activity where state = 'idle' and pid <> pg_backend_pid()
                     and (query like 'listen %' or query like 'select pg_notify%')";
    tokio::time::timeout(PATIENCE, async {
        while session.query_one(listeners, &[]).await.expect("readable").get::<_, i64>(0) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the worker's backend and the client's listen");
}

/// Looks by itself so rarely that only the notification of the commit can tell it in time.
fn waits_to_be_told() -> NodeOptions {
    NodeOptions { poll: Duration::from_secs(600), ..NodeOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_starts_runs_when_it_commits_and_wakes_a_worker_elsewhere() {
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let _worker = hub.worker(&backend, waits_to_be_told()).await;
    let client = client(&hub.backend(true).await);
    let mut session = session(&hub).await;
    both_listen(&session).await;
    let outbox = Outbox::new("default").expect("a good name");
    for (order, commits) in [(1_i64, false), (2, true), (3, false), (4, true)] {
        let name = id(&format!("order-{order}"));
        let tx = session.transaction().await.expect("begin");
        tx.execute("insert into orders values ($1)", &[&order]).await.expect("inserted");
        let started = outbox.start(&tx, &FAN, 5).id(name.clone()).tag("kind", "order").await.expect("started");
        assert_eq!(started, name);
        assert!(client.get(&name).await.expect("readable").is_none(), "not before the commit");
        if commits {
            tx.commit().await.expect("commit");
            let sum: u64 = client.wait_for_completion(&name, PATIENCE).await.expect("completed");
            assert_eq!(sum, 15);
        } else {
            drop(tx);
        }
    }
    assert_eq!(orders(&session).await, [2, 4]);
    for order in [1, 3] {
        assert!(client.get(&id(&format!("order-{order}"))).await.expect("readable").is_none());
    }
    let record = client.get(&id("order-2")).await.expect("readable").expect("there");
    assert_eq!(record.tags.get("kind").map(String::as_str), Some("order"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_to_a_savepoint_never_was() {
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let _worker = hub.worker(&backend, waits_to_be_told()).await;
    let client = client(&hub.backend(true).await);
    let mut session = session(&hub).await;
    both_listen(&session).await;
    let outbox = Outbox::new("default").expect("a good name");

    let mut tx = session.transaction().await.expect("begin");
    outbox.start(&tx, &COUNT, (1, vec![])).id(id("kept")).await.expect("started");
    let inner = tx.savepoint("later").await.expect("savepoint");
    outbox.start(&inner, &COUNT, (1, vec![])).id(id("dropped")).await.expect("started");
    outbox.raise_event(&inner, &id("kept"), "e", &1_u64).await.expect("raised");
    inner.rollback().await.expect("rollback to the savepoint");
    outbox.raise_event(&tx, &id("kept"), "e", &2_u64).await.expect("raised");
    tx.commit().await.expect("commit");

    let seen: Vec<u64> = client.wait_for_completion(&id("kept"), PATIENCE).await.expect("completed");
    assert_eq!(seen, [2]);
    assert!(client.get(&id("dropped")).await.expect("readable").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_raised_in_a_transaction_arrives_exactly_if_it_commits() {
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let _worker = hub.worker(&backend, waits_to_be_told()).await;
    let client = client(&hub.backend(true).await);
    let mut session = session(&hub).await;
    both_listen(&session).await;
    let outbox = Outbox::new("default").expect("a good name");
    client.start(&COUNT, (2, vec![])).id(id("count")).await.expect("started");
    client.wait_for_start(&id("count"), PATIENCE).await.expect("it runs");
    for (number, commits) in [(1_u64, false), (2, true), (3, false), (4, true)] {
        let tx = session.transaction().await.expect("begin");
        outbox.raise_event(&tx, &id("count"), "e", &number).await.expect("raised");
        if commits { tx.commit().await } else { tx.rollback().await }.expect("the end of the transaction");
    }
    let seen: Vec<u64> = client.wait_for_completion(&id("count"), PATIENCE).await.expect("completed");
    assert_eq!(seen, [2, 4]);
    let tx = session.transaction().await.expect("begin");
    outbox.raise_event(&tx, &id("count"), "e", &5_u64).await.expect("dropped: it has ended");
    let nobody = outbox.raise_event(&tx, &id("nobody"), "e", &5_u64).await.expect_err("there is none");
    assert!(matches!(nobody, ClientError::NotFound(_)), "{nobody}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_whether_the_transaction_can_go_on() {
    const NAMELESS: Orchestration<(), ()> = Orchestration::new("");
    let hub = Hub::new();
    let client = client(&hub.backend(false).await);
    let mut session = session(&hub).await;
    let outbox = Outbox::new("default").expect("a good name");

    let tx = session.transaction().await.expect("begin");
    outbox.start(&tx, &FAN, 1).id(id("taken")).await.expect("started");
    let taken = outbox.start(&tx, &FAN, 1).id(id("taken")).await.expect_err("the id is in use");
    let pending = OrchestrationStatus::Pending;
    assert!(matches!(taken, ClientError::AlreadyExists { status, .. } if status == pending), "{taken}");
    let long = outbox.start(&tx, &FAN, 1).id(id(&"x".repeat(101))).await.expect_err("too long");
    assert!(matches!(long, ClientError::Invalid(_)), "{long}");
    let nameless = outbox.start(&tx, &NAMELESS, ()).await.expect_err("no name");
    assert!(matches!(nameless, ClientError::Invalid(_)), "{nameless}");
    tx.commit().await.expect("nothing of that broke the transaction");
    assert!(client.get(&id("taken")).await.expect("readable").is_some());

    let nowhere = Outbox::new("nowhere").expect("a good name");
    let tx = session.transaction().await.expect("begin");
    tx.execute("insert into orders values (1)", &[]).await.expect("inserted");
    let error = nowhere.start(&tx, &FAN, 1).await.expect_err("there is no such hub");
    assert!(matches!(error, ClientError::Backend(_)), "{error}");
    assert!(error.to_string().contains("nowhere") && error.to_string().contains("ED404"), "{error}");
    tx.commit().await.expect("answered, with a rollback: the server knows that it is broken");
    assert!(orders(&session).await.is_empty());
}
