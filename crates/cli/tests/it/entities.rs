//! The commands that look at entities and signal them.

use everdure::{
    Entity, EntityContext, EntityState, Failure, Functions, NodeOptions, Orchestration, OrchestrationContext,
};
use everdure::{PostgresBackend, PostgresOptions, Worker};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Cli, server};

const COUNTER: Entity<i64> = Entity::new("counter");

/// A worker that takes `counter` (`add`) and `holds`, which locks one and waits for the event `go`.
async fn worker(hub: &str) -> Worker {
    let options = PostgresOptions::builder(&server().url()).expect("the URL of the private server").hub(hub);
    let options = options.build().expect("good options");
    let backend = Arc::new(PostgresBackend::connect(options).await.expect("it runs"));
    let functions = Functions::new()
        .entity(COUNTER, |counter| {
            counter.operation(
                COUNTER.operation("add"),
                async |_: EntityContext, mut counter: EntityState<i64>, number: i64| {
                    *counter += number;
                    Ok::<_, Failure>(*counter)
                },
            )
        })
        .orchestration(Orchestration::new("holds"), async |ctx: OrchestrationContext, key: String| {
            let _section = ctx.lock_entities([COUNTER.id(key)?]).await?;
            Ok::<(), Failure>(ctx.wait_for_event("go").await?)
        });
    Worker::start(backend, functions, NodeOptions::default()).await.expect("a worker")
}

/// Asks again until it is so.
fn until(cli: &Cli, arguments: &[&str], reached: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let said = cli.run(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&said.stdout).unwrap_or(Value::Null);
        if reached(&value) {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{arguments:?} says {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_signalled_shown_and_listed() {
    let worker = worker("entities").await;
    let work = tokio::task::spawn_blocking(|| {
        let cli = Cli::in_hub("entities");
        let told = cli.ok(&["entity", "signal", "@Counter@a", "add", "--input", "5"]);
        assert_eq!(told.trim(), "signalled add to @counter@a");
        let sent = cli.json(&["entity", "signal", "@counter@a", "add", "--input", "-2"]);
        assert_eq!(sent, json!({ "instanceId": "@counter@a", "operation": "add", "sent": true }));
        let entity = until(&cli, &["entity", "get", "@counter@a"], |entity| entity["state"] == "3");
        assert_eq!(
            (&entity["exists"], &entity["backlog"], &entity["lockedBy"]),
            (&json!(true), &json!(0), &Value::Null)
        );
        cli.ok(&["entity", "signal", "@counter@b", "add", "--input", "1", "--delay", "1h"]);
        cli.ok(&["entity", "signal", "@counter@b", "add", "--input", "1", "--at", "2100-01-01"]);
        assert_eq!(cli.json(&["entity", "get", "@counter@b"])["backlog"], 2);
        assert!(cli.ok(&["entity", "get", "@counter@b"]).contains("none: operations wait"));

        cli.ok(&["start", "holds", "--id", "holder", "--input", "\"a\""]);
        until(&cli, &["entity", "get", "@counter@a"], |entity| entity["lockedBy"] == "holder");
        let (shown, table) = (cli.ok(&["entity", "get", "@counter@a"]), cli.ok(&["entity", "list"]));
        assert!(shown.contains("locked by") && shown.contains("holder"), "{shown}");
        assert!(table.contains("@counter@a") && table.contains("holder") && !table.contains("@counter@b"), "{table}");
        cli.ok(&["raise-event", "holder", "go"]);
        until(&cli, &["entity", "get", "@counter@a"], |entity| entity["lockedBy"] == Value::Null);

        let ids = |arguments: &[&str]| {
            let list = cli.json(&[&["entity", "list"], arguments].concat());
            let list = list.as_array().expect("an array").iter();
            list.map(|entity| entity["instanceId"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&["--prefix", "@COUNTER@", "--transient"]), ["@counter@a", "@counter@b"]);
        assert_eq!(ids(&["--updated-from", "1h", "--all"]), ["@counter@a"]);
        assert!(ids(&["--updated-to", "2020-01-01"]).is_empty() && ids(&["--prefix", "@other@"]).is_empty());
        let part = cli.run(&["entity", "list", "--transient", "--limit", "1"]);
        assert!(String::from_utf8_lossy(&part.stderr).contains("there are more than 1"));
        assert!(cli.json(&["list"]).as_array().expect("an array").len() == 1, "entities are no instances");
        assert_eq!(cli.json(&["entity", "clean"]), json!({ "removed": 0, "released": 0 }), "the waiting one stays");
        assert_eq!(ids(&["--transient"]).len(), 2);
    });
    work.await.expect("it does not panic");
    worker.drain(Duration::from_secs(5)).await.expect("in good order");
}

#[test]
fn what_is_no_entity_is_refused() {
    let cli = Cli::in_hub("no-entities");
    cli.ok(&["migrate"]);
    let said = cli.fails(1, &["entity", "get", "@counter@nobody"]);
    assert!(said.contains("there is no entity '@counter@nobody'"), "{said}");
    for (id, expected) in [("counter", "it has the form @name@key"), ("@@x", "it has the form"), ("@a@b@c", "")] {
        let output = cli.run(&["entity", "signal", id, "add"]);
        assert_eq!(output.status.code(), Some(if expected.is_empty() { 0 } else { 2 }), "{id}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{id}");
    }
    let said = cli.fails(1, &["entity", "signal", "@counter@a", "add", "--input", "{"]);
    assert!(said.contains("is not valid JSON"), "{said}");
    cli.fails(2, &["entity", "signal", "@counter@a", "add", "--at", "2100-01-01", "--delay", "1h"]);
    let said = cli.fails(1, &["start", "o", "--id", "@counter@a"]);
    assert!(said.contains("an orchestration's id does not begin with '@'"), "{said}");
}
