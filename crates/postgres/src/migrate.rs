//! Bringing the schema up to date.
//!
//! Table files are numbered and append-only; functions and views are the current truth and are applied whole. When
//! everything is current this is one query, which needs no right to change anything. Otherwise one transaction under
//! an advisory lock does it all, so that nodes may start at the same time.

use everdure_core::{BackendError, BackendResult};
use include_dir::{Dir, include_dir};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::fault::fault;

static SQL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sql");

/// The version of the tables that this program needs: the number of the last table file.
pub const SCHEMA_VERSION: i32 = 8;

/// The name of the schema in the SQL files.
const PLACEHOLDER: &str = "everdure.";

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; `None` when there was no schema.
    pub from: Option<i32>,
    /// The version after.
    pub to: i32,
    /// Whether anything was changed.
    pub changed: bool,
}

struct Stored {
    version: i32,
    functions: String,
    everdure: String,
}

/// Checks the schema; brings it up to date if `apply`.
///
/// # Errors
/// [`BackendError::Refused`] when it is newer than this program, or older and not to be changed.
pub(crate) async fn migrate(client: &mut Client, schema: &str, apply: bool) -> BackendResult<Migrated> {
    let stored = stored(client, schema).await?;
    if let Some(stored) = &stored
        && is_current(stored, schema)?
    {
        return Ok(Migrated { from: Some(stored.version), to: stored.version, changed: false });
    }
    if !apply {
        let found = stored.map_or("missing".to_owned(), |stored| format!("at version {}", stored.version));
        return Err(BackendError::refused(format!(
            "the schema '{schema}' is {found}, this program needs version {SCHEMA_VERSION}: run `everdure migrate`"
        )));
    }
    apply_all(client, schema).await
}

async fn stored(client: &Client, schema: &str) -> BackendResult<Option<Stored>> {
    let query = format!("select version, functions, everdure from {schema}.schema_info");
    match client.query_opt(&query, &[]).await {
        Ok(row) => Ok(row.map(|row| Stored { version: row.get(0), functions: row.get(1), everdure: row.get(2) })),
        Err(error)
            if matches!(error.code(), Some(code) if *code == SqlState::UNDEFINED_TABLE
                || *code == SqlState::INVALID_SCHEMA_NAME) =>
        {
            Ok(None)
        }
        Err(error) => Err(fault("reading the version of the schema", error)),
    }
}

fn is_current(stored: &Stored, schema: &str) -> BackendResult<bool> {
    if stored.version > SCHEMA_VERSION {
        return Err(BackendError::refused(format!(
            "the schema '{schema}' is at version {}, this program knows up to {SCHEMA_VERSION}: run a newer Everdure \
             (it was last changed by {})",
            stored.version, stored.everdure
        )));
    }
    // Functions of a newer release with the same tables serve older programs too; never put older ones back.
    let newer = release(&stored.everdure) > release(env!("CARGO_PKG_VERSION"));
    Ok(stored.version == SCHEMA_VERSION && (newer || stored.functions == digest()))
}

fn release(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

async fn apply_all(client: &mut Client, schema: &str) -> BackendResult<Migrated> {
    let doing = "migrating the schema";
    let transaction = client.transaction().await.map_err(|error| fault(doing, error))?;
    let wait = "set local lock_timeout = 0; set local statement_timeout = 0; set local check_function_bodies = off";
    transaction.batch_execute(wait).await.map_err(|error| fault(doing, error))?;
    let lock = "select pg_advisory_xact_lock(hashtextextended('everdure migration ' || $1, 0))";
    transaction.execute(lock, &[&schema]).await.map_err(|error| fault(doing, error))?;
    // Another process may have done it while this one waited.
    let exists = "select to_regclass($1 || '.schema_info') is not null";
    let row = transaction.query_one(exists, &[&schema]).await.map_err(|error| fault(doing, error))?;
    let mut from = None;
    if row.get::<_, bool>(0) {
        let query = format!("select version, functions, everdure from {schema}.schema_info");
        let row = transaction.query_opt(&query, &[]).await.map_err(|error| fault(doing, error))?;
        if let Some(row) = row {
            let stored = Stored { version: row.get(0), functions: row.get(1), everdure: row.get(2) };
            from = Some(stored.version);
            if is_current(&stored, schema)? {
                return Ok(Migrated { from, to: stored.version, changed: false });
            }
        }
    }
    for (name, text) in scripts(from.unwrap_or(0)) {
        let doing = format!("migrating the schema, file {name}");
        transaction.batch_execute(&in_schema(text, schema)).await.map_err(|error| fault(&doing, error))?;
    }
    let record = format!(
        "insert into {schema}.schema_info (version, functions, everdure) values ($1, $2, $3) \
         on conflict (only_row) do update set version = $1, functions = $2, everdure = $3, applied_at = now()"
    );
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&SCHEMA_VERSION, &digest(), &env!("CARGO_PKG_VERSION")];
    transaction.execute(&record, &values).await.map_err(|error| fault(doing, error))?;
    transaction.commit().await.map_err(|error| fault(doing, error))?;
    Ok(Migrated { from, to: SCHEMA_VERSION, changed: true })
}

/// The SQL files with the schema's own name in the place of the default one.
fn in_schema(text: &str, schema: &str) -> String {
    text.replace(PLACEHOLDER, &format!("{schema}.")).replace("schema if not exists everdure;", &create(schema))
}

fn create(schema: &str) -> String {
    format!("schema if not exists {schema};")
}

/// Table files above `version`, then all functions and views, each in the order of their names.
fn scripts(version: i32) -> impl Iterator<Item = (String, &'static str)> {
    let tables = files("tables").into_iter().filter(move |(name, _)| number(name) > version);
    tables.chain(files("functions")).chain(files("views"))
}

fn files(folder: &str) -> Vec<(String, &'static str)> {
    let mut files: Vec<_> = SQL
        .get_dir(folder)
        .into_iter()
        .flat_map(Dir::files)
        .map(|file| {
            let name = file.path().display().to_string();
            // Unwrap safety: the files are compiled in, and a test reads them all.
            (name, file.contents_utf8().expect("our SQL files are UTF-8"))
        })
        .collect();
    files.sort();
    files
}

fn number(name: &str) -> i32 {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// A fingerprint of functions and views (FNV-1a, 64 bits): it tells whether to apply them, and protects nothing.
fn digest() -> String {
    let texts = files("functions").into_iter().chain(files("views"));
    let hash = texts
        .flat_map(|(name, text)| name.into_bytes().into_iter().chain(text.bytes()))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{SCHEMA_VERSION, files, in_schema, number};

    #[test]
    fn the_version_is_that_of_the_last_table_file() {
        assert_eq!(files("tables").iter().map(|(name, _)| number(name)).max(), Some(SCHEMA_VERSION));
    }

    #[test]
    fn each_function_has_a_file_of_its_name() {
        for (name, text) in files("functions") {
            let function = name.trim_start_matches("functions/").trim_end_matches(".sql");
            assert_eq!(text.matches("create or replace function").count(), 1, "{name}");
            assert!(text.contains(&format!("create or replace function everdure.{function}(")), "{name}");
            assert!(text.starts_with("-- "), "{name} begins with its purpose");
            assert!(!text.contains('\t') && !text.contains("SELECT"), "{name} is lower case");
        }
    }

    #[test]
    fn another_schema_takes_the_place_of_the_default_one() {
        let text = in_schema("create schema if not exists everdure; select everdure._post()", "hub_2");
        assert_eq!(text, "create schema if not exists hub_2; select hub_2._post()");
    }
}
