//! `export_instances`, `import_instance`, and forks made of them: what comes back goes on as if it had never been away.

use chrono::TimeDelta;
use everdure_core::{
    BackendError, CreateInstance, ExecutionId, ExportedInstance, Fork, ImportOutcome, InboxItem, MessageBody,
    OrchestrationStatus, PurgeFilter,
};
use everdure_engine::{ForkOutcome, fork};

use super::fixture::{
    Store, child, claim, complete, create, creation, dispatch, event, event_inputs, get, id, lock, node, run_to_end,
    send, task, timer,
};

async fn exported(store: &Store, name: &str) -> ExportedInstance {
    let mut all = store.export_instances(vec![id(name)]).await.expect("an answer");
    assert_eq!(all.len(), 1, "{name} exists");
    all.remove(0)
}

/// Out as a line of text, gone, and in again.
async fn moved(store: &Store, names: &[&str]) -> Vec<ImportOutcome> {
    let mut lines = Vec::new();
    for name in names {
        lines.push(serde_json::to_string(&exported(store, name).await).expect("JSON"));
    }
    for name in names {
        store.purge_instances(PurgeFilter::instance(id(name), true)).await.expect("purged");
    }
    let mut outcomes = Vec::new();
    for line in &lines {
        let instance = serde_json::from_str(line).expect("what was written is read");
        outcomes.push(store.import_instance(instance).await.expect("imported"));
    }
    outcomes
}

fn whole(outcome: &ImportOutcome) -> bool {
    matches!(outcome, ImportOutcome::Imported { orphaned: false, .. })
}

pub async fn what_is_moved_goes_on(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    let late = store.now() + TimeDelta::days(1);
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, vec![task(0, "a"), timer(1, late), timer(2, store.now())], false).await;
    send(&store, "i", event("e", "\"\\u0041 \u{1F600}\"")).await;
    let before = get(&store, "i").await.expect("it exists");
    assert!(moved(&store, &["i"]).await.iter().all(whole));
    let after = get(&store, "i").await.expect("it is back");
    assert_ne!(after.key, before.key);
    assert_eq!(everdure_core::InstanceRecord { key: before.key, ..after }, before);
    let mut held = claim(&store, node, "o").await;
    let open: Vec<_> = held.state.open_activities().map(|activity| activity.dispatch).collect();
    assert_eq!(open, [dispatch(1, 0)], "its claim dispatches it again");
    assert_eq!((held.inbox.len(), event_inputs(&held.inbox)), (2, vec!["\"\\u0041 \u{1F600}\"".to_owned()]));
    held.checkpoint(&store, complete("1"), false).await;
    assert_eq!(get(&store, "i").await.map(|record| record.status), Some(OrchestrationStatus::Completed));
}

pub async fn parents_and_children_find_each_other(store: Store) {
    let node = node(&store).await;
    create(&store, creation("parent", "p")).await;
    claim(&store, node, "p").await.checkpoint(&store, vec![child(0, "c", "child")], false).await;
    claim(&store, node, "c").await.checkpoint(&store, vec![], false).await;
    assert!(moved(&store, &["parent", "child"]).await.iter().all(whole));
    assert_eq!(get(&store, "child").await.and_then(|record| record.parent_instance_id), Some(id("parent")));
    lock(&store, node, "p").await;
    send(&store, "child", event("go", "1")).await;
    claim(&store, node, "c").await.checkpoint(&store, complete("7"), false).await;
    let mail = lock(&store, node, "p").await;
    assert!(matches!(&mail[0].messages[0].body, MessageBody::SubOrchestrationInstanceCompleted { .. }), "{mail:?}");
    let alone = exported(&store, "child").await;
    for name in ["parent", "child"] {
        store.purge_instances(PurgeFilter::instance(id(name), true)).await.expect("purged");
    }
    let outcome = store.import_instance(alone).await.expect("imported");
    assert!(matches!(outcome, ImportOutcome::Imported { orphaned: true, .. }), "{outcome:?}");
}

pub async fn what_has_ended_or_not_begun_is_moved_as_it_is(store: Store) {
    let node = node(&store).await;
    create(&store, creation("done", "o")).await;
    run_to_end(&store, node, "o").await;
    let later = store.now() + TimeDelta::days(1);
    create(&store, CreateInstance { scheduled_start: Some(later), ..creation("later", "o") }).await;
    create(&store, creation("held still", "o")).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![], false).await;
    send(&store, "held still", MessageBody::ExecutionSuspended { reason: None }).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![], false).await;
    let before = store.get_history(id("done"), None).await.expect("an answer").expect("it exists");
    assert!(moved(&store, &["done", "later", "held still"]).await.iter().all(whole));
    let after = store.get_history(id("done"), None).await.expect("an answer").expect("it is back");
    assert_eq!((after.0.output, &after.1), (before.0.output, &before.1));
    assert_eq!(get(&store, "held still").await.map(|record| record.status), Some(OrchestrationStatus::Suspended));
    let offered: Vec<_> = lock(&store, node, "o").await.into_iter().map(|item| item.started.instance_id).collect();
    assert_eq!(offered, [id("held still")], "neither what has ended nor what is not due");
}

