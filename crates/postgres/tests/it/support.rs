//! A private server for a test, and backends on it.

use std::sync::Arc;

use everdure_core::Backend;
use everdure_embedded::{PostgresBinaries, Server};
use everdure_postgres::{PostgresBackend, PostgresOptions};

/// The major versions to test on: all supported ones that are installed.
pub fn majors() -> Vec<u32> {
    let installed = |major: &u32| PostgresBinaries::find_version(*major).is_ok();
    let majors: Vec<u32> = everdure_embedded::SUPPORTED_MAJORS.filter(installed).collect();
    assert!(!majors.is_empty(), "no PostgreSQL is installed: run scripts/setup.sh");
    majors
}

pub fn server(major: u32) -> Server {
    Server::builder().version(major).unsafe_fast().start().expect("a private PostgreSQL")
}

pub async fn open(server: &Server, hub: &str) -> Arc<dyn Backend> {
    Arc::new(backend(server, hub).await)
}

pub async fn backend(server: &Server, hub: &str) -> PostgresBackend {
    let options = PostgresOptions::builder(&server.url()).expect("the URL of the private server").hub(hub);
    let options = options.build().expect("good options");
    PostgresBackend::connect(options).await.expect("connecting to the private server")
}
