//! Entities on PostgreSQL, with workers that die in the middle.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Client, Entity, EntityContext, EntityId, EntityState, Failure, Functions, NodeOptions, Operation, Orchestration,
    OrchestrationContext, Worker,
};
use everdure_core::Backend;

use super::support::{Hub, PATIENCE};

const COUNTER: Entity<i64> = Entity::new("counter");
const ADD: Operation<i64, i64, i64> = COUNTER.operation("add");
const BOTH: Orchestration<(String, String), ()> = Orchestration::new("both");

async fn add(_: EntityContext, mut counter: EntityState<i64>, number: i64) -> everdure::Result<i64> {
    *counter += number;
    Ok(*counter)
}

/// Reads both and adds one to both: whoever came between would be seen.
async fn both(ctx: OrchestrationContext, (one, other): (String, String)) -> everdure::Result<()> {
    let counters = [COUNTER.id(one)?, COUNTER.id(other)?];
    let section = ctx.lock_entities(&counters).await?;
    let [before, same] = read(&ctx, &counters, 0).await?;
    let [after, again] = read(&ctx, &counters, 1).await?;
    section.release();
    if [after, again] == [before + 1, same + 1] { Ok(()) } else { Err(Failure::new("Intruder", "not alone")) }
}

async fn read(ctx: &OrchestrationContext, counters: &[EntityId<i64>; 2], number: i64) -> everdure::Result<[i64; 2]> {
    let [one, other] = counters;
    Ok([ctx.call_entity(one, &ADD, number).await?, ctx.call_entity(other, &ADD, number).await?])
}

async fn worker(backend: &Arc<dyn Backend>) -> Worker {
    let functions = Functions::new().entity(COUNTER, |counter| counter.operation(ADD, add)).orchestration(BOTH, both);
    // A dead one is replaced soon, and nothing waits for the next look round.
    let options = NodeOptions { lease: Duration::from_secs(2), ..NodeOptions::default() };
    Worker::start(Arc::clone(backend), functions, options).await.expect("a worker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_and_signals_count_once_though_workers_die() {
    const RUNS: i64 = 20;
    const SIGNALS: i64 = 100;
    let hub = Hub::new();
    let (first, second) = (hub.backend(true).await, hub.backend(true).await);
    let (doomed, _survivor) = (worker(&first).await, worker(&second).await);
    let client = Client::new(Arc::clone(&second));
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let order = if number % 2 == 0 { (a, b) } else { (b, a) };
        runs.push(client.start(&BOTH, order).await.expect("started"));
    }
    let signalled = COUNTER.id("signalled").expect("a good key");
    for number in 0..SIGNALS {
        client.signal_entity(&signalled, &ADD, 1).await.expect("signalled");
        if number == SIGNALS / 2 {
            // In the middle of whatever it does now.
            doomed.kill();
            break;
        }
    }
    for _ in SIGNALS / 2 + 1..SIGNALS {
        client.signal_entity(&signalled, &ADD, 1).await.expect("signalled");
    }
    for id in runs {
        client.wait_for_completion::<()>(&id, PATIENCE).await.expect("it was alone");
    }
    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            let now = client.get_entity(&signalled).await.expect("readable");
            if let Some(now) = now.filter(|now| now.backlog == 0) {
                return now.state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(settled.await.expect("all of them come"), SIGNALS);
    for key in ["a", "b"] {
        let counter = client.get_entity(&COUNTER.id(key).expect("a good key")).await.expect("readable");
        assert_eq!(counter.map(|now| now.state), Some(RUNS), "{key}");
    }
}
