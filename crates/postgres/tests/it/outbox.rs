//! Creations and messages in transactions of the caller's own.

use std::time::Duration;

use everdure_core::{Backend, BackendError, CreateInstance, CreateOutcome, MessageBody, ReusePolicy, SendMessage};
use everdure_core::{OrchestrationStatus, SendOutcome};
use everdure_postgres::{Outbox, PostgresBackend, PostgresOptions};
use everdure_testkit::conformance::fixture::{creation, id, until};
use tokio_postgres::Client;

use super::rules::{session, somebody_waits};
use super::support::{backend, majors, server};

fn outbox() -> Outbox {
    Outbox::new("default").expect("a good name")
}

fn event(instance: &str, name: &str) -> SendMessage {
    let body = MessageBody::EventRaised { name: name.into(), input: Some("7".into()) };
    SendMessage { instance_id: id(instance), body, request_id: None, not_before: None }
}

fn created(outcome: &CreateOutcome) -> bool {
    matches!(outcome, CreateOutcome::Created { .. })
}

fn sent(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::Sent { .. })
}

async fn there(backend: &dyn Backend, ids: &[&str]) -> Vec<String> {
    let found = backend.get_instances(ids.iter().map(|name| id(name)).collect(), false).await.expect("readable");
    let mut found: Vec<_> = found.iter().map(|record| record.instance_id.to_string()).collect();
    found.sort();
    found
}

async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("select count(*) from everdure.{table}"), &[]).await.expect("countable").get(0)
}

#[tokio::test]
async fn what_is_created_in_a_transaction_exists_exactly_if_it_commits() {
    for major in majors() {
        let server = server(major);
        let backend = backend(&server, "default").await;
        let mut client = session(&server.url()).await;
        let (outbox, order) = (outbox(), creation("order-1", "order"));

        let dropped = client.transaction().await.expect("begin");
        assert!(created(&outbox.create_instance(&dropped, &order).await.expect("created")));
        assert!(sent(&outbox.send_message(&dropped, &event("order-1", "paid")).await.expect("sent")));
        assert!(there(&backend, &["order-1"]).await.is_empty(), "not committed");
        dropped.rollback().await.expect("rollback");
        assert_eq!((count(&client, "instances").await, count(&client, "messages").await), (0, 0));

        let mut kept = client.transaction().await.expect("begin");
        let savepoint = kept.savepoint("s").await.expect("savepoint");
        outbox.create_instance(&savepoint, &creation("order-2", "order")).await.expect("created");
        savepoint.rollback().await.expect("rollback to the savepoint");
        let scheduled = CreateInstance {
            version: Some("2".into()),
            tags: [("customer".to_owned(), "Ada".to_owned())].into(),
            request_id: Some(uuid::Uuid::from_u128(7)),
            ..order.clone()
        };
        let first = outbox.create_instance(&kept, &scheduled).await.expect("created");
        let again = outbox.create_instance(&kept, &scheduled).await.expect("recognised");
        assert!(created(&first) && first == again, "{first:?}, {again:?}");
        kept.commit().await.expect("commit");
        assert_eq!(there(&backend, &["order-1", "order-2"]).await, ["order-1"]);
        let record = backend.get_instances(vec![id("order-1")], true).await.expect("readable").remove(0);
        assert_eq!((record.status, record.input), (OrchestrationStatus::Pending, order.input));
        assert_eq!((record.version, record.tags), (scheduled.version, scheduled.tags));
    }
}

#[tokio::test]
async fn a_message_sent_in_a_transaction_arrives_exactly_if_it_commits() {
    let server = server(majors()[0]);
    let backend = backend(&server, "default").await;
    backend.create_instance(creation("order-1", "order")).await.expect("created");
    let mut client = session(&server.url()).await;
    let outbox = outbox();
    for (name, commits) in [("lost", false), ("kept", true)] {
        let transaction = client.transaction().await.expect("begin");
        assert!(sent(&outbox.send_message(&transaction, &event("order-1", name)).await.expect("sent")));
        let nobody = outbox.send_message(&transaction, &event("nobody", name)).await.expect("an outcome");
        assert_eq!(nobody, SendOutcome::NotFound);
        let end = if commits { transaction.commit().await } else { transaction.rollback().await };
        end.expect("the end of the transaction");
    }
    let row = client.query_one("select string_agg(body::text, '') from everdure.messages", &[]).await.expect("a row");
    let bodies: String = row.get(0);
    assert!(bodies.contains("kept") && !bodies.contains("lost"), "{bodies}");

    let transaction = client.transaction().await.expect("begin");
    let body = MessageBody::ExecutionTerminated { reason: Some("enough".into()), recurse: false };
    let end =
        SendMessage { instance_id: id("order-1"), body, request_id: Some(uuid::Uuid::from_u128(8)), not_before: None };
    assert_eq!(outbox.send_message(&transaction, &end).await.expect("ended"), SendOutcome::Terminated);
    assert_eq!(outbox.send_message(&transaction, &end).await.expect("known"), SendOutcome::Repeated);
    let late = outbox.send_message(&transaction, &event("order-1", "late")).await.expect("an outcome");
    assert_eq!(late, SendOutcome::Finished);
    let keep = CreateInstance { reuse: ReusePolicy::Never, ..creation("order-1", "order") };
    let ended = CreateOutcome::AlreadyExists { status: OrchestrationStatus::Terminated };
    assert_eq!(outbox.create_instance(&transaction, &keep).await.expect("an outcome"), ended);
    let replaced = outbox.create_instance(&transaction, &creation("order-1", "order")).await.expect("replaced");
    assert!(created(&replaced));
    transaction.commit().await.expect("nothing broke it");
}

