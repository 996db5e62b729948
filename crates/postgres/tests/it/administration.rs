//! Databases, schemas and task hubs are made and removed.

use everdure_core::{BackendError, InstanceId};
use everdure_postgres::{PostgresBackend, PostgresOptions, PostgresOptionsBuilder};
use everdure_testkit::conformance::fixture::{create, creation, node};

use super::rules::session;
use super::support::{majors, open, server};

fn builder(url: &str) -> PostgresOptionsBuilder {
    PostgresOptions::builder(url).expect("the URL of the private server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_database_is_made_once_when_asked_for() {
    for major in majors() {
        let server = server(major);
        let options = || builder(&server.url_for("Made here \"now\"")).listen(false);
        let refused = PostgresBackend::connect(options().build().expect("good options")).await.err();
        assert!(refused.expect("nobody asked for it").to_string().contains("create the database"));
        let options = || options().create_database(true).build().expect("good options");
        let all = (0..4).map(|_| PostgresBackend::connect(options()));
        for connected in futures::future::join_all(all).await {
            connected.expect("each of them connects");
        }
        assert!(!PostgresBackend::create_database(&options()).await.expect("it is there"));
    }
}

#[tokio::test]
async fn a_schema_is_removed_when_nobody_works_in_it_and_made_again() {
    let server = server(majors()[0]);
    let options = builder(&server.url()).build().expect("good options");
    assert!(!PostgresBackend::drop_schema(&options, false).await.expect("there is none"));
    let first = open(&server, "h").await;
    create(&first, creation("there", "o")).await;
    let worker = node(&first).await;
    let error = PostgresBackend::drop_schema(&options, false).await.expect_err("somebody works").to_string();
    assert!(error.contains("1 nodes work"), "{error}");
    first.remove_node(worker).await.expect("it ends");
    assert!(PostgresBackend::drop_schema(&options, false).await.expect("nobody works"));
    let second = open(&server, "h").await;
    let found = second.get_instances(vec![InstanceId::new("there").expect("an id")], false).await;
    assert_eq!(found.expect("the schema is new"), []);

    session(&server.url()).await.batch_execute("create schema foreign_one").await.expect("a schema of another's");
    let foreign = builder(&server.url()).schema("foreign_one").build().expect("good options");
    let error = PostgresBackend::drop_schema(&foreign, true).await.expect_err("not ours").to_string();
    assert!(error.contains("not made by Everdure"), "{error}");
}

#[tokio::test]
async fn a_hub_is_deleted_in_steps_and_nothing_of_it_is_left() {
    let server = server(majors()[0]);
    let options = builder(&server.url()).build().expect("good options");
    let (hub, other) = (open(&server, "gone").await, open(&server, "kept").await);
    for number in 0..5 {
        create(&hub, creation(&format!("i{number}"), "o")).await;
    }
    create(&other, creation("mine", "o")).await;
    hub.set_hub_setting("retention.completed", Some("1d")).await.expect("a setting");
    let worker = node(&hub).await;
    let error = PostgresBackend::delete_hub(&options, "gone", false, 2).await.expect_err("a node works in it");
    assert!(matches!(error, BackendError::Refused { .. }) && error.to_string().contains("ED409"), "{error}");

    let mut steps = Vec::new();
    loop {
        let step = PostgresBackend::delete_hub(&options, "gone", true, 2).await.expect("by force");
        steps.push(step.purged);
        if step.complete {
            break;
        }
    }
    assert_eq!(steps, [2, 2, 1]);
    assert!(matches!(hub.renew_node(worker).await, Err(BackendError::NodeGone)), "its nodes can write no more");
    let late = hub.create_instance(creation("late", "o")).await.expect_err("its clients neither");
    assert!(matches!(late, BackendError::HubGone { .. }), "{late:?}");
    let names: Vec<_> =
        PostgresBackend::list_hubs(&options).await.expect("a list").into_iter().map(|hub| hub.name).collect();
    assert_eq!(names, ["kept"]);
    let left = "select (select count(*) from everdure.instances) + (select count(*) from everdure.hub_settings) \
                + (select count(*) from everdure.lanes)";
    let left: i64 = session(&server.url()).await.query_one(left, &[]).await.expect("a count").get(0);
    assert_eq!(left, 1, "the other hub's instance");
}
