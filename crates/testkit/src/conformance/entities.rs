//! Entities: batches, answers, locks, and what is left of them.

use std::collections::BTreeMap;

use everdure_core::{
    Action, ActionKind, Checkpoint, CleanEntities, EntityAction, EntityBatchResult, EntityCaller, EntityQuery,
    EntityRecord, ExecutionId, FailureDetails, HeldEntity, InboxItem, LockedOrchestration, Message, MessageBody,
    MessageNumber, NodeId, PurgeFilter, SendMessage, SendOutcome, Timestamp,
};

use super::fixture::{
    Held, Store, claim, complete, create, creation, event, get, id, land, lock, lock_one, may_be_due, node,
};

pub(super) const COUNTER: &str = "@counter";

fn operation(name: &str, caller: Option<EntityCaller>) -> MessageBody {
    MessageBody::EntityOperation {
        request_id: format!("request {name}"),
        operation: name.to_owned(),
        input: None,
        caller,
        trace: None,
    }
}

async fn signal_at(store: &Store, entity: &str, name: &str, not_before: Option<Timestamp>) -> SendOutcome {
    let request = SendMessage { instance_id: id(entity), body: operation(name, None), request_id: None, not_before };
    store.send_message(request).await.expect("signalling an entity")
}

pub(super) async fn signal(store: &Store, entity: &str, name: &str) {
    let outcome = signal_at(store, entity, name, None).await;
    assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
}

pub(super) async fn entity(store: &Store, entity: &str) -> Option<EntityRecord> {
    store.get_entity(id(entity), true).await.expect("reading an entity")
}

/// An entity in the hands of a node.
pub(super) struct HeldHere {
    entity: HeldEntity,
    node: NodeId,
    inbox: BTreeMap<MessageNumber, Message>,
}

impl HeldHere {
    pub(super) fn new(node: NodeId, mut item: LockedOrchestration) -> Self {
        let inbox = std::mem::take(&mut item.messages).into_iter().map(|message| (message.number, message)).collect();
        Self { entity: HeldEntity::new(item), node, inbox }
    }

    /// The names of the operations that the next batch has.
    fn operations(&self) -> Vec<String> {
        let open = self.entity.open(&self.inbox, 100).unwrap_or_default();
        self.entity.batch(&open).operations.into_iter().map(|operation| operation.operation).collect()
    }

    fn checkpoint(&self, store: &Store, result: EntityBatchResult) -> Checkpoint {
        let open = self.entity.open(&self.inbox, 100).expect("there is something to do");
        self.entity.apply(open, result, self.node, store.now())
    }

    /// Runs a batch: each operation answers with its name; the state afterwards is the one given.
    pub(super) async fn run(&self, store: &Store, state: Option<&str>) -> Vec<String> {
        let operations = self.operations();
        let results = operations.iter().map(|name| Ok(Some(name.clone()))).collect();
        let result = EntityBatchResult { results, actions: Vec::new(), state: state.map(str::to_owned) };
        land(store, self.checkpoint(store, result)).await;
        operations
    }
}

pub(super) async fn hold(store: &Store, node: NodeId, name: &str) -> HeldHere {
    HeldHere::new(node, lock_one(store, node, name).await)
}

/// Claims and runs batches of entities of that name until none is due; returns the operations in their order.
pub(super) async fn run_all(store: &Store, node: NodeId, name: &str, state: Option<&str>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let items = lock(store, node, name).await;
        if items.is_empty() {
            return all;
        }
        for item in items {
            let held = HeldHere::new(node, item);
            let keep = held.entity.state.clone();
            all.extend(held.run(store, state.or(keep.as_deref())).await);
        }
    }
}

pub async fn c78_a_signal_makes_the_entity_and_order_holds(store: Store) {
    let node = node(&store).await;
    for name in ["a", "b", "c"] {
        signal(&store, "@counter@x", name).await;
    }
    let waiting = entity(&store, "@counter@x").await.expect("it is there");
    assert_eq!((waiting.exists, waiting.backlog), (false, 3), "without a state it does not exist for users");
    let held = hold(&store, node, COUNTER).await;
    assert_eq!(held.entity.state, None);
    assert_eq!(held.run(&store, Some("1")).await, ["a", "b", "c"]);
    let after = entity(&store, "@counter@x").await.expect("it is there");
    assert_eq!((after.exists, after.state.as_deref(), after.backlog), (true, Some("1"), 0));
    assert_eq!(get(&store, "@counter@x").await.map(|record| record.turn), Some(1));
    assert_eq!(lock(&store, node, COUNTER).await, [], "there is nothing left to do");
    signal(&store, "@counter@x", "d").await;
    let held = hold(&store, node, COUNTER).await;
    assert_eq!(held.entity.state.as_deref(), Some("1"), "the state comes with the claim");
    assert_eq!(held.run(&store, Some("2")).await, ["d"]);
}

