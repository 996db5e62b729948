//! Runs orchestrations: claims them, keeps them resident, feeds them turns, runs their activities.

mod executor;
mod fork;
mod memory;
mod node;
mod rewind;

pub use executor::{
    Ack, ActivityExecutor, ActivityOutcome, ActivityReturn, EntityExecutor, EntityReturn, LiveOrchestration, NewTurn,
    OrchestrationExecutor, Places, Registry, TurnFault, Workers,
};
pub use fork::{ForkOutcome, fork};
pub use memory::InMemoryBackend;
pub use node::{Node, NodeHandle, NodeOptions};
pub use rewind::{RewindOutcome, rewind};
pub use tokio_util::sync::CancellationToken;
