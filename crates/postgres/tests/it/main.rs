//! The PostgreSQL backend against real servers.

mod conformance;
mod sql_api;
mod support;
