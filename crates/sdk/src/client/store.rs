//! A client that works on a store by itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{
    Backend, CleanEntities, CleanedEntities, CreateInstance, EntityPage, EntityQuery, EntityRecord, Execution, Fork,
    HistoryTurn, InstanceId, InstanceQuery, InstanceRecord, MessageBody, Page, Poisoned, PurgeFilter, PurgeOutcome,
    SendMessage,
};
use everdure_engine::{ForkOutcome, NodeHandle, RewindOutcome};

use super::access::Access;
use super::start::created;
use super::waiters::{Until, Waiters};
use super::{ClientError, sent};

pub(super) struct Store {
    backend: Arc<dyn Backend>,
    node: Option<NodeHandle>,
    waiters: Arc<Waiters>,
}

impl Store {
    pub fn new(backend: Arc<dyn Backend>, node: Option<NodeHandle>) -> Self {
        let waiters = Waiters::new(Arc::clone(&backend));
        Self { backend, node, waiters }
    }
}

#[async_trait]
impl Access for Store {
    async fn create(&self, request: CreateInstance) -> Result<(), ClientError> {
        let id = request.instance_id.clone();
        let outcome = match &self.node {
            Some(node) => node.create_instance(request).await?,
            None => self.backend.create_instance(request).await?,
        };
        created(id, outcome).map(drop)
    }

    async fn send(&self, id: &InstanceId, body: MessageBody) -> Result<(), ClientError> {
        // The request id lets the store recognise this message if the backend has to send it again.
        let request_id = Some(uuid::Uuid::new_v4());
        self.signal(SendMessage { instance_id: id.clone(), body, request_id, not_before: None }).await
    }

    async fn signal(&self, request: SendMessage) -> Result<(), ClientError> {
        let id = request.instance_id.clone();
        let outcome = match &self.node {
            Some(node) => node.send_message(request).await?,
            None => self.backend.send_message(request).await?,
        };
        sent(&id, outcome)
    }

    async fn entity(&self, id: InstanceId) -> Result<Option<EntityRecord>, ClientError> {
        Ok(self.backend.get_entity(id, true).await?)
    }

    async fn query_entities(&self, query: EntityQuery) -> Result<EntityPage, ClientError> {
        Ok(self.backend.query_entities(query).await?)
    }

    async fn clean_entities(&self, request: CleanEntities) -> Result<CleanedEntities, ClientError> {
        Ok(self.backend.clean_entities(request).await?)
    }

    async fn look(&self, id: &InstanceId, payloads: bool) -> Result<Option<InstanceRecord>, ClientError> {
        Ok(self.backend.get_instances(vec![id.clone()], payloads).await?.pop())
    }

    async fn wait(&self, id: &InstanceId, until: Until, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        let found = self.waiters.wait(id, until);
        match tokio::time::timeout(timeout, found).await {
            Ok(Ok(Ok(record))) => record.ok_or_else(|| ClientError::NotFound(id.clone())),
            Ok(Ok(Err(error))) => Err(ClientError::Shared(error)),
            // The runtime is being shut down, or time is over.
            Ok(Err(_)) | Err(_) => super::wait::at_the_end(self, id, until, timeout).await,
        }
    }

    async fn query(&self, query: InstanceQuery) -> Result<Page, ClientError> {
        Ok(self.backend.query_instances(query).await?)
    }

    async fn history(&self, id: &InstanceId) -> Result<Vec<HistoryTurn>, ClientError> {
        let found = self.backend.get_history(id.clone(), None).await?;
        found.map(|(_, turns)| turns).ok_or_else(|| ClientError::NotFound(id.clone()))
    }

    async fn purge(&self, filter: PurgeFilter) -> Result<PurgeOutcome, ClientError> {
        Ok(self.backend.purge_instances(filter).await?)
    }

    async fn rewind(&self, id: &InstanceId, reason: Option<&str>) -> Result<usize, ClientError> {
        match everdure_engine::rewind(self.backend.as_ref(), id, reason).await? {
            RewindOutcome::Rewound(instances) => Ok(instances),
            RewindOutcome::NotFound => Err(ClientError::NotFound(id.clone())),
            RewindOutcome::NotFailed(status) => Err(ClientError::NotFailed { id: id.clone(), status }),
        }
    }

    async fn count(&self, query: InstanceQuery, cap: u64) -> Result<u64, ClientError> {
        Ok(self.backend.count_instances(query, cap).await?)
    }

    async fn executions(&self, id: &InstanceId) -> Result<Vec<Execution>, ClientError> {
        let found = self.backend.get_executions(id.clone()).await?;
        if found.is_empty() { Err(ClientError::NotFound(id.clone())) } else { Ok(found) }
    }

    async fn execution_history(&self, id: &InstanceId, execution: i32) -> Result<Vec<HistoryTurn>, ClientError> {
        let found = self.backend.get_history(id.clone(), Some(execution)).await?;
        found.map(|(_, turns)| turns).ok_or_else(|| ClientError::NotFound(id.clone()))
    }

    async fn poisoned(&self, limit: u32) -> Result<Vec<Poisoned>, ClientError> {
        Ok(self.backend.get_poisoned(limit).await?)
    }

    async fn release_poisoned(&self, id: &InstanceId, fail: bool) -> Result<u64, ClientError> {
        let released = self.backend.release_poisoned(id.clone(), fail).await?;
        released.ok_or_else(|| ClientError::NotFound(id.clone()))
    }

    async fn fork(&self, source: &InstanceId, fork: Fork) -> Result<(), ClientError> {
        let id = fork.instance_id.clone();
        match everdure_engine::fork(self.backend.as_ref(), source, fork).await? {
            ForkOutcome::Forked => Ok(()),
            ForkOutcome::NotFound => Err(ClientError::NotFound(source.clone())),
            ForkOutcome::AlreadyExists(status) => Err(ClientError::AlreadyExists { id, status }),
        }
    }
}
