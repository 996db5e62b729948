//! Turns and batches that do not end: the stream that is their lease lives, and says nothing about them.
//!
//! Past the deadline the item is given back under its token; who is given it next has another one, so that the late answer
//! counts for nothing. The thread that user code blocks is lost until it returns: nothing can stop it.

use std::future::Future;
use std::pin::pin;

use tokio::task::JoinSet;

use super::Shared;

/// The output of `running`, or `None` when the deadline of turns passed and `give_back` was done instead.
pub(super) async fn within<T>(
    shared: &Shared,
    what: String,
    give_back: impl Future<Output = ()> + Send + 'static,
    running: impl Future<Output = T>,
) -> Option<T> {
    let deadline = shared.options.turn_deadline;
    // A task of its own: what blocks its thread would block a timer beside it. It ends when this is dropped.
    let mut alarm = JoinSet::new();
    alarm.spawn(async move {
        tokio::time::sleep(deadline).await;
        tracing::error!(
            what,
            "this did not end in {deadline:?} and goes back to the server. Orchestrations and entities must not block: look \
             for loops without an end and for blocking calls in its code"
        );
        give_back.await;
    });
    // A task that was just spawned waits in a place of this thread that no other thread looks at: what blocks at once would
    // keep its own alarm from ever beginning.
    tokio::task::yield_now().await;
    let running = pin!(running);
    tokio::select! {
        // What ended late has been given back all the same.
        biased;
        _ = alarm.join_next() => None,
        output = running => Some(output),
    }
}
