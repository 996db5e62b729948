//! `set_hub_setting`, `get_hub_settings`, `purge_expired`: what an operator decides, and what follows from it.

use std::time::Duration;

use everdure_core::BackendError;

use super::fixture::{Store, claim, complete, create, creation, fail, get, node, send, terminate};

pub async fn get_hub_settings_returns_what_set_hub_setting_decided(store: Store) {
    assert!(store.get_hub_settings().await.expect("an answer").is_empty());
    for (name, value) in
        [("retention.failed", "90d"), ("retention.completed/import", "12h"), ("retention.failed", "30d")]
    {
        store.set_hub_setting(name, Some(value)).await.expect("decided");
    }
    let settings: Vec<_> = store.get_hub_settings().await.expect("an answer").into_iter().collect();
    let expected = [("retention.completed/import", "12h"), ("retention.failed", "30d")];
    assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    store.set_hub_setting("retention.failed", None).await.expect("its default");
    assert_eq!(store.get_hub_settings().await.expect("an answer").len(), 1);
    for (name, value) in [("retention.running", Some("1d")), ("retention.failed", Some("soon")), ("colour", None)] {
        let refused = store.set_hub_setting(name, value).await.expect_err("it cannot be");
        assert!(matches!(refused, BackendError::Invalid { .. }), "{name}: {refused}");
    }
}

async fn expired(store: &Store) -> u64 {
    let outcome = store.purge_expired(100).await.expect("purging");
    assert!(outcome.complete);
    outcome.purged
}

pub async fn purge_expired_removes_what_was_kept_long_enough(store: Store) {
    let node = node(&store).await;
    for (id, name) in [("done", "o"), ("kept", "keeps"), ("failed", "o")] {
        create(&store, creation(id, name)).await;
        let end = if id == "failed" { fail("Io", "no") } else { complete("1") };
        claim(&store, node, name).await.checkpoint(&store, end, false).await;
    }
    create(&store, creation("ended", "o")).await;
    send(&store, "ended", terminate("enough")).await;
    create(&store, creation("live", "o")).await;
    assert_eq!(expired(&store).await, 0, "nothing was decided");
    store.set_hub_setting("retention.completed", Some("0s")).await.expect("decided");
    store.set_hub_setting("retention.completed/keeps", Some("1d")).await.expect("decided");
    store.set_hub_setting("retention.terminated", Some("1h")).await.expect("decided");
    // The clock of a store may stand still between two operations.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(expired(&store).await, 1);
    assert_eq!(get(&store, "done").await, None);
    for id in ["kept", "failed", "ended", "live"] {
        assert!(get(&store, id).await.is_some(), "{id} is kept");
    }
    store.set_hub_setting("retention.failed", Some("0s")).await.expect("decided");
    store.set_hub_setting("retention.terminated", Some("0s")).await.expect("decided");
    let first = store.purge_expired(1).await.expect("purging");
    assert_eq!((first.purged, first.complete), (1, false), "one at a time");
    assert!(store.purge_expired(1).await.expect("purging").purged == 1);
    assert_eq!(expired(&store).await, 0);
    assert!(get(&store, "live").await.is_some());
}
