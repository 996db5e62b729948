//! Migrations, and the schema as they leave it.

use std::fmt::Write;

use everdure_core::{BackendError, OrchestrationStatus};
use everdure_postgres::{PostgresBackend, PostgresOptions, PostgresOptionsBuilder, SCHEMA_VERSION};
use everdure_testkit::conformance::fixture::{Store, claim, complete, create, creation, event, get, node, send};
use tokio_postgres::Client;

use super::rules::session;
use super::support::{majors, server};

fn builder(url: &str) -> PostgresOptionsBuilder {
    PostgresOptions::builder(url).expect("the URL of the private server")
}

async fn connect(builder: PostgresOptionsBuilder) -> Result<PostgresBackend, BackendError> {
    PostgresBackend::connect(builder.build().expect("good options")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_35_several_nodes_may_migrate_at_once() {
    for major in majors() {
        let server = server(major);
        let url = server.url();
        let all = futures::future::join_all((0..6).map(|_| connect(builder(&url).listen(false)))).await;
        for backend in all {
            backend.expect("each of them connects");
        }
        let again = PostgresBackend::migrate(&builder(&url).build().expect("good options")).await.expect("current");
        assert_eq!((again.from, again.to, again.changed), (Some(SCHEMA_VERSION), SCHEMA_VERSION, false));
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_a_missing_one_is_named() {
    let server = server(majors()[0]);
    let url = server.url();
    let missing = connect(builder(&url).migrate(false)).await.err().expect("there is no schema").to_string();
    assert!(missing.contains("missing") && missing.contains("everdure migrate"), "{missing}");
    connect(builder(&url)).await.expect("the schema is made");
    connect(builder(&url).migrate(false)).await.expect("it is current");
    let newer = "update everdure.schema_info set version = version + 1, everdure = '99.0.0'";
    session(&url).await.batch_execute(newer).await.expect("a look into the future");
    let error = connect(builder(&url)).await.err().expect("too new");
    assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&(SCHEMA_VERSION + 1).to_string()) && text.contains("99.0.0"), "{text}");
}

#[tokio::test]
async fn a_role_that_may_only_work_connects_to_a_current_schema() {
    let server = server(majors()[0]);
    connect(builder(&server.url())).await.expect("the owner makes the schema");
    session(&server.url())
        .await
        .batch_execute(
            "create role worker login password 'secret'; grant usage on schema everdure to worker; \
             grant select, insert, update, delete on all tables in schema everdure to worker; \
             grant usage on all sequences in schema everdure to worker; \
             grant execute on all functions in schema everdure to worker; \
             revoke create on database everdure from public",
        )
        .await
        .expect("a role with the rights in the documentation");
    let (_, rest) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("credentials");
    let backend = connect(builder(&format!("postgresql://worker:secret@{rest}"))).await.expect("no right is missing");
    let store: Store = std::sync::Arc::new(backend);
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    claim(&store, node, "o").await.checkpoint(&store, complete("1"), false).await;
    store.remove_node(node).await.expect("leaving");
}

#[tokio::test]
async fn another_schema_stands_beside_the_first() {
    let server = server(majors()[0]);
    let one: Store = std::sync::Arc::new(connect(builder(&server.url())).await.expect("the default schema"));
    let two = connect(builder(&server.url()).schema("orders_2")).await.expect("another schema");
    let two: Store = std::sync::Arc::new(two);
    create(&two, creation("i", "o")).await;
    assert!(one.get_instances(vec![creation("i", "o").instance_id], false).await.expect("readable").is_empty());
    let node = node(&two).await;
    claim(&two, node, "o").await.checkpoint(&two, complete("1"), false).await;
}

/// What version 1 of the schema held, written as that version wrote it.
const HELD: &str = r#"
insert into everdure.schema_info (version, functions, everdure) values (1, 'of version 1', '0.1.0');
insert into everdure.task_hubs (name) values ('default');
insert into everdure.instances (key, turn, due_at, created_at, updated_at, completed_at, hub_id, status, execution_id,
                                instance_id, name, input, output)
select nextval('everdure.instance_keys'), r.turn, r.due_at, now(), now(), r.completed_at, h.hub_id, r.status,
       gen_random_uuid(), r.id, 'o', '"input"', r.output
from everdure.task_hubs h, (values
  ('ended', 1, null::timestamptz, now(), 1::smallint, '"done"'),
  ('pending', 0, now(), null, 6, null),
  ('waiting', 1, null, null, 0, null)) r(id, turn, due_at, completed_at, status, output);
insert into everdure.history (key, turn, at, execution, events)
select i.key, 1, now(), 0, '[]' from everdure.instances i where i.turn = 1;
"#;

#[tokio::test]
async fn an_older_schema_is_upgraded_with_what_it_holds() {
    for major in majors() {
        let server = server(major);
        let first = include_str!("../../sql/tables/0001_core.sql");
        session(&server.url()).await.batch_execute(&format!("{first}{HELD}")).await.expect("a schema of version 1");
        let backend = connect(builder(&server.url())).await.expect("it is upgraded");
        let store: Store = std::sync::Arc::new(backend);
        let ended = get(&store, "ended").await.expect("it is still there");
        assert_eq!((ended.status, ended.output.as_deref()), (OrchestrationStatus::Completed, Some("\"done\"")));
        let node = node(&store).await;
        claim(&store, node, "o").await.checkpoint(&store, complete("1"), false).await;
        send(&store, "waiting", event("go", "1")).await;
        claim(&store, node, "o").await.checkpoint(&store, complete("2"), false).await;
        for id in ["pending", "waiting"] {
            assert_eq!(get(&store, id).await.expect("there").status, OrchestrationStatus::Completed, "{id}");
        }
    }
}

async fn lines(client: &Client, title: &str, query: &str, into: &mut String) {
    writeln!(into, "\n== {title}").expect("writing to a string");
    for row in client.query(query, &[]).await.expect(title) {
        writeln!(into, "{}", row.get::<_, String>(0)).expect("writing to a string");
    }
}

async fn dump(client: &Client) -> String {
    let mut text = String::from("The schema, as the migrations leave it. Refresh: EVERDURE_UPDATE_GOLDEN=1\n");
    for (title, query) in [
        (
            "tables and views",
            "select relname || ' (' || relkind::text || ')' || coalesce(' ' || array_to_string(reloptions, ', '), '') \
             from pg_class where relnamespace = 'everdure'::regnamespace and relkind in ('r', 'v', 'S', 'c') order by 1",
        ),
        (
            "columns",
            "select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) \
                 || case when a.attnotnull then ' not null' else '' end \
             from pg_attribute a join pg_class c on c.oid = a.attrelid \
             where c.relnamespace = 'everdure'::regnamespace and c.relkind in ('r', 'v', 'c') and a.attnum > 0 \
             order by c.relname, a.attnum",
        ),
        ("indexes", "select indexdef from pg_indexes where schemaname = 'everdure' order by indexname"),
        (
            "functions",
            "select p.proname || '(' || pg_get_function_arguments(p.oid) || ') -> ' || pg_get_function_result(p.oid) \
             from pg_proc p where p.pronamespace = 'everdure'::regnamespace order by 1",
        ),
    ] {
        lines(client, title, query, &mut text).await;
    }
    text
}

#[tokio::test]
async fn the_schema_is_the_golden_one() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema.txt");
    for major in majors() {
        let server = server(major);
        connect(builder(&server.url())).await.expect("the schema is made");
        let found = dump(&session(&server.url()).await).await;
        if std::env::var_os("EVERDURE_UPDATE_GOLDEN").is_some() {
            std::fs::write(golden, &found).expect("writing the golden file");
        }
        let expected = std::fs::read_to_string(golden).expect("the golden file");
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "PostgreSQL {major}; refresh with EVERDURE_UPDATE_GOLDEN=1 and review");
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "PostgreSQL {major}");
    }
}
