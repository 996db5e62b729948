//! What the owner of a database does now and then: make it, remove it, see and delete task hubs.
//!
//! Nothing here belongs to a task hub that is open; each call uses a connection of its own.

use everdure_core::{BackendError, BackendResult, PurgeOutcome, Timestamp};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::backend::PostgresBackend;
use crate::connect::Connector;
use crate::fault::fault;
use crate::options::PostgresOptions;
use crate::queries::unsigned;
use crate::rows;
use crate::tls;

/// The database that is on every server.
const MAINTENANCE: &str = "postgres";

/// A task hub, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskHub {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many nodes work in it now.
    pub nodes: u64,
}

impl PostgresBackend {
    /// Makes the database that the options name, if there is none; whether there was none. It is in UTF-8, whatever
    /// the server's default.
    ///
    /// # Errors
    /// [`BackendError::Refused`] when the role may not create databases.
    pub async fn create_database(options: &PostgresOptions) -> BackendResult<bool> {
        let connector = Connector::direct(options, &tls::connector(options)?);
        match connector.connect().await {
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {}
            Err(error) => return Err(fault("connecting to the database", error)),
        }
        // Without a name it is that of the user.
        let named = options.listen_config.get_dbname().or_else(|| options.listen_config.get_user());
        let name = named.ok_or_else(|| BackendError::invalid("the URL names no database to create"))?;
        let mut elsewhere = options.clone();
        elsewhere.listen_config.dbname(MAINTENANCE);
        let doing = format!("creating the database '{name}' (by way of the database '{MAINTENANCE}')");
        let client = open(&elsewhere, &doing).await?;
        let statement = format!("create database \"{}\" encoding 'UTF8' template template0", name.replace('"', "\"\""));
        match client.batch_execute(&statement).await {
            Ok(()) => Ok(true),
            // Another process was quicker.
            Err(error)
                if matches!(error.code(), Some(code) if *code == SqlState::DUPLICATE_DATABASE
                    || *code == SqlState::UNIQUE_VIOLATION) =>
            {
                Ok(false)
            }
            Err(error) => Err(fault(&doing, error)),
        }
    }

    /// Removes the schema with all its task hubs; whether there was one. Only a schema of ours is removed.
    ///
    /// # Errors
    /// [`BackendError::Refused`] when a schema of that name is not Everdure's, or nodes work in it and not `force`.
    pub async fn drop_schema(options: &PostgresOptions, force: bool) -> BackendResult<bool> {
        let schema = &options.schema;
        let doing = format!("removing the schema '{schema}'");
        let client = open(options, &doing).await?;
        let exists = "select to_regnamespace($1) is not null, to_regclass($1 || '.schema_info') is not null, \
                      to_regclass($1 || '.nodes') is not null";
        let row = client.query_one(exists, &[schema]).await.map_err(|error| fault(&doing, error))?;
        match (row.get::<_, bool>(0), row.get::<_, bool>(1) && row.get::<_, bool>(2)) {
            (false, _) => return Ok(false),
            (true, true) => {}
            (true, false) => {
                return Err(BackendError::refused(format!(
                    "{doing}: it was not made by Everdure; nothing was removed"
                )));
            }
        }
        let live = format!("select count(*) from {schema}.nodes n where n.expires_at > clock_timestamp()");
        let live: i64 = client.query_one(&live, &[]).await.map_err(|error| fault(&doing, error))?.get(0);
        if live > 0 && !force {
            return Err(BackendError::refused(format!(
                "{doing}: {live} nodes work in it; stop their workers first, or remove it by force"
            )));
        }
        let drop = format!("set statement_timeout = 0; drop schema if exists {schema} cascade");
        client.batch_execute(&drop).await.map_err(|error| fault(&doing, error))?;
        Ok(true)
    }

    /// The task hubs in the schema, by name.
    ///
    /// # Errors
    /// As [`PostgresBackend::connect`].
    pub async fn list_hubs(options: &PostgresOptions) -> BackendResult<Vec<TaskHub>> {
        let doing = "listing the task hubs";
        let client = open(options, doing).await?;
        let sql = format!("select * from {}._list_hubs()", options.schema);
        let found = client.query(&sql, &[]).await.map_err(|error| fault(doing, error))?;
        let hub = |row| {
            let nodes = unsigned(rows::get(row, "nodes")?);
            Ok(TaskHub { name: rows::get(row, "name")?, created_at: rows::get(row, "created_at")?, nodes })
        };
        found.iter().map(hub).collect()
    }

    /// Removes a step of a task hub: at most `limit` instances; with the last of them settings and the hub itself.
    /// Call it until the outcome is complete. With `force` also while nodes work in it: they can write no more.
    ///
    /// # Errors
    /// [`BackendError::HubGone`] when there is no such hub, [`BackendError::Refused`] when nodes work in it and not `force`.
    pub async fn delete_hub(
        options: &PostgresOptions,
        name: &str,
        force: bool,
        limit: u32,
    ) -> BackendResult<PurgeOutcome> {
        let doing = format!("deleting the task hub '{name}'");
        let client = open(options, &doing).await?;
        let limit = i32::try_from(limit.min(100_000)).unwrap_or(100_000);
        let sql = format!("select * from {}._delete_hub($1, $2, $3)", options.schema);
        let row = client.query_one(&sql, &[&name, &force, &limit]).await.map_err(|error| fault(&doing, error))?;
        Ok(PurgeOutcome { purged: unsigned(rows::get(&row, "purged")?), complete: rows::get(&row, "complete")? })
    }
}

async fn open(options: &PostgresOptions, doing: &str) -> BackendResult<Client> {
    let connector = Connector::direct(options, &tls::connector(options)?);
    connector.connect().await.map_err(|error| fault(doing, error))
}
