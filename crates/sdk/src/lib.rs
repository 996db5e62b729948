//! Durable orchestrations as ordinary Rust.
//!
//! An *orchestration* is an async function that calls *activities*, sleeps, waits for events and starts other
//! orchestrations. Each step is recorded; after a crash, a deploy or a month of waiting the function goes on where
//! it was. Names and types are bound once, in a handle:
//!
//! ```
//! use everdure::{Activity, ActivityContext, Orchestration, OrchestrationContext};
//!
//! const GREET: Activity<String, String> = Activity::new("greet");
//! const HELLO: Orchestration<Vec<String>, Vec<String>> = Orchestration::new("hello");
//!
//! async fn greet(_: ActivityContext, name: String) -> everdure::Result<String> {
//!     Ok(format!("Hello, {name}!"))
//! }
//!
//! async fn hello(ctx: OrchestrationContext, names: Vec<String>) -> everdure::Result<Vec<String>> {
//!     let calls = names.into_iter().map(|name| ctx.call_activity(&GREET, name));
//!     Ok(futures::future::try_join_all(calls).await?)
//! }
//!
//! // What a worker runs: the compiler checks each function against its handle.
//! let functions = everdure::Functions::new().activity(GREET, greet).orchestration(HELLO, hello);
//! # assert!(functions.into_registry().is_ok());
//! ```
//!
//! What an orchestration may do: any computation that gives the same result each time, and waiting for what its
//! context gives it, in any combination (`join!`, `select!`, `FuturesUnordered`, loops). What it must not do: I/O, and waiting
//! for futures of a runtime (`tokio::time::sleep`, `tokio::spawn`); time comes from [`OrchestrationContext::now`],
//! random ids from [`OrchestrationContext::new_guid`]. Everything else belongs in activities.

mod json;

mod failure;
mod handle;
mod retry;

mod activity;
mod call;
mod context;
mod functions;
mod replay;

mod client;
mod worker;

pub mod testing;

pub use activity::{ActivityContext, activity_executor};
pub use call::{ActivityCall, EventWait, Sleep, SubOrchestrationCall};
pub use client::{Client, ClientError, Forking, Start};
#[cfg(feature = "postgres")]
pub use client::{InTransaction, Outbox};
pub use context::OrchestrationContext;
pub use everdure_core::{Backend, BackendError, Limits};
pub use everdure_core::{
    CustomStatusIs, Execution, ExecutionStarted, FailureDetails, HistoryTurn, InstanceId, InstanceQuery,
    InstanceRecord, OrchestrationStatus, Page, Poisoned, PurgeFilter, PurgeOutcome, ReusePolicy, Tags, Timestamp,
};
pub use everdure_engine::{CancellationToken, InMemoryBackend, NodeOptions};
#[cfg(feature = "postgres")]
pub use everdure_postgres::{PostgresBackend, PostgresOptions, PostgresOptionsBuilder, TaskHub};
pub use failure::{CallError, Failure};
pub use functions::{DuplicateName, Functions};
pub use handle::{Activity, Orchestration};
pub use replay::orchestration_executor;
pub use retry::RetryPolicy;
pub use worker::{Worker, WorkerError};

/// What orchestrations and activities return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The examples of the guides are compiled with the documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/orchestrations.md")]
    struct Orchestrations;
    #[doc = include_str!("../../../docs/postgresql.md")]
    struct PostgreSql;
    #[doc = include_str!("../../../docs/testing.md")]
    struct Testing;
}
