//! The backend: one object for one task hub, shared by all of a process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool, PoolError};
use everdure_core::{
    AbandonActivity, ActivityId, Backend, BackendError, BackendResult, Checkpoint, CheckpointOutcome, CleanEntities,
    CleanedEntities, CompleteActivity, CompleteOutcome, CreateInstance, CreateOutcome, Demote, DemoteOutcome,
    EntityPage, EntityQuery, EntityRecord, Execution, ExportedInstance, HintStream, HistoryPart, HistoryTurn,
    ImportOutcome, InstanceId, InstanceIdPage, InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds,
    LockActivities, LockOrchestrations, LockedActivities, LockedOrchestrations, NodeId, NodeLease, Observed, Page,
    Poisoned, PurgeFilter, PurgeOutcome, Reaped, RegisterNode, Rewinding, SendMessage, SendOutcome, Timestamp,
    Whereabouts,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::clock::Clock;
use crate::committer::Committer;
use crate::connect::{self, Connector, Patience};
use crate::fault::{Blame, Pause, blame, explain, fault, is_contention};
use crate::hints::{self, Hints};
use crate::migrate::{self, Migrated};
use crate::options::PostgresOptions;
use crate::tls;
use crate::trouble::Trouble;

/// How long a connection rests before it is closed.
pub(crate) const REST: Duration = Duration::from_secs(30);

/// A task hub in a PostgreSQL database.
pub struct PostgresBackend {
    pub(crate) hub: i32,
    pub(crate) hub_name: String,
    pub(crate) schema: Arc<str>,
    pub(crate) committer: Committer,
    pub(crate) clock: Arc<Clock>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) pool: Pool,
    pub(crate) deadline: Duration,
    /// Of the pool, with all its task hubs.
    trouble: Arc<Trouble>,
    listener: Option<JoinHandle<()>>,
    options: PostgresOptions,
}

impl PostgresBackend {
    /// Connects, brings the schema up to date unless told otherwise, and opens the task hub.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the server does not answer, [`BackendError::Refused`] when it does not let
    /// us in, is too old, or holds a schema that this program cannot use.
    pub async fn connect(options: PostgresOptions) -> BackendResult<Self> {
        let tls = tls::connector(&options)?;
        Self::prepare(&options, &tls, options.migrate).await?;
        let pool = connect::pool(&options, &tls)?;
        Self::open(options, &tls, pool, Arc::new(Trouble::new("the pool".to_owned()))).await
    }

    /// Opens another task hub of the same database: its reads and claims go through the same pool, so that many hubs
    /// that rest cost a connection each, for hints.
    ///
    /// # Errors
    /// As [`PostgresBackend::connect`].
    pub async fn open_hub(&self, hub: &str) -> BackendResult<Self> {
        let mut options = self.options.clone();
        hub.clone_into(&mut options.hub);
        let tls = tls::connector(&options)?;
        Self::open(options, &tls, self.pool.clone(), Arc::clone(&self.trouble)).await
    }

    async fn open(
        options: PostgresOptions,
        tls: &tokio_postgres_rustls::MakeRustlsConnect,
        pool: Pool,
        trouble: Arc<Trouble>,
    ) -> BackendResult<Self> {
        let schema: Arc<str> = options.schema.as_str().into();
        let client = get(&pool).await?;
        let doing = "opening the task hub";
        let sql = format!("select hub_id, at from {schema}._open_hub($1, $2)");
        let row =
            client.query_one(&sql, &[&options.hub, &options.create_hub]).await.map_err(|error| fault(doing, error))?;
        drop(client);
        let (hub, now): (i32, Timestamp) = (row.get(0), row.get(1));
        let clock = Arc::new(Clock::new(now));
        let hints = Hints::new();
        let writer = Connector::new(&options, tls, Patience::Hurries);
        let patient = Connector::new(&options, tls, Patience::Waits);
        let committer = Committer::start(&options, hub, writer, patient, Arc::clone(&hints));
        let listener = options.listen.then(|| {
            let connector = Connector::direct(&options, tls);
            tokio::spawn(hints::run(Arc::clone(&hints), connector, format!("everdure_{hub}")))
        });
        Ok(Self {
            hub,
            hub_name: options.hub.clone(),
            schema,
            committer,
            clock,
            hints,
            pool,
            deadline: options.deadline,
            trouble,
            listener,
            options,
        })
    }

    /// The number of the task hub in its schema: one that is made anew under the same name has another.
    #[must_use]
    pub fn hub_number(&self) -> i32 {
        self.hub
    }