pub async fn an_import_overwrites_nothing_and_takes_nothing_that_cannot_be(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![task(0, "a")], false).await;
    let good = exported(&store, "i").await;
    let again = store.import_instance(good.clone()).await.expect("an answer");
    assert_eq!(again, ImportOutcome::AlreadyExists(OrchestrationStatus::Running));
    let other = || ExportedInstance { instance_id: id("other"), ..good.clone() };
    let mut unknown = other();
    unknown.history[0].events = serde_json::json!([{ "type": "NoSuchEvent" }]);
    let wrong = [
        ("format", ExportedInstance { format: 2, ..other() }),
        ("turn", ExportedInstance { turn: 7, ..other() }),
        ("completedAt", ExportedInstance { completed_at: Some(store.now()), ..other() }),
        ("Suspended", ExportedInstance { status: OrchestrationStatus::Suspended, ..other() }),
        ("U+0000", ExportedInstance { input: Some("\"\0\"".into()), ..other() }),
        ("NoSuchEvent", unknown),
        ("is an entity", ExportedInstance { instance_id: id("@counter@x"), ..good.clone() }),
    ];
    for (what, instance) in wrong {
        let refused = store.import_instance(instance).await.expect_err(what);
        assert!(
            matches!(refused, BackendError::Invalid { .. }) && refused.to_string().contains(what),
            "{what}: {refused}"
        );
    }
    assert_eq!(get(&store, "other").await, None);
}

/// What an entity answers goes to who asked it: to no copy.
pub async fn what_waits_for_an_entity_is_neither_moved_nor_forked(store: Store) {
    let entities = super::entities::start(&store, "i", vec![super::entities::call(1, "@counter@x", "add")]);
    let mut held = entities.await;
    let refused = async || {
        let instance = ExportedInstance { instance_id: id("other"), ..exported(&store, "i").await };
        store.import_instance(instance).await.expect_err("it waits").to_string()
    };
    assert!(refused().await.contains("waits for an entity"), "{}", refused().await);
    send(&store, "i", event("e", "1")).await;
    held.mail(&store).await;
    held.checkpoint(&store, vec![], true).await;
    let waits = fork(store.as_ref(), &id("i"), forking("fork", 2)).await.expect_err("it waits").to_string();
    assert!(waits.contains("waits for an entity"), "{waits}");
    assert_eq!(fork(store.as_ref(), &id("i"), forking("fork", 1)).await.expect("before it asked"), ForkOutcome::Forked);
    let entities = store.export_instances(vec![id("@counter@x")]).await.expect("an answer");
    assert!(entities.is_empty(), "entities do not move");
}

fn forking(name: &str, turn: i64) -> Fork {
    let execution_id = ExecutionId::from_uuid(uuid::Uuid::new_v4());
    Fork { instance_id: id(name), execution_id, turn, events: None, input: None }
}

pub async fn a_fork_takes_a_turn_anew_and_leaves_its_source_alone(store: Store) {
    let node = node(&store).await;
    create(&store, creation("i", "o")).await;
    let late = store.now() + TimeDelta::days(1);
    claim(&store, node, "o").await.checkpoint(&store, vec![task(0, "a"), timer(1, late)], false).await;
    for input in ["1", "2"] {
        send(&store, "i", event("e", input)).await;
    }
    claim(&store, node, "o").await.checkpoint(&store, complete("3"), false).await;
    let source = get(&store, "i").await;

    let whole = forking("whole", 2);
    assert_eq!(fork(store.as_ref(), &id("i"), whole).await.expect("forked"), ForkOutcome::Forked);
    let mut held = claim(&store, node, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["1", "2"]);
    assert_eq!(held.state.open_dispatches().count(), 2, "activity and timer are open again");
    held.checkpoint(&store, complete("4"), false).await;

    let part = Fork { events: Some(1), input: Some(Some("\"other\"".into())), ..forking("part", 2) };
    fork(store.as_ref(), &id("i"), part).await.expect("forked");
    let held = claim(&store, node, "o").await;
    assert_eq!(
        (event_inputs(&held.inbox), held.state.started.input.as_deref()),
        (vec!["1".to_owned()], Some("\"other\""))
    );
    assert_ne!(Some(held.state.started.execution_id), source.as_ref().map(|record| record.execution_id));

    fork(store.as_ref(), &id("i"), forking("first", 1)).await.expect("forked");
    assert_eq!(get(&store, "first").await.map(|record| record.status), Some(OrchestrationStatus::Pending));
    run_to_end(&store, node, "o").await;

    let taken = fork(store.as_ref(), &id("i"), forking("whole", 2)).await.expect("an answer");
    assert_eq!(taken, ForkOutcome::AlreadyExists(OrchestrationStatus::Completed));
    let nobody = fork(store.as_ref(), &id("nobody"), forking("x", 2)).await.expect("an answer");
    assert_eq!(nobody, ForkOutcome::NotFound);
    let refused = fork(store.as_ref(), &id("i"), forking("x", 9)).await.expect_err("no such turn").to_string();
    assert!(refused.contains("turns 1 to 2"), "{refused}");
    assert_eq!(get(&store, "i").await, source, "the source is as it was");
}

pub async fn a_fork_gets_the_answers_of_children_that_have_ended(store: Store) {
    let node = node(&store).await;
    create(&store, creation("parent", "p")).await;
    claim(&store, node, "p").await.checkpoint(&store, vec![child(0, "c", "child")], false).await;
    send(&store, "parent", event("e", "1")).await;
    claim(&store, node, "p").await.checkpoint(&store, vec![], false).await;
    let lives = fork(store.as_ref(), &id("parent"), forking("f", 2)).await.expect_err("its child lives").to_string();
    assert!(lives.contains("'child'") && lives.contains("Pending"), "{lives}");
    claim(&store, node, "c").await.checkpoint(&store, complete("7"), false).await;
    run_to_end(&store, node, "p").await;
    fork(store.as_ref(), &id("parent"), forking("f", 2)).await.expect("forked");
    let held = claim(&store, node, "p").await;
    let told = held.inbox.iter().any(|item| matches!(item, InboxItem::Message(message)
        if matches!(&message.body, MessageBody::SubOrchestrationInstanceCompleted { result: Some(result), .. } if result == "7")));
    assert!(told, "{:?}", held.inbox);
}
