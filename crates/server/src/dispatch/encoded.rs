//! Histories as workers get them: encoded once, kept while an instance rests, bounded in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use everdure_core::{EventData, ExecutionId, ExecutionStarted, HistoryEvent, OrchestrationTrace, Timestamp};
use everdure_proto::prost::Message;

use everdure_proto::convert;

/// What all kept histories together may take.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The turns of one execution, encoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoded {
    pub events: Vec<Bytes>,
    /// Of each turn: its number, how many stored events it has, and where it begins in `events`.
    turns: Vec<(i64, usize, usize)>,
    pub trace: Option<OrchestrationTrace>,
    bytes: usize,
}

impl Encoded {
    /// Adds a turn, unless it is here already. A turn that was changed, as rewinding does, replaces all from it on.
    pub fn add(&mut self, started: &ExecutionStarted, number: i64, time: Timestamp, events: &[HistoryEvent]) {
        if let Ok(place) = self.turns.binary_search_by_key(&number, |(number, ..)| *number) {
            if self.turns[place].1 == events.len() {
                return;
            }
            let begin = self.turns[place].2;
            self.turns.truncate(place);
            self.events.truncate(begin);
            self.bytes = self.events.iter().map(Bytes::len).sum();
        }
        let opens = self.turns.is_empty();
        self.turns.push((number, events.len(), self.events.len()));
        for event in encode(started, opens, time, events) {
            self.bytes += event.len();
            self.events.push(event);
        }
        for event in events {
            if let EventData::OrchestrationTraced { trace } = &event.data {
                self.trace = Some(trace.clone());
            }
        }
    }

    /// Whether no turn is durable yet.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

/// The events of a turn as workers see them, those that open it included.
pub(super) fn encode(started: &ExecutionStarted, opens: bool, time: Timestamp, events: &[HistoryEvent]) -> Vec<Bytes> {
    let opening = std::iter::once(convert::orchestrator_started(time))
        .chain(opens.then(|| convert::execution_started(started, time)));
    let seen = events.iter().filter_map(convert::worker_event);
    opening.chain(seen).map(|event| event.encode_to_vec().into()).collect()
}

/// Histories of instances that rest: the one that was used last goes last.
#[derive(Default)]
pub(super) struct EncodedHistories(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_execution: HashMap<ExecutionId, (u64, Encoded)>,
    by_age: BTreeMap<u64, ExecutionId>,
    bytes: usize,
    clock: u64,
}

impl EncodedHistories {
    pub fn take(&self, execution: ExecutionId) -> Option<Encoded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(execution)
    }

    pub fn keep(&self, execution: ExecutionId, encoded: Encoded) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(execution);
        kept.clock += 1;
        let age = kept.clock;
        kept.bytes += encoded.bytes;
        kept.by_age.insert(age, execution);
        kept.by_execution.insert(execution, (age, encoded));
        while kept.bytes > KEPT_BYTES {
            let Some((_, oldest)) = kept.by_age.pop_first() else { return };
            kept.remove(oldest);
        }
    }
}

impl Kept {
    fn remove(&mut self, execution: ExecutionId) -> Option<Encoded> {
        let (age, encoded) = self.by_execution.remove(&execution)?;
        self.by_age.remove(&age);
        self.bytes -= encoded.bytes;
        Some(encoded)
    }
}
