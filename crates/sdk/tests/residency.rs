//! Rule 7: who only waits for a long activity does not keep its place in memory, and the activity runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Client, Functions, InMemoryBackend, InstanceId, NodeOptions, Orchestration,
    OrchestrationContext, Worker,
};
use everdure_core::Backend;
use tokio::sync::Notify;

const LONG: Activity<u32, u32> = Activity::new("long");
const WAITS: Orchestration<u32, u32> = Orchestration::new("waits");
const QUICK: Orchestration<u32, u32> = Orchestration::new("quick");
const PATIENCE: Duration = Duration::from_secs(3600);

async fn waits(ctx: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    Ok(ctx.call_activity(&LONG, number).await?)
}

async fn quick(_: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    Ok(number)
}

/// A hub whose activity runs until it is told to end.
struct Hub {
    backend: Arc<dyn Backend>,
    client: Client,
    runs: Arc<AtomicU32>,
    end: Arc<Notify>,
    /// The activity was told that nobody wants its result.
    told: Arc<Notify>,
}

impl Hub {
    fn new() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
        let client = Client::new(Arc::clone(&backend));
        Self { backend, client, runs: Arc::default(), end: Arc::default(), told: Arc::default() }
    }

    async fn worker(&self, options: NodeOptions) -> Worker {
        let (runs, end, told) = (Arc::clone(&self.runs), Arc::clone(&self.end), Arc::clone(&self.told));
        let functions = Functions::new().orchestration(WAITS, waits).orchestration(QUICK, quick).activity(
            LONG,
            move |ctx: ActivityContext, number: u32| {
                runs.fetch_add(1, Ordering::SeqCst);
                let (end, told) = (Arc::clone(&end), Arc::clone(&told));
                async move {
                    tokio::select! {
                        () = end.notified() => {}
                        () = ctx.cancellation().cancelled() => told.notify_one(),
                    }
                    Ok::<_, everdure::Failure>(number + 1)
                }
            },
        );
        Worker::start(Arc::clone(&self.backend), functions, options).await.expect("a worker")
    }

    async fn start(&self, name: &str) -> InstanceId {
        let id = InstanceId::new(name).expect("a valid id");
        self.client.start(&WAITS, 1).id(id.clone()).await.expect("started");
        self.client.wait_for_start(&id, PATIENCE).await.expect("running");
        id
    }

    async fn end_of(&self, id: &InstanceId) -> u32 {
        self.end.notify_one();
        self.client.wait_for_completion(id, PATIENCE).await.expect("completed")
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_instance_leaves_and_its_activity_goes_on() {
    let hub = Hub::new();
    let _worker = hub.worker(NodeOptions { idle_after: Duration::from_secs(5), ..NodeOptions::default() }).await;
    let id = hub.start("idle").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Only a released instance can be claimed, and the other node has nothing else to do than to claim it.
    let other = hub.worker(NodeOptions::default()).await;
    other.client().suspend(&id, None).await.expect("suspended");
    other.client().resume(&id, None).await.expect("resumed");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(hub.end_of(&id).await, 2);
    assert_eq!(hub.runs.load(Ordering::SeqCst), 1, "the activity ran once");
}

#[tokio::test(start_paused = true)]
async fn a_full_node_makes_place_for_what_is_due() {
    let hub = Hub::new();
    let options = NodeOptions { max_orchestrations: 2, idle_after: PATIENCE * 2, ..NodeOptions::default() };
    let _worker = hub.worker(options).await;
    let waiting = [hub.start("first").await, hub.start("second").await];
    let quick = hub.client.start(&QUICK, 7).await.expect("started");
    let result: u32 = hub.client.wait_for_completion(&quick, PATIENCE).await.expect("there is a place for it");
    assert_eq!(result, 7);
    for id in &waiting {
        hub.end.notify_one();
        assert_eq!(hub.client.wait_for_completion::<u32>(id, PATIENCE).await.expect("completed"), 2);
    }
    assert_eq!(hub.runs.load(Ordering::SeqCst), 2, "each activity ran once");
}

#[tokio::test(start_paused = true)]
async fn draining_lets_an_activity_with_a_row_finish() {
    let hub = Hub::new();
    let worker = hub.worker(NodeOptions { idle_after: Duration::from_secs(5), ..NodeOptions::default() }).await;
    let id = hub.start("drained").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let end = Arc::clone(&hub.end);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        end.notify_one();
    });
    worker.drain(Duration::from_secs(600)).await.expect("left in good order");
    let _heir = hub.worker(NodeOptions::default()).await;
    let result: u32 = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert_eq!((result, hub.runs.load(Ordering::SeqCst)), (2, 1), "it was not cut off and run again");
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_removed_by_itself() {
    let hub = Hub::new();
    let _worker = hub.worker(NodeOptions::default()).await;
    hub.backend.set_hub_setting("retention.completed", Some("1h")).await.expect("decided");
    for number in 0..500 {
        let id = InstanceId::new(format!("quick {number}")).expect("a valid id");
        hub.client.start(&QUICK, number).id(id).await.expect("started");
    }
    let last = InstanceId::new("quick 499").expect("a valid id");
    hub.client.wait_for_end(&last, PATIENCE).await.expect("ended");
    let left = async || hub.client.count(everdure::InstanceQuery::default(), u64::MAX).await.expect("a count");
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert_eq!(left().await, 500, "kept for an hour");
    tokio::time::sleep(Duration::from_secs(800)).await;
    assert_eq!(left().await, 0);
}

