//! Orchestrations that start others and wait for them: `cargo run -p everdure --example sub_orchestrations`.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Failure, Functions, InMemoryBackend, InstanceId, NodeOptions, Orchestration,
    OrchestrationContext, OrchestrationStatus, Worker,
};

const PROVISION: Activity<String, String> = Activity::new("provision");
const DEVICE: Orchestration<String, String> = Orchestration::new("set_up_device");
const SITE: Orchestration<Vec<String>, Vec<String>> = Orchestration::new("set_up_site");

async fn provision(_: ActivityContext, device: String) -> everdure::Result<String> {
    if device == "toaster" {
        return Err(Failure::new("Unsupported", "toasters are not devices"));
    }
    Ok(format!("{device} is ready"))
}

async fn device(ctx: OrchestrationContext, name: String) -> everdure::Result<String> {
    Ok(ctx.call_activity(&PROVISION, name).await?)
}

async fn site(ctx: OrchestrationContext, devices: Vec<String>) -> everdure::Result<Vec<String>> {
    let mut calls = Vec::new();
    for name in devices {
        // Each has its own history, and an id by which it can be looked at; without one it gets one.
        let id = InstanceId::new(format!("{}:{name}", ctx.instance_id()))?;
        calls.push(ctx.call_sub_orchestration(&DEVICE, name).instance_id(id));
    }
    let results = futures::future::join_all(calls).await;
    // The failure of a child is a value like any other.
    let told = results.into_iter().map(|result| result.unwrap_or_else(|error| error.to_string()));
    Ok(told.collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let functions =
        Functions::new().activity(PROVISION, provision).orchestration(DEVICE, device).orchestration(SITE, site);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let devices = ["camera", "toaster", "lock"].map(str::to_owned).to_vec();
    let id = InstanceId::new("site-1")?;
    client.start(&SITE, devices).id(id.clone()).await?;
    let told: Vec<String> = client.wait_for_completion(&id, Duration::from_secs(30)).await?;
    println!("{}", told.join("\n"));
    assert_eq!(told[0], "camera is ready");
    assert!(told[1].contains("sub-orchestration 'set_up_device' failed"), "{}", told[1]);
    assert_eq!(told[2], "lock is ready");

    let child = client.get(&InstanceId::new("site-1:lock")?).await?.ok_or("children are instances of their own")?;
    assert_eq!((child.status, child.parent_instance_id), (OrchestrationStatus::Completed, Some(id)));
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
