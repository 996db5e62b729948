//! The PostgreSQL backend against real servers.

mod proxy;
mod support;

mod conformance;
mod rules;
mod sql_api;
mod unknown_commit;