/// Without a node that knows the row, it goes to somebody else, under the same key.
#[tokio::test(start_paused = true)]
async fn an_activity_that_outlived_residency_survives_a_crash() {
    let hub = Hub::new();
    let doomed = hub.worker(NodeOptions { idle_after: Duration::from_secs(5), ..NodeOptions::default() }).await;
    let id = hub.start("crashed").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    doomed.kill();
    let _heir = hub.worker(NodeOptions::default()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    // The first run, of a node that is dead only in name, ends as well: nobody hears of it.
    hub.end.notify_one();
    assert_eq!(hub.end_of(&id).await, 2);
    assert_eq!(hub.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_running_activity_is_told_that_nobody_wants_its_result() {
    let hub = Hub::new();
    let _worker = hub.worker(NodeOptions { idle_after: Duration::from_secs(5), ..NodeOptions::default() }).await;
    for (name, pause) in [("resident", 1), ("outlived", 60)] {
        let id = hub.start(name).await;
        tokio::time::sleep(Duration::from_secs(pause)).await;
        hub.client.terminate(&id, Some("enough"), false).await.expect("asked");
        hub.client.wait_for_end(&id, PATIENCE).await.expect("ended");
        tokio::time::timeout(Duration::from_secs(10), hub.told.notified()).await.expect(name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_takes_its_nodes_down_is_set_aside_and_failed_by_an_operator() {
    let hub = Hub::new();
    hub.backend.set_hub_setting("attempts.activity", Some("2")).await.expect("decided");
    let options = NodeOptions { idle_after: Duration::from_secs(5), ..NodeOptions::default() };
    let first = hub.worker(options).await;
    let id = hub.start("deadly").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    first.kill();
    let second = hub.worker(options).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((hub.runs.load(Ordering::SeqCst), hub.client.poisoned(10).await.expect("an answer").len()), (2, 0));
    second.kill();
    let _third = hub.worker(options).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(hub.runs.load(Ordering::SeqCst), 2, "it does not run a third time");
    let poisoned = hub.client.poisoned(10).await.expect("an answer").remove(0);
    assert_eq!((&poisoned.instance_id, poisoned.attempts), (&id, 2));
    assert_eq!(poisoned.activity.map(|activity| activity.name).as_deref(), Some("long"));
    assert_eq!(hub.client.release_poisoned(&id, true).await.expect("failed"), 1);
    let ended = hub.client.wait_for_end(&id, PATIENCE).await.expect("it ends");
    let failure = ended.failure.expect("it failed").to_string();
    assert!(failure.contains("given up after 2 attempts"), "{failure}");
}
