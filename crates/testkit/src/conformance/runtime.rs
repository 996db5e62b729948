//! Another runtime, written here with nothing but the methods of [`everdure_core::Backend`], [`OpenTurn`] and
//! [`RuntimeState`]: `docs/runtime.md` in code.
//!
//! It drives the programs of `programs.rs` in one task, step by step, so that what happens in which order is the
//! same each time. It drives them twice: giving every instance back after each turn, so that all activities have rows; and
//! keeping what it claimed, with activities of its own, where it once leaves with all that is in its memory.
//! Deliberately absent: hints, concurrency and a limit of what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use everdure_core::{
    AbandonActivity, Checkpoint, CheckpointOutcome, CompleteActivity, CompleteOutcome, CreateInstance, Demote,
    DemoteOutcome, DispatchId, HistoryEvent, InboxItem, InstanceKey, InstanceRecord, LockActivities,
    LockOrchestrations, LockedActivity, LockedOrchestration, MessageBody, NewActivity, NodeId, OpenTurn,
    OrchestrationStatus, RuntimeState, TurnActions,
};

use super::fixture::{PATIENCE, Store, create, creation, event, id, names, node, send};
use super::programs::{ACTIVITIES, STARTED, act, decide, number};

/// What the runtime remembers of an instance that it holds.
struct Resident {
    state: RuntimeState,
    claim: i32,
    seen: Vec<HistoryEvent>,
    inbox: Vec<InboxItem>,
}

struct Runtime {
    store: Store,
    node: NodeId,
    /// Whether it keeps what it claimed, and runs activities without rows.
    keeps: bool,
    residents: BTreeMap<InstanceKey, Resident>,
    /// Activities without rows that have not run yet.
    here: Vec<(InstanceKey, NewActivity)>,
    /// How often each activity ran, by what it is and its idempotency key.
    runs: BTreeMap<(String, String), u32>,
    postponed: u32,
    left: u32,
}

impl Runtime {
    async fn new(store: &Store, keeps: bool) -> Self {
        let (store, node) = (store.clone(), node(store).await);
        let (residents, here, runs) = (BTreeMap::new(), vec![], BTreeMap::new());
        Self { store, node, keeps, residents, here, runs, postponed: 0, left: 0 }
    }

