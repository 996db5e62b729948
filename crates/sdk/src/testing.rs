//! Helps for testing orchestrations.
//!
//! [`check_replay`] answers the question of each deploy: does the new code still decide what running instances
//! decided? Feed it histories from production, as [`crate::Client::history`] returns them.

use std::sync::Arc;

use everdure_core::{ExecutionStarted, FailureDetails, HistoryTurn};
use everdure_engine::{LiveOrchestration, OrchestrationExecutor};
use futures::FutureExt;

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
