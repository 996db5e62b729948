//! An event from outside, or a durable timer, whichever comes first: `cargo run -p everdure --example human_approval`.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Functions, InMemoryBackend, NodeOptions, Orchestration, OrchestrationContext, Worker,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Expense {
    what: String,
    patience: Duration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Verdict {
    Approved { by: String },
    Escalated,
}

const ASK: Activity<String, ()> = Activity::new("ask_for_approval");
const ESCALATE: Activity<String, ()> = Activity::new("escalate");
const APPROVAL: Orchestration<Expense, Verdict> = Orchestration::new("approval");

async fn ask(_: ActivityContext, what: String) -> everdure::Result<()> {
    println!("please approve: {what}");
    Ok(())
}

async fn escalate(_: ActivityContext, what: String) -> everdure::Result<()> {
    println!("nobody approved: {what}");
    Ok(())
}

async fn approval(ctx: OrchestrationContext, expense: Expense) -> everdure::Result<Verdict> {
    ctx.call_activity(&ASK, expense.what.clone()).await?;
    // Both survive whatever happens to this process. Who loses is dropped: the timer is cancelled, and an event
    // that comes too late changes nothing.
    let approved_by = tokio::select! {
        name = ctx.wait_for_event::<String>("approved") => Some(name?),
        () = ctx.sleep(expense.patience) => None,
    };
    match approved_by {
        Some(by) => Ok(Verdict::Approved { by }),
        None => {
            ctx.call_activity(&ESCALATE, expense.what).await?;
            Ok(Verdict::Escalated)
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let functions = Functions::new().activity(ASK, ask).activity(ESCALATE, escalate).orchestration(APPROVAL, approval);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let laptop = Expense { what: "a laptop".to_owned(), patience: Duration::from_secs(3 * 24 * 60 * 60) };
    let seen = client.start(&APPROVAL, laptop).await?;
    client.raise_event(&seen, "approved", "Ada").await?;

    let yacht = Expense { what: "a yacht".to_owned(), patience: Duration::from_millis(50) };
    let ignored = client.start(&APPROVAL, yacht).await?;

    let seen: Verdict = client.wait_for_completion(&seen, Duration::from_secs(30)).await?;
    let ignored: Verdict = client.wait_for_completion(&ignored, Duration::from_secs(30)).await?;
    println!("the laptop: {seen:?}; the yacht: {ignored:?}");
    assert_eq!(seen, Verdict::Approved { by: "Ada".to_owned() });
    assert_eq!(ignored, Verdict::Escalated);
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
