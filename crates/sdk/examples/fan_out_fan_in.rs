//! Many activities at once, and their results together: `cargo run -p everdure --example fan_out_fan_in`.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Functions, InMemoryBackend, NodeOptions, Orchestration, OrchestrationContext, Worker,
};

const COUNT: Activity<String, usize> = Activity::new("count_words");
const TOTAL: Orchestration<Vec<String>, usize> = Orchestration::new("total_words");

async fn count_words(_: ActivityContext, text: String) -> everdure::Result<usize> {
    Ok(text.split_whitespace().count())
}

async fn total_words(ctx: OrchestrationContext, texts: Vec<String>) -> everdure::Result<usize> {
    // A step begins when it is called, so all of them run at once; a crash loses none that has ended.
    let counts = texts.into_iter().map(|text| ctx.call_activity(&COUNT, text));
    let counts = futures::future::try_join_all(counts).await?;
    Ok(counts.into_iter().sum())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let functions = Functions::new().activity(COUNT, count_words).orchestration(TOTAL, total_words);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let texts = (1..=1000).map(|words| "word ".repeat(words)).collect();
    let id = client.start(&TOTAL, texts).await?;
    let total: usize = client.wait_for_completion(&id, Duration::from_secs(30)).await?;
    println!("{total} words in 1000 texts");
    assert_eq!(total, 500_500);
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
