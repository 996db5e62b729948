//! A job at regular times, however long each run takes: `cargo run -p everdure --example periodic_job`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Failure, Functions, InMemoryBackend, NodeOptions, Orchestration, OrchestrationContext,
    Timestamp, Worker,
};
use serde::{Deserialize, Serialize};

const EVERY: Duration = Duration::from_millis(30);

#[derive(Serialize, Deserialize)]
struct Schedule {
    /// When the next run is due; `None` before the first.
    next: Option<Timestamp>,
    runs_left: u32,
}

const CLEAN_UP: Activity<Timestamp, ()> = Activity::new("clean_up");
const PERIODIC: Orchestration<Schedule, ()> = Orchestration::new("periodic_clean_up");

async fn periodic(ctx: OrchestrationContext, schedule: Schedule) -> everdure::Result<()> {
    let due = schedule.next.unwrap_or(ctx.now());
    ctx.sleep_until(due).await;
    ctx.call_activity(&CLEAN_UP, due).await?;
    if schedule.runs_left == 1 {
        return Ok(());
    }
    // Counted from the time that was due, not from now: the schedule does not drift.
    ctx.continue_as_new(&Schedule { next: Some(due + EVERY), runs_left: schedule.runs_left - 1 })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&runs);
    let functions = Functions::new()
        .activity(CLEAN_UP, move |_: ActivityContext, due: Timestamp| {
            println!("the run of {due}");
            log.lock().expect("no holder of this lock panics").push(due);
            async { Ok::<_, Failure>(()) }
        })
        .orchestration(PERIODIC, periodic);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let id = client.start(&PERIODIC, Schedule { next: None, runs_left: 4 }).await?;
    client.wait_for_completion::<()>(&id, Duration::from_secs(30)).await?;
    let runs = runs.lock().expect("no holder of this lock panics").clone();
    assert_eq!(runs.len(), 4);
    assert!(runs.windows(2).all(|pair| pair[1] == pair[0] + EVERY), "at regular times: {runs:?}");
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
