//! Where the database is and how to treat it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use everdure_core::{BackendError, BackendResult};
use url::Url;

/// The variable that [`PostgresOptions::from_env`] reads.
const URL_VARIABLE: &str = "EVERDURE_DATABASE_URL";

/// How far the server's certificate is checked, with the names and meanings of PostgreSQL's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where the database is and how to treat it. Its `Debug` output shows no password.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) listen_config: tokio_postgres::Config,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    pub(crate) hub: String,
    pub(crate) schema: String,
    pub(crate) lanes: usize,
    pub(crate) pool_size: usize,
    pub(crate) deadline: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) migrate: bool,
    pub(crate) listen: bool,
    pub(crate) create_hub: bool,
    pub(crate) create_database: bool,
}

impl PostgresOptions {
    /// Everything by default, at `url` (`postgresql://user:password@host:port/database?sslmode=verify-full`).
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when the text is no such URL.
    pub fn from_url(url: &str) -> BackendResult<Self> {
        Self::builder(url)?.build()
    }

    /// Everything by default, at the URL in `EVERDURE_DATABASE_URL`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when the variable is missing or holds no URL.
    pub fn from_env() -> BackendResult<Self> {
        let url = std::env::var(URL_VARIABLE).map_err(|_| {
            BackendError::invalid(format!("{URL_VARIABLE} is not set: set it to postgresql://user@host/database"))
        })?;
        Self::from_url(&url)
    }

    /// A builder for the database at `url`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when the text is no such URL.
    pub fn builder(url: &str) -> BackendResult<PostgresOptionsBuilder> {
        let (config, ssl_mode, ssl_root_cert) = parse(url)?;
        Ok(PostgresOptionsBuilder {
            options: Self {
                listen_config: config.clone(),
                config,
                ssl_mode,
                ssl_root_cert,
                hub: "default".to_owned(),
                schema: "everdure".to_owned(),
                lanes: 2,
                pool_size: 8,
                deadline: Duration::from_secs(30),
                statement_timeout: Duration::from_secs(30),
                lock_timeout: Duration::from_secs(5),
                migrate: true,
                listen: true,
                create_hub: true,
                create_database: false,
            },
        })
    }

    /// The task hub.
    #[must_use]
    pub fn hub(&self) -> &str {
        &self.hub
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("hosts", &self.config.get_hosts())
            .field("ports", &self.config.get_ports())
            .field("database", &self.config.get_dbname())
            .field("user", &self.config.get_user())
            .field("hub", &self.hub)
            .field("schema", &self.schema)
            .field("lanes", &self.lanes)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// Builds [`PostgresOptions`].
#[derive(Clone, Debug)]
pub struct PostgresOptionsBuilder {
    options: PostgresOptions,
}

impl PostgresOptionsBuilder {
    /// The task hub, `default` by default; it is created when there is none of that name.
    #[must_use]
    pub fn hub(mut self, name: impl Into<String>) -> Self {
        self.options.hub = name.into();
        self
    }

    /// The schema, `everdure` by default: lower-case letters, digits and underscores.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.options.schema = name.into();
        self
    }

    /// Writers with a connection each, 2 by default.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.options.lanes = lanes;
        self
    }

    /// Connections for everything else, 8 by default.
    #[must_use]
    pub fn pool_size(mut self, size: usize) -> Self {
        self.options.pool_size = size;
        self
    }

    /// How long an operation is tried before it fails as unavailable, 30 s by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline;
        self
    }

    /// PostgreSQL's `statement_timeout`, 30 s by default.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.options.statement_timeout = timeout;
        self
    }

    /// PostgreSQL's `lock_timeout` for statements that wait for rows, 5 s by default. Writer lanes never do.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.options.lock_timeout = timeout;
        self
    }

    /// Whether connecting brings the schema up to date, as it does by default.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.options.migrate = migrate;
        self
    }

    /// Whether to make the task hub when there is none of that name, as by default; otherwise connecting is refused.
    #[must_use]
    pub fn create_hub(mut self, create: bool) -> Self {
        self.options.create_hub = create;
        self
    }

    /// Whether to make the database when there is none of that name. Not by default: a misspelt name would make one.
    #[must_use]
    pub fn create_database(mut self, create: bool) -> Self {
        self.options.create_database = create;
        self
    }

    /// Whether to listen for hints of other processes, as by default. Without it they are found by polling.
    #[must_use]
    pub fn listen(mut self, listen: bool) -> Self {
        self.options.listen = listen;
        self
    }

    /// Another URL for what a pooler cannot carry: listening and migrations.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when the text is no URL.
    pub fn direct_url(mut self, url: &str) -> BackendResult<Self> {
        self.options.listen_config = parse(url)?.0;
        Ok(self)
    }

    /// The options.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when one of them cannot be used; the message names it.
    pub fn build(self) -> BackendResult<PostgresOptions> {
        let options = self.options;
        check_hub(&options.hub)?;
        check_schema(&options.schema)?;
        if !(1..=64).contains(&options.lanes) || options.pool_size == 0 {
            return Err(BackendError::invalid("use 1 to 64 lanes and a pool of at least one connection"));
        }
        Ok(options)
    }
}

