//! `rewind_instances`, as `everdure_engine::rewind` uses it: a failure is taken back, and nothing else.

use chrono::TimeDelta;
use everdure_core::{
    Action, CompleteActivity, FailureDetails, InboxItem, LockActivities, Message, MessageBody, NodeId,
    OrchestrationStatus, PurgeFilter,
};
use everdure_engine::{RewindOutcome, rewind};

use super::entities::{COUNTER, HeldHere, call, lock_entities, run_all};
use super::fixture::{
    Held, Store, child, claim, complete, create, creation, dispatch, event, fail, get, id, lock, names, node, send,
    task, terminate, timer,
};

async fn rewound(store: &Store, name: &str) -> usize {
    match rewind(store.as_ref(), &id(name), Some("the bank is back")).await.expect("an answer") {
        RewindOutcome::Rewound(instances) => instances,
        other => panic!("not rewound: {other:?}"),
    }
}

async fn status(store: &Store, name: &str) -> Option<OrchestrationStatus> {
    get(store, name).await.map(|record| record.status)
}

fn bodies(held: &Held) -> Vec<MessageBody> {
    let messages = held.inbox.iter().filter_map(|item| match item {
        InboxItem::Message(Message { body, .. }) => Some(body.clone()),
        InboxItem::Completion { .. } => None,
    });
    messages.collect()
}

/// Ends the activity with a row that waits, with that outcome.
async fn run_activity(store: &Store, node: NodeId, failure: Option<&str>) {
    let request = LockActivities { node, names: names(&["a"]), limit: 1 };
    let got = store.lock_activities(request).await.expect("claiming").items.remove(0);
    let (key, instance_id, execution) = (got.task.key, got.task.instance_id, got.task.execution);
    let dispatch = got.task.dispatch;
    let body = match failure {
        Some(text) => MessageBody::TaskFailed { dispatch, failure: FailureDetails::new("Io", text) },
        None => MessageBody::TaskCompleted { dispatch, result: Some("1".into()) },
    };
    let completion =
        CompleteActivity { id: Some(got.id), attempt: got.attempt, node, key, instance_id, execution, body };
    store.complete_activity(completion).await.expect("delivered");
}

pub async fn a_failed_activity_runs_again(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    let mut held = claim(&store, node, "o").await;
    let late = store.now() + TimeDelta::days(1);
    held.checkpoint(&store, vec![task(0, "a"), timer(1, late)], false).await;
    for round in 1..=2 {
        run_activity(&store, node, Some("no bank")).await;
        let mut held = claim(&store, node, "o").await;
        send(&store, "i", event("e", "1")).await;
        held.mail(&store).await;
        held.checkpoint(&store, fail("Io", "no bank"), false).await;
        let before = get(&store, "i").await.expect("it exists");
        assert_eq!((before.status, rewound(&store, "i").await), (OrchestrationStatus::Failed, 1));
        let after = get(&store, "i").await.expect("it exists");
        assert_eq!((after.status, after.failure, after.completed_at), (OrchestrationStatus::Running, None, None));
        assert_eq!((after.turn, after.execution_id), (before.turn + 1, before.execution_id.rewound()));
        let held = claim(&store, node, "o").await;
        let events = bodies(&held);
        assert_eq!(events.len(), round, "what it saw comes again: {events:?}");
        assert!(events.iter().all(|body| matches!(body, MessageBody::EventRaised { .. })), "{events:?}");
        let open: Vec<_> = held.state.open_dispatches().map(|(dispatch, _)| dispatch).collect();
        assert_eq!(open, [dispatch(1, 0), dispatch(1, 1)], "activity and timer are open");
        // An engine would run it here; a row lets the next round run it.
        let activities = held.state.open_activities().cloned().collect();
        let again = everdure_core::Demote { activities, ..super::checkpoints::demotion(&held, None) };
        store.demote(again).await.expect("given back");
    }
    run_activity(&store, node, None).await;
    claim(&store, node, "o").await.checkpoint(&store, complete("2"), false).await;
    let (record, turns) = store.get_history(id("i"), None).await.expect("an answer").expect("it exists");
    assert_eq!(record.output.as_deref(), Some("2"));
    let notes = turns.iter().flat_map(|turn| &turn.events).filter(|event| event.data.type_name() == "ExecutionRewound");
    assert_eq!(notes.count(), 2);
}

