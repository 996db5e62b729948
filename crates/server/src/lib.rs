//! Speaks the protocol of the Durable Task SDKs: clients start and watch orchestrations, workers connect and are given
//! work, on any Everdure backend.
//!
//! One process serves any number of task hubs. For each it runs a node of the engine; what that node's workers are is
//! whoever is connected at the moment. Deliberately absent: authentication, which belongs before the server for now.

mod calls;
mod dispatch;
mod hubs;
mod metrics;
mod options;
mod peers;
mod server;
mod service;

pub use hubs::{Load, OpenHub};
pub use options::ServerOptions;
pub use server::{ServeError, Server, listen, serve_connections};
