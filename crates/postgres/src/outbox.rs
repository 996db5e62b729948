//! Creations and messages in a transaction of the caller's own: they exist exactly if it commits.
//!
//! The two methods are those of [`everdure_core::Backend`], with the same outcomes; only who commits differs. A lost
//! race is an outcome and leaves the transaction usable; an error is the server's, and leaves it to be rolled back.
//!
//! Deliberately absent: a table of things to do and somebody who does them. What is written is the instance itself,
//! and the transaction's own notification wakes the nodes.

use everdure_core::{
    BackendError, BackendResult, CreateInstance, CreateOutcome, InstanceKey, Message, MessageBody, MessageNumber,
    NodeId, SendMessage, SendOutcome,
};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::committer::{json_text, tags_text};
use crate::fault::fault;
use crate::options::{PostgresOptions, check_hub, check_schema};
use crate::rows::{corrupt, get, micros, status};

/// Writes into one task hub, in transactions that the caller opens and ends. Holds no connection.
#[derive(Clone, Debug)]
pub struct Outbox {
    hub: String,
    schema: String,
}

impl Outbox {
    /// For that task hub, in the schema `everdure`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when no task hub can have that name. Whether there is one shows when it is used.
    pub fn new(hub: impl Into<String>) -> BackendResult<Self> {
        let hub = hub.into();
        check_hub(&hub)?;
        Ok(Self { hub, schema: "everdure".to_owned() })
    }

    /// In another schema.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when it is not a name that [`PostgresOptions`] would take.
    pub fn schema(mut self, name: impl Into<String>) -> BackendResult<Self> {
        self.schema = name.into();
        check_schema(&self.schema)?;
        Ok(self)
    }

    /// Creates an instance: [`everdure_core::Backend::create_instance`], when `transaction` commits. Waits for other
    /// transactions that are writing the same id.
    ///
    /// # Errors
    /// [`BackendError`]; the transaction must then be rolled back, to the last savepoint at least.
    pub async fn create_instance(
        &self,
        transaction: &Transaction<'_>,
        request: &CreateInstance,
    ) -> BackendResult<CreateOutcome> {
        let doing = format!("starting '{}' in the caller's transaction", request.instance_id);
        let tags = (!request.tags.is_empty()).then(|| tags_text(&request.tags));
        let sql = format!(
            "select code, key, created_at, status from {}._create_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.schema
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 10] = [
            (&self.hub, Type::TEXT),
            (&request.instance_id.as_str(), Type::TEXT),
            (&request.execution_id.as_uuid(), Type::UUID),
            (&request.name, Type::TEXT),
            (&request.version, Type::TEXT),
            (&request.input, Type::TEXT),
            (&tags, Type::TEXT),
            (&request.scheduled_start, Type::TIMESTAMPTZ),
            (&request.reuse.replaceable().bits(), Type::INT2),
            (&request.request_id, Type::UUID),
        ];
        let row = transaction.query_typed_one(&sql, &parameters).await.map_err(|error| fault(&doing, error))?;
        match get(&row, "code")? {
            "C" | "D" => Ok(CreateOutcome::Created {
                key: InstanceKey(get(&row, "key")?),
                born_claimed: false,
                created_at: get(&row, "created_at")?,
            }),
            "A" => Ok(CreateOutcome::AlreadyExists { status: status(get(&row, "status")?)? }),
            code => Err(unknown("_create_one", code)),
        }
    }

    /// Sends a message: [`everdure_core::Backend::send_message`], when `transaction` commits. Until then nobody else
    /// writes the instance, so the transaction should be short.
    ///
    /// # Errors
    /// [`BackendError`]; the transaction must then be rolled back, to the last savepoint at least.
    pub async fn send_message(
        &self,
        transaction: &Transaction<'_>,
        request: &SendMessage,
    ) -> BackendResult<SendOutcome> {
        let doing = format!("sending to '{}' in the caller's transaction", request.instance_id);
        let body = json_text(&request.body)?;
        let sql = format!("select code, key, number, at, holder from {}._send_one($1, $2, $3, $4, $5)", self.schema);
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.hub, Type::TEXT),
            (&request.instance_id.as_str(), Type::TEXT),
            (&body, Type::TEXT),
            (&matches!(request.body, MessageBody::ExecutionTerminated { .. }), Type::BOOL),
            (&request.request_id, Type::UUID),
        ];
        let row = transaction.query_typed_one(&sql, &parameters).await.map_err(|error| fault(&doing, error))?;
        match get(&row, "code")? {
            "S" => sent(&row, &request.body),
            "R" => Ok(SendOutcome::Repeated),
            "T" => Ok(SendOutcome::Terminated),
            "F" => Ok(SendOutcome::Finished),
            "N" => Ok(SendOutcome::NotFound),
            code => Err(unknown("_send_one", code)),
        }
    }
}

/// The hub and the schema of those options.
impl From<&PostgresOptions> for Outbox {
    fn from(options: &PostgresOptions) -> Self {
        Self { hub: options.hub.clone(), schema: options.schema.clone() }
    }
}

fn sent(row: &Row, body: &MessageBody) -> BackendResult<SendOutcome> {
    let (number, at) = (MessageNumber(get(row, "number")?), micros(get(row, "at")?)?);
    let message = Message { number, execution: None, sent_at: at, visible_at: at, body: body.clone() };
    let held_by = get::<Option<i64>>(row, "holder")?.map(NodeId);
    Ok(SendOutcome::Sent { key: InstanceKey(get(row, "key")?), message, held_by })
}

fn unknown(function: &str, code: &str) -> BackendError {
    corrupt(function, format!("no outcome has the letter {code}"))
}
