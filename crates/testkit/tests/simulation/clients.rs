//! Clients: each starts one orchestration and sends it what it waits for, again and again until it is told that it
//! arrived.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everdure_core::{
    Backend, CreateInstance, CreateOutcome, ExecutionId, InstanceId, MessageBody, ReusePolicy, SendMessage,
    SendOutcome, Tags,
};
use everdure_engine::NodeHandle;
use uuid::Uuid;

use crate::door::Door;
use crate::entities::client_signal;
use crate::plan::{Plans, event_input};
use crate::script::{EVENT, SCRIPT, input};
use crate::world::World;

/// How long a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Client {
    pub world: Arc<World>,
    pub plans: Arc<Plans>,
    pub door: Arc<Door>,
    /// The doors of all nodes so far, dead ones included.
    pub nodes: Arc<Mutex<Vec<NodeHandle>>>,
    pub plan: usize,
    /// Whether the orchestration is terminated on its way.
    pub terminates: bool,
}

/// The instance that runs a plan.
pub fn instance_id(plan: usize) -> InstanceId {
    InstanceId::new(format!("i{plan}")).expect("a valid id")
}

impl Client {
    pub async fn run(self) {
        self.pause(5000).await;
        self.create().await;
        let mut deeds: Vec<_> = (0..self.plans.events(self.plan)).map(Deed::Event).collect();
        let pauses = self.world.rng().usize(..3);
        for _ in 0..pauses {
            let place = self.world.rng().usize(..=deeds.len());
            deeds.insert(place, Deed::Suspend);
        }
        // In their own order, among the others.
        let mut place = 0;
        for number in 0..self.plans.plans[self.plan].signals {
            place = self.world.rng().usize(place..=deeds.len());
            deeds.insert(place, Deed::Signal(number));
            place += 1;
        }
        if self.terminates {
            let place = self.world.rng().usize(..=deeds.len());
            deeds.insert(place, Deed::Terminate);
        }
        for deed in deeds {
            self.pause(if self.world.rng().bool() { 20 } else { 6000 }).await;
            self.act(deed).await;
        }
    }

    async fn pause(&self, most: u64) {
        let time = self.world.millis(0..=most);
        tokio::time::sleep(time).await;
    }

    fn guid(&self) -> Uuid {
        Uuid::from_u128(self.world.rng().u128(..))
    }

    async fn create(&self) {
        let request = CreateInstance {
            instance_id: instance_id(self.plan),
            execution_id: ExecutionId::from_uuid(self.guid()),
            name: SCRIPT.to_owned(),
            version: None,
            input: Some(input(self.plan, 0, 0, &[])),
            tags: Tags::new(),
            scheduled_start: None,
            reuse: ReusePolicy::Never,
            request_id: Some(self.guid()),
            born_claimed: None,
            trace: None,
        };
        let starts_later = self.world.rng().u8(..5) == 0;
        let scheduled_start = starts_later.then(|| self.world.now() + chrono::TimeDelta::seconds(3));
        let request = CreateInstance { scheduled_start, ..request };
        loop {
            let created = match self.node() {
                Some(node) => tokio::time::timeout(PATIENCE, node.create_instance(request.clone())).await,
                None => Ok(self.door.create_instance(request.clone()).await),
            };
            match created {
                Ok(Ok(CreateOutcome::Created { .. })) => return,
                Ok(Ok(other)) => return self.world.ledger().report(format!("a creation gave {other:?}")),
                Ok(Err(_)) | Err(_) => self.pause(500).await,
            }
        }
    }

    /// Some node, or none: the store itself.
    fn node(&self) -> Option<NodeHandle> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rng = self.world.rng();
        if nodes.is_empty() || rng.bool() { None } else { nodes.get(rng.usize(..nodes.len())).cloned() }
    }

    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Event(number) => {
                let input = Some(event_input(self.plan, number));
                self.send(MessageBody::EventRaised { name: EVENT.to_owned(), input }).await;
            }
            Deed::Signal(number) => {
                let (entity, body) = client_signal(self.plan, number);
                self.send_to(entity, body).await;
            }
            Deed::Suspend => {
                self.send(MessageBody::ExecutionSuspended { reason: None }).await;
                self.pause(3000).await;
                self.send(MessageBody::ExecutionResumed { reason: None }).await;
            }
            Deed::Terminate => {
                let body = MessageBody::ExecutionTerminated {
                    reason: Some("enough".to_owned()),
                    recurse: self.world.rng().bool(),
                };
                self.send(body).await;
            }
        }
    }

    async fn send(&self, body: MessageBody) {
        self.send_to(instance_id(self.plan), body).await;
    }

    async fn send_to(&self, instance_id: InstanceId, body: MessageBody) {
        let request = SendMessage { instance_id, body, request_id: Some(self.guid()), not_before: None };
        loop {
            let sent = match self.node() {
                Some(node) => tokio::time::timeout(PATIENCE, node.send_message(request.clone())).await,
                None => Ok(self.door.send_message(request.clone()).await),
            };
            let Ok(sent) = sent else { continue };
            match sent {
                Ok(SendOutcome::NotFound | SendOutcome::Rejected(_)) => {
                    return self.world.ledger().report(format!("{} got no message", request.instance_id));
                }
                Ok(_) => return,
                Err(_) => self.pause(500).await,
            }
        }
    }
}

enum Deed {
    Event(usize),
    Signal(usize),
    Suspend,
    Terminate,
}
