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
//!
//! # With a server in between
//!
//! A worker and its clients can share a database, or, with the feature `remote`, connect to a server (`everdure serve`, or
//! `everdure dev` on a developer's machine) that has the database for itself. The functions are the same, and so are
//! [`Worker`] and [`Client`]; only how they begin differs:
//!
#![cfg_attr(feature = "remote", doc = "```no_run")]
#![cfg_attr(not(feature = "remote"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use everdure::{Client, Functions, NodeOptions, Orchestration, OrchestrationContext, RemoteOptions, Worker};
//!
//! const HELLO: Orchestration<String, String> = Orchestration::new("hello");
//!
//! async fn hello(_: OrchestrationContext, name: String) -> everdure::Result<String> {
//!     Ok(format!("Hello, {name}!"))
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = RemoteOptions::new("http://localhost:4001").task_hub("default"); // or RemoteOptions::from_env()?
//! let functions = Functions::new().orchestration(HELLO, hello);
//! let worker = Worker::connect(server.clone(), functions, NodeOptions::default()).await?;
//!
//! let client = Client::connect(server).await?; // in this process or any other
//! let id = client.start(&HELLO, "Ada".to_owned()).await?;
//! let greeting: String = client.wait_for_completion(&id, Duration::from_secs(30)).await?;
//! assert_eq!(greeting, "Hello, Ada!");
//! worker.drain(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What differs, because the protocol, which is that of the Durable Task SDKs, has no words for it:
//!
//! - A step that is given up (the loser of a `select!`) is not cancelled. Its timer fires, its activity runs to its end, and
//!   nobody listens; history does not say that it was given up.
//! - The custom status does not outlive continue-as-new: the next execution sets its own.
//! - [`ActivityContext::idempotency_key`] names the execution and the orchestration's id for the step. For orchestrations of
//!   this crate that is a key of its own for each try, as with a database (it is not the same text); SDKs of other languages
//!   use an id again when they retry, so that the tries of one call share a key.
//! - [`Client::count`], [`Client::executions`], [`Client::execution_history`], [`Client::poisoned`],
//!   [`Client::release_poisoned`], [`Client::fork`], request ids, purging by force, and queries by anything but state, time
//!   of creation and the beginning of the id are [`ClientError::Unsupported`].
//! - Records have no key, generation and turn (they are 0); histories count their turns from 1.
//!
//! A worker connects again for as long as it lives. While it is away the server gives its work to others; what it has
//! finished meanwhile counts if nobody else was faster.

mod json;

mod failure;
mod handle;
mod retry;

mod activity;
mod call;
mod context;
mod entity;
mod functions;
mod replay;

mod client;
#[cfg(feature = "remote")]
mod remote;
mod worker;

pub mod testing;

pub use activity::{ActivityContext, activity_executor};
pub use call::{ActivityCall, EventWait, Sleep, SubOrchestrationCall};
pub use client::{Client, ClientError, EntitySnapshot, Forking, SignalEntity, Start};
#[cfg(feature = "postgres")]
pub use client::{InTransaction, Outbox};
pub use context::{CriticalSection, EntityCall, LockWait, OrchestrationContext};
pub use entity::{Entity, EntityContext, EntityId, EntityState, Operation, Operations, SentSignal, SentStart};
pub use everdure_core::{Backend, BackendError, Limits};
pub use everdure_core::{
    CleanEntities, CleanedEntities, CustomStatusIs, EntityPage, EntityQuery, EntityRecord, Execution, ExecutionStarted,
    FailureDetails, HistoryTurn, InstanceId, InstanceQuery, InstanceRecord, InvalidId, OrchestrationStatus, Page,
    Poisoned, PurgeFilter, PurgeOutcome, ReusePolicy, Tags, Timestamp,
};
pub use everdure_engine::{CancellationToken, InMemoryBackend, NodeHandle, NodeOptions};
#[cfg(feature = "postgres")]
pub use everdure_postgres::{PostgresBackend, PostgresOptions, PostgresOptionsBuilder, TaskHub};
pub use failure::{CallError, Failure};
pub use functions::{DuplicateName, Functions};
pub use handle::{Activity, Orchestration};
#[cfg(feature = "remote")]
pub use remote::RemoteOptions;
pub use replay::orchestration_executor;
pub use retry::RetryPolicy;
pub use worker::{Worker, WorkerError};

/// What orchestrations and activities return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The examples of the guides are compiled with the documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/entities.md")]
    struct Entities;
    #[doc = include_str!("../../../docs/orchestrations.md")]
    struct Orchestrations;
    #[doc = include_str!("../../../docs/postgresql.md")]
    struct PostgreSql;
    #[doc = include_str!("../../../docs/testing.md")]
    struct Testing;
}
