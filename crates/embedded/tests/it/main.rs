//! Tests with real servers. They need a PostgreSQL with its `psql`; `scripts/setup.sh` provides one, and
//! `EVERDURE_POSTGRES_BIN` chooses among several.

mod owner;
mod search;
mod server;
mod support;
