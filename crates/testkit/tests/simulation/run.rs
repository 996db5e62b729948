//! One run: bad weather for a while, then calm, then everything has to be as it was planned.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everdure_core::{Backend, InstanceQuery, InstanceRecord, OrchestrationStatus};
use everdure_engine::NodeHandle;
use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clients::{Client, instance_id};
use crate::door::Door;
use crate::entities;
use crate::plan::Plans;
use crate::process::{LEASE, Process};
use crate::sabotage::Sabotage;
use crate::world::World;

/// How long after the last fault everything has to have ended: what was forgotten is found once a minute.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a run was like.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first broken promise.
    pub problem: Option<String>,
    /// Tells whether two runs were the same.
    pub hash: u64,
    pub steps: u64,
}

/// Runs a seed on a clock and an executor of its own.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    runtime.block_on(simulate(seed, sabotage))
}

async fn simulate(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plans = Arc::new(Plans::draw(&mut rng));
    let world = Arc::new(World::new(rng, sabotage));
    let mut run = Run { world, plans, processes: Vec::new(), nodes: Arc::default(), clients: Vec::new() };
    let broken = run.world.ledger().broken();
    let all = async {
        run.bad_weather().await;
        run.calm().await;
        run.check().await;
    };
    tokio::select! {
        biased;
        () = broken.notified() => {}
        () = all => {}
    }
    let ledger = run.world.ledger();
    Outcome { problem: ledger.problem().cloned(), hash: ledger.hash(), steps: ledger.steps() }
}

struct Run {
    world: Arc<World>,
    plans: Arc<Plans>,
    processes: Vec<Process>,
    nodes: Arc<Mutex<Vec<NodeHandle>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Run {
    fn is_over(&self) -> bool {
        self.world.ledger().problem().is_some()
    }

    async fn start(&mut self, whole: bool) {
        let process = Process::start(&self.world, &self.plans, whole).await;
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(process.node.handle());
        self.processes.push(process);
    }

    async fn bad_weather(&mut self) {
        let first = self.world.rng().usize(1..=3);
        for _ in 0..first {
            self.start(false).await;
        }
        for plan in 0..self.plans.roots {
            let terminates = self.plans.doomed.contains(&plan);
            let client = Client {
                world: Arc::clone(&self.world),
                plans: Arc::clone(&self.plans),
                door: Door::new(&self.world),
                nodes: Arc::clone(&self.nodes),
                plan,
                terminates,
            };
            self.clients.push(tokio::spawn(client.run()));
        }
        let end = Instant::now() + self.world.millis(5000..=60_000);
        while Instant::now() < end && !self.is_over() {
            let pause = self.world.millis(100..=6000);
            tokio::time::sleep(pause).await;
            self.disturb().await;
        }
    }

    async fn disturb(&mut self) {
        let what = self.world.rng().u8(..10);
        if self.processes.is_empty() || (what == 0 && self.processes.len() < 4) {
            return self.start(false).await;
        }
        let victim = self.world.rng().usize(..self.processes.len());
        let time = self.world.millis(1000..=3 * u64::try_from(LEASE.as_millis()).expect("some seconds"));
        match what {
            1..=2 => {
                self.world.note("kill", 0, String::new);
                self.processes.swap_remove(victim).kill();
            }
            3 => {
                self.world.note("drain", 0, String::new);
                let Process { node, door } = self.processes.swap_remove(victim);
                // What drains in vain is reaped.
                tokio::spawn(async move {
                    let _ = node.drain(time).await;
                    door.dead.cancel();
                });
            }
            4..=5 => self.processes[victim].door.stall(time),
            6..=7 => self.processes[victim].door.pause(time),
            _ => {}
        }
    }

    async fn calm(&mut self) {
        self.world.calm_down();
        self.world.note("calm", 0, String::new);
        self.start(true).await;
        let end = Instant::now() + PATIENCE;
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let live = self.live().await;
            let busy = entities::busy(&self.world).await;
            if live.is_empty() && busy.is_empty() && self.clients.iter().all(JoinHandle::is_finished) {
                break;
            }
            if Instant::now() > end {
                let live = live.iter().map(|record| format!("{} {}", record.instance_id, record.status));
                let live: Vec<_> = live.collect();
                self.world.ledger().report(format!("hangs: {live:?}, entities {busy:?}"));
            }
        }
    }

    async fn live(&self) -> Vec<InstanceRecord> {
        use OrchestrationStatus::{Pending, Running, Suspended};
        let query =
            InstanceQuery { statuses: vec![Pending, Running, Suspended], page_size: 1000, ..Default::default() };
        self.world.store.query_instances(query).await.expect("the store answers").instances
    }

    /// Whether everything ended as planned, and nothing is left over.
    async fn check(&self) {
        if self.is_over() {
            return;
        }
        let query = InstanceQuery { page_size: 1000, payloads: true, ..Default::default() };
        let records = self.world.store.query_instances(query).await.expect("the store answers").instances;
        for record in &records {
            if let Some(problem) = self.judge(record) {
                return self.world.ledger().report(problem);
            }
        }
        for plan in 0..self.plans.roots {
            if !records.iter().any(|record| record.instance_id == instance_id(plan)) {
                self.world.ledger().report(format!("{} is gone", instance_id(plan)));
            }
        }
        let problem = entities::judge(&self.world, &self.plans, |plan| self.plans.is_doomed(plan)).await;
        if let Some(problem) = problem {
            return self.world.ledger().report(problem);
        }
        let leftovers = self.world.store.leftovers();
        if leftovers > 0 {
            self.world.ledger().report(format!("{leftovers} rows are left of instances that have ended"));
        }
    }

    fn judge(&self, record: &InstanceRecord) -> Option<String> {
        let id = record.instance_id.as_str();
        let path: Vec<usize> = id.trim_start_matches('i').split('/').filter_map(|plan| plan.parse().ok()).collect();
        let (root, plan) = (*path.first()?, *path.last()?);
        let end = match record.status {
            OrchestrationStatus::Terminated if self.plans.doomed.contains(&root) => return None,
            OrchestrationStatus::Completed => Ok(record.output.clone().unwrap_or_default()),
            _ => Err(record.failure.clone().map(|failure| failure.error_message).unwrap_or_default()),
        };
        let expected = self.plans.expected(plan);
        (end != expected).then(|| format!("{id} is {} with {end:?} instead of {expected:?}", record.status))
    }
}
