//! The real binary against a private PostgreSQL.

mod commands;
mod demo;
mod dev;
mod mistakes;
mod support;
