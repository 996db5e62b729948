//! Forking an instance at an event of its past.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use everdure_core::{ExecutionId, Fork, InstanceId, InvalidId, TooLarge};

use super::{Client, ClientError};

/// A fork on its way; awaiting it makes it, and gives its id.
#[must_use = "nothing is forked until it is awaited"]
pub struct Forking<'a> {
    client: &'a Client,
    source: InstanceId,
    fork: Fork,
}

impl Client {
    /// Makes an instance with the past of this one up to a turn, which it takes anew. The source, whatever its state,
    /// is left alone. The fork's activities have idempotency keys of their own; an orchestration that addresses others by
    /// GUIDs from its context can be forked only before it made them.
    pub fn fork(&self, id: &InstanceId, turn: i64) -> Forking<'_> {
        let execution = uuid::Uuid::new_v4();
        // Unwrap safety: hexadecimal digits are visible characters.
        let instance_id = InstanceId::new(execution.simple().to_string()).expect("a GUID is a valid instance id");
        let execution_id = ExecutionId::from_uuid(execution);
        let fork = Fork { instance_id, execution_id, turn, events: None, input: None };
        Forking { client: self, source: id.clone(), fork }
    }
}

impl Forking<'_> {
    /// The id of the fork; a new GUID by default.
    pub fn id(mut self, id: InstanceId) -> Self {
        self.fork.instance_id = id;
        self
    }

    /// Of what the turn saw, only the first so many events come again.
    pub fn events(mut self, events: usize) -> Self {
        self.fork.events = Some(events);
        self
    }

    /// Another input, as JSON. Code that decided by it in the turns before no longer fits its history, and says so.
    pub fn input(mut self, input: Option<String>) -> Self {
        self.fork.input = Some(input);
        self
    }
}

impl<'a> IntoFuture for Forking<'a> {
    type Output = Result<InstanceId, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let id = self.fork.instance_id.clone();
            if id.is_entity() {
                return Err(TooLarge::from(InvalidId::Entity(id.into())).into());
            }
            self.client.access.fork(&self.source, self.fork).await?;
            Ok(id)
        })
    }
}
