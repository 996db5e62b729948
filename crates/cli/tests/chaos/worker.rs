//! A worker process: this test program, run again for one test that never ends.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Failure, Functions, NodeOptions, Orchestration, OrchestrationContext, PostgresBackend,
    RetryPolicy, Worker,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

/// Names the database to a worker process; without it the test below does nothing.
pub const WORKER_URL: &str = "EVERDURE_CHAOS_WORKER";
pub const FAN: u64 = 5;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Step {
    pub number: u64,
    pub step: u64,
}

pub const EFFECT: Activity<Step, u64> = Activity::new("effect");
pub const CHILD: Orchestration<u64, u64> = Orchestration::new("chaos_child");
pub const TRANSFER: Orchestration<u64, u64> = Orchestration::new("chaos_transfer");
pub const ROUNDS: Orchestration<(u64, u64), u64> = Orchestration::new("chaos_rounds");

/// Three steps, a timer, two events, a child, a fan-out: the sum tells whether each counted once.
async fn transfer(ctx: OrchestrationContext, number: u64) -> everdure::Result<u64> {
    let retry = || RetryPolicy::new(20, Duration::from_millis(50));
    let mut sum = 0;
    for step in 0..3 {
        sum += ctx.call_activity(&EFFECT, Step { number, step }).retry(retry()).await?;
    }
    ctx.sleep(Duration::from_millis(30)).await;
    for _ in 0..2 {
        sum += ctx.wait_for_event::<u64>("go").await?;
    }
    sum += ctx.call_sub_orchestration(&CHILD, number).await?;
    let fan = (10..10 + FAN).map(|step| ctx.call_activity(&EFFECT, Step { number, step }).retry(retry()));
    sum += futures::future::try_join_all(fan).await?.into_iter().sum::<u64>();
    Ok(sum)
}

async fn child(ctx: OrchestrationContext, number: u64) -> everdure::Result<u64> {
    Ok(ctx
        .call_activity(&EFFECT, Step { number, step: 5 })
        .retry(RetryPolicy::new(20, Duration::from_millis(50)))
        .await?)
}

/// Takes one event an execution, and continues as new: none may be lost on the way.
async fn rounds(ctx: OrchestrationContext, (left, sum): (u64, u64)) -> everdure::Result<u64> {
    if left == 0 {
        return Ok(sum);
    }
    let value: u64 = ctx.wait_for_event("go").await?;
    ctx.continue_as_new(&(left - 1, sum + value))
}

/// What `transfer` returns.
pub fn expected(number: u64, events: u64) -> u64 {
    value(number, 0)
        + value(number, 1)
        + value(number, 2)
        + events
        + value(number, 5)
        + (10..10 + FAN).map(|step| value(number, step)).sum::<u64>()
}

fn value(number: u64, step: u64) -> u64 {
    number % 7 + step
}

/// One connection for the effects of a process; a new one when it broke.
struct Effects {
    url: String,
    client: Mutex<Option<Arc<Client>>>,
}

impl Effects {
    async fn client(&self) -> Result<Arc<Client>, tokio_postgres::Error> {
        let mut held = self.client.lock().await;
        match held.as_ref().filter(|client| !client.is_closed()) {
            Some(client) => Ok(Arc::clone(client)),
            None => {
                let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
                tokio::spawn(connection);
                Ok(Arc::clone(held.insert(Arc::new(client))))
            }
        }
    }

    async fn insert(&self, ctx: &ActivityContext, input: &Step) -> Result<(), tokio_postgres::Error> {
        let (number, step) = (input.number as i64, input.step as i64);
        let statement = "insert into chaos_effects (number, step, key, instance) values ($1, $2, $3, $4)";
        let instance = ctx.instance_id().as_str();
        self.client().await?.execute(statement, &[&number, &step, &ctx.idempotency_key(), &instance]).await?;
        Ok(())
    }
}

async fn effect(effects: Arc<Effects>, ctx: ActivityContext, input: Step) -> Result<u64, Failure> {
    let inserted = effects.insert(&ctx, &input).await;
    inserted.map_err(|error| Failure::from(std::io::Error::other(error.to_string())))?;
    Ok(value(input.number, input.step))
}

pub fn functions(url: &str) -> Functions {
    let effects = Arc::new(Effects { url: url.to_owned(), client: Mutex::default() });
    Functions::new()
        .activity(EFFECT, move |ctx, input| effect(Arc::clone(&effects), ctx, input))
        .orchestration(TRANSFER, transfer)
        .orchestration(CHILD, child)
        .orchestration(ROUNDS, rounds)
}

#[test]
#[ignore = "the worker process of the other test; it never ends by itself"]
fn worker_process() {
    let Ok(url) = std::env::var(WORKER_URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        // The server may be down just now.
        let backend = loop {
            match PostgresBackend::connect(super::options(&url)).await {
                Ok(backend) => break Arc::new(backend),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        let options = NodeOptions {
            lease: Duration::from_secs(2),
            max_activities: 8,
            activity_backlog: 8,
            retry_after: Duration::from_millis(100),
            ..NodeOptions::default()
        };
        let worker = loop {
            let backend = Arc::clone(&backend);
            match Worker::start(backend, functions(&url), options).await {
                Ok(worker) => break worker,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        worker.run_until_signal(Duration::from_secs(5)).await.expect("left in good order");
    });
}
