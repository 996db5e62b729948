//! What the store was seen to do, kept apart from the store, and the promises that this must keep.
//!
//! Every operation that took effect is told here at the moment at which it did, whatever its caller gets to hear. The
//! first broken promise ends the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{
    ActivityTask, Checkpoint, ChildOutcome, CompleteActivity, CreateInstance, CreateOutcome, Demote, DispatchId,
    EventData, InstanceId, InstanceKey, Landed, LockedActivities, LockedOrchestration, MessageNumber, NodeId, Reaped,
    RequestId, SendMessage, SendOutcome, Timestamp,
};
use tokio::sync::Notify;

use crate::script::scheduled;

/// No run takes nearly as many; one that goes round in circles does, without the clock moving on.
const MOST_STEPS: u64 = 100_000;

/// Who holds a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Node(NodeId, i32),
    /// A row that the node may have given back among others.
    Perhaps(NodeId, i32),
}

/// One instance, as seen.
#[derive(Debug)]
pub struct Seen {
    id: InstanceId,
    turn: i64,
    execution: i32,
    claim: i32,
    holder: Holder,
    open: BTreeMap<DispatchId, i32>,
    /// Steps whose answer is durable, in history or in a message.
    answered: BTreeSet<DispatchId>,
    closed: BTreeSet<DispatchId>,
    consumed: BTreeSet<MessageNumber>,
    sent: BTreeSet<MessageNumber>,
    /// The ids that the orchestration gave to its steps.
    ids: BTreeMap<DispatchId, i32>,
    ended: bool,
}

/// What was seen.
#[derive(Default)]
pub struct Ledger {
    nodes: BTreeMap<NodeId, Timestamp>,
    leases: BTreeMap<NodeId, TimeDelta>,
    gone: BTreeSet<NodeId>,
    instances: BTreeMap<InstanceKey, Seen>,
    created: BTreeMap<RequestId, InstanceKey>,
    sent: BTreeSet<RequestId>,
    hash: u64,
    steps: u64,
    problem: Option<String>,
    broken: Arc<Notify>,
}

impl Ledger {
    /// The first broken promise.
    pub fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A number that tells runs apart: equal when the same things happened at the same times.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn report(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
        self.broken.notify_one();
    }

    fn expect(&mut self, promise: bool, otherwise: impl FnOnce() -> String) {
        if !promise {
            self.report(otherwise());
        }
    }

    /// Fires with the first broken promise.
    pub fn broken(&self) -> Arc<Notify> {
        Arc::clone(&self.broken)
    }

