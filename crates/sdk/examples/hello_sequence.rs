//! Three activities, one after the other, in memory: `cargo run -p everdure --example hello_sequence`.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Client, Functions, InMemoryBackend, InstanceId, NodeOptions, Orchestration,
    OrchestrationContext, Worker,
};

const GREET: Activity<String, String> = Activity::new("greet");
const HELLO: Orchestration<Vec<String>, Vec<String>> = Orchestration::new("hello");

async fn greet(_: ActivityContext, city: String) -> everdure::Result<String> {
    Ok(format!("Hello, {city}!"))
}

async fn hello(ctx: OrchestrationContext, cities: Vec<String>) -> everdure::Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in cities {
        greetings.push(ctx.call_activity(&GREET, city).await?);
    }
    Ok(greetings)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = Arc::new(InMemoryBackend::default());
    let functions = Functions::new().activity(GREET, greet).orchestration(HELLO, hello);
    let worker = Worker::start(backend.clone(), functions, NodeOptions::default()).await?;

    let client = Client::new(backend);
    let id = InstanceId::new("hello-1")?;
    let cities = ["Tokyo", "Seattle", "London"].map(str::to_owned).to_vec();
    client.start(&HELLO, cities).id(id.clone()).await?;
    let greetings: Vec<String> = client.wait_for_completion(&id, Duration::from_secs(30)).await?;
    println!("{}", greetings.join("\n"));
    assert_eq!(greetings.len(), 3);
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