    /// Works until `done` says so of the instances.
    async fn drive(&mut self, ids: &[&str], done: impl Fn(&[InstanceRecord]) -> bool) -> Vec<InstanceRecord> {
        let ids: Vec<_> = ids.iter().map(|text| id(text)).collect();
        let driven = tokio::time::timeout(PATIENCE, async {
            loop {
                let records = self.store.get_instances(ids.clone(), true).await.expect("reading instances");
                if done(&records) {
                    return records;
                }
                if !self.step().await {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        driven.await.expect("all is driven to where it should be")
    }

    /// Once through the loop; whether there was anything to do.
    async fn step(&mut self) -> bool {
        assert_eq!(self.store.renew_node(self.node).await.expect("a sign of life").node, self.node);
        let taken: Vec<_> = STARTED.iter().map(|(name, _)| *name).chain(["child"]).collect();
        let request = LockOrchestrations { node: self.node, names: names(&taken), limit: 100, messages: 1000 };
        let locked = self.store.lock_orchestrations(request).await.expect("locking orchestrations").items;
        let mut busy = !locked.is_empty();
        for item in locked {
            self.admit(item);
        }
        for key in self.residents.keys().copied().collect::<Vec<_>>() {
            self.turn(key).await;
        }
        if self.left == 0 && self.here.iter().any(|(key, _)| self.residents[key].state.started.name == "fan") {
            self.leave().await;
        }
        for (key, activity) in std::mem::take(&mut self.here) {
            busy = true;
            self.run_here(key, &activity);
        }
        let request = LockActivities { node: self.node, names: names(ACTIVITIES), limit: 10 };
        for item in self.store.lock_activities(request).await.expect("locking activities").items {
            busy = true;
            self.run_row(item).await;
        }
        busy
    }

    /// Takes what was claimed; mail goes to what is held already.
    fn admit(&mut self, item: LockedOrchestration) {
        let mail = item.messages.iter().cloned().map(InboxItem::Message);
        if item.was_held {
            self.residents.get_mut(&item.key).expect("we hold it").inbox.extend(mail);
            return;
        }
        let fresh = RuntimeState::new(item.key, item.execution, item.execution_turn, item.started);
        let state = fresh.replay(&item.history).expect("the stored history");
        let answered: Vec<DispatchId> = item.messages.iter().filter_map(|message| message.body.dispatch()).collect();
        let has_answer = |step: &DispatchId| item.activities.contains(step) || answered.contains(step);
        let again = state.open_activities().filter(|activity| !has_answer(&activity.dispatch));
        self.here.extend(again.map(|activity| (item.key, activity.clone())));
        assert!(self.keeps || self.here.is_empty(), "what is given back after each turn has rows: {:?}", self.here);
        let seen = item.history.iter().flat_map(|turn| turn.events.clone()).collect();
        self.residents.insert(item.key, Resident { state, claim: item.claim, seen, inbox: mail.collect() });
    }

    async fn turn(&mut self, key: InstanceKey) {
        let mut resident = self.residents.remove(&key).expect("a resident");
        if resident.state.started.name == "postponed" && !resident.inbox.is_empty() && self.postponed == 0 {
            self.postponed = 1;
            return self.give_up(resident, Duration::from_millis(20)).await;
        }
        let Some(turn) = OpenTurn::begin(&resident.state, &mut resident.inbox, self.store.now(), 1000) else {
            assert!(self.keeps, "what is given back is due for a reason");
            self.residents.insert(key, resident);
            return;
        };
        let mut actions = Vec::new();
        if turn.runs_user_code(&resident.state) {
            resident.seen.extend_from_slice(turn.events());
            actions = decide(&resident.state.started, &resident.seen, turn.time());
        }
        let decided = TurnActions { actions, ..TurnActions::default() };
        let mut checkpoint =
            turn.apply(&resident.state, self.node, resident.claim, decided).expect("they fit the history");
        checkpoint.hold = self.keeps && !checkpoint.status.is_terminal() && checkpoint.next_execution.is_none();
        let mut here = Vec::new();
        if checkpoint.hold {
            // Only what has a row can be abandoned.
            (checkpoint.activities, here) = checkpoint.activities.into_iter().partition(|new| new.name == "flaky");
        }
        self.write(resident, checkpoint, here).await;
    }

    async fn write(&mut self, mut resident: Resident, checkpoint: Checkpoint, here: Vec<NewActivity>) {
        match self.store.checkpoint(checkpoint.clone()).await.expect("writing a checkpoint") {
            CheckpointOutcome::Landed(_) if checkpoint.hold => {
                let key = resident.state.key;
                resident
                    .state
                    .fold(checkpoint.turn + 1, checkpoint.time, &checkpoint.events)
                    .expect("it fits the history");
                resident.seen.extend(checkpoint.events.into_iter().filter(|event| event.event_id != -1));
                // Not before the turn that scheduled them is durable.
                self.here.extend(here.into_iter().map(|activity| (key, activity)));
                self.residents.insert(key, resident);
            }
            CheckpointOutcome::Landed(_) => {}
            other => panic!("nobody else is here: {other:?}"),
        }
    }

    /// Abandons a turn: what only memory knows goes to the store, and the instance comes again later.
    async fn give_up(&mut self, resident: Resident, retry_after: Duration) {
        let (state, claim) = (resident.state, resident.claim);
        let mine: Vec<_> = self.here.extract_if(.., |(key, _)| *key == state.key).collect();
        let request = Demote {
            key: state.key,
            instance_id: state.started.instance_id.clone(),
            node: self.node,
            claim,
            turn: state.turn,
            execution: state.execution,
            activities: mine.into_iter().map(|(_, activity)| activity).collect(),
            running: vec![],
            completions: resident.inbox.into_iter().filter_map(answer_of_memory).collect(),
            retry_after: Some(retry_after),
            failure: None,
        };
        let outcome = self.store.demote(request).await.expect("giving up residency");
        assert_eq!(outcome, DemoteOutcome::Released { running: vec![] });
    }

    /// The end of this process, and the next one: what was in memory is gone, nothing of it had run.
    async fn leave(&mut self) {
        self.store.remove_node(self.node).await.expect("leaving");
        self.residents.clear();
        self.here.clear();
        self.node = node(&self.store).await;
        self.left += 1;
    }

    fn count(&mut self, instance: &str, name: &str, input: i64, idempotency_key: String) {
        *self.runs.entry((format!("{instance} {name}({input})"), idempotency_key)).or_default() += 1;
    }

    /// Without a row: the result waits in memory for the next turn.
    fn run_here(&mut self, key: InstanceKey, activity: &NewActivity) {
        let resident = self.residents.get_mut(&key).expect("it holds what it runs for");
        let (dispatch, input) = (activity.dispatch, number(activity.input.as_ref()));
        let outcome = act(&activity.name, input);
        resident.inbox.push(InboxItem::Completion { dispatch, at: self.store.now(), outcome });
        let instance = resident.state.started.instance_id.clone();
        let idempotency_key = resident.state.idempotency_key(dispatch);
        self.count(instance.as_str(), &activity.name, input, idempotency_key);
    }

    /// With a row: the result goes to the store. The first attempt at what is flaky is abandoned.
    async fn run_row(&mut self, LockedActivity { id, attempt, task }: LockedActivity) {
        let (node, input) = (self.node, number(task.input.as_ref()));
        self.count(task.instance_id.as_str(), &task.name, input, task.idempotency_key);
        if task.name == "flaky" && attempt == 1 {
            let request = AbandonActivity { id, attempt, node, retry_after: Duration::from_millis(20), failure: None };
            assert!(self.store.abandon_activity(request).await.expect("abandoning"), "it was ours");
            return;
        }
        let dispatch = task.dispatch;
        let body = match act(&task.name, input) {
            Ok(result) => MessageBody::TaskCompleted { dispatch, result },
            Err(failure) => MessageBody::TaskFailed { dispatch, failure },
        };
        let (key, instance_id, execution) = (task.key, task.instance_id, task.execution);
        let request = CompleteActivity { id: Some(id), attempt, node, key, instance_id, execution, body };
        let outcome = self.store.complete_activity(request).await.expect("completing");
        assert!(matches!(outcome, CompleteOutcome::Delivered { .. }), "nobody else is here: {outcome:?}");
    }
}

fn answer_of_memory(item: InboxItem) -> Option<MessageBody> {
    match item {
        // Waits in the store until a turn consumes it.
        InboxItem::Message(_) => None,
        InboxItem::Completion { dispatch, outcome: Ok(result), .. } => {
            Some(MessageBody::TaskCompleted { dispatch, result })
        }
        InboxItem::Completion { dispatch, outcome: Err(failure), .. } => {
            Some(MessageBody::TaskFailed { dispatch, failure })
        }
    }
}

async fn drives_all(store: &Store, keeps: bool) {
    for (name, input) in STARTED {
        create(store, CreateInstance { input: Some((*input).to_owned()), ..creation(name, name) }).await;
    }
    let mut runtime = Runtime::new(store, keeps).await;
    runtime.drive(&["event"], |records| records[0].turn == 1).await;
    send(store, "event", event("go", "41")).await;
    let ids: Vec<_> = STARTED.iter().map(|(name, _)| *name).chain(["child"]).collect();
    // `child` comes into being on the way.
    let all = ids.len();
    let ended =
        |records: &[InstanceRecord]| records.len() == all && records.iter().all(|record| record.status.is_terminal());
    let records = runtime.drive(&ids, ended).await;

    let output = |name: &str| {
        let record = records.iter().find(|record| record.instance_id == id(name)).expect("it exists");
        let failed = record.failure.as_ref().map(|failure| failure.error_type.clone());
        (record.status, record.output.clone().or(failed).unwrap_or_default(), record.execution)
    };
    for (name, expected, execution) in [
        ("chain", "8", 0),
        ("child", "12", 0),
        ("event", "42", 0),
        ("fan", "12", 0),
        ("flaky", "70", 0),
        ("generations", "3", 2),
        ("parent", "12", 0),
        ("postponed", "12", 0),
        ("timer", "10", 0),
    ] {
        assert_eq!(output(name), (OrchestrationStatus::Completed, expected.to_owned(), execution), "{name}");
    }
    assert_eq!(output("broken"), (OrchestrationStatus::Failed, "Broken".to_owned(), 0));

    // Two idempotency keys of one step would be two entries.
    let runs: Vec<_> = runtime.runs.iter().map(|((what, _), times)| (what.as_str(), *times)).collect();
    let expected = [
        ("broken broken(1)", 1),
        ("chain double(2)", 1),
        ("chain double(4)", 1),
        ("child double(3)", 1),
        ("child double(6)", 1),
        ("fan double(1)", 1),
        ("fan double(2)", 1),
        ("fan double(3)", 1),
        ("flaky flaky(7)", 2),
        ("generations next(1)", 1),
        ("generations next(2)", 1),
        ("postponed double(6)", 1),
        ("timer double(5)", 1),
    ];
    assert_eq!(runs, expected);
    assert_eq!((runtime.postponed, runtime.left), (1, u32::from(keeps)), "both happened");
    assert!(!runtime.step().await, "nothing is left to do");
    store.remove_node(runtime.node).await.expect("leaving");
}

pub async fn another_runtime_drives_whole_orchestrations(store: Store) {
    drives_all(&store, false).await;
    // Under the same ids: what has ended is replaced, and nothing of it is seen again.
    drives_all(&store, true).await;
}
