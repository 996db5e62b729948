//! Against a server instead of a database (feature `remote`): the same [`Client`](crate::Client) and
//! [`Worker`](crate::Worker), over the protocol of the Durable Task SDKs.

mod client;
mod connection;
mod entities;
mod options;
mod purge;
mod query;
mod status;
mod worker;

pub use options::RemoteOptions;

pub(crate) use client::RemoteClient;
pub(crate) use connection::Connection;
pub(crate) use worker::RemoteWorker;
