//! What can be wrong with a database: each error says what failed and what to do, and comes at once.

use std::time::Duration;

use everdure_core::{Backend, BackendError, RegisterNode};
use everdure_embedded::Server;
use everdure_postgres::{PostgresBackend, PostgresOptions};
use everdure_testkit::conformance::fixture::creation;

use super::rules::session;
use super::support::{majors, server};

async fn refused(url: &str) -> BackendError {
    let options = PostgresOptions::builder(url).expect("a URL").deadline(Duration::from_secs(1));
    let connecting = PostgresBackend::connect(options.build().expect("good options"));
    let connected = tokio::time::timeout(Duration::from_secs(30), connecting).await.expect("an answer, at once");
    connected.err().unwrap_or_else(|| panic!("connected to {url}"))
}

/// Short for calls that have to fail, long for those that have to succeed: what a busy machine needs is no failure.
async fn with_deadline(server: &Server, deadline: Duration) -> PostgresBackend {
    let options = PostgresOptions::builder(&server.url()).expect("a URL").deadline(deadline);
    PostgresBackend::connect(options.build().expect("good options")).await.expect("connecting")
}

fn says(error: &BackendError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

fn replaced(server: &Server, from: &str, to: &str) -> String {
    let url = server.url();
    assert!(url.contains(from), "the URL has {from}");
    url.replace(from, to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_start_is_named() {
    let server = server(majors()[0]);
    let (head, _) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("credentials");
    let password = head.rsplit(':').next().expect("a password").to_owned();

    let error = refused(&replaced(&server, &password, "wrong")).await;
    assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
    says(&error, &["28P01", "check user and password"]);

    let error = refused(&format!("{}/nowhere", server.url().trim_end_matches("/everdure"))).await;
    assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
    says(&error, &["nowhere", "3D000", "create the database"]);

    let port = format!(":{}/", server.port());
    // Port 1 belongs to a service that nobody runs.
    let error = refused(&replaced(&server, &port, ":1/")).await;
    assert!(error.is_transient(), "{error:?}");
    says(&error, &["check that the server runs"]);

    let error = refused("postgresql://127.0.0.1:1/db?sslmode=require").await;
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_database_is_named() {
    let server = server(majors()[0]);
    let backend = with_deadline(&server, Duration::from_secs(30)).await;
    // Time for more than one attempt: the first may only find that its session is gone.
    let hasty = with_deadline(&server, Duration::from_secs(2)).await;
    let session = session(&server.url()).await;
    session
        .batch_execute("alter database everdure set default_transaction_read_only = on")
        .await
        .expect("read-only from the next session on");
    session
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()", &[])
        .await
        .expect("ending the sessions");
    let error = hasty.create_instance(creation("i", "o")).await.expect_err("nothing can be written");
    says(&error, &["read-only"]);
    session
        .batch_execute("set default_transaction_read_only = off; alter database everdure reset all")
        .await
        .expect("writable");
    session
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()", &[])
        .await
        .expect("ending the sessions");
    backend.create_instance(creation("i", "o")).await.expect("it works again, by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_and_full_servers_are_named() {
    let server = server(majors()[0]);
    let session = session(&server.url()).await;
    session
        .batch_execute(
            "create role nobody_here login password 'secret'; revoke create on database everdure from public; \
             create role crowded login password 'secret' connection limit 0",
        )
        .await
        .expect("two roles");
    let (_, rest) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("credentials");
    let error = refused(&format!("postgresql://nobody_here:secret@{rest}")).await;
    assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
    says(&error, &["42501", "grant the right"]);
    let error = refused(&format!("postgresql://crowded:secret@{rest}")).await;
    says(&error, &["53300", "max_connections"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_unavailable_until_it_is_back() {
    let mut server = Server::builder().start().expect("a private PostgreSQL, durable");
    let backend = with_deadline(&server, Duration::from_secs(30)).await;
    let hasty = with_deadline(&server, Duration::from_millis(700)).await;
    backend.create_instance(creation("before", "o")).await.expect("created");
    server.kill_immediate().expect("a crash");
    let error = hasty.create_instance(creation("during", "o")).await.expect_err("there is no server");
    assert!(error.is_transient(), "{error:?}");
    let request = RegisterNode { lease: Duration::from_secs(5), address: None };
    let error = hasty.register_node(request.clone()).await.expect_err("there is no server");
    assert!(error.is_transient(), "{error:?}");
    let id = |name: &str| creation(name, "o").instance_id;
    let error = hasty.get_instances(vec![id("before")], false).await.expect_err("there is no server");
    says(&error, &["check that the server runs"]);
    server.restart().expect("the server recovers");
    backend.register_node(request).await.expect("it works again, by itself");
    let found = backend.get_instances(vec![id("before"), id("during")], false).await.expect("readable");
    assert_eq!(found.len(), 1, "what was acknowledged is there, what failed is not");
}
