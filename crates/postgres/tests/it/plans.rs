//! Plans that hold: what an operation touches does not grow with the tables, whether they were analyzed or not.
//!
//! `EVERDURE_PLAN_ROWS` sets the largest number of instances, 100,000 by default.

use everdure_core::LockActivities;
use everdure_testkit::conformance::fixture::{
    Store, claim, create, creation, event, get, lock, names, node, send, task,
};
use tokio_postgres::Client;

use super::rules::session;
use super::support::{majors, open, server};

/// Rows that a handful of operations on one instance may read.
const BOUND: i64 = 400;

/// Finished ones, waiting ones that are due next year, and ones that another node holds; with their rows.
const FILL: &str = "
  insert into everdure.instances (key, hub_id, instance_id, execution_id, name, created_at, updated_at, status,
                                  completed_at, due_at, locked_by, claimed_at, turn)
  select nextval('everdure.instance_keys'), 1, 'filler ' || $1 || ' ' || n, gen_random_uuid(), 'o', now(), now(),
         case when n % 3 = 0 then 1 else 0 end, case when n % 3 = 0 then now() end,
         case when n % 3 = 1 then now() + interval '1 year' end, case when n % 3 = 2 then 1000000 end,
         case when n % 3 = 2 then now() end, 1
  from generate_series(1, $1::int) n;
";

async fn rows_read(session: &Client) -> i64 {
    let sum = "select pg_stat_clear_snapshot()::text, (
                 select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables
                 where schemaname = 'everdure')";
    session.query_one(sum, &[]).await.expect("statistics").get(1)
}

async fn one_of_each(store: &Store, name: &str) {
    create(store, creation(name, "o")).await;
    let node = node(store).await;
    let mut held = claim(store, node, "o").await;
    held.checkpoint(store, vec![task(0, "a")], true).await;
    send(store, name, event("e", "1")).await;
    assert_eq!(lock(store, node, "o").await.len(), 1, "its mail");
    let request = LockActivities { node, names: names(&["a"]), limit: 10 };
    assert_eq!(store.lock_activities(request).await.expect("claiming").items.len(), 1);
    assert!(get(store, name).await.is_some());
    store.remove_node(node).await.expect("leaving");
    store
        .purge_instances(everdure_core::PurgeFilter::instance(creation(name, "o").instance_id, true))
        .await
        .expect("purging");
}

/// Statistics of sessions arrive when these end, so each measurement is a backend of its own.
async fn measured(server: &everdure_embedded::Server, session: &Client, name: &str) -> i64 {
    let before = rows_read(session).await;
    let store = open(server, "hub").await;
    one_of_each(&store, name).await;
    drop(store);
    let others = "select count(*) from pg_stat_activity
                  where backend_type = 'client backend' and pid <> pg_backend_pid()";
    everdure_testkit::conformance::fixture::until("the sessions have ended", || async {
        session.query_one(others, &[]).await.expect("readable").get::<_, i64>(0) == 0
    })
    .await;
    rows_read(session).await - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operation_touches_does_not_grow() {
    let largest = std::env::var("EVERDURE_PLAN_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    for major in majors() {
        let server = server(major);
        drop(open(&server, "hub").await);
        let session = session(&server.url()).await;
        for rows in [0, 1000, largest] {
            session.execute(FILL.trim().trim_end_matches(';'), &[&rows]).await.expect("rows");
            for analyzed in [false, true] {
                if analyzed {
                    session.batch_execute("analyze everdure.instances").await.expect("analyzing");
                }
                let read = measured(&server, &session, &format!("i {rows} {analyzed}")).await;
                println!("PostgreSQL {major}, {rows} rows, analyzed {analyzed}: {read} rows read");
                assert!(read < BOUND, "PostgreSQL {major}, {rows} rows, analyzed {analyzed}: {read} rows read");
            }
        }
    }
}
