//! The load: so many clients at once, each starts one orchestration after the other and waits for it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everdure::{Backend, Client, PostgresBackend, RemoteOptions, Worker};
use serde::{Deserialize, Serialize};

use super::server::{Measured, Usage};
use super::{Bench, HUB, workload};

/// Nothing takes that long; whatever does fails the benchmark.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was counted in the measured time.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Counts {
    pub orchestrations: u64,
    pub seconds: f64,
    /// Of each orchestration, from the start until the client had its output, sorted.
    pub latencies_ms: Vec<f64>,
    pub cpu_seconds: f64,
    #[serde(skip)]
    pub database: Usage,
}

struct Load {
    client: Client,
    arguments: Bench,
    next: AtomicU64,
    finished: AtomicU64,
    measuring: AtomicBool,
    stopping: AtomicBool,
}

impl Load {
    /// One client; returns the latencies of what ended while measuring.
    async fn client(self: Arc<Self>) -> Result<Vec<f64>, String> {
        let handle = workload::orchestration(self.arguments.workload);
        let mut latencies = Vec::new();
        while !self.stopping.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let input = workload::input(number, self.arguments.payload_bytes);
            let expected = workload::expected(self.arguments.workload, &input);
            let begun = Instant::now();
            let id = self.client.start(&handle, input).await.map_err(|error| error.to_string())?;
            let output: String =
                self.client.wait_for_completion(&id, PATIENCE).await.map_err(|error| error.to_string())?;
            if output != expected {
                return Err(format!("instance '{id}' returned {output:?}, not {expected:?}"));
            }
            if self.measuring.load(Ordering::Relaxed) {
                latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
                self.finished.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(latencies)
    }

    async fn measured(&self) {
        let limit = self.arguments.count.unwrap_or(u64::MAX);
        let begun = Instant::now();
        while begun.elapsed() < self.arguments.measured() && self.finished.load(Ordering::Relaxed) < limit {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A worker, and a client of the same task hub.
async fn connect(arguments: &Bench, url: &str) -> Result<(Worker, Client), Box<dyn Error>> {
    let (functions, node) = (workload::functions(), arguments.node_options());
    match &arguments.server {
        Some(address) => {
            let options = RemoteOptions::new(address.as_str()).task_hub(HUB);
            let worker = Worker::connect(options.clone(), functions, node).await?;
            Ok((worker, Client::connect(options).await?))
        }
        None => {
            let backend: Arc<dyn Backend> = Arc::new(PostgresBackend::connect(arguments.options(url)?).await?);
            let worker = Worker::start(backend, functions, node).await?;
            let client = worker.client();
            Ok((worker, client))
        }
    }
}

/// Runs worker and load in this process. The others are asked what they used when they are known here.
pub async fn run(arguments: &Bench, url: &str, others: Option<&Measured<'_>>) -> Result<Counts, Box<dyn Error>> {
    let (worker, client) = connect(arguments, url).await?;
    let load = Arc::new(Load {
        client,
        arguments: arguments.clone(),
        next: AtomicU64::new(0),
        finished: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..arguments.concurrency()).map(|_| tokio::spawn(Arc::clone(&load).client())).collect();
    tokio::time::sleep(arguments.warming()).await;

    let before = usage(others).await?;
    let (cpu_before, begun) = (own_cpu_seconds(), Instant::now());
    load.measuring.store(true, Ordering::Relaxed);
    load.measured().await;
    load.measuring.store(false, Ordering::Relaxed);
    let (seconds, cpu_after) = (begun.elapsed().as_secs_f64(), own_cpu_seconds());
    let after = usage(others).await?;

    load.stopping.store(true, Ordering::Relaxed);
    let mut latencies_ms = Vec::new();
    for client in clients {
        latencies_ms.extend(client.await??);
    }
    latencies_ms.sort_by(f64::total_cmp);
    worker.drain(Duration::from_secs(5)).await?;
    Ok(Counts {
        orchestrations: load.finished.load(Ordering::Relaxed),
        seconds,
        latencies_ms,
        cpu_seconds: cpu_after - cpu_before,
        database: after - before,
    })
}

async fn usage(others: Option<&Measured<'_>>) -> Result<Usage, Box<dyn Error>> {
    match others {
        Some(others) => others.usage().await,
        None => Ok(Usage::default()),
    }
}

/// Processor time of this process, user and system.
fn own_cpu_seconds() -> f64 {
    cpu_seconds("self")
}

/// The same of any process.
pub fn cpu_seconds(process: &str) -> f64 {
    // The two numbers stand after the name in parentheses, which may hold anything.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
    // USER_HZ is 100 on every Linux that Rust runs on.
    ticks / 100.0
}
