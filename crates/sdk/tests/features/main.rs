//! Every feature of the model, each run live, as full replay after each turn, and with a crash after each recorded
//! step: the result and the history must be the same.

mod acceptance;
mod children;
mod concurrency;
mod control;
mod determinism;
mod events;
mod failures;
mod generations;
mod identity;
mod retries;
mod steps;
mod support;
mod timers;
