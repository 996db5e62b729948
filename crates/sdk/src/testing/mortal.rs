//! A store that goes silent for its worker as soon as it has recorded a step: the moment at which a crash is worst.
//!
//! The step is durable, its writer never hears of it, and nothing that it was about to do next happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{
    AbandonActivity, ActivityId, Backend, BackendResult, Checkpoint, CheckpointOutcome, CleanEntities, CleanedEntities,
    CompleteActivity, CompleteOutcome, CreateInstance, CreateOutcome, Demote, DemoteOutcome, EntityPage, EntityQuery,
    EntityRecord, Execution, ExportedInstance, HintStream, HistoryTurn, ImportOutcome, InstanceId, InstanceIdPage,
    InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds, LockActivities, LockOrchestrations, LockedActivities,
    LockedOrchestrations, NodeId, NodeLease, Observed, Page, Poisoned, PurgeFilter, PurgeOutcome, Reaped, RegisterNode,
    Rewinding, SendMessage, SendOutcome, Timestamp, Whereabouts,
};
use tokio::sync::Notify;

pub(super) struct Mortal {
    store: Arc<dyn Backend>,
    node: AtomicI64,
    silent: AtomicBool,
    recorded: Notify,
}

impl Mortal {
    pub fn new(store: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { store, node: AtomicI64::new(0), silent: AtomicBool::new(false), recorded: Notify::new() })
    }

    /// Waits for the first recorded step; from then on the worker gets no answer to anything.
    pub async fn recorded(&self) -> NodeId {
        self.recorded.notified().await;
        NodeId(self.node.load(Ordering::SeqCst))
    }

    async fn alive(&self) -> &dyn Backend {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.store.as_ref()
    }
}

#[async_trait]
impl Backend for Mortal {
    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        let lease = self.alive().await.register_node(request).await?;
        self.node.store(lease.node.0, Ordering::SeqCst);
        Ok(lease)
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        let outcome = self.alive().await.checkpoint(checkpoint).await?;
        if matches!(outcome, CheckpointOutcome::Landed(_)) {
            self.silent.store(true, Ordering::SeqCst);
            self.recorded.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(outcome)
    }

    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease> {
        self.alive().await.renew_node(node).await
    }

    async fn reap_nodes(&self) -> BackendResult<Reaped> {
        self.alive().await.reap_nodes().await
    }

    async fn remove_node(&self, node: NodeId) -> BackendResult<()> {
        self.alive().await.remove_node(node).await
    }

    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older_than: Duration) -> BackendResult<u64> {
        self.alive().await.release_unknown(node, known, older_than).await
    }

    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        self.alive().await.release_unknown_activities(node, known, older_than).await
    }

    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        self.alive().await.create_instance(request).await
    }

    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        self.alive().await.send_message(request).await
    }

    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations> {
        self.alive().await.lock_orchestrations(request).await
    }

    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        self.alive().await.demote(request).await
    }

    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        self.alive().await.lock_activities(request).await
    }

    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        self.alive().await.complete_activity(request).await
    }

    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool> {
        self.alive().await.abandon_activity(request).await
    }

    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>> {
        self.alive().await.get_instances(ids, payloads).await
    }

    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page> {
        self.alive().await.query_instances(query).await
    }

    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64> {
        self.alive().await.count_instances(query, cap).await
    }

    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        self.alive().await.list_instance_ids(request).await
    }

    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts> {
        self.alive().await.get_node(node).await
    }

    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>> {
        self.alive().await.get_holders(id, task).await
    }

    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        self.alive().await.get_executions(id).await
    }

    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        self.alive().await.get_history(id, execution).await
    }

    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        self.alive().await.get_entity(id, include_state).await
    }

    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        self.alive().await.query_entities(query).await
    }

    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        self.alive().await.clean_entities(request).await
    }

    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        self.alive().await.purge_instances(filter).await
    }

    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        self.alive().await.purge_expired(limit).await
    }

    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>> {
        self.alive().await.get_lost_activities(node, known).await
    }

    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        self.alive().await.get_poisoned(limit).await
    }

    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        self.alive().await.release_poisoned(id, fail).await
    }

    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        self.alive().await.rewind_instances(items, observed).await
    }

    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        self.alive().await.export_instances(ids).await
    }

    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        self.alive().await.import_instance(instance).await
    }

    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        self.alive().await.set_hub_setting(name, value).await
    }

    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        self.alive().await.get_hub_settings().await
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    fn hints(&self) -> Box<dyn HintStream> {
        self.store.hints()
    }
}
