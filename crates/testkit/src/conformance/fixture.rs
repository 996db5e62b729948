//! Short ways to do what an engine does, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{
    Action, ActionKind, Backend, Checkpoint, CheckpointOutcome, CreateInstance, CreateOutcome, DispatchId, ExecutionId,
    InboxItem, InstanceId, InstanceKey, InstanceRecord, Landed, LockOrchestrations, LockedOrchestration, MessageBody,
    NameFilter, NodeId, OpenTurn, RegisterNode, ReusePolicy, RuntimeState, SendMessage, SendOutcome, Tags, Timestamp,
    TurnActions,
};

pub type Store = Arc<dyn Backend>;

/// How long to wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How far a store's clock may be behind its database: it is an estimate, and does not count the time of one answer.
const LAG: TimeDelta = TimeDelta::milliseconds(250);

/// Whether what is due at `at` may come by now.
pub fn may_be_due(store: &Store, at: Timestamp) -> bool {
    store.now() >= at - LAG
}

pub fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

pub fn names(names: &[&str]) -> Vec<NameFilter> {
    names.iter().map(|name| NameFilter { name: (*name).to_owned(), version: None }).collect()
}

pub fn creation(instance_id: &str, name: &str) -> CreateInstance {
    CreateInstance {
        instance_id: id(instance_id),
        execution_id: ExecutionId::from_uuid(uuid::Uuid::new_v4()),
        name: name.to_owned(),
        version: None,
        input: Some("\"input\"".to_owned()),
        tags: Tags::new(),
        scheduled_start: None,
        reuse: ReusePolicy::ReplaceFinished,
        request_id: None,
        born_claimed: None,
        trace: None,
    }
}

pub async fn create(store: &Store, request: CreateInstance) -> InstanceKey {
    match store.create_instance(request).await.expect("creating an instance") {
        CreateOutcome::Created { key, .. } => key,
        other => panic!("not created: {other:?}"),
    }
}

pub async fn node(store: &Store) -> NodeId {
    node_with_lease(store, Duration::from_secs(60)).await
}

pub async fn node_with_lease(store: &Store, lease: Duration) -> NodeId {
    store.register_node(RegisterNode { lease, address: None }).await.expect("registering a node").node
}

pub fn request(node: NodeId, orchestrations: &[&str]) -> LockOrchestrations {
    LockOrchestrations { node, names: names(orchestrations), limit: 100, messages: 1000 }
}

/// What `node` is offered now.
pub async fn lock(store: &Store, node: NodeId, orchestration: &str) -> Vec<LockedOrchestration> {
    store.lock_orchestrations(request(node, &[orchestration])).await.expect("locking orchestrations").items
}

/// Waits until `node` is offered exactly one instance.
pub async fn lock_one(store: &Store, node: NodeId, orchestration: &str) -> LockedOrchestration {
    let mut found = until_some("an orchestration is due", || async {
        Some(lock(store, node, orchestration).await).filter(|items| !items.is_empty())
    })
    .await;
    assert_eq!(found.len(), 1, "one instance is due, not {found:?}");
    found.remove(0)
}

/// Polls `condition` until it holds; panics with `what` when it does not in time.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    until_some(what, || async { condition().await.then_some(()) }).await;
}

/// Polls until there is something; panics with `what` when there is nothing in time.
pub async fn until_some<T, F: Future<Output = Option<T>>>(what: &str, poll: impl Fn() -> F) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = poll().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// An instance in the hands of a node: the state that an engine keeps.
pub struct Held {
    pub state: RuntimeState,
    pub node: NodeId,
    pub claim: i32,
    pub inbox: Vec<InboxItem>,
}

impl Held {
    pub fn new(node: NodeId, item: LockedOrchestration) -> Self {
        assert!(!item.was_held, "a fresh claim");
        let state = RuntimeState::new(item.key, item.execution, item.execution_turn, item.started)
            .replay(&item.history)
            .expect("the stored history");
        assert_eq!(state.turn, item.turn, "the last turn of the history is the turn of the row");
        let inbox = item.messages.into_iter().map(InboxItem::Message).collect();
        Self { state, node, claim: item.claim, inbox }
    }

    /// The checkpoint of a turn that sees the inbox and takes `actions`.
    pub fn turn(&mut self, store: &Store, actions: Vec<Action>) -> Checkpoint {
        let turn = OpenTurn::begin(&self.state, &mut self.inbox, store.now(), 1000).expect("there is something to see");
        turn.apply(&self.state, self.node, self.claim, TurnActions { actions, ..TurnActions::default() })
            .expect("the actions fit the history")
    }

