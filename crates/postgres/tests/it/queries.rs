//! What a query touches among many instances. `EVERDURE_PLAN_ROWS` sets how many (200,000 otherwise); the times are printed
//! for people and never compared.

use std::time::Instant;

use chrono::TimeDelta;
use everdure_testkit::conformance::fixture::Store;
use tokio_postgres::Client;

use super::rules::session;
use super::support::{majors, open, server};

fn rows() -> i64 {
    std::env::var("EVERDURE_PLAN_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

/// Of a hundred: 90 completed, 4 failed, 1 terminated, 5 live (held, waiting, pending). The rare values of each condition
/// stand among the oldest, where a walk from the newest would find them last.
const FILL: &str = r#"
insert into everdure.instances (
  key, turn, hub_id, instance_id, execution_id, name, version, status, created_at, updated_at, completed_at, due_at,
  locked_by, input, output, failure, custom_status, parent, tags)
select nextval('everdure.instance_keys'), 5, h.hub_id, 'order-' || n, gen_random_uuid(),
       case when n = 77 then 'rare' else 'name' || n % 30 end, case when n = 78 then 'rare' else (n % 3)::text end,
       s.status, t.at, t.at + interval '1 second',
       case when s.status in (1, 3, 5) then t.at + interval '1 second' end,
       case when s.status = 6 then t.at + interval '10 years' end,
       case when s.status = 0 and n % 2 = 0 then 1 end,
       repeat('x', 100), repeat('y', 100),
       case when s.status = 3 then json_build_object('type', case when n = 103 then 'Rare' else 'Io' end, 'message', 'm') end,
       case when n % 10 = 0 then json_build_object('stage', case when n = 70 then 'rare' else 'usual' end)::text end,
       case when n % 20 = 1 then json_build_object('key', 1, 'execution', 0, 'instanceId', 'order-' || n / 100) end,
       case when n % 10 = 2 then json_build_object('region', case when n = 72 then 'rare' else 'eu' end) end
from everdure.task_hubs h, generate_series(1, $1::bigint) n
cross join lateral (select now() - ($1 - n) * interval '1 second' as at) t
cross join lateral (select case when n % 100 between 1 and 4 then 3 when n % 100 = 5 then 5 when n % 100 in (6, 7, 8) then 0
                                when n % 100 = 9 then 6 when n % 100 = 10 then 7 else 1 end::smallint as status) s
where h.name = 'hub'
"#;

/// Pages that the statement for this filter touches, and rows that it finds.
async fn touched(session: &Client, filter: &str) -> (i64, i64) {
    let statement = "select everdure._instances_that_match(1, $1::text::json, 9223372036854775807)";
    let keys: String = session.query_one(statement, &[&filter]).await.expect("a statement").get(0);
    let explain = format!("explain (analyze, buffers, format json) {keys} order by i.key desc limit 50");
    let text = session.simple_query(&explain).await.expect("a plan");
    let plan = text.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let plan: serde_json::Value = serde_json::from_str(&plan.expect("a row")).expect("JSON");
    let node = &plan[0]["Plan"];
    let number = |name: &str| node[name].as_i64().expect("a number");
    (number("Shared Hit Blocks") + number("Shared Read Blocks"), number("Actual Rows"))
}

#[tokio::test]
async fn a_query_touches_few_of_many_instances() {
    let (server, count) = (server(*majors().first().expect("one is installed")), rows());
    let store: Store = open(&server, "hub").await;
    let session = session(&server.url()).await;
    session.execute(FILL, &[&count]).await.expect("many instances");
    session.batch_execute("vacuum analyze everdure.instances").await.expect("vacuum");
    let size = "select pg_relation_size('everdure.instances') / 8192";
    let pages: i64 = session.query_one(size, &[]).await.expect("a size").get(0);
    let oldest = (store.now() - TimeDelta::seconds(count - 1000)).to_rfc3339();
    let newest = (store.now() - TimeDelta::seconds(1000)).to_rfc3339();
    // Whether an index, or nearness to the newest, finds them; otherwise it is a walk from the newest to the oldest.
    for (what, filter, near) in [
        ("nothing", "{}".to_owned(), true),
        ("completed", r#"{"statuses": [1]}"#.to_owned(), true),
        ("failed", r#"{"statuses": [3]}"#.to_owned(), true),
        ("running", r#"{"statuses": [0]}"#.to_owned(), true),
        ("pending", r#"{"statuses": [6]}"#.to_owned(), true),
        ("terminated", r#"{"statuses": [5]}"#.to_owned(), true),
        ("id prefix", r#"{"idPrefix": "order-77"}"#.to_owned(), true),
        ("parent", r#"{"parent": "order-3"}"#.to_owned(), true),
        ("rare failure type", r#"{"failureType": "Rare"}"#.to_owned(), true),
        ("rare tag", r#"{"tags": {"region": "rare"}}"#.to_owned(), true),
        ("completed long ago", format!(r#"{{"completedTo": "{oldest}"}}"#), true),
        ("completed just now", format!(r#"{{"completedFrom": "{newest}"}}"#), true),
        ("created just now", format!(r#"{{"createdFrom": "{newest}"}}"#), true),
        ("created long ago", format!(r#"{{"createdTo": "{oldest}"}}"#), true),
        ("updated just now", format!(r#"{{"updatedFrom": "{newest}"}}"#), true),
        ("updated long ago", format!(r#"{{"updatedTo": "{oldest}"}}"#), true),
        ("name", r#"{"name": "name7"}"#.to_owned(), false),
        ("rare name", r#"{"name": "rare"}"#.to_owned(), true),
        ("version", r#"{"version": "1"}"#.to_owned(), true),
        ("rare version", r#"{"version": "rare"}"#.to_owned(), true),
        ("rare part of the id", r#"{"idContains": "rder-7777"}"#.to_owned(), false),
        ("roots", r#"{"rootsOnly": true}"#.to_owned(), true),
        ("custom status", r#"{"customStatus": [["stage"], "usual"]}"#.to_owned(), false),
        ("rare custom status", r#"{"customStatus": [["stage"], "rare"]}"#.to_owned(), true),
    ] {
        let (touched, found) = touched(&session, &filter).await;
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            let page = "select count(*) from everdure._query_instances(1, $1, true, 9223372036854775807, 50)";
            session.query_one(page, &[&filter]).await.expect("a page");
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        println!("{count} instances, {what}: {found} found, {touched} of {pages} pages, p95 {:?}", times[18]);
        assert!(!near || touched < pages / 2, "{what} touches {touched} of {pages} pages");
    }
}
