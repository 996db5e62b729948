//! Locks of entities when somebody is not there any more: the owner, or the entity.

use everdure_core::{MessageBody, PurgeFilter};

use super::entities::{COUNTER, answers, call, entity, hold, lock_entities, run_all, signal, start};
use super::fixture::{Held, Store, complete, id, node, send, terminate};

const A: &str = "@counter@a";
const B: &str = "@counter@b";
const C: &str = "@counter@c";

async fn owner_of(store: &Store, name: &str) -> Option<String> {
    entity(store, name).await.and_then(|entity| entity.locked_by).map(|id| id.to_string())
}

async fn is_granted(store: &Store, held: &mut Held) -> bool {
    matches!(answers(store, held).await[..], [MessageBody::EntityLockGranted { .. }])
}

async fn purge(store: &Store, name: &str, force: bool) -> u64 {
    let filter = PurgeFilter::Instances { ids: vec![id(name)], force, recurse: false };
    store.purge_instances(filter).await.expect("purging").purged
}

pub async fn rule_13_a_request_without_an_owner_frees_its_whole_set(store: Store) {
    let node = node(&store).await;
    let mut long = start(&store, "long", vec![lock_entities(1, "long", &[C])]).await;
    let mut short = start(&store, "short", vec![lock_entities(1, "short", &[B])]).await;
    run_all(&store, node, COUNTER, Some("0")).await;
    assert!(is_granted(&store, &mut long).await && is_granted(&store, &mut short).await);
    // It has the first one and waits at the second, and would wait at the third for as long as `long` likes.
    let mut gone = start(&store, "gone", vec![lock_entities(1, "gone", &[A, B, C])]).await;
    run_all(&store, node, COUNTER, None).await;
    assert_eq!(owner_of(&store, A).await.as_deref(), Some("gone"));
    // The unlocking comes to all three before the request gets there.
    gone.inbox.clear();
    send(&store, "gone", terminate("enough")).await;
    gone.mail(&store).await;
    let end = gone.turn(&store, vec![]);
    short.checkpoint(&store, complete("1"), false).await;
    super::fixture::land(&store, end).await;
    run_all(&store, node, COUNTER, None).await;
    assert_eq!((owner_of(&store, A).await, owner_of(&store, B).await), (None, None));
    assert_eq!(owner_of(&store, C).await.as_deref(), Some("long"));
    long.checkpoint(&store, complete("1"), false).await;
    run_all(&store, node, COUNTER, None).await;
    assert_eq!(owner_of(&store, C).await, None);
}

pub async fn sets_are_taken_in_one_order_whatever_the_sdk_says(store: Store) {
    let node = node(&store).await;
    let mut first = start(&store, "first", vec![lock_entities(1, "one", &[A, B])]).await;
    let mut second = start(&store, "second", vec![lock_entities(1, "two", &[B, A, B])]).await;
    run_all(&store, node, COUNTER, Some("0")).await;
    assert_ne!(is_granted(&store, &mut first).await, is_granted(&store, &mut second).await, "one, not both or none");
}

pub async fn what_waits_behind_a_request_is_not_touched_by_it(store: Store) {
    let node = node(&store).await;
    let mut owners = Vec::new();
    for number in 0..4 {
        let name = format!("owner {number}");
        owners.push(start(&store, &name, vec![lock_entities(1, &name, &[A])]).await);
        run_all(&store, node, COUNTER, Some("0")).await;
        signal(&store, A, &format!("after {number}")).await;
        run_all(&store, node, COUNTER, None).await;
    }
    let mut ran = Vec::new();
    for (number, owner) in owners.iter_mut().enumerate() {
        assert!(is_granted(&store, owner).await, "owner {number}");
        assert_eq!(owner_of(&store, A).await, Some(format!("owner {number}")));
        owner.checkpoint(&store, complete("1"), false).await;
        // A newcomer in the moment at which nobody has the lock.
        signal(&store, A, &format!("late {number}")).await;
        ran.extend(run_all(&store, node, COUNTER, None).await);
    }
    let after = (0..4).map(|number| format!("after {number}"));
    let expected: Vec<_> = after.chain((0..4).map(|number| format!("late {number}"))).collect();
    assert_eq!(ran, expected);
    assert_eq!(entity(&store, A).await.map(|entity| entity.backlog), Some(0));
}

pub async fn only_an_idle_entity_is_purged(store: Store) {
    let node = node(&store).await;
    signal(&store, A, "make").await;
    assert_eq!(purge(&store, A, false).await, 0, "something waits");
    hold(&store, node, COUNTER).await.run(&store, Some("1")).await;
    let mut owner = start(&store, "owner", vec![lock_entities(1, "cs", &[A])]).await;
    run_all(&store, node, COUNTER, None).await;
    assert!(is_granted(&store, &mut owner).await);
    assert_eq!(purge(&store, A, false).await, 0, "somebody has locked it");
    owner.checkpoint(&store, complete("1"), false).await;
    run_all(&store, node, COUNTER, None).await;
    assert_eq!(purge(&store, A, false).await, 1);
    assert_eq!(entity(&store, A).await, None);
}

pub async fn purging_an_entity_by_force_tells_who_waits(store: Store) {
    let node = node(&store).await;
    let mut caller = start(&store, "caller", vec![call(1, A, "add")]).await;
    let mut alone = start(&store, "alone", vec![lock_entities(1, "alone", &[A])]).await;
    let mut both = start(&store, "both", vec![lock_entities(1, "both", &[A, B])]).await;
    assert_eq!(purge(&store, A, true).await, 1);
    let told = answers(&store, &mut caller).await;
    assert!(
        matches!(&told[..], [MessageBody::EntityOperationFailed { failure, .. }] if failure.error_type == "EntityPurged"),
        "{told:?}"
    );
    assert!(is_granted(&store, &mut alone).await, "what is not there any more is locked by nobody else");
    run_all(&store, node, COUNTER, Some("0")).await;
    assert!(is_granted(&store, &mut both).await);
    assert_eq!(owner_of(&store, B).await.as_deref(), Some("both"));
}
