//! Testing orchestrations: in memory, in milliseconds, crashes included.
//!
//! [`TestHub`] runs them on the in-memory store, whose clock is tokio's. Under `#[tokio::test(start_paused = true)]` (the
//! feature `test-util` of tokio) a wait of a month takes no time, for the clock jumps whenever nothing is left to do:
//!
//! ```
//! use std::time::Duration;
//!
//! use everdure::testing::TestHub;
//! use everdure::{Functions, Orchestration, OrchestrationContext};
//!
//! const REMINDER: Orchestration<u64, String> = Orchestration::new("reminder");
//!
//! async fn reminder(ctx: OrchestrationContext, days: u64) -> everdure::Result<String> {
//!     tokio::select! {
//!         paid = ctx.wait_for_event::<String>("paid") => Ok(format!("paid by {}", paid?)),
//!         () = ctx.sleep(Duration::from_secs(days * 86_400)) => Ok("reminded".to_owned()),
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // In a function under #[tokio::test(start_paused = true)]:
//! let hub = TestHub::new(Functions::new().orchestration(REMINDER, reminder)).await;
//!
//! let run = hub.run(&REMINDER, 30).await;
//! assert_eq!(run.output(), "reminded");
//! assert_eq!(run.history().steps(), ["timer set", "timer fired", "completed"]);
//!
//! let invoice = hub.start(&REMINDER, 30).await;
//! hub.advance(Duration::from_secs(29 * 86_400)).await;
//! invoice.raise_event("paid", "Ada").await;
//! assert_eq!(invoice.end().await.output(), "paid by Ada");
//! # }
//! ```
//!
//! [`Mode`] runs the same test as full replay after each turn, and with a crash after each recorded step: what is not
//! deterministic, or not idempotent, shows there.
//!
//! [`check_replay`] answers the question of each deploy: does the new code still decide what running instances
//! decided? Feed it histories from production, as [`crate::Client::history`] returns them.
//!
//! The functions here panic where a test would `unwrap`: a test that cannot go on has failed.

mod entities;
mod history;
mod hub;
mod mortal;
mod run;

use std::sync::Arc;

use everdure_core::{ExecutionStarted, FailureDetails, HistoryTurn};
use everdure_engine::{LiveOrchestration, OrchestrationExecutor};
use futures::FutureExt;

pub use history::History;
pub use hub::{Mode, TestHub};
pub use run::{Run, TestInstance};

/// Replays a history against the code of `executor` (see [`crate::orchestration_executor`]).
///
/// # Errors
/// What differs, in words, when the code now decides something else than history says.
pub fn check_replay(
    executor: &Arc<dyn OrchestrationExecutor>,
    started: &ExecutionStarted,
    history: &[HistoryTurn],
) -> Result<(), FailureDetails> {
    let mut live = executor.begin(started);
    history.iter().try_for_each(|turn| replay(live.as_mut(), turn))
}

fn replay(live: &mut dyn LiveOrchestration, turn: &HistoryTurn) -> Result<(), FailureDetails> {
    live.replay(turn).now_or_never().unwrap_or_else(|| {
        Err(FailureDetails::new(
            "NotInProcess",
            "this executor does not replay in this process: check it where it runs",
        ))
    })
}