    /// Notes that something happened.
    pub fn note(&mut self, what: &str, number: i64, now: Timestamp) {
        self.steps += 1;
        self.expect(self.steps < MOST_STEPS, || "spins: it never comes to rest".to_owned());
        let bytes = what.bytes().chain(number.to_le_bytes()).chain(now.timestamp_micros().to_le_bytes());
        self.hash = bytes.fold(self.hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }

    pub fn is_live(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Who holds the row at which turn: what a careless store would take for granted.
    pub fn place(&self, key: InstanceKey) -> Option<(Option<NodeId>, i32, i64, i32)> {
        let seen = self.instances.get(&key).filter(|seen| !seen.ended)?;
        let (node, claim) = match seen.holder {
            Holder::Nobody => (None, seen.claim),
            Holder::Node(node, claim) | Holder::Perhaps(node, claim) => (Some(node), claim),
        };
        Some((node, claim, seen.turn, seen.execution))
    }

    /// The latest open step with the same id as `dispatch` has.
    pub fn namesake(&self, key: InstanceKey, dispatch: DispatchId) -> Option<DispatchId> {
        let seen = self.instances.get(&key)?;
        let id = seen.ids.get(&dispatch)?;
        seen.open.iter().rev().find(|(_, open)| *open == id).map(|(dispatch, _)| *dispatch)
    }

    /// Messages from clients that no turn has taken; each is given once.
    pub fn waiting(&mut self, key: InstanceKey) -> Vec<MessageNumber> {
        let Some(seen) = self.instances.get_mut(&key) else { return Vec::new() };
        std::mem::take(&mut seen.sent).difference(&seen.consumed).copied().collect()
    }

    /// Whether nobody waits for an activity any more.
    pub fn is_closed(&self, key: InstanceKey, dispatch: DispatchId) -> bool {
        let seen = self.instances.get(&key);
        seen.is_none_or(|seen| seen.ended || seen.closed.contains(&dispatch))
    }

    pub fn registered(&mut self, node: NodeId, lease: Duration, now: Timestamp) {
        let known = self.nodes.contains_key(&node) || self.gone.contains(&node);
        self.expect(!known, || format!("node id {node} was given twice"));
        let lease = TimeDelta::from_std(lease).unwrap_or_default();
        self.leases.insert(node, lease);
        self.nodes.insert(node, now + lease);
    }

    pub fn renewed(&mut self, node: NodeId, now: Timestamp) {
        self.expect(self.nodes.contains_key(&node), || format!("node {node} is gone and was renewed"));
        let lease = self.leases.get(&node).copied().unwrap_or_default();
        self.nodes.insert(node, now + lease);
    }

    pub fn reaped(&mut self, reaped: &Reaped, now: Timestamp) {
        for node in &reaped.nodes {
            let expired = self.nodes.get(node).is_some_and(|expires_at| *expires_at < now);
            self.expect(expired, || format!("node {node} was reaped before its time"));
            self.removed(*node);
        }
    }

    pub fn removed(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.gone.insert(node);
        for seen in self.instances.values_mut() {
            if matches!(seen.holder, Holder::Node(holder, _) | Holder::Perhaps(holder, _) if holder == node) {
                seen.holder = Holder::Nobody;
            }
        }
    }

    pub fn released_unknown(&mut self, node: NodeId, known: &[InstanceKey]) {
        for (key, seen) in &mut self.instances {
            if let Holder::Node(holder, claim) = seen.holder
                && holder == node
                && !known.contains(key)
            {
                seen.holder = Holder::Perhaps(node, claim);
            }
        }
    }

    fn born(&mut self, key: InstanceKey, id: InstanceId, holder: Option<NodeId>) {
        let seen = Seen {
            id,
            turn: 0,
            execution: 0,
            claim: 0,
            holder: holder.map_or(Holder::Nobody, |node| Holder::Node(node, 0)),
            open: BTreeMap::new(),
            answered: BTreeSet::new(),
            closed: BTreeSet::new(),
            consumed: BTreeSet::new(),
            sent: BTreeSet::new(),
            ids: BTreeMap::new(),
            ended: false,
        };
        let twice = self.instances.insert(key, seen).is_some();
        self.expect(!twice, || format!("key {key} was given twice"));
    }

    pub fn created(&mut self, request: &CreateInstance, outcome: &CreateOutcome) {
        let request_id = request.request_id.unwrap_or_default();
        let CreateOutcome::Created { key, born_claimed, .. } = outcome else {
            self.report(format!("creating {} gave {outcome:?}", request.instance_id));
            return;
        };
        match self.created.insert(request_id, *key) {
            None => self.born(*key, request.instance_id.clone(), request.born_claimed.filter(|_| *born_claimed)),
            Some(first) => {
                self.expect(first == *key, || format!("one request created {} twice", request.instance_id));
            }
        }
    }

    pub fn sent(&mut self, request: &SendMessage, outcome: &SendOutcome) {
        let request_id = request.request_id.unwrap_or_default();
        match outcome {
            SendOutcome::Sent { key, message, .. } => {
                if let Some(seen) = self.instances.get_mut(key) {
                    seen.sent.insert(message.number);
                }
                let first = self.sent.insert(request_id);
                self.expect(first, || format!("one request was sent twice to {}", request.instance_id));
            }
            SendOutcome::Terminated => self.ended(&request.instance_id),
            SendOutcome::Repeated => {
                let before = self.sent.contains(&request_id);
                let ended = self.instances.values().any(|seen| seen.id == request.instance_id && seen.ended);
                self.expect(before || ended, || format!("a first message to {} was refused", request.instance_id));
            }
            SendOutcome::Finished => {}
            SendOutcome::NotFound | SendOutcome::Rejected(_) => {
                self.report(format!("a message to {} gave {outcome:?}", request.instance_id));
            }
        }
    }

    fn ended(&mut self, id: &InstanceId) {
        for seen in self.instances.values_mut().filter(|seen| seen.id == *id) {
            seen.ended = true;
        }
    }

    pub fn locked(&mut self, node: NodeId, item: &LockedOrchestration, now: Timestamp) {
        self.expect(self.is_live(node), || format!("node {node} is gone and claimed {}", item.key));
        if item.started.instance_id.is_entity() && !self.instances.contains_key(&item.key) {
            // Its first message made it.
            self.born(item.key, item.started.instance_id.clone(), None);
        }
        let Some(seen) = self.instances.get_mut(&item.key) else {
            self.report(format!("row {} was claimed and never created", item.key));
            return;
        };
        let before = seen.holder;
        let mine = matches!(before, Holder::Node(holder, _) | Holder::Perhaps(holder, _) if holder == node);
        let free = !matches!(before, Holder::Node(..));
        let rises = item.was_held || item.claim > seen.claim;
        let stands = seen.turn == item.turn && seen.execution == item.execution && !seen.ended;
        let consumed = item.messages.iter().any(|message| seen.consumed.contains(&message.number));
        let early = item.messages.iter().any(|message| message.visible_at > now);
        if !item.was_held {
            seen.holder = Holder::Node(node, item.claim);
            seen.claim = item.claim;
        }
        let id = seen.id.clone();
        self.expect(if item.was_held { mine } else { free }, || {
            format!("{id} is held by {before:?}, claimed by {node}")
        });
        self.expect(rises, || format!("claim {} of {id} was given before", item.claim));
        self.expect(stands, || format!("{id} was handed out as it is not, at turn {}", item.turn));
        self.expect(!consumed, || format!("{id} was given a message again that a turn has taken"));
        self.expect(!early, || format!("{id} was given a message before its time"));
    }

    pub fn locked_activities(&mut self, node: NodeId, locked: &LockedActivities) {
        self.expect(self.is_live(node), || format!("node {node} is gone and claimed activities"));
        for item in &locked.items {
            let gone = self.is_closed(item.task.key, item.task.dispatch);
            self.expect(!gone, || format!("activity {} is of no use and was handed out", item.task.idempotency_key));
        }
    }

    pub fn landed(&mut self, checkpoint: &Checkpoint, landed: &Landed, now: Timestamp) {
        self.expect(self.is_live(checkpoint.node), || format!("node {} is gone and wrote", checkpoint.node));
        let Some(seen) = self.instances.get_mut(&checkpoint.key) else {
            self.report(format!("row {} was written and never created", checkpoint.key));
            return;
        };
        let problem = seen.land(checkpoint, now);
        for (child, outcome) in checkpoint.children.iter().zip(&landed.children) {
            match outcome {
                ChildOutcome::Created(key) => {
                    let holder = Some(checkpoint.node).filter(|_| child.born_claimed);
                    self.born(*key, child.instance_id.clone(), holder);
                }
                ChildOutcome::AlreadyExists => self.report(format!("{} was created twice", child.instance_id)),
            }
        }
        if let Some(problem) = problem {
            self.report(problem);
        }
    }

    pub fn demoted(&mut self, demote: &Demote) {
        self.expect(self.is_live(demote.node), || format!("node {} is gone and gave up {}", demote.node, demote.key));
        let Some(seen) = self.instances.get_mut(&demote.key) else { return };
        let held = seen.is_held(demote.node, demote.claim) && seen.turn == demote.turn;
        seen.holder = Holder::Nobody;
        seen.answered.extend(demote.completions.iter().filter_map(everdure_core::MessageBody::dispatch));
        let id = seen.id.clone();
        self.expect(held, || format!("{id} was given up by somebody who does not hold it"));
    }

    pub fn completed(&mut self, completion: &CompleteActivity) {
        self.expect(self.is_live(completion.node), || format!("node {} is gone and answered", completion.node));
        let Some(seen) = self.instances.get_mut(&completion.key) else { return };
        let Some(dispatch) = completion.body.dispatch() else { return };
        // Without a row a repeated answer is stored again, and the turn takes the first.
        let again = completion.id.is_none();
        let first = seen.answered.insert(dispatch) || seen.closed.contains(&dispatch) || again;
        let id = seen.id.clone();
        self.expect(first, || format!("step {dispatch} of {id} was answered twice"));
    }

    /// An activity begins on a process all of whose nodes are alive.
    pub fn started(&mut self, task: &ActivityTask) {
        let Some(seen) = self.instances.get(&task.key) else { return };
        let again = seen.answered.contains(&task.dispatch);
        self.expect(!again, || format!("activity {} runs though its result is stored", task.idempotency_key));
    }
}

impl Seen {
    fn is_held(&self, node: NodeId, claim: i32) -> bool {
        matches!(self.holder, Holder::Node(n, c) | Holder::Perhaps(n, c) if n == node && c == claim)
    }

    fn land(&mut self, checkpoint: &Checkpoint, now: Timestamp) -> Option<String> {
        let mut problem = None;
        let id = self.id.clone();
        let mut expect = |promise: bool, otherwise: &dyn Fn() -> String| {
            if !promise && problem.is_none() {
                problem = Some(format!("{id}: {}", otherwise()));
            }
        };
        expect(self.is_held(checkpoint.node, checkpoint.claim), &|| {
            "written by somebody who does not hold it".to_owned()
        });
        expect(self.turn == checkpoint.turn, &|| format!("turn {} was written twice", checkpoint.turn + 1));
        expect(self.execution == checkpoint.execution, &|| "written by a former execution".to_owned());
        expect(!self.ended, &|| "written after its end".to_owned());
        for number in &checkpoint.consumed {
            expect(self.consumed.insert(*number), &|| format!("message {number} was taken twice"));
        }
        for event in &checkpoint.events {
            if let Some(dispatch) = scheduled(&event.data) {
                self.ids.insert(dispatch, event.event_id);
                let new = self.open.insert(dispatch, event.event_id).is_none() && !self.closed.contains(&dispatch);
                expect(new, &|| format!("step {dispatch} was scheduled twice"));
            }
            if let Some(dispatch) = event.data.answers() {
                expect(self.open.remove(&dispatch).is_some(), &|| {
                    format!("step {dispatch} is not open and was answered")
                });
                self.answered.insert(dispatch);
                self.closed.insert(dispatch);
            }
            match &event.data {
                EventData::TaskCancelled { dispatch, .. } | EventData::TimerCancelled { dispatch, .. } => {
                    self.open.remove(dispatch);
                    self.closed.insert(*dispatch);
                }
                EventData::TimerFired { fire_at, .. } => expect(*fire_at <= now, &|| "a timer fired early".to_owned()),
                _ => {}
            }
        }
        self.turn += 1;
        if checkpoint.next_execution.is_some() {
            self.execution += 1;
            self.closed.extend(std::mem::take(&mut self.open).into_keys());
        }
        self.ended |= checkpoint.status.is_terminal();
        if !checkpoint.hold || self.ended {
            self.holder = Holder::Nobody;
        }
        problem
    }
}
