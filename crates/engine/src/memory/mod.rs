//! The in-memory backend: the model that other backends are held to, and what users test their orchestrations with.
//!
//! One lock around plain maps, so that each operation is atomic by construction. Its clock is tokio's, and so stands
//! still or jumps with it in tests. Deliberately absent: durability, and any attempt to be fast with many instances.

mod checkpoint;
mod claims;
mod entities;
mod export;
mod poison;
mod queries;
mod rewind;
mod store;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use everdure_core::{
    AbandonActivity, ActivityId, Backend, BackendError, BackendResult, Checkpoint, CheckpointOutcome, CleanEntities,
    CleanedEntities, CompleteActivity, CompleteOutcome, CreateInstance, CreateOutcome, Demote, DemoteOutcome,
    EntityPage, EntityQuery, EntityRecord, Execution, ExportedInstance, Hint, HintStream, HistoryTurn, ImportOutcome,
    InstanceId, InstanceIdPage, InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds, LockActivities,
    LockOrchestrations, LockedActivities, LockedOrchestrations, MessageBody, NodeId, NodeLease, Observed, Page,
    Poisoned, PurgeFilter, PurgeOutcome, Reaped, RegisterNode, Rewinding, SET_ASIDE, SendMessage, SendOutcome, Setting,
    SettingName, Timestamp, Whereabouts,
};
use tokio::sync::broadcast;
use tokio::time::Instant;

use store::{NodeRow, Row, Store};

/// Hints kept for a slow listener; one that falls behind looks at everything.
const HINTS: usize = 256;

/// A task hub in memory.
pub struct InMemoryBackend {
    store: Mutex<Store>,
    started: (Instant, Timestamp),
    hints: broadcast::Sender<Hint>,
}

impl InMemoryBackend {
    /// An empty task hub whose clock begins at `start`.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        let (hints, _) = broadcast::channel(HINTS);
        Self { store: Mutex::default(), started: (Instant::now(), start), hints }
    }

    /// How many messages and activities are left of instances that have ended or are gone: none, or something leaks.
    #[must_use]
    pub fn leftovers(&self) -> usize {
        let (store, _) = self.lock();
        let ended = |key: &InstanceKey| store.rows.get(key).is_none_or(|row| row.status.is_terminal());
        let messages = store.rows.iter().filter(|(key, _)| ended(key)).map(|(_, row)| row.messages.len());
        let activities = store.activities.values().filter(|activity| ended(&activity.task.key));
        messages.sum::<usize>() + activities.count()
    }

    fn lock(&self) -> (MutexGuard<'_, Store>, Timestamp) {
        // A panic inside an operation leaves the maps whole: conditions are checked before anything is changed.
        let store = self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = self.now();
        (store, now)
    }

    fn hint(&self, hint: Hint) {
        // Nobody listening is no fault.
        let _ = self.hints.send(hint);
    }

    fn live(store: &Store, node: NodeId) -> BackendResult<()> {
        if store.nodes.contains_key(&node) { Ok(()) } else { Err(BackendError::NodeGone) }
    }
}

impl Default for InMemoryBackend {
    /// An empty task hub whose clock begins at the wall clock's time.
    fn default() -> Self {
        // A wall clock before 1970 is taken for 1970.
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(Timestamp::UNIX_EPOCH + TimeDelta::microseconds(since_1970.as_micros() as i64))
    }
}