pub async fn what_failed_in_its_first_turn_begins_anew(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    send(&store, "i", event("e", "1")).await;
    claim(&store, node, "o").await.checkpoint(&store, fail("Bug", "oh"), false).await;
    assert_eq!(rewound(&store, "i").await, 1);
    let mut held = claim(&store, node, "o").await;
    assert_eq!((bodies(&held).len(), held.state.turn == held.state.execution_turn), (1, true));
    held.checkpoint(&store, complete("1"), false).await;
    assert_eq!(status(&store, "i").await, Some(OrchestrationStatus::Completed));
}

pub async fn only_what_has_failed_is_rewound(store: Store) {
    let node = node(&store).await;
    let outcome = async |name: &str| rewind(store.as_ref(), &id(name), None).await.expect("an answer");
    assert_eq!(outcome("nobody").await, RewindOutcome::NotFound);
    create(&store, creation("i", "o")).await;
    assert_eq!(outcome("i").await, RewindOutcome::NotFailed(OrchestrationStatus::Pending));
    claim(&store, node, "o").await.checkpoint(&store, complete("1"), false).await;
    assert_eq!(outcome("i").await, RewindOutcome::NotFailed(OrchestrationStatus::Completed));
}

/// A parent with four children: one completes, one fails, one lives on, one is purged; then the parent fails.
pub async fn children_are_rewound_answered_awaited_or_created_again(store: Store) {
    let node = node(&store).await;
    create(&store, creation("parent", "p")).await;
    let children = ["completed", "failed", "lives", "purged"];
    let asked = children.iter().zip(0..).map(|(name, number)| child(number, name, name)).collect();
    claim(&store, node, "p").await.checkpoint(&store, asked, false).await;
    claim(&store, node, "failed").await.checkpoint(&store, fail("Io", "no"), false).await;
    claim(&store, node, "lives").await.checkpoint(&store, vec![], false).await;
    let mut parent = claim(&store, node, "p").await;
    parent.checkpoint(&store, fail("Child", "failed"), false).await;
    claim(&store, node, "completed").await.checkpoint(&store, complete("7"), false).await;
    let purge = PurgeFilter::instance(id("purged"), true);
    assert_eq!(store.purge_instances(purge).await.expect("purged").purged, 1);

    assert_eq!(rewound(&store, "parent").await, 2, "the parent and the failed one");
    assert_eq!(status(&store, "failed").await, Some(OrchestrationStatus::Pending), "it failed in its first turn");
    assert_eq!(status(&store, "purged").await, Some(OrchestrationStatus::Pending), "created again");
    assert_eq!(status(&store, "completed").await, Some(OrchestrationStatus::Completed));
    let mut parent = claim(&store, node, "p").await;
    assert!(
        matches!(&bodies(&parent)[..], [MessageBody::SubOrchestrationInstanceCompleted { dispatch: step, result }]
        if *step == dispatch(1, 0) && result.as_deref() == Some("7")),
        "{:?}",
        parent.inbox
    );
    parent.checkpoint(&store, vec![], false).await;
    for name in ["failed", "purged"] {
        claim(&store, node, name).await.checkpoint(&store, complete("1"), false).await;
        let mut parent = claim(&store, node, "p").await;
        assert_eq!(bodies(&parent).len(), 1, "{name} tells its parent");
        parent.checkpoint(&store, vec![], false).await;
    }
    send(&store, "lives", terminate("enough")).await;
    let mut parent = claim(&store, node, "p").await;
    assert!(matches!(&bodies(&parent)[..], [MessageBody::SubOrchestrationInstanceFailed { .. }]), "{:?}", parent.inbox);
    parent.checkpoint(&store, complete("2"), false).await;
    assert_eq!(status(&store, "parent").await, Some(OrchestrationStatus::Completed));
}

