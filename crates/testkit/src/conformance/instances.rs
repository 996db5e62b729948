//! `create_instance`: who wins an id, and what is there afterwards.

use chrono::TimeDelta;
use everdure_core::{CreateInstance, CreateOutcome, OrchestrationStatus, ReusePolicy, Tags};
use futures::future::join_all;

use super::fixture::{Store, claim, create, creation, get, lock, node, run_to_end};

pub async fn a_new_instance_is_pending_and_readable(store: Store) {
    let mut request = creation("i", "o");
    request.version = Some("2".into());
    request.tags = Tags::from([("team".into(), "blü\"e".into())]);
    let execution_id = request.execution_id;
    let key = create(&store, request).await;
    let record = get(&store, "i").await.expect("it exists");
    assert_eq!((record.key, record.status, record.turn), (key, OrchestrationStatus::Pending, 0));
    assert_eq!((record.execution, record.execution_id), (0, execution_id));
    assert_eq!((record.name.as_str(), record.version.as_deref()), ("o", Some("2")));
    assert_eq!(record.input.as_deref(), Some("\"input\""));
    assert_eq!(record.tags["team"], "blü\"e");
    assert_eq!((record.output, record.completed_at), (None, None));
    assert_eq!(get(&store, "other").await, None);
}

pub async fn a_live_instance_is_never_replaced(store: Store) {
    let key = create(&store, creation("i", "o")).await;
    let again = store.create_instance(creation("i", "o")).await.expect("an answer");
    assert_eq!(again, CreateOutcome::AlreadyExists { status: OrchestrationStatus::Pending });
    let node = node(&store).await;
    let _held = claim(&store, node, "o").await;
    let held = store.create_instance(creation("i", "o")).await.expect("an answer");
    assert!(matches!(held, CreateOutcome::AlreadyExists { .. }), "{held:?}");
    assert_eq!(get(&store, "i").await.map(|record| record.key), Some(key));
}

pub async fn ids_differ_by_case(store: Store) {
    let keys = [create(&store, creation("Case", "o")).await, create(&store, creation("case", "o")).await];
    let found = [get(&store, "Case").await, get(&store, "case").await];
    assert_eq!(found.map(|record| record.expect("it exists").key), keys);
}

pub async fn a_finished_instance_is_replaced_under_a_new_key(store: Store) {
    let old = create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    run_to_end(&store, node, "o").await;
    let new = create(&store, creation("i", "o")).await;
    assert_ne!(old, new);
    let record = get(&store, "i").await.expect("it exists");
    assert_eq!((record.status, record.turn, record.output), (OrchestrationStatus::Pending, 0, None));
    assert_eq!(record.completed_at, None);
    let held = claim(&store, node, "o").await;
    assert_eq!((held.state.key, held.state.turn), (new, 0));
}

pub async fn a_finished_instance_is_kept_when_reuse_is_never(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    run_to_end(&store, node, "o").await;
    let request = CreateInstance { reuse: ReusePolicy::Never, ..creation("i", "o") };
    let outcome = store.create_instance(request).await.expect("an answer");
    assert_eq!(outcome, CreateOutcome::AlreadyExists { status: OrchestrationStatus::Completed });
}

pub async fn bug_12_many_creations_of_few_ids_make_exactly_those(store: Store) {
    let attempts = (0..200).map(|number| {
        let store = store.clone();
        async move { store.create_instance(creation(&format!("i{}", number % 20), "o")).await.expect("an answer") }
    });
    let outcomes = join_all(attempts).await;
    let created = outcomes.iter().filter(|outcome| matches!(outcome, CreateOutcome::Created { .. })).count();
    assert_eq!(created, 20);
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, CreateOutcome::Rejected(_))));
    let node = node(&store).await;
    assert_eq!(lock(&store, node, "o").await.len(), 20);
}

pub async fn bug_23_a_creation_sent_twice_happens_once(store: Store) {
    let request = CreateInstance { request_id: Some(uuid::Uuid::new_v4()), ..creation("i", "o") };
    let first = create(&store, request.clone()).await;
    let second = create(&store, request).await;
    assert_eq!(first, second);
}

pub async fn a_scheduled_instance_is_not_due_before_its_time(store: Store) {
    let later = store.now() + TimeDelta::hours(1);
    let scheduled = CreateInstance { scheduled_start: Some(later), ..creation("later", "o") };
    create(&store, scheduled).await;
    let past = store.now() - TimeDelta::hours(1);
    create(&store, CreateInstance { scheduled_start: Some(past), ..creation("now", "o") }).await;
    let node = node(&store).await;
    let held = claim(&store, node, "o").await;
    assert_eq!(held.state.started.instance_id.as_str(), "now");
    assert!(lock(&store, node, "o").await.is_empty());
}