/// Refuses what cannot be the name of a task hub.
pub(crate) fn check_hub(name: &str) -> BackendResult<()> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(BackendError::invalid("the task hub's name is empty or has control characters"));
    }
    Ok(())
}

/// Refuses what cannot be the name of our schema: it is written into statements as it is.
pub(crate) fn check_schema(name: &str) -> BackendResult<()> {
    let lower = |c: char| c.is_ascii_lowercase() || c == '_';
    let rest = |c: char| lower(c) || c.is_ascii_digit();
    if !name.starts_with(lower) || !name.chars().all(rest) || name.len() > 63 {
        return Err(BackendError::invalid(format!(
            "'{name}' is not a schema name: use lower-case letters, digits and underscores, beginning with a letter"
        )));
    }
    Ok(())
}

/// The driver knows fewer ssl modes than PostgreSQL: what it does not know is taken out of the URL first.
fn parse(text: &str) -> BackendResult<(tokio_postgres::Config, SslMode, Option<PathBuf>)> {
    // The text itself is not shown: it may hold a password.
    let wrong = |what: String| {
        BackendError::invalid(format!("not a database URL ({what}): use postgresql://user:password@host:port/database"))
    };
    let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong(format!("it begins with '{}:'", url.scheme())));
    }
    let (mut mode, mut root) = (SslMode::Prefer, None);
    let mut kept = Vec::new();
    for (name, value) in url.query_pairs().into_owned() {
        match name.as_str() {
            "sslmode" => mode = ssl_mode(&value).ok_or_else(|| wrong(format!("unknown sslmode '{value}'")))?,
            "sslrootcert" => root = Some(PathBuf::from(value)),
            _ => kept.push((name, value)),
        }
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    let mut config: tokio_postgres::Config = url.as_str().parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        wrong(format!("{error}{cause}"))
    })?;
    config.ssl_mode(match mode {
        SslMode::Disable => tokio_postgres::config::SslMode::Disable,
        SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
        _ => tokio_postgres::config::SslMode::Require,
    });
    if config.get_application_name().is_none() {
        config.application_name("everdure");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    Ok((config, mode, root))
}

fn ssl_mode(text: &str) -> Option<SslMode> {
    Some(match text {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{PostgresOptions, SslMode};

    #[test]
    fn a_password_is_never_shown() {
        let options = PostgresOptions::from_url("postgresql://me:s3cret@host/db").expect("a good URL");
        assert!(!format!("{options:?}").contains("s3cret"));
        let error = PostgresOptions::from_url("postgresql://me:s3cret@host:no-port/db").expect_err("a bad port");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn ssl_modes_of_postgresql_are_understood() {
        let mode = |text: &str| {
            PostgresOptions::from_url(&format!("postgresql://host/db?sslmode={text}")).map(|options| options.ssl_mode)
        };
        assert_eq!(mode("verify-full").expect("a known mode"), SslMode::VerifyFull);
        assert_eq!(mode("require").expect("a known mode"), SslMode::Require);
        assert!(mode("sometimes").expect_err("an unknown mode").to_string().contains("sometimes"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let builder = || PostgresOptions::builder("postgresql://host/db").expect("a good URL");
        let schema = builder().schema("My Schema").build().expect_err("a bad schema name").to_string();
        assert!(schema.contains("My Schema"), "{schema}");
        assert!(builder().hub(" ").build().is_err());
        assert!(builder().lanes(0).build().is_err());
        let scheme = PostgresOptions::from_url("mysql://host/db").expect_err("another database").to_string();
        assert!(scheme.contains("postgresql://"), "{scheme}");
    }
}
