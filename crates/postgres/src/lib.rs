//! The PostgreSQL backend: every promise of [`everdure_core::Backend`], kept by SQL functions that this crate installs.
//!
//! What wants to be durable goes through a *committer* (group commit: while one transaction is under way the next
//! gathers); what only reads, or claims, uses a pool. The database's clock is the only one that decides.
//!
//! Deliberately absent: any SQL besides calls of the functions in `sql/`, and any decision about orchestrations,
//! which is `everdure-core`'s.

mod administration;
mod backend;
mod claims;
mod clock;
mod committer;
mod connect;
mod entities;
mod export;
mod fault;
mod filter;
mod hints;
mod migrate;
mod nodes;
mod options;
mod outbox;
mod poison;
mod queries;
mod rewind;
mod rows;
mod scale;
mod settings;
mod tls;
mod trouble;

pub use administration::TaskHub;
pub use backend::PostgresBackend;
pub use migrate::{Migrated, SCHEMA_VERSION};
pub use options::{PostgresOptions, PostgresOptionsBuilder};
pub use outbox::Outbox;
pub use scale::{Load, ScaleMetric};
/// The transaction that an [`Outbox`] writes in.
pub use tokio_postgres::Transaction;