pub async fn c81_a_delayed_signal_is_not_early(store: Store) {
    let node = node(&store).await;
    let due = store.now() + chrono::TimeDelta::seconds(1);
    signal_at(&store, "@counter@x", "later", Some(due)).await;
    assert_eq!(lock(&store, node, COUNTER).await, [], "it is not due");
    assert!(!entity(&store, "@counter@x").await.expect("a row").exists);
    let held = hold(&store, node, COUNTER).await;
    assert!(may_be_due(&store, due), "not before its time");
    assert_eq!(held.run(&store, Some("1")).await, ["later"]);
}

pub async fn an_event_does_not_reach_an_entity(store: Store) {
    signal(&store, "@counter@x", "a").await;
    let request =
        SendMessage { instance_id: id("@counter@x"), body: event("e", "1"), request_id: None, not_before: None };
    assert_eq!(store.send_message(request).await.expect("sending"), SendOutcome::NotFound);
}

pub async fn bug_23_a_signal_sent_twice_counts_once(store: Store) {
    let node = node(&store).await;
    let request = SendMessage {
        instance_id: id("@counter@x"),
        body: operation("once", None),
        request_id: Some(uuid::Uuid::new_v4()),
        not_before: None,
    };
    store.send_message(request.clone()).await.expect("sending");
    assert_eq!(store.send_message(request).await.expect("sending again"), SendOutcome::Repeated);
    assert_eq!(hold(&store, node, COUNTER).await.operations(), ["once"]);
}

pub(super) fn call(action: i32, entity: &str, name: &str) -> Action {
    let kind = ActionKind::CallEntity {
        request_id: format!("request {name}"),
        target: id(entity),
        operation: name.to_owned(),
        input: None,
        not_before: None,
        trace: None,
    };
    Action { id: action, kind }
}

pub(super) fn lock_entities(action: i32, section: &str, entities: &[&str]) -> Action {
    let lock_set = entities.iter().map(|entity| id(entity)).collect();
    Action { id: action, kind: ActionKind::LockEntities { critical_section: section.to_owned(), lock_set } }
}

fn unlock(action: i32, section: &str, entity: &str) -> Action {
    let kind = ActionKind::UnlockEntity { critical_section: section.to_owned(), target: id(entity) };
    Action { id: action, kind }
}

/// An orchestration that a node of its own holds.
pub(super) async fn start(store: &Store, instance: &str, actions: Vec<Action>) -> Held {
    let node = node(store).await;
    create(store, creation(instance, instance)).await;
    let mut held = claim(store, node, instance).await;
    held.checkpoint(store, actions, true).await;
    held
}

/// What came for an orchestration: what an entity writes is there as soon as its batch is.
pub(super) async fn answers(store: &Store, held: &mut Held) -> Vec<MessageBody> {
    held.mail(store).await;
    let bodies = held.inbox.iter().filter_map(|item| match item {
        InboxItem::Message(message) => Some(message.body.clone()),
        InboxItem::Completion { .. } => None,
    });
    bodies.collect()
}

pub async fn c79_a_call_is_answered_or_fails(store: Store) {
    let node = node(&store).await;
    let mut caller = start(&store, "caller", vec![call(1, "@counter@x", "add"), call(2, "@counter@x", "boom")]).await;
    let held = hold(&store, node, COUNTER).await;
    assert_eq!(held.operations(), ["add", "boom"]);
    let failure = FailureDetails::new("Boom", "it went wrong");
    let results = vec![Ok(Some("5".to_owned())), Err(failure.clone())];
    let result = EntityBatchResult { results, actions: Vec::new(), state: Some("5".to_owned()) };
    land(&store, held.checkpoint(&store, result)).await;
    let answers = answers(&store, &mut caller).await;
    assert!(
        matches!(&answers[..], [
            MessageBody::EntityOperationCompleted { output: Some(output), request_id: one, .. },
            MessageBody::EntityOperationFailed { failure: told, .. },
        ] if output == "5" && one == "request add" && *told == failure),
        "{answers:?}"
    );
    caller.checkpoint(&store, complete("1"), false).await;
}

