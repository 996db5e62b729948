//! How far a benchmark is: a bar over its time, for people on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Bench;

const STEP: Duration = Duration::from_millis(100);

/// Shows a bar while `work` runs. It stands still, full, while what is in flight comes to its end.
pub async fn beside<T>(arguments: &Bench, work: impl Future<Output = T>) -> T {
    if arguments.json {
        return work.await;
    }
    let whole = arguments.warming() + arguments.measured();
    let bar = ProgressBar::new(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
    // Unwrap safety: the template is a constant, and every run without --json reads it.
    bar.set_style(ProgressStyle::with_template("{bar:40} {elapsed} {msg}").expect("the template is well formed"));
    let begun = Instant::now();
    let show = async {
        loop {
            let elapsed = begun.elapsed();
            bar.set_message(if elapsed < arguments.warming() { "warming up" } else { "measuring" });
            bar.set_position(u64::try_from(elapsed.min(whole).as_millis()).unwrap_or(u64::MAX));
            tokio::time::sleep(STEP).await;
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = show => unreachable!("it has no end"),
    };
    bar.finish_and_clear();
    result
}
