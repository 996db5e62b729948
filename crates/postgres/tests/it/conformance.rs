//! Every promise, on every installed version of PostgreSQL.

use everdure_testkit::conformance;

use super::support::{majors, open, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_conforms() {
    for major in majors() {
        println!("PostgreSQL {major}");
        let server = server(major);
        let server = &server;
        conformance::run(|hub| async move { open(server, &hub).await }).await;
    }
}
