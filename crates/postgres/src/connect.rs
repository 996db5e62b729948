//! Connections: single ones for writers and listeners, a pool for the rest.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use everdure_core::{BackendError, BackendResult};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::fault::fault;
use crate::options::PostgresOptions;

/// The oldest server that has all that the functions use.
const OLDEST_SERVER: u32 = 15;

/// How a writer lane behaves, or anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Waits for rows as long as `lock_timeout` says.
    Waits,
    /// Writer lanes lock only what is free; this bounds the wait for ids that others are just creating.
    Hurries,
}

/// Session settings, sent with the start-up message so that no statement runs without them.
fn settings(options: &PostgresOptions, patience: Patience) -> String {
    let lock = match patience {
        Patience::Waits => options.lock_timeout,
        Patience::Hurries => Duration::from_millis(50).min(options.lock_timeout),
    };
    format!(
        "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
         -c default_transaction_isolation=read\\ committed -c timezone=UTC",
        options.statement_timeout.as_millis(),
        lock.as_millis(),
        options.statement_timeout.as_millis(),
    )
}

fn with_settings(config: &Config, options: &PostgresOptions, patience: Patience) -> Config {
    let mut config = config.clone();
    let given = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    config.options(format!("{given}{}", settings(options, patience)));
    config
}

/// Opens connections of one kind.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Connector {
    pub fn new(options: &PostgresOptions, tls: &MakeRustlsConnect, patience: Patience) -> Self {
        Self { config: with_settings(&options.config, options, patience), tls: tls.clone() }
    }

    /// To the server itself, past any pooler.
    pub fn direct(options: &PostgresOptions, tls: &MakeRustlsConnect) -> Self {
        Self { config: with_settings(&options.listen_config, options, Patience::Waits), tls: tls.clone() }
    }

    /// Opens a connection, driven by a task of its own that ends with it.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
            }
        });
        Ok(client)
    }

    /// Opens a connection whose notifications go to `messages`, until it ends.
    pub async fn listen(
        &self,
        messages: impl Fn(String) + Send + 'static,
    ) -> Result<(Client, tokio::task::JoinHandle<()>), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    messages(notification.payload().to_owned());
                }
            }
        });
        Ok((client, driver))
    }
}

/// The pool.
pub(crate) fn pool(options: &PostgresOptions, tls: &MakeRustlsConnect) -> BackendResult<Pool> {
    let manager = Manager::from_config(
        with_settings(&options.config, options, Patience::Waits),
        tls.clone(),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(options.pool_size)
        .wait_timeout(Some(options.deadline))
        .create_timeout(Some(options.deadline))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| BackendError::Refused { context: "building the pool".into(), source: Some(error.into()) })
}

/// Refuses servers that are too old.
pub(crate) async fn check_version(client: &Client) -> BackendResult<()> {
    let doing = "asking the server for its version";
    let row = client.query_one("show server_version_num", &[]).await.map_err(|error| fault(doing, error))?;
    let number: &str = row.try_get(0).map_err(|error| fault(doing, error))?;
    refuse_old(number.parse::<u32>().unwrap_or(0) / 10_000)
}

fn refuse_old(major: u32) -> BackendResult<()> {
    if major < OLDEST_SERVER {
        return Err(BackendError::refused(format!(
            "the server is PostgreSQL {major}; Everdure needs {OLDEST_SERVER} or newer: upgrade the server"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn old_servers_are_refused_by_name() {
        let error = super::refuse_old(14).expect_err("14 is too old").to_string();
        assert!(error.contains("PostgreSQL 14") && error.contains("15"), "{error}");
        assert!(super::refuse_old(15).is_ok());
    }
}
