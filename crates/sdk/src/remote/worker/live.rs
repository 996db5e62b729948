//! Orchestrations between their turns: kept alive, so that most turns need no replay, and not too many of them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everdure_core::{Action, ExecutionStarted};
use everdure_engine::LiveOrchestration;
use everdure_proto::pb;
use everdure_proto::prost::Message;
use everdure_proto::prost::bytes::Bytes;
use tokio::time::Instant;

/// What waits for longer than this is let go; it is replayed when it comes again.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// An orchestration that has seen some turns.
pub(super) struct Live {
    pub orchestration: Box<dyn LiveOrchestration>,
    pub started: ExecutionStarted,
    /// Turns that it has seen.
    pub turns: i64,
    pub seen: Seen,
}

/// What it has seen, and decided after that: by this it is told whether the history that comes with the next turn is the
/// one that it lived through. Should another worker have run the last turn, or an operator have rewound it, it is not.
#[derive(Default)]
pub(super) struct Seen {
    events: usize,
    hash: u64,
    /// The ids of decisions that leave an event.
    decided: Vec<i32>,
}

impl Seen {
    /// After a turn that came with these events and ended with these decisions.
    pub fn after(past: &[Bytes], new: &[Bytes], decided: &[Action]) -> Self {
        let mut hasher = DefaultHasher::new();
        past.iter().chain(new).for_each(|event| add(&mut hasher, event));
        let decided = decided.iter().filter(|action| everdure_proto::convert::leaves_an_event(&action.kind));
        Self {
            events: past.len() + new.len(),
            hash: hasher.finish(),
            decided: decided.map(|action| action.id).collect(),
        }
    }

    /// Whether this history is what it has seen, with what it decided at the end.
    pub fn is(&self, past: &[Bytes]) -> bool {
        if past.len() != self.events + self.decided.len() {
            return false;
        }
        let (seen, decided) = past.split_at(self.events);
        let mut hasher = DefaultHasher::new();
        seen.iter().for_each(|event| add(&mut hasher, event));
        let same = |(event, id): (&Bytes, &i32)| {
            pb::HistoryEvent::decode(event.as_ref()).is_ok_and(|event| event.event_id == *id)
        };
        hasher.finish() == self.hash && decided.iter().zip(&self.decided).all(same)
    }
}

fn add(hasher: &mut DefaultHasher, event: &Bytes) {
    hasher.write_usize(event.len());
    hasher.write(event);
}

/// Of an instance at most one execution is alive; the key names both.
pub(super) type Key = (String, String);

/// Those that rest, the one that was used last goes last.
pub(super) struct LiveOrchestrations {
    limit: usize,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    by_key: HashMap<Key, (u64, Instant, Live)>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
}

impl LiveOrchestrations {
    pub fn new(limit: usize) -> Self {
        Self { limit, resting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it out; whoever has it may run it.
    pub fn take(&self, key: &Key) -> Option<Live> {
        let mut resting = self.lock();
        let (age, _, live) = resting.by_key.remove(key)?;
        resting.by_age.remove(&age);
        Some(live)
    }

    pub fn keep(&self, key: Key, live: Live) {
        let now = Instant::now();
        let mut resting = self.lock();
        resting.clock += 1;
        let age = resting.clock;
        let mut gone = Vec::new();
        if let Some((age, _, old)) = resting.by_key.insert(key.clone(), (age, now, live)) {
            resting.by_age.remove(&age);
            gone.push(old);
        }
        resting.by_age.insert(age, key);
        while let Some((&oldest, key)) = resting.by_age.first_key_value() {
            let key = key.clone();
            let full = resting.by_key.len() > self.limit;
            let rested = resting.by_key.get(&key).map(|(_, since, _)| now.duration_since(*since));
            if !full && rested.is_some_and(|rested| rested < LONGEST_REST) {
                break;
            }
            resting.by_age.remove(&oldest);
            gone.extend(resting.by_key.remove(&key).map(|(_, _, live)| live));
        }
        drop(resting);
        // Destructors of user code run here, outside of the lock.
        drop(gone);
    }
}
