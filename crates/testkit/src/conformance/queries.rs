//! `query_instances`, `get_history`, `purge_instances`: what operators see, and what they remove.

use everdure_core::{
    CreateInstance, CustomStatusIs, HistoryPart, InstanceQuery, OrchestrationStatus, PurgeFilter, PurgeOutcome, Tags,
};

use super::fixture::{
    Store, child, claim, complete, continue_as_new, create, creation, event, fail, get, id, land, lock, node,
    run_to_end, send, task, timer,
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

/// An instance with everything that a query can ask for, and one with nothing of it.
async fn one_of_each(store: &Store) {
    let parent_node = node(store).await;
    create(store, CreateInstance { version: Some("2".into()), ..creation("the-parent", "parent") }).await;
    let spawn = vec![child(0, "child", "the-child")];
    claim(store, parent_node, "parent").await.checkpoint(store, spawn, false).await;
    let mut held = claim(store, parent_node, "child").await;
    let mut failing = held.turn(store, fail("Io", "the disk is full"));
    failing.custom_status = Some(r#"{"stage": "copying", "parts": [{"left": 3}]}"#.into());
    land(store, failing).await;
}

pub async fn each_condition_finds_what_it_says(store: Store) {
    one_of_each(&store).await;
    let says = |path: &[&str], text: &str| {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        Some(CustomStatusIs { path, text: text.to_owned() })
    };
    let failed = get(&store, "the-child").await.expect("it exists");
    let ended = failed.completed_at.expect("it has ended");
    let soon = ended + chrono::TimeDelta::microseconds(1);
    let (child, parent) = (&["the-child"][..], &["the-parent"][..]);
    for (what, query, expected) in [
        ("version", InstanceQuery { version: Some("2".into()), ..query() }, parent),
        ("parent", InstanceQuery { parent: Some(id("the-parent")), ..query() }, child),
        ("another parent", InstanceQuery { parent: Some(id("nobody")), ..query() }, &[]),
        ("roots", InstanceQuery { roots_only: true, ..query() }, parent),
        ("failure type", InstanceQuery { failure_type: Some("Io".into()), ..query() }, child),
        ("another failure", InstanceQuery { failure_type: Some("Os".into()), ..query() }, &[]),
        ("failed", InstanceQuery { statuses: vec![OrchestrationStatus::Failed], ..query() }, child),
        ("live", InstanceQuery { statuses: vec![OrchestrationStatus::Running], ..query() }, parent),
        ("a part of the id", InstanceQuery { id_contains: Some("e-p".into()), ..query() }, parent),
        ("a part with a joker", InstanceQuery { id_contains: Some("the%".into()), ..query() }, &[]),
        ("ended", InstanceQuery { completed_from: Some(ended), completed_to: Some(ended), ..query() }, child),
        ("ended later", InstanceQuery { completed_from: Some(soon), ..query() }, &[]),
        ("changed since", InstanceQuery { updated_from: Some(failed.updated_at), ..query() }, child),
        ("custom status", InstanceQuery { custom_status: says(&["stage"], "copying"), ..query() }, child),
        ("deep in it", InstanceQuery { custom_status: says(&["parts", "0", "left"], "3"), ..query() }, child),
        ("not there", InstanceQuery { custom_status: says(&["stage", "x"], "copying"), ..query() }, &[]),
    ] {
        assert_eq!(found(&store, query).await, expected, "{what}");
    }
}

pub async fn count_instances_stops_at_the_cap(store: Store) {
    for number in 0..7 {
        create(&store, creation(&format!("i{number}"), "o")).await;
    }
    for (prefix, cap, expected) in [(None, 100, 7), (None, 5, 5), (Some("i3"), 5, 1), (Some("j"), 5, 0)] {
        let query = InstanceQuery { id_prefix: prefix.map(str::to_owned), ..query() };
        assert_eq!(store.count_instances(query, cap).await.expect("a count"), expected, "{prefix:?} up to {cap}");
    }
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
    let (record, turns) = store.get_history(id("i"), None).await.expect("an answer").expect("it exists");
    assert_eq!((record.turn, record.status), (2, OrchestrationStatus::Completed));
    assert_eq!(turns.iter().map(|turn| turn.turn).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&turns[0].events, &turns[1].events), (&first.events, &second.events));
    assert_eq!(turns[0].time, first.time);
    assert_eq!(store.get_history(id("nobody"), None).await.expect("an answer"), None);
}

pub async fn a_history_is_read_in_parts(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    for number in 0..5 {
        claim(&store, node, "o").await.checkpoint(&store, vec![task(number, "a")], false).await;
        send(&store, "i", event("e", &format!("\"{number}\""))).await;
    }
    claim(&store, node, "o").await.checkpoint(&store, complete("1"), false).await;
    let (record, whole) = store.get_history(id("i"), None).await.expect("an answer").expect("it exists");
    for bytes in [0, 500, u64::MAX] {
        let part = async |after, execution_id| {
            let part = HistoryPart { instance_id: id("i"), execution_id, after, bytes };
            store.get_history_part(part).await.expect("an answer")
        };
        let (first, mut turns) = part(0, None).await.expect("it exists");
        assert_eq!(first, record);
        let execution = Some(record.execution_id);
        loop {
            let after = turns.last().map_or(0, |turn| turn.turn);
            let (_, mut more) = part(after, execution).await.expect("it still exists");
            if more.is_empty() {
                break;
            }
            turns.append(&mut more);
        }
        assert_eq!(turns, whole);
        assert_eq!(part(0, Some(record.execution_id.next(1))).await, None);
    }
    let part = HistoryPart { instance_id: id("nobody"), execution_id: None, after: 0, bytes: 1 };
    assert_eq!(store.get_history_part(part).await.expect("an answer"), None);
}

pub async fn bug_30_purging_leaves_nothing_behind(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, vec![task(0, "a"), timer(1, store.now())], false).await;
    let purge = PurgeFilter::instance(id("i"), true);
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
    let purge = PurgeFilter::instance(id("i"), false);
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
    let purge = PurgeFilter::Finished {
        statuses: vec![],
        created_from: None,
        created_to: None,
        completed_to: None,
        limit: 2,
        recurse: false,
    };
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

pub async fn get_executions_returns_former_ones_where_the_hub_keeps_them(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let numbers = async || {
        let all = store.get_executions(id("i")).await.expect("an answer");
        all.iter().map(|execution| execution.execution).collect::<Vec<_>>()
    };
    claim(&store, node, "o").await.checkpoint(&store, continue_as_new(vec![]), false).await;
    assert_eq!(numbers().await, [1], "not unless decided");
    store.set_hub_setting("retention.executions", Some("1d")).await.expect("decided");
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, vec![timer(0, store.now())], false).await;
    claim(&store, node, "o").await.checkpoint(&store, continue_as_new(vec![]), false).await;
    claim(&store, node, "o").await.checkpoint(&store, complete("3"), false).await;
    assert_eq!(numbers().await, [1, 2]);
    let all = store.get_executions(id("i")).await.expect("an answer");
    assert_ne!(all[0].execution_id, all[1].execution_id);
    assert!(all.iter().all(|execution| execution.ended_at.is_some()));

    let (record, turns) = store.get_history(id("i"), Some(1)).await.expect("an answer").expect("it is kept");
    assert_eq!((record.execution, record.execution_id, record.output), (1, all[0].execution_id, None));
    assert_eq!(turns.iter().map(|turn| turn.turn).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(turns.last().map(|turn| turn.turn), Some(all[0].turn));
    let last = turns[1].events.last().expect("it ended").data.type_name();
    assert_eq!(last, "ContinueAsNew");
    let part = HistoryPart { instance_id: id("i"), execution_id: Some(all[0].execution_id), after: 2, bytes: 1 };
    let (_, rest) = store.get_history_part(part).await.expect("an answer").expect("it is kept");
    assert_eq!(rest, turns[1..]);
    let current = store.get_history(id("i"), None).await.expect("an answer").expect("it exists");
    assert_eq!(store.get_history(id("i"), Some(2)).await.expect("an answer"), Some(current));
    assert_eq!(store.get_history(id("i"), Some(0)).await.expect("an answer"), None);

    store.set_hub_setting("retention.executions", None).await.expect("its default");
    let outcome = store.purge_expired(100).await.expect("purging");
    assert_eq!((outcome.purged, outcome.complete), (0, true), "the instance itself stays");
    assert_eq!(numbers().await, [2]);
    assert_eq!(store.get_history(id("i"), Some(1)).await.expect("an answer"), None);
    assert_eq!(store.get_executions(id("nobody")).await.expect("an answer"), []);
}
