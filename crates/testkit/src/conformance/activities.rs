//! Activity rows: what waits for a worker is handed out, answered and forgotten once.

use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{
    AbandonActivity, Action, ActionKind, CompleteActivity, CompleteOutcome, LockActivities, LockOrchestrations,
    LockedActivity, MessageBody, NodeId, PurgeFilter,
};

use super::fixture::{
    Held, Store, claim, continue_as_new, create, creation, dispatch, event, id, land, lock_one, names, node, send,
    task, terminate, until_some,
};

async fn scheduled(store: &Store) -> Held {
    create(store, creation("i", "o")).await;
    let node = node(store).await;
    let mut held = claim(store, node, "o").await;
    held.checkpoint(store, vec![task(0, "a")], false).await;
    held
}

async fn lock(store: &Store, node: NodeId) -> Vec<LockedActivity> {
    let request = LockActivities { node, names: names(&["a"]), limit: 10 };
    store.lock_activities(request).await.expect("locking activities").items
}

fn completion(node: NodeId, item: &LockedActivity, result: &str) -> CompleteActivity {
    CompleteActivity {
        id: Some(item.id),
        attempt: item.attempt,
        node,
        key: item.task.key,
        instance_id: item.task.instance_id.clone(),
        execution: item.task.execution,
        body: MessageBody::TaskCompleted { dispatch: item.task.dispatch, result: Some(result.to_owned()) },
    }
}

pub async fn an_activity_row_is_claimed_once_and_completed_once(store: Store) {
    let held = scheduled(&store).await;
    let other = node(&store).await;
    let items = lock(&store, held.node).await;
    let [item] = items.as_slice() else { panic!("one activity waits, not {items:?}") };
    assert_eq!((item.attempt, item.task.dispatch, item.task.name.as_str()), (1, dispatch(1, 0), "a"));
    assert_eq!(item.task.input.as_deref(), Some("\"for the activity\""));
    assert_eq!(item.task.idempotency_key, held.state.idempotency_key(dispatch(1, 0)));
    assert!(lock(&store, other).await.is_empty());
    let stolen = store.complete_activity(completion(other, item, "wrong")).await.expect("an answer");
    assert_eq!(stolen, CompleteOutcome::Lost);
    let done = store.complete_activity(completion(held.node, item, "5")).await.expect("an answer");
    assert!(matches!(done, CompleteOutcome::Delivered { held_by: None, .. }), "{done:?}");
    let again = store.complete_activity(completion(held.node, item, "6")).await.expect("an answer");
    assert_eq!(again, CompleteOutcome::Lost);
    let item = lock_one(&store, held.node, "o").await;
    assert!(item.activities.is_empty());
    let expected = MessageBody::TaskCompleted { dispatch: dispatch(1, 0), result: Some("5".into()) };
    assert_eq!(item.messages.iter().map(|message| &message.body).collect::<Vec<_>>(), [&expected]);
}

pub async fn bug_07_a_result_for_a_finished_instance_goes_nowhere(store: Store) {
    let held = scheduled(&store).await;
    let running = lock(&store, held.node).await;
    let lost = async || store.get_lost_activities(held.node, vec![running[0].id]).await.expect("an answer");
    assert_eq!(lost().await, []);
    send(&store, "i", terminate("enough")).await;
    assert_eq!(lost().await, [running[0].id], "whoever runs it can be told");
    let late = store.complete_activity(completion(held.node, &running[0], "5")).await.expect("an answer");
    assert_eq!(late, CompleteOutcome::Lost);
    assert!(lock(&store, held.node).await.is_empty(), "it does not run again");
}