pub async fn c87_what_a_batch_did_not_run_stays_first(store: Store) {
    let node = node(&store).await;
    for name in ["a", "b", "c"] {
        signal(&store, "@counter@x", name).await;
    }
    let held = hold(&store, node, COUNTER).await;
    let result = EntityBatchResult { results: vec![Ok(None)], actions: Vec::new(), state: Some("1".to_owned()) };
    land(&store, held.checkpoint(&store, result)).await;
    signal(&store, "@counter@x", "d").await;
    assert_eq!(hold(&store, node, COUNTER).await.operations(), ["b", "c", "d"]);
}

pub async fn c82_an_entity_signals_and_starts(store: Store) {
    let node = node(&store).await;
    signal(&store, "@counter@x", "go").await;
    let held = hold(&store, node, COUNTER).await;
    let actions = vec![
        EntityAction::Signal {
            target: id("@other@y"),
            request_id: "r".to_owned(),
            operation: "hello".to_owned(),
            input: None,
            not_before: None,
            trace: None,
        },
        EntityAction::Start {
            instance_id: id("started"),
            execution_id: ExecutionId::from_uuid(uuid::Uuid::new_v4()),
            name: "o".to_owned(),
            version: None,
            input: Some("7".to_owned()),
            scheduled_start: None,
            trace: None,
        },
    ];
    land(&store, held.checkpoint(&store, EntityBatchResult { results: vec![Ok(None)], actions, state: None })).await;
    assert_eq!(hold(&store, node, "@other").await.operations(), ["hello"]);
    let started = claim(&store, node, "o").await;
    assert_eq!((started.state.started.input.as_deref(), &started.state.started.parent), (Some("7"), &None));
}

pub async fn bug_02_a_stale_batch_is_lost(store: Store) {
    let (first, second) = (node(&store).await, node(&store).await);
    signal(&store, "@counter@x", "a").await;
    let stale = hold(&store, first, COUNTER).await;
    store.remove_node(first).await.expect("leaving");
    let held = hold(&store, second, COUNTER).await;
    held.run(&store, Some("second")).await;
    let result = EntityBatchResult { results: vec![Ok(None)], actions: Vec::new(), state: Some("first".into()) };
    let outcome = store.checkpoint(stale.checkpoint(&store, result)).await;
    assert!(
        matches!(outcome, Ok(everdure_core::CheckpointOutcome::Lost) | Err(everdure_core::BackendError::NodeGone)),
        "{outcome:?}"
    );
    assert_eq!(entity(&store, "@counter@x").await.and_then(|entity| entity.state).as_deref(), Some("second"));
}

pub async fn c84_others_wait_while_the_owner_works(store: Store) {
    let node = node(&store).await;
    let mut owner = start(&store, "owner", vec![lock_entities(1, "cs", &["@counter@a", "@counter@b"])]).await;
    signal(&store, "@counter@a", "before").await;
    run_all(&store, node, COUNTER, Some("0")).await;
    let granted = answers(&store, &mut owner).await;
    assert!(matches!(&granted[..], [MessageBody::EntityLockGranted { .. }]), "{granted:?}");
    let locked = entity(&store, "@counter@b").await.expect("it is there");
    assert_eq!(locked.locked_by, Some(id("owner")), "c83: the instance that holds the lock");

    signal(&store, "@counter@a", "foreign 1").await;
    signal(&store, "@counter@a", "foreign 2").await;
    assert_eq!(run_all(&store, node, COUNTER, None).await, Vec::<String>::new(), "they wait");
    assert_eq!(lock(&store, node, COUNTER).await, [], "and nothing spins meanwhile");
    assert_eq!(entity(&store, "@counter@a").await.map(|entity| entity.backlog), Some(3), "the early one waits, too");
    owner.checkpoint(&store, vec![call(2, "@counter@a", "mine")], true).await;
    assert_eq!(run_all(&store, node, COUNTER, None).await, ["mine"]);

    let _ = answers(&store, &mut owner).await;
    let gives_back = vec![unlock(3, "cs", "@counter@a"), unlock(4, "cs", "@counter@b")];
    owner.checkpoint(&store, gives_back, true).await;
    assert_eq!(run_all(&store, node, COUNTER, None).await, ["before", "foreign 1", "foreign 2"], "in their order");
    assert_eq!(entity(&store, "@counter@a").await.and_then(|entity| entity.locked_by), None);
}

