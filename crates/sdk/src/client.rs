//! Starts orchestrations, talks to them, looks at them, removes them.
//!
//! A client made by a worker ([`crate::Worker::client`]) starts instances on the worker's own node, without a claim.
//! Whether a store or a server answers is decided when the client is made, and nothing else depends on it.

pub(crate) mod access;
mod entities;
mod error;
mod fork;
#[cfg(feature = "postgres")]
mod outbox;
mod restart;
mod rewind;
mod start;
mod store;
pub(crate) mod wait;
pub(crate) mod waiters;

use std::sync::Arc;

use everdure_core::{
    Backend, Execution, HistoryTurn, InstanceId, InstanceQuery, InstanceRecord, Limits, MessageBody, Page, Poisoned,
    PurgeFilter, PurgeOutcome, SendOutcome,
};
use everdure_engine::NodeHandle;
use serde::Serialize;

use access::Access;
use store::Store;

pub use entities::{EntitySnapshot, SignalEntity};
pub use error::ClientError;
pub use fork::Forking;
#[cfg(feature = "postgres")]
pub use outbox::{InTransaction, Outbox};
pub use start::Start;

use crate::handle::Orchestration;
use crate::json;

/// A client of one task hub. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    access: Arc<dyn Access>,
    limits: Limits,
}

impl Client {
    /// A client on that backend.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self::through(Arc::new(Store::new(backend, None)))
    }

    /// A client whose instances begin on that node, if it has room and a worker for them.
    #[must_use]
    pub fn on_node(backend: Arc<dyn Backend>, node: NodeHandle) -> Self {
        Self::through(Arc::new(Store::new(backend, Some(node))))
    }

    /// A client of the server at that address (feature `remote`). What the protocol of servers has no call for is
    /// [`ClientError::Unsupported`]; key, generation and turn of an instance are not part of it and are 0.
    ///
    /// # Errors
    /// [`ClientError::Backend`] when no server answers.
    #[cfg(feature = "remote")]
    pub async fn connect(server: crate::RemoteOptions) -> Result<Self, ClientError> {
        let connection = crate::remote::Connection::open(&server).await?;
        Ok(Self::through(Arc::new(crate::remote::RemoteClient(connection))))
    }

    pub(crate) fn through(access: Arc<dyn Access>) -> Self {
        Self { access, limits: Limits::default() }
    }

    /// Checks against these limits instead of the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts an orchestration; nothing happens before the returned [`Start`] is awaited.
    pub fn start<In: Serialize, Out>(&self, orchestration: &Orchestration<In, Out>, input: In) -> Start {
        let input = json::encode("the input of the orchestration", &input);
        Start::new(self.clone(), self.limits, orchestration.name(), orchestration.version_name(), input)
    }

    /// Starts an orchestration by its name, with the input as JSON text.
    pub fn start_by_name(&self, name: &str, input: Option<String>) -> Start {
        Start::new(self.clone(), self.limits, name, None, Ok(input))
    }

    /// The instance with its payloads; `None` when there is none.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn get(&self, id: &InstanceId) -> Result<Option<InstanceRecord>, ClientError> {
        self.access.look(id, true).await
    }

    /// Raises an event. An instance that has ended drops it.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn raise_event<T: Serialize + ?Sized>(
        &self,
        id: &InstanceId,
        name: &str,
        payload: &T,
    ) -> Result<(), ClientError> {
        self.access.send(id, event(&self.limits, name, payload)?).await
    }

    /// Holds the instance still until it is resumed.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn suspend(&self, id: &InstanceId, reason: Option<&str>) -> Result<(), ClientError> {
        self.access.send(id, MessageBody::ExecutionSuspended { reason: reason.map(str::to_owned) }).await
    }

    /// Lets a suspended instance go on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn resume(&self, id: &InstanceId, reason: Option<&str>) -> Result<(), ClientError> {
        self.access.send(id, MessageBody::ExecutionResumed { reason: reason.map(str::to_owned) }).await
    }

    /// Ends the instance from outside; with `recurse`, its children too.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn terminate(&self, id: &InstanceId, reason: Option<&str>, recurse: bool) -> Result<(), ClientError> {
        self.access.send(id, MessageBody::ExecutionTerminated { reason: reason.map(str::to_owned), recurse }).await
    }

    /// One page of instances, newest first; [`Page::next`] leads to the following one.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn query(&self, query: InstanceQuery) -> Result<Page, ClientError> {
        self.access.query(query).await
    }

    /// How many instances match, counted up to `cap`: counting more takes time that nobody wants to spend.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn count(&self, query: InstanceQuery, cap: u64) -> Result<u64, ClientError> {
        self.access.count(query, cap).await
    }

    /// The executions that are there, oldest first; the last one is the current one. Former ones only where the hub
    /// keeps them (setting `retention.executions`).
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn executions(&self, id: &InstanceId) -> Result<Vec<Execution>, ClientError> {
        self.access.executions(id).await
    }

    /// The turns of a former execution, by its generation number.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance, or no such execution of it.
    pub async fn execution_history(&self, id: &InstanceId, execution: i32) -> Result<Vec<HistoryTurn>, ClientError> {
        self.access.execution_history(id, execution).await
    }

    /// The turns of the current execution.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn history(&self, id: &InstanceId) -> Result<Vec<HistoryTurn>, ClientError> {
        self.access.history(id).await
    }

    /// What was set aside because it failed too often, longest ago first, at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn poisoned(&self, limit: u32) -> Result<Vec<Poisoned>, ClientError> {
        self.access.poisoned(limit).await
    }

    /// Lets an instance that was set aside go on, with its activities that were; with `fail` these fail instead, with
    /// the type `ActivityPoisoned`. Returns how much it was.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn release_poisoned(&self, id: &InstanceId, fail: bool) -> Result<u64, ClientError> {
        self.access.release_poisoned(id, fail).await
    }

    /// Removes instances with all that belongs to them.
    ///
    /// # Errors
    /// [`ClientError`] when the store cannot answer.
    pub async fn purge(&self, filter: PurgeFilter) -> Result<PurgeOutcome, ClientError> {
        self.access.purge(filter).await
    }
}

/// The message that raises an event, checked.
#[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
fn event<T: Serialize + ?Sized>(limits: &Limits, name: &str, payload: &T) -> Result<MessageBody, ClientError> {
    limits.check_name("the name of the event", name)?;
    let input = json::encode("the payload of the event", payload)?;
    limits.check_payload("the payload of the event", input.as_deref())?;
    Ok(MessageBody::EventRaised { name: name.to_owned(), input })
}

/// Whether a message has an instance to go to.
#[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
fn sent(id: &InstanceId, outcome: SendOutcome) -> Result<(), ClientError> {
    match outcome {
        SendOutcome::NotFound => Err(ClientError::NotFound(id.clone())),
        SendOutcome::Rejected(failure) => Err(ClientError::Rejected(failure)),
        SendOutcome::Sent { .. } | SendOutcome::Repeated | SendOutcome::Terminated | SendOutcome::Finished => Ok(()),
    }
}