/// The second one waits for the first; what it is told depends on how that ends. From SQL the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_transactions_that_create_one_id_make_one_instance() {
    for major in majors() {
        let server = server(major);
        let backend = backend(&server, "default").await;
        let (mut one, mut two) = (session(&server.url()).await, session(&server.url()).await);
        let watcher = session(&server.url()).await;
        let outbox = outbox();
        for (name, commits) in [("abandoned", false), ("wanted", true)] {
            let request = creation(name, "order");
            let first = one.transaction().await.expect("begin");
            assert!(created(&outbox.create_instance(&first, &request).await.expect("created")));
            let second = two.transaction().await.expect("begin");
            let (outcome, ()) = tokio::join!(outbox.create_instance(&second, &request), async {
                until("the second waits", async || somebody_waits(&watcher, "_create_one").await).await;
                let end = if commits { first.commit().await } else { first.rollback().await };
                end.expect("the end of the first");
            });
            let outcome = outcome.expect("an outcome, not an error");
            let exists = CreateOutcome::AlreadyExists { status: OrchestrationStatus::Pending };
            assert!(if commits { outcome == exists } else { created(&outcome) }, "{name}: {outcome:?}");
            second.commit().await.expect("it can commit what else it did");
            assert_eq!(there(&backend, &[name]).await, [name]);
        }

        let first = one.transaction().await.expect("begin");
        outbox.create_instance(&first, &creation("both", "order")).await.expect("created");
        let (told, ()) = tokio::join!(two.query_one("select everdure.start_instance('o', null, 'both')", &[]), async {
            until("the second waits", async || somebody_waits(&watcher, "start_instance").await).await;
            first.commit().await.expect("commit");
        });
        let told = told.expect_err("the id is taken");
        assert_eq!(told.code().map(|code| code.code()), Some("ED409"));

        two.batch_execute("set lock_timeout = '50ms'").await.expect("in a hurry");
        let first = one.transaction().await.expect("begin");
        outbox.create_instance(&first, &creation("slow", "order")).await.expect("created");
        let second = two.transaction().await.expect("begin");
        let error = outbox.create_instance(&second, &creation("slow", "order")).await.expect_err("no time to wait");
        assert!(error.is_transient() && error.to_string().contains("55P03"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_named_and_left_to_be_rolled_back() {
    let server = server(majors()[0]);
    let backend = backend(&server, "default").await;
    let mut client = session(&server.url()).await;
    let mut transaction = client.transaction().await.expect("begin");
    let long = "x".repeat(101);
    for (hub, name, function, expected) in [
        ("nowhere", "fine", "order", "there is no task hub 'nowhere'"),
        ("default", long.as_str(), "order", "ED422"),
        ("default", "@counter@x", "order", "'@counter@x' is the id of an entity"),
        ("default", "fine", "", "the name of the orchestration is empty"),
    ] {
        let outbox = Outbox::new(hub).expect("a good name");
        let savepoint = transaction.savepoint("s").await.expect("savepoint");
        let error = outbox.create_instance(&savepoint, &creation(name, function)).await.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("SQLSTATE ED4"), "{error}");
        let no_hub = matches!(error, BackendError::HubGone { .. });
        assert_eq!(no_hub, hub == "nowhere", "the rest is the caller's: {error:?}");
        let broken = outbox.create_instance(&savepoint, &creation("fine", "order")).await.expect_err("broken");
        assert!(broken.to_string().contains("25P02"), "{broken}");
        savepoint.rollback().await.expect("rollback to the savepoint");
    }
    outbox().create_instance(&transaction, &creation("fine", "order")).await.expect("the rest goes on");
    transaction.commit().await.expect("commit");
    assert_eq!(there(&backend, &["fine", long.as_str()]).await, ["fine"]);

    assert!(matches!(Outbox::new(" "), Err(BackendError::Invalid { .. })));
    let schema = outbox().schema("my schema; drop").expect_err("no schema").to_string();
    assert!(schema.contains("my schema"), "{schema}");
    let transaction = client.transaction().await.expect("begin");
    let elsewhere = outbox().schema("nowhere").expect("a good name");
    let error = elsewhere.create_instance(&transaction, &creation("i", "order")).await.expect_err("no schema");
    assert!(error.to_string().contains("everdure migrate"), "{error}");
}

#[tokio::test]
async fn another_schema_and_hub_are_those_of_the_options() {
    let server = server(majors()[0]);
    let options = PostgresOptions::builder(&server.url()).expect("a URL").schema("other").hub("orders");
    let options = options.deadline(Duration::from_secs(30)).build().expect("good options");
    let outbox = Outbox::from(&options);
    let backend = PostgresBackend::connect(options).await.expect("connecting");
    let mut client = session(&server.url()).await;
    let transaction = client.transaction().await.expect("begin");
    outbox.create_instance(&transaction, &creation("order-1", "order")).await.expect("created");
    assert!(sent(&outbox.send_message(&transaction, &event("order-1", "paid")).await.expect("sent")));
    transaction.commit().await.expect("commit");
    assert_eq!(there(&backend, &["order-1"]).await, ["order-1"]);
}
