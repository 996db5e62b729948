//! Which database, schema and task hub a command works on.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use everdure::{Client, PostgresBackend, PostgresOptions, PostgresOptionsBuilder};
use everdure_core::Backend;

/// Options of every command that needs the database.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Where the database is: postgresql://user:password@host:port/database
    #[arg(long, env = "EVERDURE_DATABASE_URL", hide_env_values = true, value_name = "URL", help_heading = "Database")]
    database_url: Option<String>,

    /// The task hub: a namespace of instances
    #[arg(long, default_value = "default", value_name = "NAME", help_heading = "Database")]
    hub: String,

    /// The schema that holds Everdure's tables
    #[arg(long, default_value = "everdure", value_name = "NAME", help_heading = "Database")]
    schema: String,
}

/// Why a command could not get at its task hub.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody said where the database is.
    #[error(
        "no database named: give --database-url or set EVERDURE_DATABASE_URL \
         (postgresql://user:password@host:port/database); `everdure dev` runs a private one and prints its URL"
    )]
    NoUrl,
    /// The database, or the task hub in it, cannot be used.
    #[error("cannot use {place}")]
    Unusable {
        /// The URL without its secrets.
        place: String,
        /// Why.
        #[source]
        source: everdure::BackendError,
    },
}

/// An open task hub.
pub struct Hub {
    pub backend: Arc<dyn Backend>,
    pub client: Client,
}

/// Hints leave in the background, after the commit.
const LINGER: Duration = Duration::from_millis(50);

impl Hub {
    /// A process that ended at once would take its hints along.
    pub async fn linger(&self) {
        tokio::time::sleep(LINGER).await;
    }
}

impl Connection {
    /// For a command that makes its own database or hub.
    pub fn new(database_url: String, hub: String, schema: String) -> Self {
        Self { database_url: Some(database_url), hub, schema }
    }

    /// The URL as given.
    pub fn url(&self) -> Result<&str, ConnectionError> {
        self.database_url.as_deref().filter(|url| !url.trim().is_empty()).ok_or(ConnectionError::NoUrl)
    }

    pub fn hub(&self) -> &str {
        &self.hub
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The hub and its database as people may see them.
    pub fn place(&self) -> String {
        format!("the task hub '{}' at {}", self.hub, self.database())
    }

    /// The database without password and parameters.
    pub fn database(&self) -> String {
        let parsed = self.url().ok().and_then(|url| url::Url::parse(url).ok());
        let Some(mut url) = parsed else { return "the database".to_owned() };
        // A URL that cannot hold a password has none to hide.
        let _ = url.set_password(None);
        url.set_query(None);
        url.to_string()
    }

    pub fn builder(&self) -> Result<PostgresOptionsBuilder, Box<dyn Error>> {
        Ok(PostgresOptions::builder(self.url()?)?.hub(&self.hub).schema(&self.schema))
    }

    /// Opens the hub for one command: few connections, little patience, and the schema is left as it is.
    pub async fn open(&self) -> Result<Hub, Box<dyn Error>> {
        self.connect(self.brief()?.listen(false).create_hub(false)).await
    }

    /// The same for a command that asks what only this store answers.
    pub async fn open_postgres(&self) -> Result<PostgresBackend, Box<dyn Error>> {
        self.postgres(self.brief()?.listen(false).create_hub(false)).await
    }

    /// Opens the hub for one command that gives workers something to do: they are told at once, by a hint. Only with
    /// `create` a hub is made; a misspelt name shall not make one.
    pub async fn open_to_write(&self, create: bool) -> Result<Hub, Box<dyn Error>> {
        let hub = self.connect(self.brief()?.create_hub(create)).await?;
        let hints = hub.backend.hints();
        // Without hints workers find out as well, only later.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while !hints.is_reliable() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        Ok(hub)
    }

    fn brief(&self) -> Result<PostgresOptionsBuilder, Box<dyn Error>> {
        Ok(self.builder()?.lanes(1).pool_size(2).deadline(Duration::from_secs(10)).migrate(false))
    }

    pub async fn connect(&self, builder: PostgresOptionsBuilder) -> Result<Hub, Box<dyn Error>> {
        let backend: Arc<dyn Backend> = Arc::new(self.postgres(builder).await?);
        Ok(Hub { client: Client::new(Arc::clone(&backend)), backend })
    }

    async fn postgres(&self, builder: PostgresOptionsBuilder) -> Result<PostgresBackend, Box<dyn Error>> {
        Ok(PostgresBackend::connect(builder.build()?).await.map_err(|error| self.unusable(error))?)
    }

    pub fn unusable(&self, source: everdure::BackendError) -> ConnectionError {
        ConnectionError::Unusable { place: self.place(), source }
    }
}

/// Runs a command's asynchronous part.
pub fn block_on<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
