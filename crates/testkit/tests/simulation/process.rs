//! A process: a node behind its own door, and the activities that it runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{ActivityTask, Backend, FailureDetails, NameFilter};
use everdure_engine::{ActivityExecutor, ActivityReturn, CancellationToken, Node, NodeOptions, Registry};

use crate::door::Door;
use crate::entities::{LOG, Log};
use crate::plan::{Plans, fails};
use crate::script::{SCRIPT, Scripts};
use crate::world::World;

/// The lease of every node.
pub const LEASE: Duration = Duration::from_secs(5);

/// A process that takes part.
pub struct Process {
    pub door: Arc<Door>,
    pub node: Node,
}

impl Process {
    /// Starts a process; tries until it is registered. A `whole` one takes everything.
    pub async fn start(world: &Arc<World>, plans: &Arc<Plans>, whole: bool) -> Self {
        let door = Door::new(world);
        let takes_all = whole || world.rng().bool();
        let options = options(world, whole);
        loop {
            let backend: Arc<dyn Backend> = Arc::clone(&door) as Arc<dyn Backend>;
            let registry = Arc::new(registry(world, plans, &door, takes_all));
            if let Ok(node) = Node::start(backend, registry, options).await {
                return Self { door, node };
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Dies as a process does.
    pub fn kill(self) {
        self.door.dead.cancel();
        self.node.kill();
    }
}

fn options(world: &World, whole: bool) -> NodeOptions {
    let mut rng = world.rng();
    let max_activities = [1, 2, 20][rng.usize(..3)];
    NodeOptions {
        max_orchestrations: if whole { 100 } else { [1, 3, 100][rng.usize(..3)] },
        max_activities: if whole { 20 } else { max_activities },
        activity_backlog: [0, 2, 20][rng.usize(..3)],
        lease: LEASE,
        poll: Duration::from_secs(1),
        events_per_turn: [2, 5, 1000][rng.usize(..3)],
        keep_live: rng.u8(..4) > 0,
        retry_after: Duration::from_millis(rng.u64(50..=1000)),
        idle_after: Duration::from_millis([0, 300, 5000, 3_600_000][rng.usize(..4)]),
        ..NodeOptions::default()
    }
}

fn registry(world: &Arc<World>, plans: &Arc<Plans>, door: &Arc<Door>, takes_all: bool) -> Registry {
    let mut registry = Registry::default();
    let name = |name: &str| NameFilter { name: name.to_owned(), version: None };
    registry.add_orchestration(name(SCRIPT), Arc::new(Scripts(Arc::clone(world), Arc::clone(plans))));
    registry.add_entity(name(LOG), Arc::new(Log(Arc::clone(world))));
    for kind in [Kind::Work, Kind::Slow, Kind::Forever] {
        if takes_all || kind != Kind::Slow {
            let activity = Activity { world: Arc::clone(world), door: Arc::clone(door), kind };
            registry.add_activity(name(kind.name()), Arc::new(activity));
        }
    }
    registry
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Work,
    Slow,
    Forever,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Slow => "slow",
            Self::Forever => "forever",
        }
    }
}

struct Activity {
    world: Arc<World>,
    door: Arc<Door>,
    kind: Kind,
}

impl Activity {
    async fn work(&self, task: &ActivityTask) {
        let time = match self.kind {
            Kind::Forever => {
                while !self.world.ledger().is_closed(task.key, task.dispatch) {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                return;
            }
            Kind::Slow => self.world.millis(1000..=20_000),
            Kind::Work if self.world.chance(100) => self.world.millis(1000..=8000),
            Kind::Work => self.world.millis(0..=50),
        };
        tokio::time::sleep(time).await;
    }
}

impl Activity {
    /// As one of this process returns, or one that came over a wire.
    fn returned(&self, ended: Result<Option<String>, FailureDetails>) -> ActivityReturn {
        let ack = self.world.rng().bool().then(|| tokio::sync::oneshot::channel().0);
        ActivityReturn { ack, patient: self.world.rng().bool(), ..ended.into() }
    }
}

#[async_trait]
impl ActivityExecutor for Activity {
    async fn run(&self, task: ActivityTask, cancelled: CancellationToken) -> ActivityReturn {
        let label = task.input.clone().unwrap_or_default();
        self.world.note("run", task.key.0, || format!("{} {label}", task.idempotency_key));
        if self.door.is_sound() {
            self.world.ledger().started(&task);
        }
        let listens = self.kind == Kind::Forever || self.world.rng().bool();
        let work = async {
            tokio::select! {
                biased;
                () = self.door.dead.cancelled() => std::future::pending().await,
                () = cancelled.cancelled(), if listens => false,
                () = self.work(&task) => true,
            }
        };
        let done = work.await;
        if !done || fails(&label) {
            return self.returned(Err(FailureDetails::new("Planned", label)));
        }
        self.returned(Ok(Some(label)))
    }
}
