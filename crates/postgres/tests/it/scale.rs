//! What autoscalers ask: the field's scenarios S1 to S9 by number.

use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{Action, CreateInstance, LockActivities, SendMessage};
use everdure_testkit::conformance::fixture::{
    Held, Store, claim, complete, create, creation, event, id, lock, names, node, send, task, terminate, timer,
};
use tokio_postgres::Client;

use super::rules::session;
use super::support::{majors, open, server};

struct Hub {
    store: Store,
    session: Client,
    name: String,
}

impl Hub {
    async fn recommended(&self, orchestrations: i32, activities: i32) -> i32 {
        let query = "select everdure.get_scale_recommendation($1, $2, $3)";
        self.session.query_one(query, &[&orchestrations, &activities, &self.name]).await.expect("a number").get(0)
    }

    /// Starts instances whose first turn leaves these actions behind.
    async fn started(&self, ids: &str, count: usize, actions: impl Fn(&Store) -> Vec<Action>) {
        let node = node(&self.store).await;
        for number in 0..count {
            create(&self.store, creation(&format!("{ids}{number}"), "o")).await;
        }
        for item in lock(&self.store, node, "o").await {
            Held::new(node, item).checkpoint(&self.store, actions(&self.store), false).await;
        }
    }
}

fn tasks(count: i32) -> Vec<Action> {
    (0..count).map(|number| task(number, "a")).collect()
}

#[tokio::test]
async fn s1_to_s9_the_recommendation_counts_each_kind_by_itself() {
    let server = server(majors()[0]);
    let hub = |name: &str| {
        let (name, url) = (name.to_owned(), server.url());
        let server = &server;
        async move { Hub { store: open(server, &name).await, session: session(&url).await, name } }
    };

    let s1 = hub("s1").await;
    assert_eq!(s1.recommended(1, 1).await, 0, "nothing waits");
    for number in 1..=5 {
        create(&s1.store, creation(&format!("i{number}"), "o")).await;
        assert_eq!(s1.recommended(1, 1).await, number);
    }
    let later = s1.store.now() + TimeDelta::hours(1);
    create(&s1.store, CreateInstance { scheduled_start: Some(later), ..creation("later", "o") }).await;
    assert_eq!(s1.recommended(1, 1).await, 5, "what starts later waits for nobody");

    for (count, workers) in [(1, 1), (10, 4), (99, 33)] {
        let s2 = hub(&format!("s2_{count}")).await;
        s2.started("i", 1, |_| tasks(count)).await;
        assert_eq!(s2.recommended(1, 3).await, workers, "{count} activities");
    }

    let s3 = hub("s3").await;
    s3.started("i", 3, |store| vec![timer(0, store.now() + TimeDelta::days(30))]).await;
    assert_eq!(s3.recommended(1, 1).await, 0, "timers of the future");
    let s4 = hub("s4").await;
    s4.started("i", 7, |store| vec![timer(0, store.now() - TimeDelta::seconds(1))]).await;
    assert_eq!(s4.recommended(5, 5).await, 2, "timers that have come due");

    let s5 = hub("s5").await;
    s5.started("i", 1, |_| tasks(1)).await;
    let runner = node(&s5.store).await;
    let request = LockActivities { node: runner, names: names(&["a"]), limit: 1 };
    s5.store.lock_activities(request).await.expect("locking");
    assert_eq!(s5.recommended(1, 1).await, 1, "an activity that runs");
    send(&s5.store, "i0", terminate("enough")).await;
    claim(&s5.store, runner, "o").await.checkpoint(&s5.store, vec![], false).await;
    assert_eq!(s5.recommended(1, 1).await, 0, "nothing is left");

    let s6 = hub("s6").await;
    s6.started("i", 10, |_| vec![]).await;
    for number in 0..10 {
        for _ in 0..20 {
            let body = event("e", "1");
            let sent = SendMessage { instance_id: id(&format!("i{number}")), body, request_id: None };
            s6.store.send_message(sent).await.expect("sent");
        }
    }
    assert_eq!(s6.recommended(1, 1).await, 10, "many events of one orchestration are one turn");

    let s7 = hub("s7").await;
    s7.started("busy", 1, |_| tasks(100)).await;
    create(&s7.store, creation("waits", "o")).await;
    assert_eq!(s7.recommended(1, 10).await, 11, "one for the orchestration, ten for the activities");

    let s8 = hub("s8").await;
    let both = |store: &Store| [tasks(4), vec![timer(9, store.now() + TimeDelta::days(1))]].concat();
    s8.started("i", 1, both).await;
    assert_eq!(s8.recommended(1, 1).await, 4, "a timer of the future hides no activity");
    for _ in 0..6 {
        send(&s8.store, "i0", event("e", "1")).await;
    }
    assert_eq!(s8.recommended(1, 1).await, 5, "S9: six events do not multiply four activities");
}

#[tokio::test]
async fn suspended_instances_need_no_worker_and_the_oldest_is_told() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    let session = session(&server.url()).await;
    create(&store, creation("i", "o")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let query = "select waiting, running, oldest > interval '15 milliseconds', nodes \
                 from everdure.get_scale_metric('hub') where kind = 'orchestrations'";
    let row = session.query_one(query, &[]).await.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, bool>(2)), (1, 0, true));
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let row = session.query_one(query, &[]).await.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(3)), (0, 1, 1), "it runs");
    held.checkpoint(&store, complete("1"), false).await;
    for (call, code) in [("(0, 1, 'hub')", "ED422"), ("(1, 1, 'nowhere')", "ED404")] {
        let call = format!("select everdure.get_scale_recommendation{call}");
        let error = session.query_one(&call, &[]).await.expect_err("it cannot be");
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some(code));
    }
}