pub async fn a_rewinding_that_was_overtaken_changes_nothing(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    claim(&store, node, "o").await.checkpoint(&store, fail("Bug", "oh"), false).await;
    let all = (0..5).map(|_| rewind(store.as_ref(), &OWN, None));
    let outcomes = futures::future::join_all(all).await;
    let rewound = outcomes.iter().filter(|outcome| matches!(outcome, Ok(RewindOutcome::Rewound(1)))).count();
    let others = outcomes.iter().filter(|outcome| matches!(outcome, Ok(RewindOutcome::NotFailed(_)))).count();
    assert_eq!((rewound, others), (1, 4), "{outcomes:?}");
}

static OWN: std::sync::LazyLock<everdure_core::InstanceId> = std::sync::LazyLock::new(|| id("i"));

/// Rewinds an instance whose turn failed beside these actions that concern entities.
async fn failed_beside(store: &Store, actions: Vec<Action>) -> Held {
    let mut held = super::entities::start(store, "i", actions).await;
    send(store, "i", event("e", "1")).await;
    held.mail(store).await;
    held.checkpoint(store, fail("Io", "no bank"), false).await;
    held
}

pub async fn a_call_whose_answer_was_lost_fails_and_no_other(store: Store) {
    let node = node(&store).await;
    failed_beside(&store, vec![call(1, "@counter@a", "ran"), call(2, "@counter@b", "waits")]).await;
    let items = lock(&store, node, COUNTER).await;
    assert_eq!(items.len(), 2);
    for item in items.into_iter().filter(|item| item.started.instance_id.as_str() == "@counter@a") {
        HeldHere::new(node, item).run(&store, Some("1")).await;
    }
    rewound(&store, "i").await;
    let mut held = claim(&store, node, "i").await;
    let lost = |body: &MessageBody| match body {
        MessageBody::EntityOperationFailed { dispatch: step, failure, .. } => {
            *step == dispatch(1, 0) && failure.error_type == "EntityAnswerLost"
        }
        _ => false,
    };
    let seen = bodies(&held);
    assert_eq!((seen.len(), seen.iter().filter(|body| lost(body)).count()), (2, 1), "{seen:?}");
    // The node of the other entity gives it back; then it runs, and its answer comes.
    store.remove_node(node).await.expect("leaving");
    let (next, mine) = (super::fixture::node(&store).await, super::fixture::node(&store).await);
    held = claim(&store, mine, "i").await;
    run_all(&store, next, COUNTER, Some("1")).await;
    held.mail(&store).await;
    let answered = |body: &MessageBody| matches!(body, MessageBody::EntityOperationCompleted { dispatch: step, .. } if *step == dispatch(1, 1));
    assert_eq!(bodies(&held).iter().filter(|body| answered(body)).count(), 1);
}

pub async fn a_wait_for_locks_goes_on_after_rewinding(store: Store) {
    let node = node(&store).await;
    let mut other = super::entities::start(&store, "other", vec![lock_entities(1, "theirs", &["@counter@a"])]).await;
    run_all(&store, node, COUNTER, Some("0")).await;
    failed_beside(&store, vec![lock_entities(1, "mine", &["@counter@b", "@counter@a"])]).await;
    run_all(&store, node, COUNTER, None).await;
    rewound(&store, "i").await;
    run_all(&store, node, COUNTER, None).await;
    let mut held = claim(&store, super::fixture::node(&store).await, "i").await;
    other.mail(&store).await;
    other.checkpoint(&store, complete("1"), false).await;
    run_all(&store, node, COUNTER, None).await;
    held.mail(&store).await;
    let granted = |body: &MessageBody| matches!(body, MessageBody::EntityLockGranted { .. });
    assert_eq!(bodies(&held).iter().filter(|body| granted(body)).count(), 1, "{:?}", bodies(&held));
}
