//! `get_poisoned`, `release_poisoned`: what fails again and again is set aside, and nothing of it is lost.

use std::time::{Duration, Instant};

use everdure_core::{
    AbandonActivity, Demote, DemoteOutcome, FailedAttempt, InboxItem, LockActivities, LockedActivity, MessageBody,
    NodeId, OrchestrationStatus, Poisoned,
};

use super::checkpoints::demotion;
use super::fixture::{
    Held, Store, claim, complete, create, creation, event, get, id, lock, names, node, node_with_lease, send, task,
    terminate,
};

fn failed(reason: &str) -> Option<FailedAttempt> {
    Some(FailedAttempt { reason: reason.to_owned(), lasting: false })
}

async fn give_back(store: &Store, held: &Held, failure: Option<FailedAttempt>) {
    let outcome = store.demote(Demote { failure, ..demotion(held, None) }).await.expect("demoting");
    assert_eq!(outcome, DemoteOutcome::Released { running: vec![] });
}

async fn poisoned(store: &Store) -> Vec<Poisoned> {
    store.get_poisoned(10).await.expect("an answer")
}

pub async fn a_turn_that_fails_again_and_again_is_set_aside(store: Store) {
    store.set_hub_setting("attempts.turn", Some("2")).await.expect("decided");
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    give_back(&store, &claim(&store, node, "o").await, failed("out of tea")).await;
    assert_eq!(poisoned(&store).await, [], "once is not often");
    give_back(&store, &claim(&store, node, "o").await, failed("out of milk")).await;
    let found = poisoned(&store).await;
    assert_eq!((found.len(), found[0].instance_id.as_str(), found[0].attempts), (1, "i", 2));
    assert_eq!((found[0].reason.as_str(), &found[0].activity), ("out of milk", &None));
    send(&store, "i", event("e", "1")).await;
    assert!(lock(&store, node, "o").await.is_empty(), "nobody gets it");

    assert_eq!(store.release_poisoned(id("i"), false).await.expect("released"), Some(1));
    assert_eq!(poisoned(&store).await, []);
    let mut held = claim(&store, node, "o").await;
    assert_eq!(held.inbox.len(), 1, "what came meanwhile is there");
    held.checkpoint(&store, vec![task(0, "a")], true).await;
    give_back(&store, &held, failed("again")).await;
    assert_eq!(poisoned(&store).await, [], "another turn has landed: it counts from one");
    assert_eq!(store.release_poisoned(id("i"), false).await.expect("an answer"), Some(0));
    assert_eq!(store.release_poisoned(id("nobody"), false).await.expect("an answer"), None);
}

pub async fn what_will_not_get_better_is_set_aside_at_once(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    let lasting = Some(FailedAttempt { reason: "unreadable".into(), lasting: true });
    give_back(&store, &claim(&store, node, "o").await, lasting).await;
    assert_eq!(poisoned(&store).await.len(), 1);
    send(&store, "i", terminate("enough")).await;
    let ended = get(&store, "i").await.expect("it is there");
    assert_eq!(ended.status, OrchestrationStatus::Terminated, "no worker is needed");
    assert_eq!(poisoned(&store).await, []);
}

pub async fn each_failed_attempt_waits_longer(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    give_back(&store, &claim(&store, node, "o").await, failed("no")).await;
    let held = claim(&store, node, "o").await;
    let begun = Instant::now();
    give_back(&store, &held, failed("no")).await;
    let offered = lock(&store, node, "o").await;
    if begun.elapsed() > Duration::from_secs(1) {
        return; // the machine was so slow that it may be offered again
    }
    assert!(offered.is_empty(), "a second has not passed");
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, complete("1"), false).await;
}

pub async fn a_crash_is_a_failed_attempt_of_what_was_held(store: Store) {
    store.set_hub_setting("attempts.turn", Some("1")).await.expect("decided");
    store.set_hub_setting("attempts.activity", Some("1")).await.expect("decided");
    let orderly = node(&store).await;
    create(&store, creation("i", "o")).await;
    let mut held = claim(&store, orderly, "o").await;
    held.checkpoint(&store, vec![task(0, "a")], false).await;
    lock_one(&store, orderly).await.expect("it waits");
    send(&store, "i", event("e", "1")).await;
    claim(&store, orderly, "o").await;
    store.remove_node(orderly).await.expect("it goes in good order");
    assert_eq!(poisoned(&store).await, [], "that is no failure");

    let crashed = node_with_lease(&store, Duration::from_millis(300)).await;
    claim(&store, crashed, "o").await;
    lock_one(&store, crashed).await.expect("it waits again");
    while store.reap_nodes().await.expect("reaping").nodes.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = poisoned(&store).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|poisoned| poisoned.reason.contains("stopped")), "{found:?}");
    assert_eq!(store.release_poisoned(id("i"), false).await.expect("released"), Some(2));
    let after = node(&store).await;
    claim(&store, after, "o").await;
    lock_one(&store, after).await.expect("both go on");
}

async fn lock_one(store: &Store, node: NodeId) -> Option<LockedActivity> {
    let request = LockActivities { node, names: names(&["a"]), limit: 1 };
    store.lock_activities(request).await.expect("claiming").items.pop()
}

pub async fn a_poisoned_activity_may_be_failed(store: Store) {
    store.set_hub_setting("attempts.activity", Some("2")).await.expect("decided");
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, vec![task(0, "a")], false).await;
    for reason in ["out of memory", "out of memory again"] {
        let got = lock_one(&store, node).await.expect("it is offered");
        let (retry_after, failure) = (Duration::ZERO, failed(reason));
        let abandon = AbandonActivity { id: got.id, attempt: got.attempt, node, retry_after, failure };
        assert!(store.abandon_activity(abandon).await.expect("given back"));
    }
    assert!(lock_one(&store, node).await.is_none(), "nobody gets it");
    let found = poisoned(&store).await;
    let activity = found[0].activity.clone().expect("an activity");
    assert_eq!((found.len(), activity.name.as_str(), found[0].attempts), (1, "a", 2));
    assert_eq!(store.release_poisoned(id("i"), true).await.expect("failed"), Some(1));
    let held = claim(&store, node, "o").await;
    let [InboxItem::Message(message)] = &held.inbox[..] else { panic!("one message: {:?}", held.inbox) };
    let MessageBody::TaskFailed { failure, .. } = &message.body else { panic!("not failed: {message:?}") };
    assert_eq!(failure.error_type, "ActivityPoisoned");
    assert!(failure.error_message.contains("out of memory again"), "{failure}");
}
