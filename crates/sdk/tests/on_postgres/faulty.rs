//! A backend between engine and store that fails on request, and whose clock may be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use everdure_core::*;

/// Passes everything on, except for what it was told to spoil.
pub struct Faulty {
    pub inner: Arc<dyn Backend>,
    /// So many of the next renewals fail.
    pub failing_renewals: AtomicU32,
    /// So many of the next claims, of either kind, fail.
    pub failing_claims: AtomicU32,
    /// Milliseconds by which the clock is wrong.
    pub skew: AtomicI64,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        let (failing_renewals, failing_claims) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { inner, failing_renewals, failing_claims, skew: AtomicI64::new(0) })
    }
}

fn fails(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn away() -> BackendError {
    BackendError::unavailable("the test says that the database is away")
}

#[async_trait]
impl Backend for Faulty {
    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        self.inner.register_node(request).await
    }
    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease> {
        if fails(&self.failing_renewals) { Err(away()) } else { self.inner.renew_node(node).await }
    }
    async fn reap_nodes(&self) -> BackendResult<Reaped> {
        self.inner.reap_nodes().await
    }
    async fn remove_node(&self, node: NodeId) -> BackendResult<()> {
        self.inner.remove_node(node).await
    }
    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older: Duration) -> BackendResult<u64> {
        self.inner.release_unknown(node, known, older).await
    }
    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older: Duration,
    ) -> BackendResult<u64> {
        self.inner.release_unknown_activities(node, known, older).await
    }
    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        self.inner.create_instance(request).await
    }
    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        self.inner.send_message(request).await
    }
    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations> {
        if fails(&self.failing_claims) { Err(away()) } else { self.inner.lock_orchestrations(request).await }
    }
    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        self.inner.checkpoint(checkpoint).await
    }
    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        self.inner.demote(request).await
    }
    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        if fails(&self.failing_claims) { Err(away()) } else { self.inner.lock_activities(request).await }
    }
    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        self.inner.complete_activity(request).await
    }
    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool> {
        self.inner.abandon_activity(request).await
    }
    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>> {
        self.inner.get_instances(ids, payloads).await
    }
    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page> {
        self.inner.query_instances(query).await
    }
    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64> {
        self.inner.count_instances(query, cap).await
    }

    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        self.inner.list_instance_ids(request).await
    }

    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts> {
        self.inner.get_node(node).await
    }

    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>> {
        self.inner.get_holders(id, task).await
    }

    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        self.inner.get_executions(id).await
    }

    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        self.inner.get_history(id, execution).await
    }
    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        self.inner.get_entity(id, include_state).await
    }

    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        self.inner.query_entities(query).await
    }

    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        self.inner.clean_entities(request).await
    }

    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        self.inner.purge_instances(filter).await
    }
    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        self.inner.purge_expired(limit).await
    }

    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>> {
        self.inner.get_lost_activities(node, known).await
    }

    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        self.inner.get_poisoned(limit).await
    }

    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        self.inner.release_poisoned(id, fail).await
    }

    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        self.inner.rewind_instances(items, observed).await
    }

    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        self.inner.export_instances(ids).await
    }

    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        self.inner.import_instance(instance).await
    }

    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        self.inner.set_hub_setting(name, value).await
    }

    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        self.inner.get_hub_settings().await
    }

    fn now(&self) -> Timestamp {
        self.inner.now() + TimeDelta::milliseconds(self.skew.load(Ordering::Relaxed))
    }
    fn hints(&self) -> Box<dyn HintStream> {
        self.inner.hints()
    }
}
