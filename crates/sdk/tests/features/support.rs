//! What the scenarios share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use everdure::testing::{Mode, TestHub};
use everdure::{Activity, ActivityContext, Failure, Functions, InstanceId};

use crate::wire;

/// Returns its input plus one.
pub const INC: Activity<u32, u32> = Activity::new("inc");
/// Never returns.
pub const STUCK: Activity<(), u32> = Activity::new("stuck");

pub fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The activities above.
pub fn functions() -> Functions {
    Functions::new()
        .activity(INC, |_: ActivityContext, number: u32| async move { Ok::<_, Failure>(number + 1) })
        .activity(STUCK, |_: ActivityContext, (): ()| std::future::pending::<Result<u32, Failure>>())
}

/// Runs a scenario in each mode, and over the wire: live, and with a full replay of each turn.
pub async fn in_all_modes(functions: Functions, scenario: impl AsyncFn(&TestHub, Mode)) {
    without_the_wire(functions.clone(), &scenario).await;
    for mode in [Mode::Live, Mode::FullReplay] {
        let hub = wire::hub(functions.clone(), mode == Mode::Live).await;
        scenario(&hub, mode).await;
    }
}

/// Runs a scenario in each mode, but not over the wire, for that reason.
pub async fn in_all_modes_but_the_wire(why: &str, functions: Functions, scenario: impl AsyncFn(&TestHub, Mode)) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("not over the wire: {name}: {why}");
    without_the_wire(functions, &scenario).await;
}

async fn without_the_wire(functions: Functions, scenario: &impl AsyncFn(&TestHub, Mode)) {
    for mode in Mode::ALL {
        let hub = TestHub::in_mode(mode, functions.clone()).await;
        scenario(&hub, mode).await;
        let crashed = hub.workers() > 1;
        assert_eq!(crashed, mode == Mode::CrashAfterEachStep, "the mode is what it says");
    }
}

/// Counts how often something ran.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU32>);

impl Counter {
    /// The count before this call.
    pub fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub fn take(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}
