//! Whole orchestrations: real client, real worker, the in-memory store, and a clock that skips what nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Client, Functions, InMemoryBackend, InstanceId, NodeOptions, Orchestration,
    OrchestrationContext, OrchestrationStatus, RetryPolicy, Worker,
};
use everdure_core::{Backend, EventData};

const STEP: Activity<u32, u32> = Activity::new("step");
const FLAKY: Activity<u32, u32> = Activity::new("flaky");
const STUCK: Activity<(), ()> = Activity::new("stuck");
const ORDER: Orchestration<u32, u32> = Orchestration::new("order");
const CHILD: Orchestration<u32, u32> = Orchestration::new("child");
const COUNTDOWN: Orchestration<u32, String> = Orchestration::new("countdown");
const LONG: Orchestration<u32, u32> = Orchestration::new("long");

const PATIENCE: Duration = Duration::from_secs(3600);

async fn order(ctx: OrchestrationContext, start: u32) -> everdure::Result<u32> {
    let mut sum = start;
    for _ in 0..5 {
        sum = ctx.call_activity(&STEP, sum).await?;
    }
    ctx.sleep(Duration::from_secs(600)).await;
    let event: u32 = ctx.wait_for_event("more").await?;
    let child = ctx.call_sub_orchestration(&CHILD, sum).await?;
    let fan = (0..100).map(|number| ctx.call_activity(&STEP, number));
    let fan: u32 = futures::future::try_join_all(fan).await?.into_iter().sum();
    let retried = ctx.call_activity(&FLAKY, 3).retry(RetryPolicy::new(5, Duration::from_secs(30))).await?;
    Ok(sum + event + child + fan + retried)
}

async fn child(ctx: OrchestrationContext, number: u32) -> everdure::Result<u32> {
    Ok(ctx.call_activity(&STEP, number * 2).await?)
}

async fn countdown(ctx: OrchestrationContext, left: u32) -> everdure::Result<String> {
    if left == 0 {
        return Ok("lift-off".to_owned());
    }
    ctx.sleep(Duration::from_secs(1)).await;
    ctx.continue_as_new(&(left - 1))
}

async fn long(ctx: OrchestrationContext, _: u32) -> everdure::Result<u32> {
    let first = ctx.call_activity(&STEP, 1).await?;
    ctx.call_activity(&STUCK, ()).await?;
    Ok(ctx.call_activity(&STEP, first).await?)
}

#[derive(Default)]
struct Runs {
    steps: AtomicU32,
    flaky: AtomicU32,
}

/// `hangs` says whether the activity `stuck` never returns.
fn functions(runs: &Arc<Runs>, hangs: bool) -> Functions {
    let (steps, flaky) = (Arc::clone(runs), Arc::clone(runs));
    Functions::new()
        .activity(STEP, move |_: ActivityContext, number: u32| {
            steps.steps.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, everdure::Failure>(number + 1) }
        })
        .activity(FLAKY, move |_: ActivityContext, failures: u32| {
            let attempt = flaky.flaky.fetch_add(1, Ordering::SeqCst);
            async move {
                if attempt < failures {
                    Err(std::io::Error::other("not yet").into())
                } else {
                    Ok::<_, everdure::Failure>(attempt)
                }
            }
        })
        .activity(STUCK, move |_: ActivityContext, (): ()| async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok::<_, everdure::Failure>(())
        })
        .orchestration(ORDER, order)
        .orchestration(CHILD, child)
        .orchestration(COUNTDOWN, countdown)
        .orchestration(LONG, long)
}

struct Hub {
    backend: Arc<dyn Backend>,
    client: Client,
    runs: Arc<Runs>,
}

