//! The functions that users call from SQL, in transactions of their own.

use everdure_core::{Backend, HistoryTurn, InstanceId, MessageBody, NameFilter, OrchestrationStatus, RegisterNode};
use everdure_core::{LockOrchestrations, NodeId};
use tokio_postgres::{Client, NoTls};

use super::support::{backend, majors, server};

async fn sql(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a plain connection");
    tokio::spawn(connection);
    client
}

async fn node(backend: &dyn Backend) -> NodeId {
    let request = RegisterNode { lease: std::time::Duration::from_secs(60), address: None };
    backend.register_node(request).await.expect("registering").node
}

fn request(node: NodeId) -> LockOrchestrations {
    LockOrchestrations {
        node,
        names: vec![NameFilter { name: "order".into(), version: None }],
        limit: 10,
        messages: 10,
    }
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("no SQLSTATE", |code| code.code())
}

#[tokio::test]
async fn an_orchestration_started_in_a_transaction_begins_when_it_commits() {
    let server = server(majors()[0]);
    let backend = backend(&server, "default").await;
    let node = node(&backend).await;
    let mut client = sql(&server.url()).await;

    let transaction = client.transaction().await.expect("begin");
    let start = "select everdure.start_instance('order', '{\"item\": 5}', 'order-1')";
    let id: String = transaction.query_one(start, &[]).await.expect("started").get(0);
    assert_eq!(id, "order-1");
    let raise = "select everdure.raise_event('order-1', 'paid', '7')";
    assert!(transaction.query_one(raise, &[]).await.expect("raised").get::<_, bool>(0));
    assert!(backend.lock_orchestrations(request(node)).await.expect("claiming").items.is_empty());
    transaction.commit().await.expect("commit");

    let mut items = backend.lock_orchestrations(request(node)).await.expect("claiming").items;
    let item = items.pop().expect("it is due now");
    assert_eq!(item.started.input.as_deref(), Some("{\"item\": 5}"));
    let expected = MessageBody::EventRaised { name: "paid".into(), input: Some("7".into()) };
    assert_eq!(item.messages.iter().map(|message| &message.body).collect::<Vec<_>>(), [&expected]);

    for call in ["suspend('order-1', 'wait')", "resume('order-1')", "terminate('order-1', 'enough', true)"] {
        let row = client.query_one(&format!("select everdure.{call}"), &[]).await.expect(call);
        assert!(row.get::<_, bool>(0), "{call}");
    }
    let mail = backend.lock_orchestrations(request(node)).await.expect("claiming").items;
    assert!(mail.is_empty(), "pending, so not due; its messages wait for the first turn: {mail:?}");
    let again = client.query_one(start, &[]).await.expect_err("the id is taken");
    assert_eq!(code(&again), "ED409");
}

#[tokio::test]
async fn what_cannot_be_is_told_by_its_sqlstate() {
    let server = server(majors()[0]);
    let backend = backend(&server, "default").await;
    let client = sql(&server.url()).await;
    for (call, expected) in [
        ("start_instance('o', null, 'id', p_hub => 'nowhere')", "ED404"),
        ("start_instance('o', null, '  ')", "ED422"),
        ("start_instance('', null, 'id')", "ED422"),
        ("start_instance('o', null, '@counter@x')", "ED422"),
        ("raise_event('nobody', 'e')", "ED404"),
        ("terminate('nobody')", "ED404"),
    ] {
        let error = client.query_one(&format!("select everdure.{call}"), &[]).await.expect_err(call);
        assert_eq!(code(&error), expected, "{call}");
    }
    client.query_one("select everdure.start_instance('o', null, 'pending')", &[]).await.expect("started");
    let ended = client.query_one("select everdure.terminate('pending', 'never mind')", &[]).await.expect("ended");
    assert!(ended.get::<_, bool>(0));
    let id = InstanceId::new("pending").expect("a valid id");
    let (record, turns): (_, Vec<HistoryTurn>) = backend.get_history(id, None).await.expect("reading").expect("there");
    assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Terminated, Some("never mind")));
    assert!(turns.is_empty());
    let late = client.query_one("select everdure.raise_event('pending', 'e')", &[]).await.expect("dropped");
    assert!(!late.get::<_, bool>(0));
    let id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    client.query_one("select everdure.start_instance('o', null, 'live')", &[]).await.expect("started");
    let raise = format!("select everdure.raise_event('live', 'e', null, '{id}')");
    assert!(client.query_one(&raise, &[]).await.expect("raised").get::<_, bool>(0));
    assert!(!client.query_one(&raise, &[]).await.expect("repeated").get::<_, bool>(0));
}

#[tokio::test]
async fn versions_and_settings_are_read_with_sql() {
    let server = server(majors()[0]);
    drop(backend(&server, "default").await);
    let client = sql(&server.url()).await;
    let row =
        client.query_one("select schema_version, everdure from everdure.get_versions()", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), everdure_postgres::SCHEMA_VERSION);
    assert_eq!(row.get::<_, &str>(1), env!("CARGO_PKG_VERSION"));
    client.query_one("select everdure.set_hub_setting('retention.failed', '90d')", &[]).await.expect("decided");
    let row = client.query_one("select name, value from everdure.get_hub_settings()", &[]).await.expect("a row");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("retention.failed", "90d"));
    for (call, expected) in [
        ("'colour', 'red'", "ED422"),
        ("'retention.failed', 'soon'", "ED422"),
        ("'retention.failed', '1d', 'nowhere'", "ED404"),
    ] {
        let call = format!("select everdure.set_hub_setting({call})");
        assert_eq!(code(&client.query_one(&call, &[]).await.expect_err("it cannot be")), expected, "{call}");
    }
}
