//! A failure that is taken back: the code goes on, live and by replay, and what had succeeded does not run again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, ClientError, Failure, Functions, InMemoryBackend, InstanceId, NodeOptions,
    Orchestration, OrchestrationContext, Worker,
};
use everdure_core::Backend;

const STEP: Activity<String, String> = Activity::new("step");
const FAN: Orchestration<(), Vec<String>> = Orchestration::new("fan");
const CHAIN: Orchestration<(), String> = Orchestration::new("chain");
const PARENT: Orchestration<(), String> = Orchestration::new("parent");
const BACKGROUND: Orchestration<(), String> = Orchestration::new("background");
const PATIENCE: Duration = Duration::from_secs(60);

async fn fan(ctx: OrchestrationContext, (): ()) -> everdure::Result<Vec<String>> {
    let steps = ["good one", "bad", "good two"].map(|name| ctx.call_activity(&STEP, name.to_owned()));
    let results = futures::future::join_all(steps).await;
    Ok(results.into_iter().collect::<Result<Vec<_>, _>>()?)
}

async fn chain(ctx: OrchestrationContext, (): ()) -> everdure::Result<String> {
    let first = ctx.call_activity(&STEP, "good one".to_owned()).await?;
    let second = ctx.call_activity(&STEP, "bad".to_owned()).await?;
    let third = ctx.call_activity(&STEP, "good two".to_owned()).await?;
    Ok(format!("{first}, {second}, {third}"))
}

async fn parent(ctx: OrchestrationContext, (): ()) -> everdure::Result<String> {
    Ok(ctx.call_sub_orchestration(&CHAIN, ()).await?)
}

/// The failure comes while other steps go on, and is seen at the end.
async fn background(ctx: OrchestrationContext, (): ()) -> everdure::Result<String> {
    let bad = ctx.call_activity(&STEP, "bad".to_owned());
    let one = ctx.call_activity(&STEP, "good one".to_owned()).await?;
    ctx.sleep(Duration::from_secs(5)).await;
    let two = ctx.call_activity(&STEP, "good two".to_owned()).await?;
    Ok(format!("{one}, {two}, {}", bad.await?))
}

struct Hub {
    backend: Arc<dyn Backend>,
    runs: Arc<Mutex<BTreeMap<String, u32>>>,
    broken: Arc<AtomicBool>,
}

impl Hub {
    fn new() -> Self {
        let broken = Arc::new(AtomicBool::new(true));
        Self { backend: Arc::new(InMemoryBackend::default()), runs: Arc::default(), broken }
    }

    async fn worker(&self, keep_live: bool) -> Worker {
        let (runs, broken) = (Arc::clone(&self.runs), Arc::clone(&self.broken));
        let step = move |_: ActivityContext, name: String| {
            *runs.lock().expect("no panic under it").entry(name.clone()).or_default() += 1;
            let fails = name == "bad" && broken.load(Ordering::SeqCst);
            async move {
                if fails {
                    // Later than the others: a turn that decided something keeps the failures that it saw.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                if fails { Err(Failure::new("Io", "no bank")) } else { Ok(name) }
            }
        };
        let functions = Functions::new()
            .activity(STEP, step)
            .orchestration(FAN, fan)
            .orchestration(CHAIN, chain)
            .orchestration(PARENT, parent)
            .orchestration(BACKGROUND, background);
        let options = NodeOptions { keep_live, ..NodeOptions::default() };
        Worker::start(Arc::clone(&self.backend), functions, options).await.expect("a worker")
    }

    fn runs(&self, name: &str) -> u32 {
        self.runs.lock().expect("no panic under it").get(name).copied().unwrap_or(0)
    }
}

async fn failed_then_rewound(orchestration: &str, keep_live: bool, instances: usize) -> (Hub, String) {
    let hub = Hub::new();
    let worker = hub.worker(keep_live).await;
    let client = worker.client();
    let id = client.start_by_name(orchestration, None).await.expect("started");
    let failed = client.wait_for_end(&id, PATIENCE).await.expect("it ends");
    assert!(failed.failure.is_some(), "{failed:?}");
    hub.broken.store(false, Ordering::SeqCst);
    assert_eq!(client.rewind(&id, Some("the bank is back")).await.expect("rewound"), instances);
    let ended = client.wait_for_end(&id, PATIENCE).await.expect("it ends");
    assert_eq!(ended.failure, None, "{orchestration}, live: {keep_live}");
    assert_eq!((hub.runs("good one"), hub.runs("good two"), hub.runs("bad")), (1, 1, 2), "{orchestration}");
    let output = ended.output.expect("a result");
    (hub, output)
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_runs_again() {
    for keep_live in [true, false] {
        let (_, output) = failed_then_rewound("fan", keep_live, 1).await;
        assert_eq!(output, r#"["good one","bad","good two"]"#);
        let (_, output) = failed_then_rewound("chain", keep_live, 1).await;
        assert_eq!(output, r#""good one, bad, good two""#);
        let (_, output) = failed_then_rewound("parent", keep_live, 2).await;
        assert_eq!(output, r#""good one, bad, good two""#);
        let (_, output) = failed_then_rewound("background", keep_live, 1).await;
        assert_eq!(output, r#""good one, good two, bad""#);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_may_fail_and_be_rewound_again_and_again() {
    let hub = Hub::new();
    let worker = hub.worker(true).await;
    let client = worker.client();
    let id = client.start(&PARENT, ()).await.expect("started");
    for _ in 0..3 {
        let failed = client.wait_for_end(&id, PATIENCE).await.expect("it ends");
        assert!(failed.failure.is_some(), "{failed:?}");
        assert_eq!(client.rewind(&id, None).await.expect("rewound"), 2);
    }
    client.wait_for_end(&id, PATIENCE).await.expect("it fails once more");
    hub.broken.store(false, Ordering::SeqCst);
    client.rewind(&id, None).await.expect("rewound");
    let output: String = client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert_eq!(output, "good one, bad, good two");
    assert_eq!((hub.runs("good one"), hub.runs("bad")), (1, 5));
    let refused = client.rewind(&id, None).await.expect_err("it has completed");
    assert!(
        matches!(refused, ClientError::NotFailed { .. }) && refused.to_string().contains("not allowed"),
        "{refused}"
    );
    let nobody = InstanceId::new("nobody").expect("a valid id");
    assert!(matches!(client.rewind(&nobody, None).await, Err(ClientError::NotFound(_))));
}
