//! Whole orchestrations on a real PostgreSQL, with several nodes and with faults between engine and store.

mod bugs;
mod entities;
mod faulty;
mod outbox;
mod poison;
mod support;
