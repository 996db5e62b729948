//! The measured server: embedded or given, and what it says it has used.

use std::error::Error;
use std::ops::Sub;

use everdure_embedded::Server;
use tokio_postgres::NoTls;

use super::remote::RemoteServer;
use super::{Bench, HUB};

pub struct Database {
    url: String,
    server: Option<Server>,
}

/// Whose use of the machine is told apart from that of worker and load.
pub struct Measured<'a> {
    pub database: &'a Database,
    pub server: Option<&'a RemoteServer>,
}

impl Measured<'_> {
    pub async fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let server_cpu_seconds = self.server.and_then(RemoteServer::cpu_seconds);
        Ok(Usage { server_cpu_seconds, ..self.database.usage().await? })
    }
}

/// Counters of the database and of the server before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub commits: f64,
    pub wal_bytes: f64,
    pub cpu_seconds: Option<f64>,
    pub server_cpu_seconds: Option<f64>,
}

impl Sub for Usage {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            wal_bytes: self.wal_bytes - before.wal_bytes,
            cpu_seconds: difference(self.cpu_seconds, before.cpu_seconds),
            server_cpu_seconds: difference(self.server_cpu_seconds, before.server_cpu_seconds),
        }
    }
}

fn difference(after: Option<f64>, before: Option<f64>) -> Option<f64> {
    after.zip(before).map(|(after, before)| after - before)
}

impl Database {
    pub fn open(arguments: &Bench) -> Result<Self, Box<dyn Error>> {
        if let Some(url) = &arguments.database_url {
            return Ok(Self { url: url.clone(), server: None });
        }
        let mut builder = Server::builder();
        if let Some(major) = arguments.postgres {
            builder = builder.version(major);
        }
        let server = builder.start()?;
        Ok(Self { url: server.url(), server: Some(server) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn close(self) -> Result<(), Box<dyn Error>> {
        Ok(self.server.map_or(Ok(()), Server::stop)?)
    }

    pub async fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let client = connect(&self.url).await?;
        // Counters of sessions arrive with a delay of up to a second; this one's own are exact enough.
        let row = client
            .query_one(
                "select xact_commit::float8, (pg_current_wal_lsn() - '0/0')::float8 from pg_stat_database \
                 where datname = current_database()",
                &[],
            )
            .await?;
        let cpu_seconds = self.server.as_ref().map(Server::cpu_seconds);
        Ok(Usage { commits: row.get(0), wal_bytes: row.get(1), cpu_seconds, server_cpu_seconds: None })
    }
}

impl Database {
    /// The server's version in its own words.
    pub async fn version(&self) -> Result<String, Box<dyn Error>> {
        let client = connect(&self.url).await?;
        Ok(client.query_one("show server_version", &[]).await?.get(0))
    }

    /// How many turns those that completed took, on average.
    pub async fn turns_each(&self, orchestration: &str) -> Result<Option<f64>, Box<dyn Error>> {
        let client = connect(&self.url).await?;
        let query = "select avg(turn)::float8 from everdure.v_instances \
                     where task_hub = $1 and name = $2 and status = 'Completed'";
        Ok(client.query_one(query, &[&HUB, &orchestration]).await?.get(0))
    }
}

/// A plain connection for counters and the floor.
pub async fn connect(url: &str) -> Result<tokio_postgres::Client, Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
