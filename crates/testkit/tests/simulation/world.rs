//! What all parts of a run share: the seed's dice, the store, the ledger, and how bad the weather is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everdure_core::{Backend, Timestamp};
use everdure_engine::InMemoryBackend;
use fastrand::Rng;

use crate::ledger::Ledger;
use crate::sabotage::Sabotage;

/// How bad it is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a thousand calls, so many fail before anything is done.
    pub fail: u32,
    /// Of a thousand calls, the answers to so many are lost.
    pub lose: u32,
    /// Of a thousand hints, so many are lost, and so many come twice.
    pub hints: u32,
    /// Of a thousand turns, so many cannot be run.
    pub faults: u32,
    /// Calls take up to so many milliseconds.
    pub latency: u64,
    /// Of a thousand calls, so many take seconds.
    pub hang: u32,
}

impl Weather {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            fail: [0, 10, 50, 200][rng.usize(..4)],
            lose: [0, 10, 50, 200][rng.usize(..4)],
            hints: [0, 100, 500, 1000][rng.usize(..4)],
            faults: [0, 0, 20, 200][rng.usize(..4)],
            latency: [0, 2, 20, 200][rng.usize(..4)],
            hang: [0, 2, 10][rng.usize(..3)],
        }
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub before: Duration,
    pub after: Duration,
    pub fails: bool,
    pub answer_lost: bool,
}

/// Shared by all parts of a run.
pub struct World {
    pub store: Arc<InMemoryBackend>,
    pub weather: Weather,
    pub sabotage: Option<Sabotage>,
    rng: Mutex<Rng>,
    ledger: Mutex<Ledger>,
    calm: AtomicBool,
    traced: bool,
}

impl World {
    pub fn new(mut rng: Rng, sabotage: Option<Sabotage>) -> Self {
        let start = Timestamp::from_timestamp(1_700_000_000, 0).expect("a time in range");
        Self {
            store: Arc::new(InMemoryBackend::starting_at(start)),
            weather: Weather::draw(&mut rng),
            sabotage,
            rng: Mutex::new(rng),
            ledger: Mutex::default(),
            calm: AtomicBool::new(false),
            traced: std::env::var_os("EVERDURE_SIM_TRACE").is_some(),
        }
    }

    /// The only dice of a run. They are cast in the order in which the runtime runs its tasks, which is the same
    /// whenever the seed is.
    pub fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// No faults from now on.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub fn chance(&self, of_a_thousand: u32) -> bool {
        !self.is_calm() && self.rng().u32(..1000) < of_a_thousand
    }

    pub fn millis(&self, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng().u64(range))
    }

    pub fn fate(&self) -> Fate {
        let weather = self.weather;
        let latency = if self.is_calm() { 0 } else { weather.latency };
        let hangs = self.chance(weather.hang);
        let mut fate = Fate {
            before: self.millis(0..=latency),
            after: self.millis(0..=latency),
            fails: self.chance(weather.fail),
            answer_lost: self.chance(weather.lose),
        };
        if hangs {
            let long = self.millis(500..=12_000);
            if self.rng().bool() { fate.before += long } else { fate.after += long }
        }
        fate
    }

    /// Notes a step of the run; `text` is made only when somebody looks.
    pub fn note(&self, what: &str, number: i64, text: impl FnOnce() -> String) {
        let now = self.now();
        self.ledger().note(what, number, now);
        if self.traced {
            println!("{} {what} {number} {}", now.format("%M:%S%.6f"), text());
        }
    }
}
