//! Bugs of the family that need whole nodes to show; numbers as in `docs/reliability.md`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use everdure::{Failure, InstanceId, NodeOptions, Orchestration, OrchestrationContext, OrchestrationStatus, Worker};
use everdure_core::{Backend, EventData};

use super::faulty::Faulty;
use super::support::{CALLS_SLOW, COUNT, FAMILY, FAN, Hub, PATIENCE, SLEEPS, client};

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

/// Two thousand activities over three nodes, one of which dies in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_11_a_large_fan_out_loses_and_repeats_nothing() {
    const WIDTH: u64 = 2000;
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let options = NodeOptions {
        max_activities: 20,
        activity_backlog: 20,
        lease: Duration::from_secs(2),
        ..NodeOptions::default()
    };
    let doomed = hub.worker(&hub.backend(true).await, options).await;
    let _others = [hub.worker(&backend, options).await, hub.worker(&hub.backend(true).await, options).await];
    let client = client(&backend);
    client.start(&FAN, WIDTH).id(id("fan")).await.expect("started");
    while hub.steps.load(Ordering::SeqCst) < 100 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    doomed.kill();
    let sum: u64 = client.wait_for_completion(&id("fan"), PATIENCE).await.expect("completed");
    assert_eq!(sum, WIDTH * (WIDTH + 1) / 2);
    let (_, turns) = backend.get_history(id("fan"), None).await.expect("readable").expect("there");
    let events = || turns.iter().flat_map(|turn| &turn.events);
    let completed = events().filter(|event| matches!(event.data, EventData::TaskCompleted { .. })).count();
    assert_eq!(completed as u64, WIDTH);
}

/// Two thousand children, more than the node may hold at once, all of them on their way to one parent's row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_14_two_thousand_children_of_one_parent_do_not_deadlock() {
    const CHILDREN: u64 = 2000;
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let options = NodeOptions { max_orchestrations: 300, ..NodeOptions::default() };
    let _workers = [hub.worker(&backend, options).await, hub.worker(&hub.backend(true).await, options).await];
    let client = client(&backend);
    client.start(&FAMILY, CHILDREN).id(id("family")).await.expect("started");
    let sum: u64 = client.wait_for_completion(&id("family"), PATIENCE).await.expect("completed");
    assert_eq!(sum, CHILDREN * (CHILDREN + 1) / 2);
}

/// Many generations while events keep coming: each event is seen once, in the order of its sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_19_no_event_is_lost_over_many_generations() {
    const EVENTS: u64 = 300;
    let hub = Hub::new();
    let backend = hub.backend(true).await;
    let _workers = [
        hub.worker(&backend, NodeOptions::default()).await,
        hub.worker(&hub.backend(true).await, NodeOptions::default()).await,
    ];
    let client = client(&backend);
    client.start(&COUNT, (2 * EVENTS, vec![])).id(id("count")).await.expect("started");
    let raise = async |sender: u64| {
        for number in 0..EVENTS {
            client.raise_event(&id("count"), "e", &(sender * EVENTS + number)).await.expect("raised");
        }
    };
    futures::join!(raise(0), raise(1));
    let seen: Vec<u64> = client.wait_for_completion(&id("count"), PATIENCE).await.expect("completed");
    let of = |sender: u64| seen.iter().copied().filter(move |number| number / EVENTS == sender).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), ((0..EVENTS).collect(), (EVENTS..2 * EVENTS).collect()));
}

/// A node whose clock is five minutes off: timers come when the database says, and nothing stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_24_the_clock_of_a_worker_does_not_matter() {
    let hub = Hub::new();
    for (name, skew) in [("ahead", 300_000), ("behind", -300_000)] {
        let skewed = Faulty::new(hub.backend(true).await);
        skewed.skew.store(skew, Ordering::Relaxed);
        let backend: Arc<dyn Backend> = skewed.clone();
        let worker = hub.worker(&backend, NodeOptions::default()).await;
        let client = worker.client();
        client.start(&FAN, 5).id(id(name)).await.expect("started");
        let sum: u64 = client.wait_for_completion(&id(name), PATIENCE).await.expect("completed");
        assert_eq!(sum, 15);
        let scheduled = id(&format!("{name}-scheduled"));
        let due = skewed.inner.now() + chrono::TimeDelta::seconds(1);
        client.start(&FAN, 1).id(scheduled.clone()).scheduled_at(due).await.expect("started");
        client.wait_for_end(&scheduled, PATIENCE).await.expect("ended");
        // That clock is an estimate, which lags behind the database's by the time of one answer.
        let early = due - skewed.inner.now();
        assert!(early <= chrono::TimeDelta::milliseconds(250), "it started {early} before its time");
        worker.drain(Duration::from_secs(5)).await.expect("left in good order");
    }
}

/// Long enough for a renewal that a busy machine holds up.
const LEASE: Duration = Duration::from_secs(3);

/// One failed renewal is no lost lease: an activity of three leases runs once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_28_one_failed_renewal_does_not_end_renewal() {
    let hub = Hub::new();
    let faulty = Faulty::new(hub.backend(true).await);
    let backend: Arc<dyn Backend> = faulty.clone();
    let options = NodeOptions { lease: LEASE, ..NodeOptions::default() };
    let worker = hub.worker(&backend, options).await;
    let _other = hub.worker(&hub.backend(true).await, options).await;
    let client = worker.client();
    client.start(&CALLS_SLOW, 9000).id(id("slow")).await.expect("started");
    faulty.failing_renewals.store(1, Ordering::SeqCst);
    let result: u64 = client.wait_for_completion(&id("slow"), PATIENCE).await.expect("completed");
    assert_eq!((result, hub.slow.load(Ordering::SeqCst)), (9000, 1));
    assert_eq!(faulty.failing_renewals.load(Ordering::SeqCst), 0, "the failure has happened");
}

