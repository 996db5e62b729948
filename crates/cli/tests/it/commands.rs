//! The commands that look at instances and steer them.

use serde_json::{Value, json};

use crate::support::{Cli, server, worker};

fn ids(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("an array").iter();
    list.map(|instance| instance["instanceId"].as_str().expect("an id")).collect()
}

fn types(history: &Value) -> Vec<&str> {
    let history = history.as_array().expect("an array").iter();
    history.map(|event| event["type"].as_str().expect("a type")).collect()
}

/// Runs a command, which blocks, beside the worker of the test.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_started_waited_for_and_explained() {
    let worker = worker("explained").await;
    beside(|| {
        let cli = Cli::in_hub("explained");
        let ended = cli.json(&["start", "twice", "--id", "t1", "--input", "21", "--wait", "60"]);
        assert_eq!((&ended["status"], &ended["output"]), (&json!("Completed"), &json!("42")));
        assert_eq!(cli.json(&["get", "t1"])["input"], "21");
        assert!(cli.ok(&["get", "t1"]).contains("Completed"));
        let history = cli.json(&["history", "t1"]);
        let first = ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorStarted"];
        let last = ["TaskCompleted", "ExecutionCompleted"];
        assert_eq!(types(&history), [&first[..], &last[..]].concat());
        assert_eq!(history[4]["result"], "42");
        assert_eq!(history[4]["dispatch"], history[2]["dispatch"]);
        assert_eq!(history[1]["instanceId"], "t1");
        let table = cli.ok(&["history", "t1"]);
        assert!(table.starts_with("TURN") && table.contains("TaskScheduled"), "{table}");
        assert!(!table.contains('\x1b'), "no colours outside of a terminal");
    })
    .await;
    worker.drain(std::time::Duration::from_secs(5)).await.expect("in good order");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_how_the_waiting_ended() {
    let worker = worker("waiting").await;
    beside(|| {
        let cli = Cli::in_hub("waiting");
        let failed = cli.run(&["start", "wrong", "--wait", "60", "--json"]);
        assert_eq!(failed.status.code(), Some(3));
        let record: Value = serde_json::from_slice(&failed.stdout).expect("the instance");
        assert_eq!(record["failure"]["type"], "OutOfTea");
        let said = cli.fails(4, &["start", "patient", "--id", "p1", "--wait", "1"]);
        assert!(said.contains("'p1' was") && said.contains("wait longer"), "{said}");
        cli.ok(&["raise-event", "p1", "go", "--input", r#""now""#]);
        assert_eq!(cli.json(&["get", "p1", "--wait", "60"])["output"], r#""now""#);
        let said = cli.fails(1, &["raise-event", "p1", "go"]);
        assert!(said.contains("'p1' is Completed"), "{said}");
    })
    .await;
    worker.drain(std::time::Duration::from_secs(5)).await.expect("in good order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_instance_goes_on_when_resumed() {
    let worker = worker("suspended").await;
    beside(|| {
        let cli = Cli::in_hub("suspended");
        cli.ok(&["start", "patient", "--id", "p1"]);
        cli.ok(&["suspend", "p1", "--reason", "lunch"]);
        cli.ok(&["raise-event", "p1", "go", "--input", r#""on""#]);
        cli.ok(&["resume", "p1"]);
        assert_eq!(cli.json(&["get", "p1", "--wait", "60"])["output"], r#""on""#);
        let history = cli.json(&["history", "p1"]);
        let said: Vec<_> = types(&history).into_iter().filter(|name| name.starts_with("Execution")).collect();
        assert_eq!(said, ["ExecutionStarted", "ExecutionSuspended", "ExecutionResumed", "ExecutionCompleted"]);
        cli.ok(&["start", "patient", "--id", "p2"]);
        cli.ok(&["terminate", "p2", "--reason", "enough"]);
        let ended = cli.run(&["get", "p2", "--wait", "60", "--json"]);
        assert_eq!(ended.status.code(), Some(3));
        let ended: Value = serde_json::from_slice(&ended.stdout).expect("the instance");
        assert_eq!((&ended["status"], &ended["output"]), (&json!("Terminated"), &json!("enough")));
    })
    .await;
    worker.drain(std::time::Duration::from_secs(5)).await.expect("in good order");
}

#[test]
fn lists_are_filtered_and_paged() {
    let cli = Cli::in_hub("listed");
    for (id, name, region) in [("a-1", "x", "eu"), ("a-2", "y", "us"), ("b-1", "x", "eu")] {
        cli.ok(&["start", name, "--id", id, "--tag", &format!("region={region}"), "--tag", "tier=1"]);
    }
    assert_eq!(ids(&cli.json(&["list"])), ["b-1", "a-2", "a-1"]);
    assert_eq!(ids(&cli.json(&["list", "--tag", "region=eu", "--tag", "tier=1"])), ["b-1", "a-1"]);
    assert_eq!(ids(&cli.json(&["list", "--id-prefix", "a-", "--name", "x"])), ["a-1"]);
    assert_eq!(ids(&cli.json(&["list", "--status", "pending,running"])).len(), 3);
    assert!(ids(&cli.json(&["list", "--status", "Failed"])).is_empty());
    assert_eq!(ids(&cli.json(&["list", "--created-from", "1h", "--all"])).len(), 3);
    assert!(ids(&cli.json(&["list", "--created-to", "2020-01-01"])).is_empty());
    assert_eq!(ids(&cli.json(&["list", "--id-contains", "-2"])), ["a-2"]);
    assert_eq!(ids(&cli.json(&["list", "--roots", "--updated-from", "1h"])).len(), 3);
    for nothing in [
        &["list", "--version", "9"][..],
        &["list", "--parent", "a-1"],
        &["list", "--failure-type", "Io"],
        &["list", "--custom-status", "stage.0=copying"],
        &["list", "--completed-from", "1h"],
    ] {
        assert!(ids(&cli.json(nothing)).is_empty(), "{nothing:?}");
    }
    assert_eq!(cli.ok(&["list", "--count", "--name", "x"]).trim(), "2");
    assert_eq!(cli.json(&["list", "--count", "--limit", "2"]), json!({ "count": 2, "capped": true }));
    assert!(cli.fails(2, &["list", "--custom-status", "stage..x=1"]).contains("a step of the path is empty"));
    let part = cli.run(&["list", "--limit", "2"]);
    let (table, note) = (String::from_utf8_lossy(&part.stdout), String::from_utf8_lossy(&part.stderr));
    assert!(table.contains("a-2") && !table.contains("a-1"), "{table}");
    assert!(note.contains("there are more than 2"), "{note}");
}

#[test]
fn more_than_a_page_is_listed_and_purged() {
    let cli = Cli::in_hub("paged");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = everdure::PostgresOptions::builder(&crate::support::server().url()).expect("a URL").hub("paged");
        let backend = everdure::PostgresBackend::connect(options.build().expect("good")).await.expect("it runs");
        let client = everdure::Client::new(std::sync::Arc::new(backend));
        let starts = (0..1001).map(|number| {
            let client = client.clone();
            async move {
                let id = everdure::InstanceId::new(format!("i-{number}")).expect("an id");
                client.start_by_name("nobody", None).id(id.clone()).await.expect("started");
                client.terminate(&id, None, false).await.expect("ended");
            }
        });
        futures::future::join_all(starts).await;
    });
    let all = cli.json(&["list", "--all"]);
    let mut all = ids(&all);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1001);
    assert_eq!(ids(&cli.json(&["list", "--limit", "1000"])).len(), 1000);
    let said = cli.fails(1, &["purge", "--status", "Terminated"]);
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(cli.json(&["purge", "--completed-before", "1h", "--yes"]), json!({ "purged": 0 }));
    assert_eq!(cli.json(&["purge", "--status", "Terminated", "--yes"]), json!({ "purged": 1001 }));
    assert!(ids(&cli.json(&["list"])).is_empty());
}

#[test]
fn many_are_terminated_and_restarted_at_once() {
    let cli = Cli::in_hub("bulk");
    for number in 0..12 {
        let name = if number < 10 { "many" } else { "few" };
        cli.ok(&["start", name, "--id", &format!("{name}-{number}"), "--input", "7", "--tag", "kind=x"]);
    }
    let many = ["--name", "many"];
    let dry = cli.json(&[&["bulk", "terminate", "--dry-run"][..], &many].concat());
    assert_eq!(dry, json!({ "matching": 10, "done": 0, "failed": 0, "dryRun": true }));
    let refused = cli.fails(1, &[&["bulk", "terminate"][..], &many].concat());
    assert!(refused.contains("nothing was changed") && refused.contains("--yes"), "{refused}");
    assert!(cli.fails(1, &["bulk", "terminate", "--yes"]).contains("no condition given"));
    let fits = cli.fails(1, &["bulk", "terminate", "--status", "Failed", "--yes"]);
    assert!(fits.contains("Failed instances"), "{fits}");
    cli.ok(&[&["bulk", "terminate", "--reason", "wrong file", "--yes"][..], &many].concat());
    assert_eq!(ids(&cli.json(&["list", "--status", "Terminated"])).len(), 10);
    let again = cli.json(&[&["bulk", "terminate", "--yes"][..], &many].concat());
    assert_eq!(again["matching"], json!(0), "what is done is not done again");

    let results = std::env::temp_dir().join(format!("everdure-bulk-{}.jsonl", std::process::id()));
    let file = results.to_str().expect("a path of ours is text");
    cli.ok(&[&["bulk", "restart", "--results", file, "--yes"][..], &many].concat());
    let written = std::fs::read_to_string(&results).expect("it was written");
    std::fs::remove_file(&results).expect("it is ours");
    assert_eq!(written.lines().count(), 10);
    assert!(written.lines().all(|line| line.contains("started as many-")), "{written}");
    let restarted = cli.json(&["get", "many-3"]);
    assert_eq!((&restarted["status"], &restarted["tags"]["kind"]), (&json!("Pending"), &json!("x")));
    cli.ok(&["bulk", "terminate", "--all", "--yes"]);
    cli.ok(&["bulk", "restart", "--new-ids", "--name", "few", "--yes"]);
    assert_eq!(ids(&cli.json(&["list", "--name", "few"])).len(), 4, "two old ones and two new ones");
}

#[test]
fn settings_are_decided_listed_and_given_back() {
    let cli = Cli::in_hub("decided");
    cli.ok(&["start", "x"]);
    assert_eq!(cli.ok(&["settings", "list"]), "");
    cli.ok(&["settings", "set", "retention.completed", "30d"]);
    cli.ok(&["settings", "set", "retention.failed/nightly", "2d"]);
    let expected = json!({ "retention.completed": "30d", "retention.failed/nightly": "2d" });
    assert_eq!(cli.json(&["settings", "list"]), expected);
    cli.ok(&["settings", "reset", "retention.failed/nightly"]);
    assert_eq!(cli.json(&["settings", "list"]), json!({ "retention.completed": "30d" }));
    assert!(cli.fails(1, &["settings", "set", "colour", "red"]).contains("there are retention.completed"));
    assert!(cli.fails(1, &["settings", "set", "retention.failed", "soon"]).contains("12h or 30d"));
}

#[test]
fn scale_tells_what_waits_and_for_how_many_workers() {
    let cli = Cli::in_hub("scaled");
    cli.ok(&["start", "nobody", "--at", "1h"]);
    assert_eq!(cli.json(&["scale"])["workers"], 0, "what starts later waits for nobody");
    for _ in 0..3 {
        cli.ok(&["start", "nobody"]);
    }
    let value = cli.json(&["scale", "--orchestrations-per-worker", "2"]);
    assert_eq!((&value["workers"], &value["nodes"]), (&json!(2), &json!(0)));
    let waits = &value["orchestrations"];
    assert_eq!((&waits["waiting"], &waits["running"]), (&json!(3), &json!(0)));
    assert!(waits["oldestSeconds"].as_f64().expect("a number") > 0.0);
    assert_eq!(value["activities"], json!({ "waiting": 0, "running": 0, "oldestSeconds": 0.0 }));
    let said = cli.ok(&["scale"]);
    assert!(said.contains("nodes live"), "{said}");
    assert!(said.contains("WAITING") && said.contains("orchestrations") && said.contains("workers needed"), "{said}");
    cli.fails(2, &["scale", "--activities-per-worker", "0"]);
    assert!(Cli::at(&crate::support::server().url(), "nowhere").fails(1, &["scale"]).contains("nowhere"));
}

#[test]
fn a_live_instance_is_purged_by_force_only() {
    let cli = Cli::in_hub("purged");
    cli.ok(&["start", "nobody", "--id", "n1"]);
    let said = cli.fails(1, &["purge", "n1"]);
    assert!(said.contains("'n1' is Pending") && said.contains("--force"), "{said}");
    assert_eq!(cli.json(&["purge", "n1", "--force"]), json!({ "purged": 1 }));
    assert!(cli.fails(1, &["get", "n1"]).contains("there is no instance 'n1'"));
}

#[test]
fn inputs_keep_their_bytes_wherever_they_come_from() {
    let cli = Cli::in_hub("inputs");
    let input = r#"{"b": 1.0, "a": [123456789012345678901234567890]}"#;
    cli.ok(&["start", "nobody", "--id", "given", "--input", input]);
    assert!(cli.with_stdin(&["start", "nobody", "--id", "piped", "--input", "-"], input).status.success());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), input).expect("written");
    let from_file = format!("@{}", file.path().display());
    cli.ok(&["start", "nobody", "--id", "read", "--input", &from_file]);
    for id in ["given", "piped", "read"] {
        assert_eq!(cli.json(&["get", id])["input"], input, "{id}");
    }
}

#[test]
fn a_start_can_be_put_off_and_an_id_protected() {
    let cli = Cli::in_hub("later");
    cli.ok(&["start", "nobody", "--id", "n1", "--at", "2100-01-01", "--version", "2"]);
    let record = cli.json(&["get", "n1"]);
    assert_eq!(record["scheduledStart"], "2100-01-01T00:00:00.000000Z");
    assert_eq!((&record["status"], &record["version"]), (&json!("Pending"), &json!("2")));
    assert!(cli.fails(1, &["start", "nobody", "--id", "n1"]).contains("exists already and is Pending"));
    cli.ok(&["terminate", "n1"]);
    assert!(cli.fails(1, &["start", "nobody", "--id", "n1", "--never-replace"]).contains("is Terminated"));
    cli.ok(&["start", "nobody", "--id", "n1"]);
}

#[test]
fn migrating_again_changes_nothing() {
    let cli = Cli::in_hub("default");
    let first = cli.json(&["migrate", "--schema", "another_one"]);
    assert_eq!((&first["from"], &first["changed"]), (&Value::Null, &json!(true)));
    let second = cli.json(&["migrate", "--schema", "another_one"]);
    assert_eq!((&second["from"], &second["changed"]), (&first["to"], &json!(false)));
    cli.ok(&["list", "--schema", "another_one"]);
}

#[test]
fn hubs_are_made_listed_and_deleted() {
    let cli = Cli::at(&server().url_for("made by migrate"), "first");
    let said = cli.fails(1, &["hub", "list"]);
    assert!(said.contains("create the database"), "{said}");
    cli.ok(&["migrate", "--create-database"]);
    cli.ok(&["hub", "create", "second"]);
    let names = |cli: &Cli| {
        let hubs = cli.json(&["hub", "list"]);
        let hubs = hubs.as_array().expect("an array").iter();
        hubs.map(|hub| hub["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&cli), ["first", "second"]);
    cli.ok(&["start", "anything", "--id", "i"]);
    let said = cli.fails(1, &["hub", "delete", "first"]);
    assert!(said.contains("--yes"), "{said}");
    let said = cli.ok(&["hub", "delete", "first", "--yes"]);
    assert!(said.contains("with 1 instances"), "{said}");
    assert_eq!(names(&cli), ["second"]);
    let said = cli.fails(1, &["hub", "delete", "first", "--yes"]);
    assert!(said.contains("no task hub 'first'"), "{said}");
    cli.ok(&["migrate", "--recreate", "--yes"]);
    assert_eq!(names(&cli), ["first"], "all is new");
    let said = cli.fails(1, &["history", "nobody", "--execution", "3"]);
    assert!(said.contains("nobody"), "{said}");
}

#[test]
fn many_are_purged_by_any_condition_within_a_limit_of_time() {
    let cli = Cli::in_hub("bulk purge");
    for number in 0..3 {
        cli.ok(&["start", "import", "--id", &format!("p{number}"), "--tag", "batch=7"]);
    }
    cli.ok(&["bulk", "terminate", "--tag", "batch=7", "--yes"]);
    let ended = cli.json(&["list", "--status", "Terminated"]);
    assert_eq!(ids(&ended).len(), 3, "without a worker");
    let counted = cli.json(&["bulk", "purge", "--tag", "batch=7", "--dry-run"]);
    assert_eq!(counted["matching"], 3);
    let none = cli.json(&["bulk", "purge", "--tag", "batch=7", "--time-limit", "0s", "--yes"]);
    assert_eq!((&none["matching"], &none["done"]), (&json!(3), &json!(0)), "there was no time");
    let purged = cli.json(&["bulk", "purge", "--tag", "batch=7", "--recurse", "--yes"]);
    assert_eq!((&purged["done"], &purged["failed"]), (&json!(3), &json!(0)));
    assert_eq!(cli.json(&["list"]), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_taken_back_one_by_one_and_by_condition() {
    let cli = Cli::in_hub("rewound");
    for id in ["w1", "w2", "w3"] {
        cli.ok(&["start", "wrong", "--id", id]);
    }
    let worker = worker("rewound").await;
    for id in ["w1", "w2", "w3"] {
        cli.run(&["get", id, "--wait", "30"]);
    }
    worker.drain(std::time::Duration::from_secs(10)).await.expect("it leaves");
    let again = cli.json(&["restart", "w1", "--new-id"]);
    assert_ne!(again["instanceId"], "w1");
    cli.ok(&["purge", again["instanceId"].as_str().expect("an id"), "--force"]);
    assert_eq!(cli.json(&["rewind", "w1", "--reason", "tea has come"])["rewound"], 1);
    let said = cli.fails(1, &["restart", "w1"]);
    assert!(said.contains("w1") && said.contains("Pending"), "{said}");
    let said = cli.fails(1, &["rewind", "w1"]);
    assert!(said.contains("not allowed") && said.contains("Pending"), "{said}");
    assert_eq!(cli.json(&["bulk", "rewind", "--failure-type", "OutOfTea", "--dry-run"])["matching"], 2);
    let bulk = cli.json(&["bulk", "rewind", "--failure-type", "OutOfTea", "--yes"]);
    assert_eq!((&bulk["done"], &bulk["failed"]), (&json!(2), &json!(0)));
    assert_eq!(ids(&cli.json(&["list", "--status", "Pending"])).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_move_from_hub_to_hub_and_finish_there() {
    let (from, to) = (Cli::in_hub("moved from"), Cli::in_hub("moved to"));
    let first = worker("moved from").await;
    from.ok(&["start", "patient", "--id", "m1", "--tag", "batch=1"]);
    from.ok(&["start", "twice", "--id", "m2", "--input", "21", "--wait", "30"]);
    first.drain(std::time::Duration::from_secs(10)).await.expect("it leaves");
    let lines = from.ok(&["export"]);
    assert_eq!(lines.lines().count(), 2);
    let imported = |input: &str| {
        let output = to.with_stdin(&["import", "-", "--json"], input);
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), told, crate::support::text(&output.stderr))
    };
    let (code, told, _) = imported(&lines);
    assert_eq!((code, &told["imported"], &told["refused"]), (Some(0), &json!(2), &json!(0)));
    let (code, told, _) = imported(&lines);
    assert_eq!((code, &told["imported"], &told["alreadyThere"]), (Some(0), &json!(0), &json!(2)), "nothing twice");
    let (code, told, said) = imported("{\"format\": 1}\n\nnonsense\n");
    assert_eq!((code, &told["refused"]), (Some(1), &json!(2)));
    assert!(said.contains("line 1: ") && said.contains("line 3: not an exported instance"), "{said}");

    let _second = worker("moved to").await;
    to.ok(&["raise-event", "m1", "go", "--input", "\"now\""]);
    assert_eq!(to.json(&["get", "m1", "--wait", "30"])["output"], "\"now\"");
    assert_eq!(to.json(&["get", "m2"])["output"], "42");
    let fork = to.json(&["fork", "m2", "--turn", "1", "--input", "5", "--id", "m3"]);
    assert_eq!(fork["instanceId"], "m3");
    assert_eq!(to.json(&["get", "m3", "--wait", "30"])["output"], "10");
    let said = to.fails(1, &["fork", "m2", "--turn", "9"]);
    assert!(said.contains("no turn 9"), "{said}");
    let forked = to.json(&["bulk", "fork", "--name", "twice", "--turn", "2", "--yes"]);
    assert_eq!((&forked["done"], &forked["failed"]), (&json!(2), &json!(0)));
}
