//! The turn as a pure function: what it sees, what it writes, what it ignores.

mod apply;
mod begin;
mod entities;
mod fixture;
mod history;
