//! Every feature of the model, each run live, as full replay after each turn, and with a crash after each recorded
//! step: the result and the history must be the same. The same once more over the wire, with client and worker connected to
//! a server: see `support::in_all_modes`.

mod acceptance;
mod children;
mod concurrency;
mod control;
mod determinism;
mod entities;
mod events;
mod failures;
mod generations;
mod identity;
mod locks;
mod over_the_wire;
mod retries;
mod steps;
mod support;
mod timers;
mod wire;
