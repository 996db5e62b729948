//! What autoscalers ask: the field's scenarios S1 to S9 by number, what an answer touches, and which rights it needs.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{Action, CreateInstance, LockActivities, SendMessage};
use everdure_postgres::{Load, ScaleMetric};
use everdure_testkit::conformance::fixture::{
    Held, Store, claim, complete, create, creation, event, id, lock, names, node, send, task, terminate, timer,
};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::rules::session;
use super::support::{backend, majors, open, server};

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
    assert_eq!(s5.recommended(1, 1).await, 0, "nothing is left");

    let s6 = hub("s6").await;
    s6.started("i", 10, |_| vec![]).await;
    for number in 0..10 {
        for _ in 0..20 {
            let body = event("e", "1");
            let sent = SendMessage { instance_id: id(&format!("i{number}")), body, request_id: None, not_before: None };
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

/// Timers and retries of next year, under thirty names; for $2 of them, work that is due, and work that runs.
const FILL: [&str; 2] = [
    "insert into everdure.instances (key, hub_id, instance_id, execution_id, name, created_at, updated_at, status,
                                     due_at, locked_by)
     select nextval('everdure.instance_keys'), 1, 'filler ' || gen_random_uuid(), gen_random_uuid(), 'o' || n % 30,
            now(), now(), 0,
            case when n > 2 * $2 then now() + interval '1 year' when n > $2 then now() - interval '1 minute' * n / $2 end,
            case when n <= $2 then 1 end
     from generate_series(1, $1::bigint + 2 * $2::bigint) n",
    "insert into everdure.activities (key, visible_at, locked_by, created_at, hub_id, execution, execution_id, dispatch,
                                      instance_id, name)
     select n, case when n > 2 * $2 then now() + interval '1 year' else now() - interval '1 minute' * n / $2 end,
            case when n <= $2 then 1 end, now(), 1, 0, gen_random_uuid(), gen_random_uuid()::text, 'filler', 'a' || n % 30
     from generate_series(1, $1::bigint + 2 * $2::bigint) n",
];

/// What the metric says, and the pages that it touches to say so.
async fn touched(session: &Client, cap: i32) -> (Vec<(i64, i64)>, i64) {
    let metric = format!("select * from everdure.get_scale_metric('hub', {cap})");
    // The first call of a session reads the catalogues, too.
    let rows = session.query(&metric, &[]).await.expect("two rows");
    let explain = format!("explain (analyze, buffers, format json) {metric}");
    let plan = session.simple_query(&explain).await.expect("a plan");
    let plan = plan.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let plan: serde_json::Value = serde_json::from_str(&plan.expect("a row")).expect("JSON");
    let number = |name: &str| plan[0]["Plan"][name].as_i64().expect("a number");
    let counts = rows.iter().map(|row| (row.get("waiting"), row.get("running"))).collect();
    (counts, number("Shared Hit Blocks") + number("Shared Read Blocks"))
}

#[tokio::test]
async fn the_metric_touches_little_among_many_timers_of_the_future() {
    let many = std::env::var("EVERDURE_PLAN_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_i64);
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    let session = session(&server.url()).await;
    assert_eq!(node(&store).await.0, 1, "the first one");
    for (future, due, cap, counted) in [(0, 5, 100_000, 5), (many, 0, 100_000, 5), (0, many / 10, 100, 100)] {
        for statement in FILL {
            session.execute(statement, &[&future, &due]).await.expect("rows");
        }
        for analyzed in [false, true] {
            if analyzed {
                session.batch_execute("analyze everdure.instances, everdure.activities").await.expect("analyzing");
            }
            let (counts, pages) = touched(&session, cap).await;
            println!("{future} of the future, {due} due, analyzed {analyzed}: {pages} pages");
            assert_eq!(counts, [(counted, counted); 2], "{future} of the future, {due} due, analyzed {analyzed}");
            assert!(pages < 600, "{future} of the future, {due} due, analyzed {analyzed}: {pages} pages");
        }
    }
}

#[tokio::test]
async fn a_scaler_needs_no_right_to_any_table() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let owner = session(&server.url()).await;
    owner
        .batch_execute(
            "revoke execute on all functions in schema everdure from public;              create role scaler login password 'secret';              grant usage on schema everdure to scaler;              grant execute on function everdure.get_scale_metric, everdure.get_scale_recommendation to scaler",
        )
        .await
        .expect("a role with the rights in the documentation");
    let (_, rest) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("credentials");
    let scaler = session(&format!("postgresql://scaler:secret@{rest}")).await;
    let asked = "select everdure.get_scale_recommendation(1, 1, 'hub')";
    assert_eq!(scaler.query_one(asked, &[]).await.expect("no right is missing").get::<_, i32>(0), 1);
    let asked = "select waiting from everdure.get_scale_metric('hub') where kind = 'orchestrations'";
    assert_eq!(scaler.query_one(asked, &[]).await.expect("no right is missing").get::<_, i64>(0), 1);

    // The default of PostgreSQL, that everybody may execute functions, gives the role no more than its tables do.
    owner.batch_execute("grant execute on all functions in schema everdure to public").await.expect("the default");
    for refused in [
        "select input from everdure.instances",
        "select * from everdure.v_instances",
        "select everdure.start_instance('o', null, 'j', p_hub => 'hub')",
        "select everdure.terminate('i', p_hub => 'hub')",
        "select * from everdure._get_history(1, 0)",
        "select * from everdure._get_history_part(1, 0, 0, 1)",
        "select * from everdure.get_hub_settings('hub')",
    ] {
        let error = scaler.query(refused, &[]).await.expect_err(refused);
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{refused}: {error}");
    }
}

#[tokio::test]
async fn the_backend_tells_what_the_functions_tell() {
    let server = server(majors()[0]);
    let hub = backend(&server, "hub").await;
    let store: Store = std::sync::Arc::new(backend(&server, "hub").await);
    assert_eq!(hub.scale_metric().await.expect("an answer"), ScaleMetric::default());
    for name in ["i", "j", "k"] {
        create(&store, creation(name, "o")).await;
    }
    let node = node(&store).await;
    assert_eq!(lock(&store, node, "o").await.len(), 3);
    create(&store, creation("l", "o")).await;
    let metric = hub.scale_metric().await.expect("an answer");
    assert_eq!((metric.orchestrations.waiting, metric.orchestrations.running, metric.nodes), (1, 3, 1));
    assert!(!metric.orchestrations.oldest.is_zero());
    assert_eq!(metric.activities, Load::default());
    let per_worker = |number| NonZeroU32::new(number).expect("not zero");
    assert_eq!(hub.scale_recommendation(per_worker(3), per_worker(1)).await.expect("an answer"), 2);
    assert_eq!(hub.scale_recommendation(per_worker(u32::MAX), per_worker(1)).await.expect("an answer"), 1);
}
