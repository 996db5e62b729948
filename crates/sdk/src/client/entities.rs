//! Entities, from outside: signalled, looked at, listed, tidied up.

use std::future::IntoFuture;

use everdure_core::{
    CleanEntities, CleanedEntities, EntityPage, EntityQuery, EntityRecord, FailureDetails, InstanceId, InvalidId,
    MessageBody, RequestId, SendMessage, Timestamp, TooLarge,
};
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Client, ClientError};
use crate::entity::{EntityId, Operation};
use crate::json;

/// Entities on a page, or looked at in one query of tidying up, unless the request says how many.
const PAGE: u32 = 100;

/// An entity as it stood when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntitySnapshot<S> {
    /// Its state.
    pub state: S,
    /// The orchestration that has it locked.
    pub locked_by: Option<InstanceId>,
    /// Operations that wait.
    pub backlog: u64,
    /// When it last changed, by the database clock.
    pub updated_at: Timestamp,
}

impl Client {
    /// Signals an entity; nothing happens before the returned [`SignalEntity`] is awaited. The entity needs no making, and
    /// nothing tells whether the operation succeeds: for an answer, call it from an orchestration.
    pub fn signal_entity<S, In: Serialize, Out>(
        &self,
        entity: &EntityId<S>,
        operation: &Operation<S, In, Out>,
        input: In,
    ) -> SignalEntity {
        let input = json::encode("the input of the operation", &input);
        SignalEntity::new(self, entity.into(), operation.name(), input)
    }

    /// Signals an entity by its id, `@name@key`, with the input as JSON text.
    pub fn signal_entity_by_name(&self, entity: &InstanceId, operation: &str, input: Option<String>) -> SignalEntity {
        SignalEntity::new(self, entity.clone(), operation, Ok(input))
    }

    /// The entity with its state; `None` when it has none. It shows what was recorded last: operations that wait are not in it.
    ///
    /// # Errors
    /// [`ClientError::Json`] when the state cannot be read as `S`; [`ClientError`] when the store cannot answer.
    pub async fn get_entity<S: DeserializeOwned>(
        &self,
        entity: &EntityId<S>,
    ) -> Result<Option<EntitySnapshot<S>>, ClientError> {
        let found = self.entity_record(entity.instance_id()).await?.filter(|record| record.exists);
        let Some(EntityRecord { state, locked_by, backlog, updated_at, .. }) = found else { return Ok(None) };
        let state = json::decode("the state of the entity", state.as_deref())?;
        Ok(Some(EntitySnapshot { state, locked_by, backlog, updated_at }))
    }

    /// The entity with that id, `@name@key`, its state as JSON text; also one without a state, if something waits for it or has
    /// it locked. `None`: the store knows nothing of it.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when that is not the id of an entity; [`ClientError`] when the store cannot answer.
    pub async fn entity_record(&self, entity: &InstanceId) -> Result<Option<EntityRecord>, ClientError> {
        self.access.entity(entity_id(entity)?).await
    }

    /// One page of entities, in the order of their ids; [`EntityPage::next`] leads to the following one.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn query_entities(&self, query: EntityQuery) -> Result<EntityPage, ClientError> {
        let id_prefix = query.id_prefix.as_deref().map(lower_case_name);
        let page_size = if query.page_size == 0 { PAGE } else { query.page_size };
        self.access.query_entities(EntityQuery { id_prefix, page_size, ..query }).await
    }

    /// Removes what is left of entities without a state, and locks whose owner does not run any more. Both normally go by
    /// themselves. Looks at one page; [`CleanedEntities::next`] says where to go on.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn clean_entities(&self, request: CleanEntities) -> Result<CleanedEntities, ClientError> {
        let limit = if request.limit == 0 { PAGE } else { request.limit };
        self.access.clean_entities(CleanEntities { limit, ..request }).await
    }
}

/// A signal to be awaited; the entity has it durably by then.
#[must_use = "nothing is sent before this is awaited"]
pub struct SignalEntity {
    client: Client,
    entity: InstanceId,
    operation: String,
    input: Result<Option<String>, FailureDetails>,
    not_before: Option<Timestamp>,
    request_id: RequestId,
}

impl SignalEntity {
    fn new(
        client: &Client,
        entity: InstanceId,
        operation: &str,
        input: Result<Option<String>, FailureDetails>,
    ) -> Self {
        let operation = operation.to_owned();
        Self { client: client.clone(), entity, operation, input, not_before: None, request_id: Uuid::new_v4() }
    }

    /// Not before that time, by the database clock.
    pub fn scheduled_at(mut self, time: Timestamp) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Recognises a repetition of this signal, however often it is sent.
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = id;
        self
    }

    #[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
    fn into_request(self) -> Result<(Client, SendMessage), ClientError> {
        let instance_id = entity_id(&self.entity)?;
        let limits = self.client.limits;
        let input = self.input?;
        limits.check_instance_id(&instance_id)?;
        limits.check_name("the name of the operation", &self.operation)?;
        limits.check_payload("the input of the operation", input.as_deref())?;
        let body = MessageBody::EntityOperation {
            request_id: self.request_id.to_string(),
            operation: self.operation,
            input,
            caller: None,
            trace: None,
        };
        let request_id = Some(self.request_id);
        Ok((self.client, SendMessage { instance_id, body, request_id, not_before: self.not_before }))
    }
}

impl IntoFuture for SignalEntity {
    type Output = Result<(), ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (client, request) = self.into_request()?;
            client.access.signal(request).await
        })
    }
}

/// The id with its name in lower case.
#[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
fn entity_id(id: &InstanceId) -> Result<InstanceId, ClientError> {
    let (name, key) = id.entity_parts().ok_or_else(|| TooLarge::from(InvalidId::NotEntity(id.to_string())))?;
    Ok(InstanceId::entity(&name[1..], key).map_err(TooLarge::from)?)
}

/// Names are lower case, keys are as they are.
fn lower_case_name(prefix: &str) -> String {
    let prefix = if prefix.starts_with('@') { prefix.to_owned() } else { format!("@{prefix}") };
    match prefix[1..].find('@') {
        Some(at) => format!("{}{}", prefix[..=at].to_lowercase(), &prefix[at + 1..]),
        None => prefix.to_lowercase(),
    }
}
