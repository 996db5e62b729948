//! A lane: gathers while a flush is under way, and keeps the operations of one instance in their order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use everdure_core::{InstanceId, NodeId};
use tokio::sync::{Mutex, mpsc};

use super::item::Item;
use super::writer::{Left, Writer};
use crate::backend::REST;

/// Operations in one transaction at most.
const MOST_ITEMS: usize = 500;
/// Payload in one transaction at most, as far as it is more than one operation.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// How often an operation whose row is not free is carried over before it runs alone.
const MOST_CARRIES: u32 = 5;

/// What a lane is told.
pub(super) enum Told {
    Item(Box<Item>),
    /// What ran alone for this instance has ended.
    Freed(InstanceId),
}

pub(super) struct Lane {
    writer: Writer,
    solo: Arc<Mutex<Writer>>,
    told: mpsc::UnboundedReceiver<Told>,
    /// To hear of the end of what runs alone. Weak: the lane ends when the committer is dropped.
    own: mpsc::WeakUnboundedSender<Told>,
    waiting: VecDeque<Item>,
    /// Something of these instances runs alone; what comes after it waits.
    alone: HashSet<InstanceId>,
}

impl Lane {
    pub fn new(
        writer: Writer,
        solo: Arc<Mutex<Writer>>,
        told: mpsc::UnboundedReceiver<Told>,
        own: mpsc::WeakUnboundedSender<Told>,
    ) -> Self {
        Self { writer, solo, told, own, waiting: VecDeque::new(), alone: HashSet::new() }
    }

    pub async fn run(mut self) {
        loop {
            let batch = self.gather();
            if batch.is_empty() {
                match tokio::time::timeout(REST, self.told.recv()).await {
                    Ok(Some(told)) => self.hear(told),
                    Ok(None) => return,
                    Err(_) => self.rest(),
                }
                self.hear_all();
                continue;
            }
            let left = self.writer.flush(batch).await;
            self.hear_all();
            self.put_back(left);
        }
    }

    /// Nothing has been written for a while.
    fn rest(&mut self) {
        self.writer.disconnect();
        if let Ok(mut solo) = self.solo.try_lock() {
            solo.disconnect();
        }
    }

    fn hear_all(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.hear(told);
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Item(item) => self.waiting.push_back(*item),
            Told::Freed(id) => {
                self.alone.remove(&id);
            }
        }
    }

    /// Takes what may go together: operations of one node or of none, each instance's in their order.
    fn gather(&mut self) -> Vec<Item> {
        let mut batch = Batch::default();
        let mut rest = VecDeque::new();
        for item in self.waiting.drain(..) {
            if self.alone.contains(&item.id) || !batch.takes(&item) {
                batch.passed.insert(item.id.clone());
                rest.push_back(item);
            } else {
                batch.push(item);
            }
        }
        self.waiting = rest;
        // Ids are created in one order everywhere, so that two transactions never wait for each other in a circle.
        batch.items.sort_by(|a, b| match (a.operation.rank(), b.operation.rank()) {
            (0, 0) => a.id.cmp(&b.id),
            (one, other) => one.cmp(&other),
        });
        batch.items
    }

    fn put_back(&mut self, left: Left) {
        let (tired, busy): (Vec<_>, Vec<_>) = left.busy.into_iter().partition(|item| item.carried >= MOST_CARRIES);
        for item in busy.into_iter().rev() {
            self.waiting.push_front(item);
        }
        // Only the first of an instance runs alone; a second one waits for it like everybody.
        for item in tired.into_iter().chain(left.contested) {
            if self.alone.insert(item.id.clone()) {
                self.run_alone(item);
            } else {
                self.waiting.push_front(item);
            }
        }
    }

    fn run_alone(&self, item: Item) {
        let (solo, own, id) = (Arc::clone(&self.solo), self.own.clone(), item.id.clone());
        tokio::spawn(async move {
            let mut left = vec![item];
            while !left.is_empty() {
                let after = solo.lock().await.flush(left).await;
                left = after.busy.into_iter().chain(after.contested).collect();
            }
            if let Some(lane) = own.upgrade() {
                // A lane that has ended has nothing that waits.
                let _ = lane.send(Told::Freed(id));
            }
        });
    }
}

/// A batch in the making.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    bytes: usize,
    node: Option<NodeId>,
    /// The kind of the last operation of each instance.
    last: HashMap<InstanceId, u8>,
    /// Instances of which something was passed over: the rest of them waits, too.
    passed: HashSet<InstanceId>,
}

impl Batch {
    fn takes(&self, item: &Item) -> bool {
        let bytes = item.operation.bytes();
        if self.items.len() >= MOST_ITEMS || (!self.items.is_empty() && self.bytes + bytes > MOST_BYTES) {
            return false;
        }
        let other_node = matches!((self.node, item.operation.node()), (Some(one), Some(other)) if one != other);
        if other_node || self.passed.contains(&item.id) {
            return false;
        }
        let rank = item.operation.rank();
        self.last.get(&item.id).is_none_or(|last| rank > *last || (rank == *last && item.operation.repeats()))
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.operation.bytes();
        self.node = self.node.or(item.operation.node());
        self.last.insert(item.id.clone(), item.operation.rank());
        self.items.push(item);
    }
}
