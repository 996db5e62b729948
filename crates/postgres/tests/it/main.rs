//! The PostgreSQL backend against real servers.

mod conformance;
mod support;
