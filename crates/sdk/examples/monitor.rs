//! Looks again and again until a condition holds, without a growing history: `cargo run -p everdure --example monitor`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Failure, Functions, InMemoryBackend, NodeOptions, Orchestration, OrchestrationContext,
    Worker,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Watch {
    job: String,
    looks: u32,
    pause: Duration,
}

const STATUS: Activity<String, String> = Activity::new("job_status");
const MONITOR: Orchestration<Watch, u32> = Orchestration::new("monitor");

async fn monitor(ctx: OrchestrationContext, watch: Watch) -> everdure::Result<u32> {
    let status = ctx.call_activity(&STATUS, watch.job.clone()).await?;
    ctx.set_custom_status(&status)?;
    if status == "done" {
        return Ok(watch.looks + 1);
    }
    ctx.sleep(watch.pause).await;
    // Begins again with an empty history: a monitor may run for years.
    ctx.continue_as_new(&Watch { looks: watch.looks + 1, ..watch })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let progress = AtomicU32::new(0);
    let functions = Functions::new()
        .activity(STATUS, move |_: ActivityContext, _: String| {
            let done = progress.fetch_add(1, Ordering::SeqCst) >= 4;
            async move { Ok::<_, Failure>(if done { "done" } else { "busy" }.to_owned()) }
        })
        .orchestration(MONITOR, monitor);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let watch = Watch { job: "import-7".to_owned(), looks: 0, pause: Duration::from_millis(20) };
    let id = client.start(&MONITOR, watch).await?;
    let looks: u32 = client.wait_for_completion(&id, Duration::from_secs(30)).await?;
    let record = client.get(&id).await?.ok_or("the instance is there until it is purged")?;
    println!("done after {looks} looks, in execution {}", record.execution);
    assert_eq!((looks, record.execution), (5, 4));
    assert_eq!(record.custom_status.as_deref(), Some("\"done\""));
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