pub async fn c83_locks_are_given_in_turn_and_never_cross(store: Store) {
    let node = node(&store).await;
    let set = ["@counter@a", "@counter@b"];
    let mut first = start(&store, "first", vec![lock_entities(1, "one", &set)]).await;
    run_all(&store, node, COUNTER, Some("0")).await;
    let mut second = start(&store, "second", vec![lock_entities(1, "two", &set)]).await;
    run_all(&store, node, COUNTER, None).await;
    assert!(matches!(answers(&store, &mut first).await[..], [MessageBody::EntityLockGranted { .. }]));
    second.mail(&store).await;
    assert!(second.inbox.is_empty(), "the second one waits");
    // The first one ends: what it had locked is free.
    first.checkpoint(&store, complete("1"), false).await;
    run_all(&store, node, COUNTER, None).await;
    assert!(matches!(answers(&store, &mut second).await[..], [MessageBody::EntityLockGranted { .. }]));
    assert_eq!(entity(&store, "@counter@b").await.and_then(|entity| entity.locked_by), Some(id("second")));
    second.checkpoint(&store, complete("1"), false).await;
    run_all(&store, node, COUNTER, None).await;
    for name in set {
        assert_eq!(entity(&store, name).await.and_then(|entity| entity.locked_by), None, "{name}");
    }
}

pub async fn rule_13_a_granted_lock_without_an_owner_is_given_back(store: Store) {
    let node = node(&store).await;
    let mut owner = start(&store, "owner", vec![lock_entities(1, "cs", &["@counter@a", "@counter@b"])]).await;
    // It ends before anything is locked, and its unlocking comes first to the second entity.
    owner.inbox.push(InboxItem::Message(Message {
        number: MessageNumber(0),
        execution: None,
        sent_at: store.now(),
        visible_at: store.now(),
        body: event("end", "1"),
    }));
    let mut end = owner.turn(&store, complete("1"));
    end.consumed.clear();
    land(&store, end).await;
    run_all(&store, node, COUNTER, None).await;
    for name in ["@counter@a", "@counter@b"] {
        let left = entity(&store, name).await;
        assert!(left.as_ref().is_none_or(|entity| entity.locked_by.is_none()), "{left:?}");
    }
}

pub async fn c83_ending_an_owner_directly_frees_its_entities(store: Store) {
    let first = node(&store).await;
    let mut owner = start(&store, "owner", vec![lock_entities(1, "cs", &["@counter@a"])]).await;
    run_all(&store, first, COUNTER, Some("0")).await;
    let _ = answers(&store, &mut owner).await;
    owner.checkpoint(&store, vec![], false).await;
    assert_eq!(entity(&store, "@counter@a").await.and_then(|entity| entity.locked_by), Some(id("owner")));
    let terminated = super::fixture::send(&store, "owner", super::fixture::terminate("enough")).await;
    assert_eq!(terminated, SendOutcome::Terminated, "nobody held it");
    run_all(&store, first, COUNTER, None).await;
    assert_eq!(entity(&store, "@counter@a").await.and_then(|entity| entity.locked_by), None);

    let mut owner = start(&store, "purged", vec![lock_entities(1, "cs", &["@counter@a"])]).await;
    run_all(&store, first, COUNTER, None).await;
    let _ = answers(&store, &mut owner).await;
    let filter = PurgeFilter::Instances { ids: vec![id("purged")], force: true, recurse: false };
    store.purge_instances(filter).await.expect("purging");
    run_all(&store, first, COUNTER, None).await;
    assert_eq!(entity(&store, "@counter@a").await.and_then(|entity| entity.locked_by), None);
}

pub async fn c85_an_entity_without_a_state_is_gone(store: Store) {
    let node = node(&store).await;
    signal(&store, "@counter@x", "make").await;
    hold(&store, node, COUNTER).await.run(&store, Some("1")).await;
    signal(&store, "@counter@x", "delete").await;
    let held = hold(&store, node, COUNTER).await;
    land(
        &store,
        held.checkpoint(&store, EntityBatchResult { results: vec![Ok(None)], ..EntityBatchResult::default() }),
    )
    .await;
    assert_eq!(entity(&store, "@counter@x").await, None);
    let request = CleanEntities { remove_empty: true, release_orphaned_locks: true, limit: 100, after: None };
    let cleaned = store.clean_entities(request).await.expect("tidying up");
    assert_eq!((cleaned.removed, cleaned.released, cleaned.next), (0, 0, None));
    signal(&store, "@counter@x", "again").await;
    assert_eq!(hold(&store, node, COUNTER).await.entity.state, None, "it begins anew");
}

