//! The store as one process sees it: slow, forgetful, at times silent.
//!
//! A request is a task of its own, so that it reaches the store even when its sender has died meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{
    AbandonActivity, ActivityId, Backend, BackendError, BackendResult, Checkpoint, CheckpointOutcome, CleanEntities,
    CleanedEntities, CompleteActivity, CompleteOutcome, CreateInstance, CreateOutcome, Demote, DemoteOutcome,
    EntityPage, EntityQuery, EntityRecord, Execution, ExportedInstance, Hint, HintStream, HistoryTurn, ImportOutcome,
    InstanceId, InstanceIdPage, InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds, LockActivities,
    LockOrchestrations, LockedActivities, LockedOrchestrations, NodeId, NodeLease, Observed, Page, Poisoned,
    PurgeFilter, PurgeOutcome, Reaped, RegisterNode, Rewinding, SendMessage, SendOutcome, Timestamp, Whereabouts,
};
use everdure_engine::CancellationToken;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::sabotage;
use crate::world::World;

/// The door of one process to the store.
pub struct Door {
    world: Arc<World>,
    /// Fires when the process dies: nothing comes back to it any more.
    pub dead: CancellationToken,
    nodes: Mutex<Vec<NodeId>>,
    /// Until when nothing is sent, and until when no sign of life is.
    paused: Mutex<(Instant, Instant)>,
}