impl Hub {
    fn new() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
        Self { client: Client::new(Arc::clone(&backend)), backend, runs: Arc::default() }
    }

    async fn worker(&self, hangs: bool) -> Worker {
        let functions = functions(&self.runs, hangs);
        Worker::start(Arc::clone(&self.backend), functions, NodeOptions::default()).await.expect("a worker")
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

#[tokio::test(start_paused = true)]
async fn an_orchestration_runs_to_its_end() {
    let hub = Hub::new();
    let worker = hub.worker(false).await;
    let id = id("order-1");
    hub.client.start(&ORDER, 10).id(id.clone()).await.expect("started");
    hub.client.raise_event(&id, "MORE", &1000u32).await.expect("raised");
    let result: u32 = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    // 10 + 5 steps = 15; the event 1000; the child 15 * 2 + 1; 1 + … + 100; the fourth attempt of the flaky one.
    assert_eq!(result, 15 + 1000 + 31 + 5050 + 3);
    assert_eq!(hub.runs.steps.load(Ordering::SeqCst), 5 + 1 + 100);
    worker.drain(Duration::from_secs(1)).await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn continue_as_new_goes_on_under_the_same_id() {
    let hub = Hub::new();
    let _worker = hub.worker(false).await;
    let id = id("countdown");
    hub.client.start(&COUNTDOWN, 20).id(id.clone()).await.expect("started");
    let result: String = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert_eq!(result, "lift-off");
    let record = hub.client.get(&id).await.expect("readable").expect("there");
    assert_eq!(record.execution, 20);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_no_recorded_step_runs_again() {
    let hub = Hub::new();
    let doomed = hub.worker(true).await;
    let id = id("long");
    hub.client.start(&LONG, 0).id(id.clone()).await.expect("started");
    let scheduled = |turns: &[everdure::HistoryTurn]| turns.len() >= 2;
    tokio::time::timeout(PATIENCE, async {
        while !scheduled(&hub.backend.get_history(id.clone(), None).await.expect("readable").expect("there").1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the first step is recorded");
    doomed.kill();
    let _heir = hub.worker(false).await;
    let result: u32 = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert_eq!(result, 3);
    assert_eq!(hub.runs.steps.load(Ordering::SeqCst), 2);
    let (_, turns) = hub.backend.get_history(id, None).await.expect("readable").expect("there");
    let results = turns.iter().flat_map(|turn| &turn.events);
    let results = results.filter(|event| matches!(event.data, EventData::TaskCompleted { .. })).count();
    assert_eq!(results, 3, "each result stands in history once");
}

#[tokio::test(start_paused = true)]
async fn bug_29_draining_hands_over_what_still_runs() {
    let hub = Hub::new();
    let leaving = hub.worker(true).await;
    let id = id("long");
    hub.client.start(&LONG, 0).id(id.clone()).await.expect("started");
    hub.client.wait_for_start(&id, PATIENCE).await.expect("running");
    leaving.drain(Duration::from_secs(1)).await.expect("left in good order");
    let before = hub.backend.now();
    let _heir = hub.worker(false).await;
    let result: u32 = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert_eq!(result, 3);
    let waited = hub.backend.now() - before;
    assert!(waited < chrono::TimeDelta::seconds(15), "nobody waits for a lease: {waited}");
}

#[tokio::test(start_paused = true)]
async fn terminating_ends_what_waits() {
    let hub = Hub::new();
    let _worker = hub.worker(true).await;
    let id = id("long");
    hub.client.start(&LONG, 0).id(id.clone()).await.expect("started");
    hub.client.wait_for_start(&id, PATIENCE).await.expect("running");
    hub.client.terminate(&id, Some("enough"), false).await.expect("asked");
    let record = hub.client.wait_for_end(&id, PATIENCE).await.expect("ended");
    assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Terminated, Some("enough")));
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_activities_run_at_once() {
    const WIDE: Orchestration<u32, u32> = Orchestration::new("wide");
    const BUSY: Activity<u32, u32> = Activity::new("busy");
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (counted, highest) = (Arc::clone(&running), Arc::clone(&most));
    let functions = Functions::new()
        .activity(BUSY, move |_: ActivityContext, number: u32| {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let counted = Arc::clone(&counted);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                counted.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, everdure::Failure>(number)
            }
        })
        .orchestration(WIDE, async |ctx: OrchestrationContext, width: u32| {
            let calls = (0..width).map(|number| ctx.call_activity(&BUSY, number));
            Ok::<_, everdure::Failure>(futures::future::try_join_all(calls).await?.len() as u32)
        });
    let hub = Hub::new();
    // One that keeps what waits in memory, and one that writes rows for it.
    for activity_backlog in [0, 100] {
        let options = NodeOptions { max_activities: 3, activity_backlog, ..NodeOptions::default() };
        let worker = Worker::start(Arc::clone(&hub.backend), functions.clone(), options).await.expect("a worker");
        let id = hub.client.start(&WIDE, 30).await.expect("started");
        assert_eq!(hub.client.wait_for_completion::<u32>(&id, PATIENCE).await.expect("completed"), 30);
        assert_eq!(most.swap(0, Ordering::SeqCst), 3);
        worker.drain(Duration::from_secs(1)).await.expect("left in good order");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_restarted_with_what_it_was_started_with() {
    let hub = Hub::new();
    let worker = hub.worker(false).await;
    let id = id("counted");
    hub.client.start(&COUNTDOWN, 0).id(id.clone()).tag("kind", "short").await.expect("started");
    hub.client.wait_for_end(&id, PATIENCE).await.expect("ended");
    let first = hub.client.get(&id).await.expect("readable").expect("there");
    assert_eq!(hub.client.restart(&id).await.expect("it has ended"), id);
    let result: String = hub.client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    let second = hub.client.get(&id).await.expect("readable").expect("there");
    assert_eq!((result.as_str(), second.tags["kind"].as_str()), ("lift-off", "short"));
    assert!(second.key != first.key && second.execution_id != first.execution_id);
    worker.drain(Duration::from_secs(1)).await.expect("left in good order");
    let copy = hub.client.restart_with_new_id(&id).await.expect("in any state");
    let refused = hub.client.restart(&copy).await.expect_err("it has not ended");
    assert!(matches!(refused, everdure::ClientError::AlreadyExists { .. }), "{refused}");
    let missing = hub.client.restart(&InstanceId::new("nobody").expect("valid")).await.expect_err("there is none");
    assert!(matches!(missing, everdure::ClientError::NotFound(_)), "{missing}");
}