pub async fn clean_entities_releases_orphaned_locks(store: Store) {
    let node = node(&store).await;
    let owner = EntityCaller {
        key: everdure_core::InstanceKey(i64::MAX - 1),
        execution: 0,
        instance_id: id("nobody"),
        execution_id: ExecutionId::from_uuid(uuid::Uuid::new_v4()),
        dispatch: None,
    };
    let body = MessageBody::EntityLockRequested {
        critical_section: "cs".to_owned(),
        lock_set: vec![id("@counter@x")],
        position: 0,
        owner,
    };
    let request = SendMessage { instance_id: id("@counter@x"), body, request_id: None, not_before: None };
    store.send_message(request).await.expect("asking for a lock");
    run_all(&store, node, COUNTER, Some("1")).await;
    assert_eq!(entity(&store, "@counter@x").await.and_then(|entity| entity.locked_by), Some(id("nobody")));
    let request = CleanEntities { remove_empty: true, release_orphaned_locks: true, limit: 100, after: None };
    assert_eq!(store.clean_entities(request).await.expect("tidying up").released, 1);
    run_all(&store, node, COUNTER, None).await;
    assert_eq!(entity(&store, "@counter@x").await.and_then(|entity| entity.locked_by), None);
}

pub async fn c86_entities_are_listed_page_by_page(store: Store) {
    let node = node(&store).await;
    for number in 0..5 {
        signal(&store, &format!("@counter@{number}"), "make").await;
    }
    signal(&store, "@account@1", "make").await;
    create(&store, creation("an orchestration", "o")).await;
    run_all(&store, node, COUNTER, Some("1")).await;
    let query = EntityQuery { id_prefix: Some("@counter@".into()), page_size: 2, ..EntityQuery::default() };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.query_entities(EntityQuery { after, ..query.clone() }).await.expect("a page");
        found.extend(page.entities.iter().map(|entity| entity.instance_id.to_string()));
        assert!(page.entities.iter().all(|entity| entity.state.is_none()), "states were not asked for");
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, ["@counter@0", "@counter@1", "@counter@2", "@counter@3", "@counter@4"]);
    let count = |query: EntityQuery| async { store.query_entities(query).await.expect("a page").entities.len() };
    let all = EntityQuery { page_size: 100, ..EntityQuery::default() };
    assert_eq!(count(all.clone()).await, 5, "one has no state yet");
    assert_eq!(count(EntityQuery { include_transient: true, ..all.clone() }).await, 6);
    let later = Some(store.now() + chrono::TimeDelta::hours(1));
    assert_eq!(count(EntityQuery { updated_from: later, ..all.clone() }).await, 0);
    assert_eq!(count(EntityQuery { updated_to: later, include_state: true, ..all }).await, 5);
    let query = everdure_core::InstanceQuery { page_size: 100, ..everdure_core::InstanceQuery::default() };
    assert_eq!(store.query_instances(query.clone()).await.expect("a page").instances.len(), 1, "c70: no entities");
    assert_eq!(store.count_instances(query, 100).await.expect("a count"), 1);
}

pub async fn bug_32_many_owners_take_the_same_locks_in_turn(store: Store) {
    let node = node(&store).await;
    let set = ["@counter@a", "@counter@b", "@counter@c"];
    let mut owners = Vec::new();
    for number in 0..8 {
        let (name, section) = (format!("owner {number}"), format!("cs {number}"));
        owners.push(start(&store, &name, vec![lock_entities(1, &section, &set)]).await);
    }
    for _ in 0..8 {
        run_all(&store, node, COUNTER, Some("0")).await;
        let mut granted = None;
        for (place, owner) in owners.iter_mut().enumerate() {
            if !answers(&store, owner).await.is_empty() {
                assert_eq!(granted.replace(place), None, "two owners are in the section at once");
            }
        }
        let place = granted.expect("the section is free, and somebody waits for it");
        owners.remove(place).checkpoint(&store, complete("1"), false).await;
    }
}
