//! `query_instances`, `get_history`, `purge_instances`: what operators see, and what they remove.

use everdure_core::{InstanceQuery, OrchestrationStatus, PurgeFilter, PurgeOutcome, Tags};

use super::fixture::{
    Store, claim, complete, create, creation, event, get, id, lock, node, run_to_end, send, task, timer,
};

fn query() -> InstanceQuery {
    InstanceQuery { page_size: 100, ..InstanceQuery::default() }
}

async fn found(store: &Store, query: InstanceQuery) -> Vec<String> {
    let page = store.query_instances(query).await.expect("a page");
    assert_eq!(page.next, None);
    page.instances.iter().map(|record| record.instance_id.to_string()).collect()
}

pub async fn pages_cover_everything_once_newest_first(store: Store) {
    for number in 0..7 {
        create(&store, creation(&format!("i{number}"), "o")).await;
    }
    let mut query = InstanceQuery { page_size: 3, ..query() };
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = store.query_instances(query.clone()).await.expect("a page");
        sizes.push(page.instances.len());
        seen.extend(page.instances.iter().map(|record| record.instance_id.to_string()));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["i6", "i5", "i4", "i3", "i2", "i1", "i0"]);
    assert_eq!(sizes, [3, 3, 1]);
}

pub async fn filters_restrict_and_combine(store: Store) {
    let mut tagged = creation("tagged", "o");
    tagged.tags = Tags::from([("team".into(), "blue".into()), ("tier".into(), "1".into())]);
    create(&store, tagged).await;
    create(&store, creation("other", "another")).await;
    create(&store, creation("done", "finishes")).await;
    let node = node(&store).await;
    run_to_end(&store, node, "finishes").await;
    let statuses = vec![OrchestrationStatus::Completed];
    assert_eq!(found(&store, InstanceQuery { statuses, ..query() }).await, ["done"]);
    assert_eq!(found(&store, InstanceQuery { name: Some("another".into()), ..query() }).await, ["other"]);
    let tags = Tags::from([("team".into(), "blue".into())]);
    assert_eq!(found(&store, InstanceQuery { tags: tags.clone(), ..query() }).await, ["tagged"]);
    let both = InstanceQuery { tags, name: Some("another".into()), ..query() };
    assert!(found(&store, both).await.is_empty());
    let created = get(&store, "other").await.expect("it exists").created_at;
    let from = InstanceQuery { created_from: Some(created), created_to: Some(created), ..query() };
    assert!(found(&store, from).await.contains(&"other".to_owned()), "both ends are included");
}

pub async fn a_prefix_is_taken_literally(store: Store) {
    for name in ["a_1", "ab1", "a%1", "b"] {
        create(&store, creation(name, "o")).await;
    }
    assert_eq!(found(&store, InstanceQuery { id_prefix: Some("a_".into()), ..query() }).await, ["a_1"]);
    assert_eq!(found(&store, InstanceQuery { id_prefix: Some("a%".into()), ..query() }).await, ["a%1"]);
}

pub async fn history_is_returned_turn_by_turn(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let first = held.turn(&store, vec![task(0, "a")]);
    super::fixture::land(&store, first.clone()).await;
    send(&store, "i", event("e", "\"\\u0041 \u{1F600}\"")).await;
    let mut held = claim(&store, node, "o").await;
    let second = held.turn(&store, complete("1"));
    super::fixture::land(&store, second.clone()).await;
    let (record, turns) = store.get_history(id("i")).await.expect("an answer").expect("it exists");
    assert_eq!((record.turn, record.status), (2, OrchestrationStatus::Completed));
    assert_eq!(turns.iter().map(|turn| turn.turn).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&turns[0].events, &turns[1].events), (&first.events, &second.events));
    assert_eq!(turns[0].time, first.time);
    assert_eq!(store.get_history(id("nobody")).await.expect("an answer"), None);
}

pub async fn bug_30_purging_leaves_nothing_behind(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, vec![task(0, "a"), timer(1, store.now())], false).await;
    let purge = PurgeFilter::Instance { instance_id: id("i"), force: true };
    let first = store.purge_instances(purge.clone()).await.expect("purging");
    assert_eq!(first, PurgeOutcome { purged: 1, complete: true });
    assert_eq!(store.purge_instances(purge).await.expect("purging").purged, 0);
    assert_eq!(get(&store, "i").await, None);
    assert!(lock(&store, node, "o").await.is_empty());
    create(&store, creation("i", "o")).await;
    let held = claim(&store, node, "o").await;
    assert!(held.inbox.is_empty() && held.state.turn == 0);
}

pub async fn a_live_instance_is_purged_only_by_force(store: Store) {
    create(&store, creation("i", "o")).await;
    let purge = PurgeFilter::Instance { instance_id: id("i"), force: false };
    assert_eq!(store.purge_instances(purge).await.expect("an answer").purged, 0);
    assert!(get(&store, "i").await.is_some());
}

pub async fn purging_goes_in_bounded_steps(store: Store) {
    let node = node(&store).await;
    for number in 0..5 {
        create(&store, creation(&format!("i{number}"), "o")).await;
        run_to_end(&store, node, "o").await;
    }
    create(&store, creation("live", "o")).await;
    let purge =
        PurgeFilter::Finished { statuses: vec![], created_from: None, created_to: None, completed_to: None, limit: 2 };
    let mut purged = Vec::new();
    loop {
        let outcome = store.purge_instances(purge.clone()).await.expect("purging");
        purged.push(outcome.purged);
        if outcome.complete {
            break;
        }
        assert!(purged.len() < 10, "purging does not end: {purged:?}");
    }
    assert_eq!(purged.iter().sum::<u64>(), 5);
    assert!(purged.iter().all(|step| *step <= 2));
    assert_eq!(found(&store, query()).await, ["live"]);
}
