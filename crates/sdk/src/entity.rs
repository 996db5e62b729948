//! Typed entities: a little state under a name and a key, changed by one operation after the other.
//!
//! Names and types are bound once, as those of activities are:
//!
//! ```
//! use everdure::{Entity, EntityContext, EntityState, Functions, Operation};
//!
//! const COUNTER: Entity<i64> = Entity::new("counter");
//! const ADD: Operation<i64, i64, i64> = COUNTER.operation("add");
//!
//! async fn add(_: EntityContext, mut counter: EntityState<i64>, number: i64) -> everdure::Result<i64> {
//!     *counter += number;
//!     Ok(*counter)
//! }
//!
//! let functions = Functions::new().entity(COUNTER, |counter| counter.operation(ADD, add));
//! # assert!(functions.into_registry().is_ok());
//! ```
//!
//! A failed operation leaves no trace but its failure: neither in the state, nor in signals or starts.

mod context;
mod executor;
mod handle;
mod operations;
mod sent;
mod state;

pub use context::EntityContext;
pub(crate) use executor::entity_executor;
pub use handle::{Entity, EntityId, Operation};
pub use operations::Operations;
pub use sent::{SentSignal, SentStart};
pub use state::EntityState;
