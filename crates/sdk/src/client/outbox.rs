//! Starts and events in a transaction of the caller's own, on PostgreSQL: they exist exactly if it commits.
//!
//! The same handles, options and errors as [`Client`](super::Client). Of these errors only [`ClientError::Backend`]
//! comes from the server: the transaction is then broken and has to be rolled back, to a savepoint at least (a commit
//! would do that, too, and report no error). After any other one it is as it was before the call.
//!
//! Deliberately absent: suspend, resume and terminate, which the SQL functions of the same names do; and waiting,
//! since before the commit there is nothing to wait for.

use std::future::IntoFuture;

use everdure_core::{BackendResult, InstanceId, Limits, SendMessage};
use everdure_postgres::{PostgresOptions, Transaction};
use futures::future::BoxFuture;
use serde::Serialize;

use super::start::{Start, created};
use super::{ClientError, event, sent};
use crate::handle::Orchestration;
use crate::json;

/// Starts orchestrations and raises events in transactions that the caller opens and ends. Holds no connection.
///
/// ```no_run
/// # use everdure::{InstanceId, Orchestration, Outbox};
/// const PROCESS_ORDER: Orchestration<u64, String> = Orchestration::new("process_order");
///
/// # async fn order(db: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let outbox = Outbox::new("default")?;
/// let tx = db.transaction().await?;
/// tx.execute("insert into orders (id, total) values (1001, 333.40)", &[]).await?;
/// outbox.start(&tx, &PROCESS_ORDER, 1001).id(InstanceId::new("order-1001")?).await?;
/// tx.commit().await?; // now it begins; after a rollback, or when `?` dropped the transaction, it never existed
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    inner: everdure_postgres::Outbox,
    limits: Limits,
}

impl Outbox {
    /// For that task hub, in the schema `everdure`.
    ///
    /// # Errors
    /// [`everdure_core::BackendError::Invalid`] when no task hub can have that name. Whether there is one shows when it is used.
    pub fn new(hub: impl Into<String>) -> BackendResult<Self> {
        Ok(Self { inner: everdure_postgres::Outbox::new(hub)?, limits: Limits::default() })
    }

    /// In another schema.
    ///
    /// # Errors
    /// [`everdure_core::BackendError::Invalid`] when it is not a name that [`PostgresOptions`] would take.
    pub fn schema(self, name: impl Into<String>) -> BackendResult<Self> {
        Ok(Self { inner: self.inner.schema(name)?, ..self })
    }

    /// Checks against these limits instead of the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts an orchestration in `transaction`; nothing happens before the returned [`Start`] is awaited.
    ///
    /// Waits while another transaction is starting the same id. If that commits, it is
    /// [`ClientError::AlreadyExists`].
    pub fn start<'a, In: Serialize, Out>(
        &self,
        transaction: &'a Transaction<'a>,
        orchestration: &Orchestration<In, Out>,
        input: In,
    ) -> Start<InTransaction<'a>> {
        let input = json::encode("the input of the orchestration", &input);
        let to = InTransaction { outbox: self.inner.clone(), transaction };
        Start::new(to, self.limits, orchestration.name(), orchestration.version_name(), input)
    }

    /// Raises an event in `transaction`, also for an instance that was started in it. An instance that has ended
    /// drops it. Until the transaction ends the instance itself stands still.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn raise_event<T: Serialize + ?Sized>(
        &self,
        transaction: &Transaction<'_>,
        id: &InstanceId,
        name: &str,
        payload: &T,
    ) -> Result<(), ClientError> {
        let body = event(&self.limits, name, payload)?;
        // No request id: the commit makes it happen once.
        let request = SendMessage { instance_id: id.clone(), body, request_id: None, not_before: None };
        sent(id, self.inner.send_message(transaction, &request).await?)
    }
}

/// The hub and the schema of those options.
impl From<&PostgresOptions> for Outbox {
    fn from(options: &PostgresOptions) -> Self {
        Self { inner: options.into(), limits: Limits::default() }
    }
}

/// Where a [`Start`] of an [`Outbox`] goes.
pub struct InTransaction<'a> {
    outbox: everdure_postgres::Outbox,
    transaction: &'a Transaction<'a>,
}

impl<'a> IntoFuture for Start<InTransaction<'a>> {
    type Output = Result<InstanceId, ClientError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (to, request) = self.into_request()?;
            let outcome = to.outbox.create_instance(to.transaction, &request).await?;
            created(request.instance_id, outcome)
        })
    }
}
