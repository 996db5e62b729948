//! Rows that cannot be read harm nobody else.

use std::time::Duration;

use everdure_core::{AbandonActivity, LockActivities};
use everdure_testkit::conformance::fixture::{claim, create, creation, id, names, node, task};

use super::rules::session;
use super::support::{majors, open, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_activity_is_set_aside_and_goes_on_when_repaired() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, (0..3).map(|n| task(n, "a")).collect(), true).await;
    let admin = session(&server.url()).await;
    let request = || LockActivities { node, names: names(&["a"]), limit: 3 };
    for (damage, repair) in [("tags = '[]'", "tags = null"), ("dispatch = 'x'", "dispatch = '1.0'")] {
        let change = |change: &str| {
            format!(
                "update everdure.activities set {change} \
                 where id = (select min(id) from everdure.activities where locked_by is null)"
            )
        };
        assert_eq!(admin.execute(&change(damage), &[]).await.expect("damaged"), 1);
        let locked = store.lock_activities(request()).await.expect("the others are handed out").items;
        assert_eq!(locked.len(), 2, "{damage}");
        let poisoned = store.get_poisoned(10).await.expect("an answer").pop().expect("it is set aside");
        assert_eq!(poisoned.activity.map(|activity| activity.name).as_deref(), Some("a"));
        assert!(!poisoned.reason.is_empty());
        assert_eq!(store.release_poisoned(id("i"), false).await.expect("released"), Some(1), "{damage}");
        assert_eq!(admin.execute(&change(repair), &[]).await.expect("repaired"), 1);
        for activity in locked {
            let (id, attempt) = (activity.id, activity.attempt);
            let back = AbandonActivity { id, attempt, node, retry_after: Duration::ZERO, failure: None };
            assert!(store.abandon_activity(back).await.expect("given back"));
        }
    }
    assert_eq!(store.lock_activities(request()).await.expect("all are whole again").items.len(), 3);
}