fn lease(node: NodeId, lease: Duration, store: &Store) -> NodeLease {
    NodeLease { node, lease, live_nodes: u32::try_from(store.nodes.len()).unwrap_or(u32::MAX) }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[async_trait]
impl Backend for InMemoryBackend {
    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        let (mut store, now) = self.lock();
        let node = NodeId(store.next_number());
        let duration = delta(request.lease);
        store
            .nodes
            .insert(node, NodeRow { address: request.address.clone(), lease: duration, expires_at: now + duration });
        Ok(lease(node, request.lease, &store))
    }

    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease> {
        let (mut store, now) = self.lock();
        let row = store.nodes.get_mut(&node).ok_or(BackendError::NodeGone)?;
        row.expires_at = now + row.lease;
        let duration = row.lease.to_std().unwrap_or_default();
        Ok(lease(node, duration, &store))
    }

    async fn reap_nodes(&self) -> BackendResult<Reaped> {
        let (mut store, now) = self.lock();
        let dead: Vec<_> = store.nodes.iter().filter(|(_, row)| row.expires_at < now).map(|(node, _)| *node).collect();
        store.nodes.retain(|node, _| !dead.contains(node));
        let released = store.release_all(&dead, true, now);
        if released > 0 {
            self.hint(Hint::Orchestrations);
            self.hint(Hint::Activities);
        }
        Ok(Reaped { nodes: dead, released })
    }

    async fn remove_node(&self, node: NodeId) -> BackendResult<()> {
        let (mut store, now) = self.lock();
        store.nodes.remove(&node);
        store.release_all(&[node], false, now);
        self.hint(Hint::Orchestrations);
        self.hint(Hint::Activities);
        Ok(())
    }

    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older_than: Duration) -> BackendResult<u64> {
        let (mut store, now) = self.lock();
        let old = now - delta(older_than);
        let forgotten =
            |key: &InstanceKey, row: &Row| row.locked_by == Some(node) && row.claimed_at <= old && !known.contains(key);
        let mut released = 0;
        for (_, row) in store.rows.iter_mut().filter(|(key, row)| forgotten(key, row)) {
            row.locked_by = None;
            row.due_at = Some(now);
            released += 1;
        }
        Ok(released)
    }

    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        let (mut store, now) = self.lock();
        let old = now - delta(older_than);
        let mut released = 0;
        for (id, row) in &mut store.activities {
            if row.locked_by == Some(node) && row.visible_at <= old && !known.contains(id) {
                row.locked_by = None;
                released += 1;
            }
        }
        if released > 0 {
            self.hint(Hint::Activities);
        }
        Ok(released)
    }

    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        let (mut store, now) = self.lock();
        if let Some((key, row)) = store.row_of(&request.instance_id) {
            let same = request.request_id.is_some() && row.request_id == request.request_id;
            if same {
                let created_at = row.created_at;
                return Ok(CreateOutcome::Created { key, born_claimed: false, created_at });
            }
            if !request.reuse.replaceable().contains(row.status) {
                return Ok(CreateOutcome::AlreadyExists { status: row.status });
            }
            store.tell_replaced(key, now);
            store.unlock_entities(key, now);
        }
        let mut row = Row::new(request.started(), request.request_id, now);
        let starts_now = row.due_at.is_some_and(|due| due <= now);
        let home = request.born_claimed.filter(|node| starts_now && store.nodes.contains_key(node));
        if home.is_some() {
            row.locked_by = home;
            row.due_at = None;
        }
        let key = store.insert(row);
        self.hint(Hint::Orchestrations);
        Ok(CreateOutcome::Created { key, born_claimed: home.is_some(), created_at: now })
    }

    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        let (mut store, now) = self.lock();
        if request.request_id.is_some_and(|id| store.requests.contains(&id)) {
            return Ok(SendOutcome::Repeated);
        }
        if request.instance_id.is_entity() {
            if !request.body.is_for_entities() {
                return Ok(SendOutcome::NotFound);
            }
            store.entity(&request.instance_id, now);
        }
        let Some((key, row)) = store.row_of(&request.instance_id) else { return Ok(SendOutcome::NotFound) };
        if row.status.is_terminal() {
            return Ok(SendOutcome::Finished);
        }
        let held_by = row.locked_by;
        store.requests.extend(request.request_id);
        if let MessageBody::ExecutionTerminated { reason, recurse } = &request.body
            && store.terminate_unheld(key, reason.as_deref(), *recurse, now)
        {
            self.hint(Hint::Ended(vec![request.instance_id.clone()]));
            self.hint(Hint::Orchestrations);
            return Ok(SendOutcome::Terminated);
        }
        let visible_at = request.not_before.map_or(now, |time| time.max(now));
        let Some(message) = store.post(key, None, request.body, now, visible_at) else {
            return Ok(SendOutcome::Finished);
        };
        self.hint(Hint::Orchestrations);
        Ok(SendOutcome::Sent { key, message, held_by })
    }

    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations> {
        let (mut store, now) = self.lock();
        Self::live(&store, request.node)?;
        Ok(claims::lock_orchestrations(&mut store, &request, now))
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        let (mut store, now) = self.lock();
        Self::live(&store, checkpoint.node)?;
        let (ends, starts) = (checkpoint.status.is_terminal(), checkpoint.turn == 0);
        let id = checkpoint.instance_id.clone();
        let rows = !checkpoint.activities.is_empty();
        let outcome = checkpoint::checkpoint(&mut store, checkpoint, now);
        if matches!(outcome, CheckpointOutcome::Landed(_)) {
            self.hint(Hint::Orchestrations);
            if rows {
                self.hint(Hint::Activities);
            }
            if ends {
                self.hint(Hint::Ended(vec![id]));
            } else if starts {
                self.hint(Hint::Started(vec![id]));
            }
        }
        Ok(outcome)
    }

    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        let (mut store, now) = self.lock();
        Self::live(&store, request.node)?;
        let outcome = claims::demote(&mut store, request, now);
        self.hint(Hint::Orchestrations);
        self.hint(Hint::Activities);
        Ok(outcome)
    }

    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>> {
        let (store, _) = self.lock();
        let held = |id: &ActivityId| store.activities.get(id).is_some_and(|row| row.locked_by == Some(node));
        Ok(known.into_iter().filter(|id| !held(id)).collect())
    }

    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        let (mut store, now) = self.lock();
        Self::live(&store, request.node)?;
        Ok(claims::lock_activities(&mut store, &request, now))
    }

    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        let (mut store, now) = self.lock();
        Self::live(&store, request.node)?;
        let outcome = claims::complete_activity(&mut store, request, now);
        self.hint(Hint::Orchestrations);
        Ok(outcome)
    }

    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool> {
        let (mut store, now) = self.lock();
        let abandoned = claims::abandon_activity(&mut store, request, now);
        self.hint(Hint::Activities);
        Ok(abandoned)
    }

    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>> {
        let (mut store, _) = self.lock();
        Ok(ids.iter().filter_map(|id| store.row_of(id).map(|(key, row)| row.record(key, payloads))).collect())
    }

    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page> {
        queries::query_instances(&self.lock().0, &query)
    }

    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64> {
        Ok(queries::count_instances(&self.lock().0, &query, cap))
    }

    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        Ok(queries::list_instance_ids(&self.lock().0, &request))
    }

    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts> {
        let (store, now) = self.lock();
        let Some(row) = store.nodes.get(&node).filter(|row| row.expires_at > now) else {
            return Ok(Whereabouts::Gone);
        };
        Ok(row.address.clone().map_or(Whereabouts::Untold, Whereabouts::At))
    }

    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>> {
        let (mut store, _) = self.lock();
        let Some((key, row)) = store.row_of(&id) else { return Ok(Vec::new()) };
        let mut holders: Vec<_> = row.locked_by.into_iter().filter(|node| *node != SET_ASIDE).collect();
        let rows = store.activities.values().filter(|row| row.task.key == key && Some(row.task.task_id) == task);
        holders.extend(rows.filter_map(|row| row.locked_by));
        holders.sort_unstable();
        holders.dedup();
        Ok(holders)
    }

    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        let (mut store, _) = self.lock();
        Ok(store.row_of(&id).map(|(_, row)| row.executions()).unwrap_or_default())
    }

    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let (mut store, _) = self.lock();
        Ok(store.row_of(&id).and_then(|(key, row)| row.history_of(key, execution.unwrap_or(row.execution))))
    }

    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        Ok(entities::get_entity(&mut self.lock().0, &id, include_state))
    }

    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        Ok(entities::query_entities(&self.lock().0, &query))
    }

    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        let (mut store, now) = self.lock();
        let cleaned = entities::clean_entities(&mut store, &request, now);
        self.hint(Hint::Orchestrations);
        Ok(cleaned)
    }

    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        let (mut store, now) = self.lock();
        queries::purge_instances(&mut store, &filter, now)
    }

    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        let (mut store, now) = self.lock();
        queries::purge_expired(&mut store, limit, now)
    }

    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        Ok(poison::get_poisoned(&self.lock().0, limit))
    }

    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        let (mut store, now) = self.lock();
        let released = poison::release_poisoned(&mut store, &id, fail, now);
        self.hint(Hint::Orchestrations);
        self.hint(Hint::Activities);
        Ok(released)
    }

    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        let (mut store, now) = self.lock();
        let rewound = rewind::rewind_instances(&mut store, items, &observed, now);
        self.hint(Hint::Orchestrations);
        Ok(rewound)
    }

    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        let (mut store, _) = self.lock();
        let orchestrations = ids.iter().filter(|id| !id.is_entity());
        Ok(orchestrations.filter_map(|id| store.row_of(id).map(|(key, row)| export::export(row, key))).collect())
    }

    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        let (mut store, now) = self.lock();
        let outcome = export::import(&mut store, instance, now);
        self.hint(Hint::Orchestrations);
        outcome
    }

    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        let (mut store, _) = self.lock();
        match value {
            Some(value) => {
                Setting::read(name, value)?;
                store.settings.insert(name.to_owned(), value.to_owned());
            }
            None => {
                SettingName::read(name)?;
                store.settings.remove(name);
            }
        }
        Ok(())
    }

    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        Ok(self.lock().0.settings.clone())
    }

    fn now(&self) -> Timestamp {
        let (instant, start) = self.started;
        let micros = i64::try_from(instant.elapsed().as_micros()).unwrap_or(i64::MAX);
        start + TimeDelta::microseconds(micros)
    }

    fn hints(&self) -> Box<dyn HintStream> {
        Box::new(Listener { hints: self.hints.subscribe() })
    }
}

struct Listener {
    hints: broadcast::Receiver<Hint>,
}

#[async_trait]
impl HintStream for Listener {
    async fn next(&mut self) -> Hint {
        use broadcast::error::RecvError;
        match self.hints.recv().await {
            Ok(hint) => hint,
            // What was missed may have been anything; looking at orchestrations finds most of it.
            Err(RecvError::Lagged(_)) => Hint::Orchestrations,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    fn is_reliable(&self) -> bool {
        true
    }
}