pub async fn bug_07_late_results_count_only_where_they_are_awaited(store: Store) {
    let node = node(&store).await;
    let mut running = std::collections::BTreeMap::new();
    for fate in ["purged", "continued", "suspended"] {
        create(&store, creation(fate, fate)).await;
        claim(&store, node, fate).await.checkpoint(&store, vec![task(0, "a")], false).await;
        running.insert(fate, lock(&store, node).await.remove(0));
    }
    let purge = PurgeFilter::instance(id("purged"), true);
    assert_eq!(store.purge_instances(purge).await.expect("purging").purged, 1);
    send(&store, "continued", event("go", "1")).await;
    let next = claim(&store, node, "continued").await.turn(&store, continue_as_new(vec![]));
    land(&store, next).await;
    let suspend = MessageBody::ExecutionSuspended { reason: None };
    send(&store, "suspended", suspend).await;
    claim(&store, node, "suspended").await.checkpoint(&store, vec![], false).await;
    for (fate, item) in &running {
        let outcome = store.complete_activity(completion(node, item, "5")).await.expect("an answer");
        match *fate {
            "suspended" => assert!(matches!(outcome, CompleteOutcome::Delivered { .. }), "{fate}: {outcome:?}"),
            _ => assert_eq!(outcome, CompleteOutcome::Lost, "{fate}"),
        }
    }
    assert!(lock(&store, node).await.is_empty(), "none of them runs again");
    let awaited = lock_one(&store, node, "suspended").await;
    assert_eq!(
        awaited.messages.iter().filter_map(|message| message.body.dispatch()).collect::<Vec<_>>(),
        [dispatch(1, 0)]
    );
}

pub async fn an_abandoned_activity_comes_again_later(store: Store) {
    let held = scheduled(&store).await;
    let first = lock(&store, held.node).await.remove(0);
    let retry_after = Duration::from_millis(200);
    let abandon = AbandonActivity { id: first.id, attempt: first.attempt, node: held.node, retry_after, failure: None };
    let before = store.now();
    assert!(store.abandon_activity(abandon.clone()).await.expect("an answer"));
    assert!(!store.abandon_activity(abandon).await.expect("an answer"));
    let found = until_some("the activity comes again", || async {
        Some(lock(&store, held.node).await).filter(|items| !items.is_empty())
    })
    .await;
    assert!(store.now() >= before + TimeDelta::milliseconds(150), "it came back too early");
    assert_eq!(found[0].attempt, 2);
    let stale = store.complete_activity(completion(held.node, &first, "stale")).await.expect("an answer");
    assert_eq!(stale, CompleteOutcome::Lost);
}

pub async fn a_cancelled_activity_is_gone(store: Store) {
    let held = scheduled(&store).await;
    send(&store, "i", event("stop", "1")).await;
    let mut held = claim(&store, held.node, "o").await;
    let cancel = Action { id: 1, kind: ActionKind::CancelTask { task_id: 0 } };
    held.checkpoint(&store, vec![cancel], false).await;
    assert!(lock(&store, held.node).await.is_empty());
}

pub async fn a_claim_lists_the_activities_that_have_rows(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let mut checkpoint = held.turn(&store, vec![task(0, "a"), task(1, "a")]);
    checkpoint.activities.remove(0);
    super::fixture::land(&store, checkpoint).await;
    send(&store, "i", event("e", "1")).await;
    assert_eq!(lock_one(&store, node, "o").await.activities, [dispatch(1, 1)]);
}

pub async fn bug_11_a_claim_knows_the_results_that_it_does_not_bring(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![task(0, "a"), task(1, "a"), task(2, "a")], false).await;
    for item in lock(&store, node).await {
        store.complete_activity(completion(node, &item, "1")).await.expect("an answer");
    }
    let request = LockOrchestrations { messages: 1, ..super::fixture::request(node, &["o"]) };
    let item = until_some("the results make the instance due", || async {
        store.lock_orchestrations(request.clone()).await.expect("locking orchestrations").items.pop()
    });
    let item = item.await;
    assert!(item.more_messages);
    let mut known: Vec<_> = item.messages.iter().filter_map(|message| message.body.dispatch()).collect();
    known.extend(item.activities);
    for index in 0..3 {
        assert!(known.contains(&dispatch(1, index)), "step 1.{index} would run again: {known:?}");
    }
}
