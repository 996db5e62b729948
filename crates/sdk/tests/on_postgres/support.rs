//! A private server, hubs on it, and a few orchestrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Client, Functions, NodeOptions, Orchestration, OrchestrationContext, PostgresBackend,
    PostgresOptions, Worker,
};
use everdure_core::Backend;
use everdure_embedded::Server;

pub const PATIENCE: Duration = Duration::from_secs(120);

pub const STEP: Activity<u64, u64> = Activity::new("step");
pub const SLOW: Activity<u64, u64> = Activity::new("slow");
pub const FAN: Orchestration<u64, u64> = Orchestration::new("fan");
pub const FAMILY: Orchestration<u64, u64> = Orchestration::new("family");
pub const CHILD: Orchestration<u64, u64> = Orchestration::new("child");
pub const COUNT: Orchestration<(u64, Vec<u64>), Vec<u64>> = Orchestration::new("count");
pub const SLEEPS: Orchestration<u64, u64> = Orchestration::new("sleeps");
pub const CALLS_SLOW: Orchestration<u64, u64> = Orchestration::new("calls_slow");

async fn fan(ctx: OrchestrationContext, width: u64) -> everdure::Result<u64> {
    let calls = (0..width).map(|number| ctx.call_activity(&STEP, number));
    Ok(futures::future::try_join_all(calls).await?.into_iter().sum())
}

async fn family(ctx: OrchestrationContext, children: u64) -> everdure::Result<u64> {
    let calls = (0..children).map(|number| ctx.call_sub_orchestration(&CHILD, number));
    Ok(futures::future::try_join_all(calls).await?.into_iter().sum())
}

async fn child(_: OrchestrationContext, number: u64) -> everdure::Result<u64> {
    Ok(number + 1)
}

/// Takes one event an execution; the events tell whether one was lost or came twice.
async fn count(ctx: OrchestrationContext, (left, mut seen): (u64, Vec<u64>)) -> everdure::Result<Vec<u64>> {
    if left == 0 {
        return Ok(seen);
    }
    seen.push(ctx.wait_for_event("e").await?);
    ctx.continue_as_new(&(left - 1, seen))
}

async fn sleeps(ctx: OrchestrationContext, millis: u64) -> everdure::Result<u64> {
    let begun = ctx.now();
    ctx.sleep(Duration::from_millis(millis)).await;
    Ok((ctx.now() - begun).num_milliseconds().unsigned_abs())
}

async fn calls_slow(ctx: OrchestrationContext, millis: u64) -> everdure::Result<u64> {
    Ok(ctx.call_activity(&SLOW, millis).await?)
}

pub struct Hub {
    pub server: Server,
    /// How often the activity `step` ran.
    pub steps: Arc<AtomicU32>,
    pub slow: Arc<AtomicU32>,
}

impl Hub {
    pub fn new() -> Self {
        let server = Server::builder().unsafe_fast().start().expect("a private PostgreSQL");
        Self { server, steps: Arc::default(), slow: Arc::default() }
    }

    pub async fn backend(&self, listen: bool) -> Arc<dyn Backend> {
        let builder = PostgresOptions::builder(&self.server.url()).expect("the URL of the private server");
        let options = builder.listen(listen).build().expect("good options");
        Arc::new(PostgresBackend::connect(options).await.expect("connecting"))
    }

    pub fn functions(&self) -> Functions {
        let (steps, slow) = (Arc::clone(&self.steps), Arc::clone(&self.slow));
        Functions::new()
            .activity(STEP, move |_: ActivityContext, number: u64| {
                steps.fetch_add(1, Ordering::SeqCst);
                async move { Ok::<_, everdure::Failure>(number + 1) }
            })
            .activity(SLOW, move |_: ActivityContext, millis: u64| {
                slow.fetch_add(1, Ordering::SeqCst);
                async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    Ok::<_, everdure::Failure>(millis)
                }
            })
            .orchestration(FAN, fan)
            .orchestration(FAMILY, family)
            .orchestration(CHILD, child)
            .orchestration(COUNT, count)
            .orchestration(SLEEPS, sleeps)
            .orchestration(CALLS_SLOW, calls_slow)
    }

    pub async fn worker(&self, backend: &Arc<dyn Backend>, options: NodeOptions) -> Worker {
        Worker::start(Arc::clone(backend), self.functions(), options).await.expect("a worker")
    }
}

pub fn client(backend: &Arc<dyn Backend>) -> Client {
    Client::new(Arc::clone(backend))
}
