//! The real binary against a private PostgreSQL.

mod commands;
mod demo;
mod dev;
mod entities;
mod mistakes;
mod support;
