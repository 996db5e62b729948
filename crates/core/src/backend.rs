//! The store, as the engine sees it.
//!
//! A lease decides only who tries; whether a result counts is decided by comparing what the row says now with what
//! the writer saw. Lost races are outcomes, faults are errors. Every method is atomic and durable when it returns,
//! and works on one task hub, to which the backend was opened. Times are decided by the backend's clock alone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    AbandonActivity, ActivityId, BackendResult, Checkpoint, CheckpointOutcome, CleanEntities, CleanedEntities,
    CompleteActivity, CompleteOutcome, CreateInstance, CreateOutcome, Demote, DemoteOutcome, EntityPage, EntityQuery,
    EntityRecord, Execution, ExportedInstance, HistoryPart, HistoryTurn, ImportOutcome, InstanceId, InstanceIdPage,
    InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds, LockActivities, LockOrchestrations, LockedActivities,
    LockedOrchestrations, NodeId, NodeLease, Observed, Page, Poisoned, PurgeFilter, PurgeOutcome, Reaped, RegisterNode,
    Rewinding, SendMessage, SendOutcome, Timestamp, Whereabouts,
};

/// Something may have happened. Always a hint, never the truth: who gets one looks, who gets none looks too, later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Orchestrations may be due.
    Orchestrations,
    /// Activities may wait.
    Activities,
    /// These instances began to run.
    Started(Vec<InstanceId>),
    /// These instances ended.
    Ended(Vec<InstanceId>),
}

/// Hints as they come.
#[async_trait]
pub trait HintStream: Send {
    /// Waits for the next hint; for ever when the backend is closed. Dropping the future loses no hint.
    async fn next(&mut self) -> Hint;

    /// Whether hints of other processes arrive at present: then looking by oneself may take its time.
    fn is_reliable(&self) -> bool;
}

/// A durable store of orchestrations.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The name of the task hub, for logs; empty where it has none.
    fn hub(&self) -> &str {
        ""
    }

    /// Makes this process known and gives it a new id.
    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease>;

    /// Gives a sign of life. [`crate::BackendError::NodeGone`] when the lease ran out and was taken.
    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease>;

    /// Takes the work of nodes whose lease ran out from them: afterwards they can write nothing, and everything
    /// that they held is due.
    async fn reap_nodes(&self) -> BackendResult<Reaped>;

    /// Ends a node in good order: what it still holds is released and due at once.
    async fn remove_node(&self, node: NodeId) -> BackendResult<()>;

    /// Releases rows that `node` has held in the store for longer than `older_than` though they are not among
    /// `known`: left over from a claim whose answer was lost. Returns how many.
    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older_than: Duration) -> BackendResult<u64>;

    /// The same for activity rows: those that `node` claimed longer ago than `older_than` and that are not among
    /// `known` are free again.
    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64>;

    /// Creates an instance.
    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome>;

    /// Sends a message to an instance.
    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome>;

    /// Claims orchestrations that are due, and collects mail for those that the node holds.
    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations>;

    /// Writes the result of a turn.
    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome>;

    /// Gives up the residency of an instance, with all that is in memory only.
    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome>;

    /// Claims activities that wait.
    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities>;

    /// Of these activity rows, those that `node` does not hold any more: their orchestration has ended or given them
    /// up. What runs for them may stop.
    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>>;

    /// Delivers the result of an activity that has a row.
    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome>;

    /// Gives an activity row back. `false` when it was not held any more.
    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool>;

    /// The instances with these ids that exist, in any order. `payloads` as in [`InstanceQuery::payloads`].
    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>>;

    /// One page of instances, newest first.
    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page>;

    /// How many instances match, counted up to `cap`; the page of the query is of no matter.
    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64>;

    /// One page of ids of instances that have ended, first ended first.
    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage>;

    /// Whether that node lives, and where other nodes reach it.
    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts>;

    /// The nodes that may have a work item of that instance: its turn, or with `task` that activity. For answers that
    /// name nothing else.
    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>>;

    /// The executions of an instance that are there, oldest first: the current one, and former ones if the hub keeps
    /// them (see [`crate::SettingName::Executions`]). Empty when there is no such instance.
    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>>;

    /// The turns of an execution, by its generation number; of the current one without. `None` when there is no such
    /// instance, or execution of it. The record is that of [`InstanceRecord::of_execution`].
    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>>;

    /// Some turns of an execution, for whoever does not want all of them in memory; none are left when there are none in
    /// the answer. `None` when there is no such instance, or no such execution of it any more. The record is that of
    /// [`InstanceRecord::of_execution`], and has its payloads when the part is the first.
    ///
    /// A store whose histories are in memory anyway gives all that is left.
    async fn get_history_part(&self, part: HistoryPart) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let mut execution = None;
        if let Some(wanted) = part.execution_id {
            let all = self.get_executions(part.instance_id.clone()).await?;
            let Some(found) = all.into_iter().find(|found| found.execution_id == wanted) else { return Ok(None) };
            execution = Some(found.execution);
        }
        let found = self.get_history(part.instance_id, execution).await?;
        Ok(found.map(|(record, mut turns)| {
            turns.retain(|turn| turn.turn > part.after);
            (record, turns)
        }))
    }

    /// An entity; its state only if asked for. `None` when there is none.
    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>>;

    /// One page of entities, in the order of their ids.
    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage>;

    /// Looks at some entities: removes what is empty, has locks released whose owner is gone.
    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities>;

    /// Removes instances with all that belongs to them. An entity goes whenever it is named.
    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome>;

    /// Removes instances that have been kept for as long as the hub's settings say, at most `limit` of them.
    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome>;

    /// What was set aside after too many failed attempts, longest ago first, at most `limit`.
    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>>;

    /// Lets an instance that was set aside go on, with its activities that were; with `fail` these fail instead, with
    /// the type `ActivityPoisoned`. Returns how much it was; `None` when there is no such instance.
    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>>;

    /// Takes the failure of instances back, all of them or none: `false` when one of them, or of `observed`, does not
    /// stand as it was seen. Parents come before their children. What to write, [`crate::rewind()`] says.
    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool>;

    /// The instances with these ids that exist, each with all that belongs to its current execution, as of one moment.
    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>>;

    /// Adds an instance as [`Backend::export_instances`] told it; never in the place of another. A live one goes on,
    /// and its open activities are dispatched again. [`crate::BackendError::Invalid`] when it cannot be an instance.
    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome>;

    /// Decides a setting of the hub (see [`crate::Setting::read`]); `None` gives it its default back.
    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()>;

    /// What has been decided for the hub, by name; what is not in it has its default.
    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>>;

    /// An estimate of the backend's clock, good enough to order turns; whether a timer is due, the store decides.
    fn now(&self) -> Timestamp;

    /// Hints from now on.
    fn hints(&self) -> Box<dyn HintStream>;
}
