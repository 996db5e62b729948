//! Real processes under load, killed again and again: workers with SIGKILL, workers held still for longer than their
//! lease (zombies), database sessions terminated, the database server itself killed. Afterwards what the clients were
//! told is compared with what the database holds.
//!
//! Short by default; `EVERDURE_CHAOS_SECONDS=600 cargo test --release -p everdure-cli --test chaos` for long.

mod check;
mod clients;
mod faults;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use everdure::{PostgresBackend, PostgresOptions};
use everdure_embedded::Server;

const HUB: &str = "chaos";

fn seconds() -> u64 {
    std::env::var("EVERDURE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

fn options(url: &str) -> PostgresOptions {
    let builder = PostgresOptions::builder(url).expect("the URL of the private server");
    builder.hub(HUB).deadline(Duration::from_secs(60)).build().expect("good options")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let server = Server::builder().start().expect("a private PostgreSQL, durable");
    let url = server.url();
    let backend = Arc::new(PostgresBackend::connect(options(&url)).await.expect("connecting"));
    let database = check::Database::open(&url).await;
    database.make_effects_table().await;

    let stopping = Arc::new(AtomicBool::new(false));
    let clients = clients::start(Arc::clone(&backend), Arc::clone(&stopping));
    let mut faults = faults::Faults::new(server);
    faults.run(Duration::from_secs(seconds())).await;
    stopping.store(true, Ordering::Relaxed);
    let told = clients::finish(clients).await;
    println!("faults: {}; acknowledged starts: {}", faults.summary(), told.len());
    assert!(told.len() > 10, "there was hardly any load: {}", told.len());

    let database = check::Database::open(&url).await;
    let calm = Instant::now();
    check::everything_ends(&backend, &told).await;
    println!("everything ended {:?} after the last fault", calm.elapsed());
    check::outputs(&backend, &told).await;
    check::histories(&backend, &told).await;
    database.check_effects(&told).await;
    faults.stop_workers().await;
    database.check_nothing_is_left().await;
}