    /// Takes the mail that waits for it.
    pub async fn mail(&mut self, store: &Store) {
        let name = self.state.started.name.clone();
        let all = lock(store, self.node, &name).await;
        let mine = all.into_iter().filter(|item| item.was_held && item.key == self.state.key);
        for message in mine.flat_map(|item| item.messages) {
            // What is there already is repeated until a turn has taken it.
            let known = |item: &InboxItem| matches!(item, InboxItem::Message(old) if old.number == message.number);
            if !self.inbox.iter().any(known) {
                self.inbox.push(InboxItem::Message(message));
            }
        }
    }

    /// Writes a turn and takes it into the state.
    pub async fn checkpoint(&mut self, store: &Store, actions: Vec<Action>, hold: bool) -> Landed {
        let checkpoint = Checkpoint { hold, ..self.turn(store, actions) };
        let landed = land(store, checkpoint.clone()).await;
        self.state
            .fold(checkpoint.turn + 1, checkpoint.time, &checkpoint.events)
            .expect("what was written fits the history");
        landed
    }
}

pub async fn land(store: &Store, checkpoint: Checkpoint) -> Landed {
    match store.checkpoint(checkpoint).await.expect("writing a checkpoint") {
        CheckpointOutcome::Landed(landed) => landed,
        other => panic!("did not land: {other:?}"),
    }
}

pub async fn claim(store: &Store, node: NodeId, orchestration: &str) -> Held {
    Held::new(node, lock_one(store, node, orchestration).await)
}

pub async fn get(store: &Store, instance_id: &str) -> Option<InstanceRecord> {
    store.get_instances(vec![id(instance_id)], true).await.expect("reading an instance").pop()
}

pub async fn send(store: &Store, instance_id: &str, body: MessageBody) -> SendOutcome {
    let request = SendMessage { instance_id: id(instance_id), body, request_id: None, not_before: None };
    store.send_message(request).await.expect("sending a message")
}

pub fn event(name: &str, input: &str) -> MessageBody {
    MessageBody::EventRaised { name: name.to_owned(), input: Some(input.to_owned()) }
}

pub fn terminate(reason: &str) -> MessageBody {
    MessageBody::ExecutionTerminated { reason: Some(reason.to_owned()), recurse: false }
}

/// The inputs of the events among `inbox`, in order.
pub fn event_inputs(inbox: &[InboxItem]) -> Vec<String> {
    inbox
        .iter()
        .filter_map(|item| match item {
            InboxItem::Message(message) => match &message.body {
                MessageBody::EventRaised { input, .. } => input.clone(),
                _ => None,
            },
            InboxItem::Completion { .. } => None,
        })
        .collect()
}

pub fn complete(result: &str) -> Vec<Action> {
    vec![Action { id: 0, kind: ActionKind::Complete { result: Some(result.to_owned()) } }]
}

pub fn fail(error_type: &str, message: &str) -> Vec<Action> {
    let failure = everdure_core::FailureDetails::new(error_type, message);
    vec![Action { id: 0, kind: ActionKind::Fail { failure } }]
}

pub fn task(id: i32, name: &str) -> Action {
    let input = Some("\"for the activity\"".to_owned());
    Action {
        id,
        kind: ActionKind::ScheduleTask { name: name.to_owned(), version: None, input, tags: Tags::new(), trace: None },
    }
}

pub fn timer(id: i32, fire_at: Timestamp) -> Action {
    Action { id, kind: ActionKind::CreateTimer { fire_at } }
}

pub fn child(id_of_action: i32, name: &str, instance_id: &str) -> Action {
    Action {
        id: id_of_action,
        kind: ActionKind::CreateSubOrchestration {
            name: name.to_owned(),
            version: None,
            instance_id: Some(id(instance_id)),
            input: None,
            tags: Tags::new(),
            trace: None,
            forget: false,
        },
    }
}

pub fn continue_as_new(carry_over: Vec<(String, Option<String>)>) -> Vec<Action> {
    let kind = ActionKind::ContinueAsNew { input: Some("\"again\"".to_owned()), version: None, carry_over };
    vec![Action { id: 0, kind }]
}

pub fn dispatch(turn: i64, index: u32) -> DispatchId {
    DispatchId { turn, index }
}

/// Runs a fresh instance to its end.
pub async fn run_to_end(store: &Store, node: NodeId, orchestration: &str) {
    claim(store, node, orchestration).await.checkpoint(store, complete("1"), false).await;
}
