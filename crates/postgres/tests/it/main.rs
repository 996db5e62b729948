//! The PostgreSQL backend against real servers.

mod proxy;
mod support;

mod administration;
mod claims;
mod conformance;
mod damage;
mod meanwhile;
mod outbox;
mod plans;
mod queries;
mod refusals;
mod rules;
mod scale;
mod schema;
mod scripted;
mod sql_api;
mod tls;
mod unknown_commit;
mod views;