/// Nobody could give a sign of life while the store was away: whoever is back first takes over from nobody, not from
/// itself either, and what runs runs on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_nobody_is_taken_for_dead() {
    let hub = Hub::new();
    let options = NodeOptions { lease: LEASE, ..NodeOptions::default() };
    let (one, other) = (Faulty::new(hub.backend(true).await), Faulty::new(hub.backend(true).await));
    let backends: [Arc<dyn Backend>; 2] = [one.clone(), other.clone()];
    let worker = hub.worker(&backends[0], options).await;
    let _other = hub.worker(&backends[1], options).await;
    let client = worker.client();
    for number in 0..4 {
        client.start(&CALLS_SLOW, 12_000).id(id(&format!("slow-{number}"))).await.expect("started");
    }
    // Once a second: both are away for longer than a lease, and one is back before the other.
    one.failing_renewals.store(6, Ordering::SeqCst);
    other.failing_renewals.store(8, Ordering::SeqCst);
    for number in 0..4 {
        let result: u64 =
            client.wait_for_completion(&id(&format!("slow-{number}")), PATIENCE).await.expect("completed");
        assert_eq!(result, 12_000);
    }
    assert_eq!(hub.slow.load(Ordering::SeqCst), 4, "each ran once");
    for faulty in [&one, &other] {
        assert_eq!(faulty.failing_renewals.load(Ordering::SeqCst), 0, "the outage has happened");
    }
}

/// A store that fails to answer claims does not end the dispatcher.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_31_claims_go_on_after_faults() {
    let hub = Hub::new();
    let faulty = Faulty::new(hub.backend(true).await);
    let backend: Arc<dyn Backend> = faulty.clone();
    let options = NodeOptions { poll: Duration::from_millis(50), ..NodeOptions::default() };
    let _worker = hub.worker(&backend, options).await;
    faulty.failing_claims.store(10, Ordering::SeqCst);
    let client = client(&faulty.inner);
    client.start(&FAN, 5).id(id("fan")).await.expect("started");
    let record = client.wait_for_end(&id("fan"), PATIENCE).await.expect("ended");
    assert_eq!(record.status, OrchestrationStatus::Completed);
    // One kind of claim may have met all the faults so far; the dispatcher of the other one goes on claiming.
    tokio::time::timeout(PATIENCE, async {
        while faulty.failing_claims.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the faults have happened");
    client.start(&FAN, 5).id(id("after")).await.expect("started");
    let record = client.wait_for_end(&id("after"), PATIENCE).await.expect("ended");
    assert_eq!(record.status, OrchestrationStatus::Completed);
}

/// Without LISTEN (a pooler in transaction mode), and when the listening session is ended: polling finds everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_36_lost_wake_ups_are_made_up_for() {
    let hub = Hub::new();
    let deaf = hub.backend(false).await;
    let _worker = hub.worker(&deaf, NodeOptions::default()).await;
    let elsewhere = client(&hub.backend(false).await);
    for round in 0..3 {
        let id = id(&format!("deaf{round}"));
        elsewhere.start(&SLEEPS, 20).id(id.clone()).await.expect("started");
        let slept: u64 = elsewhere.wait_for_completion(&id, PATIENCE).await.expect("completed");
        assert!(slept >= 20);
    }
    let hearing = client(&hub.backend(true).await);
    let (session, connection) =
        tokio_postgres::connect(&hub.server.url(), tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    for round in 0..3 {
        let listeners = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'";
        session.execute(listeners, &[]).await.expect("ending the listeners");
        let id = id(&format!("heard{round}"));
        hearing.start(&FAN, 3).id(id.clone()).await.expect("started");
        let sum: u64 = hearing.wait_for_completion(&id, PATIENCE).await.expect("completed");
        assert_eq!(sum, 6);
    }
}

/// One checkpoint of a hundred megabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_with_large_inputs_are_started() {
    const PARENT: Orchestration<u64, u64> = Orchestration::new("parent");
    const LARGE: Orchestration<String, u64> = Orchestration::new("large");
    let hub = Hub::new();
    let functions = hub
        .functions()
        .orchestration(LARGE, async |_: OrchestrationContext, input: String| Ok::<_, Failure>(input.len() as u64))
        .orchestration(PARENT, async |ctx: OrchestrationContext, size: u64| {
            let input = "x".repeat(usize::try_from(size).unwrap_or(0));
            let calls = (0..10).map(|_| ctx.call_sub_orchestration(&LARGE, input.clone()));
            Ok::<_, Failure>(futures::future::try_join_all(calls).await?.into_iter().sum())
        });
    let worker = Worker::start(hub.backend(true).await, functions, NodeOptions::default()).await.expect("a worker");
    let client = worker.client();
    let size = 10 * 1024 * 1024;
    client.start(&PARENT, size).id(id("large")).await.expect("started");
    let sum: u64 = client.wait_for_completion(&id("large"), PATIENCE).await.expect("completed");
    assert_eq!(sum, 10 * size);
}