    /// Whether the hub of that number is there: another process may have deleted it.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn hub_lives(&self, number: i32) -> BackendResult<bool> {
        let row = self.query_one("looking for the task hub", "_hub_lives", 1, &[&number]).await?;
        Ok(row.get(0))
    }

    /// Whether the database answers and takes what is written, for who asks whether a server is ready.
    ///
    /// # Errors
    /// What keeps it: no connection, or a database that only reads.
    pub async fn check_writes(&self) -> BackendResult<()> {
        let doing = "asking whether the database takes writes";
        let rows = self.query_sql(doing, "show transaction_read_only", &[]).await?;
        if rows.first().is_some_and(|row| row.get::<_, &str>(0) == "on") {
            return Err(BackendError::unavailable("the database only reads: connect to the primary server"));
        }
        Ok(())
    }

    /// Whether the writers of this task hub work, as far as is known: an idle one is asked nothing.
    ///
    /// # Errors
    /// What keeps them from writing now.
    pub async fn check_writers(&self) -> BackendResult<()> {
        self.committer.check().await
    }

    /// The names of the task hubs in the schema.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn hub_names(&self) -> BackendResult<Vec<String>> {
        let rows = self.query("listing the task hubs", "_list_hubs", 0, &[]).await?;
        rows.iter().map(|row| crate::rows::get(row, "name")).collect()
    }

    /// Connections that nobody has used for a while go.
    pub(crate) fn tidy_pool(&self) {
        self.pool.retain(|_, metrics| metrics.last_used() < REST);
    }

    /// Brings the schema up to date and nothing else.
    ///
    /// # Errors
    /// As [`PostgresBackend::connect`].
    pub async fn migrate(options: &PostgresOptions) -> BackendResult<Migrated> {
        let tls = tls::connector(options)?;
        Self::prepare(options, &tls, true).await
    }

    async fn prepare(
        options: &PostgresOptions,
        tls: &tokio_postgres_rustls::MakeRustlsConnect,
        apply: bool,
    ) -> BackendResult<Migrated> {
        if options.create_database {
            Self::create_database(options).await?;
        }
        let connected = Connector::direct(options, tls).connect().await;
        let mut client = connected.map_err(|error| fault("connecting to the database", error))?;
        connect::check_version(&client).await?;
        migrate::migrate(&mut client, &options.schema, apply).await
    }

    pub(crate) async fn client(&self) -> BackendResult<Object> {
        get(&self.pool).await
    }

    /// The statement that calls a function with so many parameters.
    pub(crate) fn call(&self, function: &str, parameters: usize) -> String {
        let numbers: Vec<_> = (1..=parameters).map(|number| format!("${number}")).collect();
        format!("select * from {}.{function}({})", self.schema, numbers.join(", "))
    }

    pub(crate) async fn query(
        &self,
        doing: &str,
        function: &str,
        count: usize,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> BackendResult<Vec<Row>> {
        self.query_sql(doing, &self.call(function, count), parameters).await
    }

    pub(crate) async fn query_one(
        &self,
        doing: &str,
        function: &str,
        count: usize,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> BackendResult<Row> {
        let rows = self.query(doing, function, count, parameters).await?;
        let first = rows.into_iter().next();
        first.ok_or_else(|| BackendError::corrupt(format!("{doing}: no answer"), "the function returned no row"))
    }

    pub(crate) async fn query_sql(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> BackendResult<Vec<Row>> {
        // All of our functions may run twice: what a lost answer has claimed is released again by release_unknown.
        let deadline = Instant::now() + self.deadline;
        let mut pause = Pause::default();
        loop {
            let error = match self.try_query(sql, parameters).await {
                Ok(rows) => {
                    self.trouble.over();
                    return Ok(rows);
                }
                Err(Attempt::Statement(error)) if blame(&error) == Blame::Passing => {
                    self.trouble.met(&explain(doing, &error), is_contention(&error));
                    fault(doing, error)
                }
                Err(Attempt::Statement(error)) => return Err(fault(doing, error)),
                Err(Attempt::Connection(error)) if error.is_transient() => {
                    self.trouble.met(&error, false);
                    error
                }
                Err(Attempt::Connection(error)) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(error);
            }
            pause.wait().await;
        }
    }

    async fn try_query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Attempt> {
        let client = self.client().await.map_err(Attempt::Connection)?;
        let statement = client.prepare_cached(sql).await.map_err(Attempt::Statement)?;
        client.query(&statement, parameters).await.map_err(Attempt::Statement)
    }
}

/// Why a query gave no rows.
enum Attempt {
    Connection(BackendError),
    Statement(tokio_postgres::Error),
}

async fn get(pool: &Pool) -> BackendResult<Object> {
    let doing = "connecting to the database";
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => fault(doing, error),
        other => BackendError::Unavailable {
            context: format!("{doing}: no connection became free in time; raise the pool size"),
            source: Some(other.into()),
        },
    })
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn hub(&self) -> &str {
        &self.hub_name
    }

    async fn register_node(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        self.register(request).await
    }

    async fn renew_node(&self, node: NodeId) -> BackendResult<NodeLease> {
        self.renew(node).await
    }

    async fn reap_nodes(&self) -> BackendResult<Reaped> {
        self.reap().await
    }

    async fn remove_node(&self, node: NodeId) -> BackendResult<()> {
        self.remove(node).await
    }

    async fn release_unknown(&self, node: NodeId, known: Vec<InstanceKey>, older_than: Duration) -> BackendResult<u64> {
        self.release_forgotten(node, known, older_than).await
    }

    async fn release_unknown_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        self.release_forgotten_activities(node, known, older_than).await
    }

    async fn create_instance(&self, request: CreateInstance) -> BackendResult<CreateOutcome> {
        self.committer.create_instance(request).await
    }

    async fn send_message(&self, request: SendMessage) -> BackendResult<SendOutcome> {
        self.committer.send_message(request).await
    }

    async fn lock_orchestrations(&self, request: LockOrchestrations) -> BackendResult<LockedOrchestrations> {
        self.claim_orchestrations(request).await
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        self.committer.checkpoint(checkpoint).await
    }

    async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        self.committer.demote(request).await
    }

    async fn get_lost_activities(&self, node: NodeId, known: Vec<ActivityId>) -> BackendResult<Vec<ActivityId>> {
        self.find_lost_activities(node, known).await
    }

    async fn lock_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        self.claim_activities(request).await
    }

    async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        self.committer.complete_activity(request).await
    }

    async fn abandon_activity(&self, request: AbandonActivity) -> BackendResult<bool> {
        self.give_activity_back(request).await
    }

    async fn get_instances(&self, ids: Vec<InstanceId>, payloads: bool) -> BackendResult<Vec<InstanceRecord>> {
        self.read_instances(ids, payloads).await
    }

    async fn query_instances(&self, query: InstanceQuery) -> BackendResult<Page> {
        self.read_page(query).await
    }

    async fn count_instances(&self, query: InstanceQuery, cap: u64) -> BackendResult<u64> {
        self.count(&query, cap).await
    }

    async fn list_instance_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        self.read_ids(request).await
    }

    async fn get_node(&self, node: NodeId) -> BackendResult<Whereabouts> {
        let row = self.query_one("looking for a node", "_get_node", 2, &[&self.hub, &node.0]).await?;
        Ok(match row.get::<_, Option<String>>(0) {
            None => Whereabouts::Gone,
            Some(none) if none.is_empty() => Whereabouts::Untold,
            Some(address) => Whereabouts::At(address),
        })
    }

    async fn get_holders(&self, id: InstanceId, task: Option<i32>) -> BackendResult<Vec<NodeId>> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.hub, &id.as_str(), &task];
        let row = self.query_one("looking for a holder", "_get_holders", 3, &parameters).await?;
        Ok(row.get::<_, Vec<i64>>(0).into_iter().map(NodeId).collect())
    }

    async fn get_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        self.read_executions(id).await
    }

    async fn get_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        self.read_history(id, execution).await
    }

    async fn get_history_part(&self, part: HistoryPart) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        self.read_history_part(part).await
    }

    async fn get_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        self.read_entity(id, include_state).await
    }

    async fn query_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        self.read_entities(query).await
    }

    async fn clean_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        self.tidy_entities(request).await
    }

    async fn purge_instances(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        self.purge(filter).await
    }

    async fn purge_expired(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        self.expire(limit).await
    }

    async fn get_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        self.read_poisoned(limit).await
    }

    async fn release_poisoned(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        self.let_poisoned_go(id, fail).await
    }

    async fn rewind_instances(&self, items: Vec<Rewinding>, observed: Vec<Observed>) -> BackendResult<bool> {
        self.rewind(items, observed).await
    }

    async fn export_instances(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        self.export(ids).await
    }

    async fn import_instance(&self, instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        self.import(instance).await
    }

    async fn set_hub_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        self.write_setting(name, value).await
    }

    async fn get_hub_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        self.read_settings().await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn hints(&self) -> Box<dyn HintStream> {
        self.hints.subscribe()
    }
}