impl Door {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            world: Arc::clone(world),
            dead: CancellationToken::new(),
            nodes: Mutex::default(),
            paused: Mutex::new((now, now)),
        })
    }

    /// Sends nothing for a while.
    pub fn pause(&self, time: Duration) {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).0 = Instant::now() + time;
    }

    /// Gives no sign of life for a while, and works on.
    pub fn stall(&self, time: Duration) {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).1 = Instant::now() + time;
    }

    /// Whether the process never lost its lease.
    pub fn is_sound(&self) -> bool {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        !self.dead.is_cancelled() && nodes.iter().all(|node| self.world.ledger().is_live(*node))
    }

    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        run: impl FnOnce(Arc<World>) -> BoxFuture<'static, BackendResult<T>> + Send + 'static,
    ) -> BackendResult<T> {
        if self.dead.is_cancelled() || self.world.ledger().problem().is_some() {
            return std::future::pending().await;
        }
        let fate = self.world.fate();
        let (paused, stalled) = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let heartbeat = matches!(what, "renew_node" | "reap_nodes");
        let until = if heartbeat { paused.max(stalled) } else { paused };
        let world = Arc::clone(&self.world);
        let request = tokio::spawn(async move {
            if until > Instant::now() && !world.is_calm() {
                tokio::time::sleep_until(until).await;
            }
            wait(fate.before).await;
            if fate.fails {
                wait(fate.after).await;
                return Err(BackendError::unavailable(format!("{what}: the store could not be reached")));
            }
            let result = run(world).await;
            wait(fate.after).await;
            if fate.answer_lost {
                return Err(BackendError::unavailable(format!("{what}: the answer got lost")));
            }
            result
        });
        let answer = tokio::select! {
            biased;
            () = self.dead.cancelled() => None,
            answer = request => Some(answer),
        };
        match answer {
            Some(Ok(answer)) => answer,
            Some(Err(panic)) => {
                self.world.ledger().report(format!("{what} panicked: {panic}"));
                Err(BackendError::unavailable("a panic"))
            }
            None => std::future::pending().await,
        }
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl Backend for Door {
    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        let duration = request.lease;
        let registered = self.call("register_node", move |world| {
            Box::pin(async move {
                let lease = world.store.register_node(request).await?;
                world.note("register", lease.node.0, String::new);
                let now = world.now();
                world.ledger().registered(lease.node, duration, now);
                Ok(lease)
            })
        });
        let lease = registered.await?;
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(lease.node);
        Ok(lease)
    }

    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease> {
        let renewed = self.call("renew_node", move |world| {
            Box::pin(async move {
                let lease = world.store.renew_node(node).await?;
                let now = world.now();
                world.ledger().renewed(node, now);
                Ok(lease)
            })
        });
        renewed.await
    }

    async fn reap_nodes(&self) -> BackendResult<Reaped> {
        let reaped = self.call("reap_nodes", move |world| {
            Box::pin(async move {
                let reaped = world.store.reap_nodes().await?;
                for node in &reaped.nodes {
                    world.note("reap", node.0, String::new);
                }
                let now = world.now();
                world.ledger().reaped(&reaped, now);
                Ok(reaped)
            })
        });
        reaped.await
    }

    async fn remove_node(&self, node: NodeId) -> BackendResult<()> {
        let removed = self.call("remove_node", move |world| {
            Box::pin(async move {
                world.store.remove_node(node).await?;
                world.note("remove", node.0, String::new);
                world.ledger().removed(node);
                Ok(())
            })
        });
        removed.await
    }

    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older_than: Duration) -> BackendResult<u64> {
        let released = self.call("release_unknown", move |world| {
            Box::pin(async move {
                if world.sabotage == Some(sabotage::Sabotage::Rule2Forget) {
                    return Ok(0);
                }
                let released = world.store.release_unknown(node, known.clone(), older_than).await?;
                if released > 0 {
                    world.note("release_unknown", node.0, || format!("{released} rows"));
                    world.ledger().released_unknown(node, &known);
                }
                Ok(released)
            })
        });
        released.await
    }

    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        self.call("release_unknown_activities", move |world| {
            Box::pin(async move {
                let released = world.store.release_unknown_activities(node, known, older_than).await?;
                world.note("release_activities", i64::try_from(released).unwrap_or_default(), String::new);
                Ok(released)
            })
        })
        .await
    }

    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        let created = self.call("create_instance", move |world| {
            Box::pin(async move {
                let outcome = world.store.create_instance(request.clone()).await?;
                world.note("create", 0, || format!("{}: {outcome:?}", request.instance_id));
                world.ledger().created(&request, &outcome);
                Ok(outcome)
            })
        });
        created.await
    }

    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        let sent = self.call("send_message", move |world| {
            Box::pin(async move {
                let outcome = world.store.send_message(request.clone()).await?;
                world.note("send", 0, || format!("{}: {outcome:?}", request.instance_id));
                world.ledger().sent(&request, &outcome);
                Ok(outcome)
            })
        });
        sent.await
    }

    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations> {
        let node = request.node;
        let locked = self.call("lock_orchestrations", move |world| {
            Box::pin(async move {
                let mut locked = world.store.lock_orchestrations(request).await?;
                let now = world.now();
                for item in &locked.items {
                    world.note("lock", item.key.0, || format!("by {node}: {}", shown(item)));
                    world.ledger().locked(node, item, now);
                }
                sabotage::locked(&world, &mut locked);
                Ok(locked)
            })
        });
        locked.await
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        let written = self.call("checkpoint", move |world| {
            Box::pin(async move {
                let written = sabotage::checkpoint(&world, checkpoint.clone());
                let outcome = world.store.checkpoint(written).await?;
                world.note("checkpoint", checkpoint.key.0, || format!("{} {outcome:?}", turn(&checkpoint)));
                if let CheckpointOutcome::Landed(landed) = &outcome {
                    let now = world.now();
                    world.ledger().landed(&checkpoint, landed, now);
                }
                Ok(outcome)
            })
        });
        written.await
    }

    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        let demoted = self.call("demote", move |world| {
            Box::pin(async move {
                let demote = sabotage::demote(&world, request.clone());
                let outcome = world.store.demote(demote).await?;
                world.note("demote", request.key.0, || format!("by {}: {outcome:?}", request.node));
                if let DemoteOutcome::Released { .. } = outcome {
                    world.ledger().demoted(&request);
                }
                Ok(outcome)
            })
        });
        demoted.await
    }

    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        let node = request.node;
        let locked = self.call("lock_activities", move |world| {
            Box::pin(async move {
                let locked = world.store.lock_activities(request).await?;
                for item in &locked.items {
                    let id = item.id.0;
                    world.note("lock_activity", id, || format!("by {node}: {}", item.task.idempotency_key));
                }
                world.ledger().locked_activities(node, &locked);
                Ok(locked)
            })
        });
        locked.await
    }

    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        let completed = self.call("complete_activity", move |world| {
            Box::pin(async move {
                let completion = sabotage::complete(&world, request.clone());
                let outcome = world.store.complete_activity(completion).await?;
                world
                    .note("complete", request.id.map_or(-1, |id| id.0), || format!("by {}: {outcome:?}", request.node));
                if let CompleteOutcome::Delivered { .. } = outcome {
                    world.ledger().completed(&request);
                }
                Ok(outcome)
            })
        });
        completed.await
    }

    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool> {
        self.call("abandon_activity", move |world| Box::pin(async move { world.store.abandon_activity(request).await }))
            .await
    }

    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>> {
        self.world.store.get_instances(ids, payloads).await
    }

    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page> {
        self.world.store.query_instances(query).await
    }

    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64> {
        self.world.store.count_instances(query, cap).await
    }

    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        self.world.store.list_instance_ids(request).await
    }

    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts> {
        self.world.store.get_node(node).await
    }

    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>> {
        self.world.store.get_holders(id, task).await
    }

    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        self.world.store.get_executions(id).await
    }

    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        self.world.store.get_history(id, execution).await
    }

    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        self.world.store.get_entity(id, include_state).await
    }

    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        self.world.store.query_entities(query).await
    }

    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        self.world.store.clean_entities(request).await
    }

    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        self.world.store.purge_instances(filter).await
    }

    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        self.world.store.purge_expired(limit).await
    }

    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>> {
        self.world.store.get_lost_activities(node, known).await
    }

    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        self.world.store.get_poisoned(limit).await
    }

    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        self.world.store.release_poisoned(id, fail).await
    }

    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        self.world.store.rewind_instances(items, observed).await
    }

    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        self.world.store.export_instances(ids).await
    }

    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        self.world.store.import_instance(instance).await
    }

    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        self.world.store.set_hub_setting(name, value).await
    }

    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        self.world.store.get_hub_settings().await
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn hints(&self) -> Box<dyn HintStream> {
        Box::new(Hints { world: Arc::clone(&self.world), hints: self.world.store.hints(), again: None })
    }
}

