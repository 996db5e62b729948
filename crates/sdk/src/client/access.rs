//! What a client needs of whatever keeps the instances: a store, or a server in front of one.
//!
//! What the protocol of servers has no call for is refused here, so that only stores have to say how.

use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{
    CleanEntities, CleanedEntities, CreateInstance, EntityPage, EntityQuery, EntityRecord, Execution, Fork,
    HistoryTurn, InstanceId, InstanceQuery, InstanceRecord, MessageBody, Page, Poisoned, PurgeFilter, PurgeOutcome,
    SendMessage,
};

use super::ClientError;
use super::waiters::Until;

/// One task hub, reached in one way or the other.
#[async_trait]
pub(crate) trait Access: Send + Sync + 'static {
    async fn create(&self, request: CreateInstance) -> Result<(), ClientError>;

    async fn send(&self, id: &InstanceId, body: MessageBody) -> Result<(), ClientError>;

    /// `None` when there is no such instance.
    async fn look(&self, id: &InstanceId, payloads: bool) -> Result<Option<InstanceRecord>, ClientError>;

    async fn wait(&self, id: &InstanceId, until: Until, timeout: Duration) -> Result<InstanceRecord, ClientError>;

    async fn query(&self, query: InstanceQuery) -> Result<Page, ClientError>;

    async fn history(&self, id: &InstanceId) -> Result<Vec<HistoryTurn>, ClientError>;

    async fn purge(&self, filter: PurgeFilter) -> Result<PurgeOutcome, ClientError>;

    async fn rewind(&self, id: &InstanceId, reason: Option<&str>) -> Result<usize, ClientError>;

    /// Signals an entity.
    async fn signal(&self, request: SendMessage) -> Result<(), ClientError>;

    async fn entity(&self, id: InstanceId) -> Result<Option<EntityRecord>, ClientError>;

    async fn query_entities(&self, query: EntityQuery) -> Result<EntityPage, ClientError>;

    async fn clean_entities(&self, request: CleanEntities) -> Result<CleanedEntities, ClientError>;

    async fn count(&self, _query: InstanceQuery, _cap: u64) -> Result<u64, ClientError> {
        Err(ClientError::unsupported("counting instances"))
    }

    async fn executions(&self, _id: &InstanceId) -> Result<Vec<Execution>, ClientError> {
        Err(ClientError::unsupported("listing the executions of an instance"))
    }

    async fn execution_history(&self, _id: &InstanceId, _execution: i32) -> Result<Vec<HistoryTurn>, ClientError> {
        Err(ClientError::unsupported("the history of a former execution"))
    }

    async fn poisoned(&self, _limit: u32) -> Result<Vec<Poisoned>, ClientError> {
        Err(ClientError::unsupported("listing what was set aside"))
    }

    async fn release_poisoned(&self, _id: &InstanceId, _fail: bool) -> Result<u64, ClientError> {
        Err(ClientError::unsupported("releasing what was set aside"))
    }

    async fn fork(&self, _id: &InstanceId, _fork: Fork) -> Result<(), ClientError> {
        Err(ClientError::unsupported("forking an instance"))
    }
}
