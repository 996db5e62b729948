//! Nodes and leases: the dead write nothing, and nothing of theirs is lost.

use std::time::Duration;

use everdure_core::{BackendError, LockActivities, NodeId, OrchestrationStatus, RegisterNode, Whereabouts};

use super::fixture::{
    Held, Store, claim, complete, create, creation, get, lock, names, node, node_with_lease, task, until,
};

async fn reap(store: &Store, dead: NodeId) {
    until("the lease has run out", || async { store.reap_nodes().await.expect("reaping").nodes.contains(&dead) }).await;
}

async fn held_by_mortal(store: &Store) -> Held {
    create(store, creation("i", "o")).await;
    let mortal = node_with_lease(store, Duration::from_millis(50)).await;
    let claimed = super::fixture::lock_one(store, mortal, "o").await;
    Held::new(mortal, claimed)
}

pub async fn bug_03_a_reaped_node_writes_nothing(store: Store) {
    let mut held = held_by_mortal(&store).await;
    let late = held.turn(&store, complete("\"late\""));
    reap(&store, held.node).await;
    match store.checkpoint(late).await {
        Err(BackendError::NodeGone) | Ok(everdure_core::CheckpointOutcome::Lost) => {}
        other => panic!("a dead node wrote: {other:?}"),
    }
    assert!(matches!(store.renew_node(held.node).await, Err(BackendError::NodeGone)));
    assert_eq!(get(&store, "i").await.map(|record| record.status), Some(OrchestrationStatus::Pending));
}

pub async fn what_a_dead_node_held_is_due(store: Store) {
    let mut held = held_by_mortal(&store).await;
    // Waits for nothing, so that nothing but the reaping can make it due.
    held.checkpoint(&store, vec![], true).await;
    reap(&store, held.node).await;
    let heir = node(&store).await;
    let again = claim(&store, heir, "o").await;
    assert_eq!(again.state, held.state);
    assert!(again.inbox.is_empty());
}

pub async fn a_removed_node_releases_what_it_held(store: Store) {
    create(&store, creation("i", "o")).await;
    let (leaving, staying) = (node(&store).await, node(&store).await);
    let _held = claim(&store, leaving, "o").await;
    assert!(lock(&store, staying, "o").await.is_empty());
    store.remove_node(leaving).await.expect("leaving");
    claim(&store, staying, "o").await;
}

pub async fn a_renewed_node_is_not_reaped(store: Store) {
    // Long enough for a machine that stands still between a sign of life and the look at who is dead.
    let lease = Duration::from_secs(2);
    let (living, dying) = (node_with_lease(&store, lease).await, node_with_lease(&store, lease).await);
    until("the other's lease has run out", || async {
        let lease = store.renew_node(living).await.expect("a living node");
        assert_eq!(lease.node, living);
        let reaped = store.reap_nodes().await.expect("reaping").nodes;
        assert!(!reaped.contains(&living));
        reaped.contains(&dying)
    })
    .await;
}

pub async fn get_node_tells_where_those_who_live_are_reached(store: Store) {
    let lease = Duration::from_secs(60);
    let told = RegisterNode { lease, address: Some("host:1".to_owned()) };
    let told = store.register_node(told).await.expect("registering a node").node;
    let untold = node(&store).await;
    let dying = node_with_lease(&store, Duration::from_millis(50)).await;
    reap(&store, dying).await;
    let place = async |node| store.get_node(node).await.expect("an answer");
    assert_eq!(place(told).await, Whereabouts::At("host:1".to_owned()));
    assert_eq!(place(untold).await, Whereabouts::Untold);
    assert_eq!(place(dying).await, Whereabouts::Gone);
    store.remove_node(told).await.expect("leaving");
    assert_eq!(place(told).await, Whereabouts::Gone);
}

pub async fn release_unknown_frees_what_memory_does_not_know(store: Store) {
    for name in ["known", "forgotten"] {
        create(&store, creation(name, "o")).await;
    }
    let forgetful = node(&store).await;
    let items = lock(&store, forgetful, "o").await;
    let known = items.iter().find(|item| item.started.instance_id.as_str() == "known").expect("both were claimed");
    let release = |older_than| store.release_unknown(forgetful, vec![known.key], older_than);
    assert_eq!(release(Duration::from_secs(60)).await.expect("releasing"), 0, "it may be on its way into memory");
    assert_eq!(release(Duration::ZERO).await.expect("releasing"), 1);
    let other = node(&store).await;
    assert_eq!(claim(&store, other, "o").await.state.started.instance_id.as_str(), "forgotten");
}

pub async fn release_unknown_activities_frees_what_memory_does_not_know(store: Store) {
    create(&store, creation("i", "o")).await;
    let forgetful = node(&store).await;
    claim(&store, forgetful, "o").await.checkpoint(&store, vec![task(0, "a"), task(1, "a")], false).await;
    let request = |node| LockActivities { node, names: names(&["a"]), limit: 10 };
    let claimed = store.lock_activities(request(forgetful)).await.expect("locking activities").items;
    assert_eq!(claimed.len(), 2);
    let release = |older_than| store.release_unknown_activities(forgetful, vec![claimed[0].id], older_than);
    assert_eq!(release(Duration::from_secs(60)).await.expect("releasing"), 0, "it may be on its way into memory");
    assert_eq!(release(Duration::ZERO).await.expect("releasing"), 1);
    let other = node(&store).await;
    let again = store.lock_activities(request(other)).await.expect("locking activities").items;
    assert_eq!(again.iter().map(|item| item.id).collect::<Vec<_>>(), [claimed[1].id]);
}