fn shown(item: &everdure_core::LockedOrchestration) -> String {
    let messages: Vec<_> = item.messages.iter().map(|message| (message.number.0, &message.body)).collect();
    format!(
        "{} claim {} turn {} held {} rows {:?} {messages:?}",
        item.started.instance_id, item.claim, item.turn, item.was_held, item.activities
    )
}

fn turn(checkpoint: &Checkpoint) -> String {
    let events: Vec<_> = checkpoint.events.iter().map(|event| &event.data).collect();
    format!(
        "{} by {} claim {} turn {} hold {} takes {:?} {events:?}",
        checkpoint.instance_id,
        checkpoint.node,
        checkpoint.claim,
        checkpoint.turn,
        checkpoint.hold,
        checkpoint.consumed
    )
}

/// Hints, some lost, some doubled.
struct Hints {
    world: Arc<World>,
    hints: Box<dyn HintStream>,
    again: Option<Hint>,
}

#[async_trait]
impl HintStream for Hints {
    async fn next(&mut self) -> Hint {
        if let Some(hint) = self.again.take() {
            return hint;
        }
        loop {
            let hint = self.hints.next().await;
            if !self.world.chance(self.world.weather.hints) {
                if self.world.chance(self.world.weather.hints / 2) {
                    self.again = Some(hint.clone());
                }
                return hint;
            }
        }
    }

    fn is_reliable(&self) -> bool {
        self.hints.is_reliable()
    }
}
