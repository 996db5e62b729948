//! Each method against a scripted database boundary: its SQL function is wrapped, and fails as the script says before
//! it does its work. What the functions do is for the other tests; here it is what each answer means to the caller.

use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    AbandonActivity, ActivityId, BackendError, Checkpoint, CleanEntities, CompleteActivity, Demote, EntityQuery,
    HistoryPart, InstanceQuery, ListInstanceIds, LockActivities, MessageBody, PurgeFilter, RegisterNode, SendMessage,
};
use everdure_embedded::Server;
use everdure_postgres::{PostgresBackend, PostgresOptions};
use everdure_testkit::conformance::fixture::{
    Store, claim, create, creation, dispatch, event, id, names, node, request, task,
};
use tokio_postgres::Client;

use super::rules::session;
use super::support::{majors, server};

/// Methods, with the functions that they call.
const METHODS: [(&str, &str); 36] = [
    ("register_node", "_register_node"),
    ("renew_node", "_renew_node"),
    ("reap_nodes", "_reap_nodes"),
    ("remove_node", "_remove_node"),
    ("release_unknown", "_release_unknown"),
    ("release_unknown_activities", "_release_unknown_activities"),
    ("create_instance", "_create_instances"),
    ("send_message", "_send_messages"),
    ("lock_orchestrations", "_lock_orchestrations"),
    ("checkpoint", "_checkpoint"),
    ("demote", "_demote"),
    ("lock_activities", "_lock_activities"),
    ("complete_activity", "_complete_activities"),
    ("abandon_activity", "_abandon_activity"),
    ("get_instances", "_get_instances"),
    ("query_instances", "_query_instances"),
    ("count_instances", "_count_instances"),
    ("list_instance_ids", "_list_instance_ids"),
    ("get_node", "_get_node"),
    ("get_holders", "_get_holders"),
    ("get_entity", "_get_entity"),
    ("query_entities", "_query_entities"),
    ("clean_entities", "_clean_entities"),
    ("get_executions", "_get_executions"),
    ("get_history", "_get_history"),
    ("get_history_part", "_get_history_part"),
    ("purge_instances", "_purge_ids"),
    ("purge_expired", "_purge_expired"),
    ("get_lost_activities", "_get_lost_activities"),
    ("get_poisoned", "_get_poisoned"),
    ("release_poisoned", "_release_poisoned"),
    ("rewind_instances", "_rewind_instances"),
    ("export_instances", "_export_instances"),
    ("import_instance", "_import_instance"),
    ("set_hub_setting", "set_hub_setting"),
    ("get_hub_settings", "get_hub_settings"),
];

/// The wrapper fails so many times, counted by a sequence because a failed transaction forgets everything else.
const WRAP: &str = "
  create table public.script (function text primary key, code text, times int);
  create sequence public.calls;
  create function public.scripted(f text) returns void language plpgsql as $$
  declare s public.script;
  begin
    select * into s from public.script where function = f;
    if found and s.times > 0 and (s.times = 1000000 or nextval('public.calls') <= s.times) then
      if s.code = 'cut' then
        perform pg_terminate_backend(pg_backend_pid());
        perform pg_sleep(10);
      end if;
      raise exception 'as the script says' using errcode = s.code;
    end if;
  end $$;
  create function public.wrap(f text) returns void language plpgsql as $$
  declare
    p record;
    body text;
    call text;
  begin
    select pr.oid, pg_get_function_arguments(pr.oid) as arguments, pg_get_function_result(pr.oid) as result,
           pr.proretset, pr.pronargs into p
    from pg_proc pr where pr.pronamespace = 'everdure'::regnamespace and pr.proname = f;
    select format('everdure.%I(%s)', 'real' || f, string_agg('$' || n, ', ')) into call from generate_series(1, p.pronargs) n;
    body := case when p.proretset then 'return query select * from ' || call || ';'
                 when p.result = 'void' then 'perform ' || call || ';'
                 else 'return ' || call || ';' end;
    execute format('alter function everdure.%I rename to %I', f, 'real' || f);
    execute format('create function everdure.%I(%s) returns %s language plpgsql as %L', f, p.arguments, p.result,
                   format('begin perform public.scripted(%L); %s end', f, body));
  end $$;
";

struct Boundary {
    server: Server,
    session: Client,
    /// Far more patient than what has to succeed takes, on a busy machine too.
    store: Store,
    /// For what fails only at its deadline.
    hasty: Store,
}

async fn connect(url: &str, deadline: Duration) -> Store {
    let options = PostgresOptions::builder(url).expect("a URL").listen(false).lanes(1).deadline(deadline);
    Arc::new(PostgresBackend::connect(options.build().expect("good options")).await.expect("connecting"))
}

impl Boundary {
    async fn new() -> Self {
        let server = server(majors()[0]);
        let store = connect(&server.url(), Duration::from_secs(10)).await;
        let hasty = connect(&server.url(), Duration::from_millis(800)).await;
        let session = session(&server.url()).await;
        session.batch_execute(WRAP).await.expect("the wrapper");
        for (_, function) in METHODS {
            session.execute("select public.wrap($1)", &[&function]).await.expect(function);
        }
        // Sessions of before have the plans of before.
        let others = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'everdure'";
        session.execute(others, &[]).await.expect("ending sessions");
        Self { server, session, store, hasty }
    }

    async fn script(&self, function: &str, code: &str, times: i32) {
        self.session
            .batch_execute("delete from public.script; alter sequence public.calls restart")
            .await
            .expect("a clean slate");
        let insert = "insert into public.script values ($1, $2, $3)";
        self.session.execute(insert, &[&function, &code, &times]).await.expect("a script");
    }

    /// Prepares what the method needs, scripts its function, calls it on `called`, and tells what came of it.
    async fn call(
        &self,
        called: &Store,
        (method, function): (&str, &str),
        code: &str,
        times: i32,
    ) -> Result<String, BackendError> {
        self.session.batch_execute("delete from public.script").await.expect("a clean slate");
        let store = &self.store;
        let name = format!("{method} {code} {times}");
        create(store, creation(&name, &name)).await;
        let node = node(store).await;
        let said = |outcome: &dyn std::fmt::Debug| format!("{outcome:?}");
        macro_rules! scripted {
            (store.$method:ident($($argument:tt)*)) => {{
                self.script(function, code, times).await;
                called.$method($($argument)*).await.map(|outcome| said(&outcome))
            }};
        }
        match method {
            "register_node" => {
                scripted!(store.register_node(RegisterNode { lease: Duration::from_secs(60), address: None }))
            }
            "renew_node" => scripted!(store.renew_node(node)),
            "reap_nodes" => scripted!(store.reap_nodes()),
            "remove_node" => scripted!(store.remove_node(node)),
            "release_unknown" => scripted!(store.release_unknown(node, vec![], Duration::ZERO)),
            "release_unknown_activities" => {
                scripted!(store.release_unknown_activities(node, vec![], Duration::ZERO))
            }
            "create_instance" => scripted!(store.create_instance(creation(&format!("{name} new"), "new"))),
            "send_message" => {
                let message =
                    SendMessage { instance_id: id(&name), body: event("e", "1"), request_id: None, not_before: None };
                scripted!(store.send_message(message))
            }
            "lock_orchestrations" => scripted!(store.lock_orchestrations(request(node, &[&name]))),
            "checkpoint" => {
                let checkpoint = claim(store, node, &name).await.turn(store, vec![task(0, "a")]);
                scripted!(store.checkpoint(checkpoint))
            }
            "demote" => {
                let held = claim(store, node, &name).await;
                scripted!(store.demote(Demote {
                    key: held.state.key,
                    instance_id: id(&name),
                    node,
                    claim: held.claim,
                    turn: 0,
                    execution: 0,
                    activities: vec![],
                    running: vec![],
                    completions: vec![],
                    retry_after: None,
                    failure: None,
                }))
            }
            "lock_activities" => {
                scripted!(store.lock_activities(LockActivities { node, names: names(&[&name]), limit: 1 }))
            }
            "complete_activity" => {
                let mut held = claim(store, node, &name).await;
                let checkpoint = Checkpoint { hold: false, ..held.turn(store, vec![task(0, &name)]) };
                store.checkpoint(checkpoint).await.expect("written");
                let wanted = LockActivities { node, names: names(&[&name]), limit: 1 };
                let activity = store.lock_activities(wanted).await.expect("claiming").items.remove(0);
                scripted!(store.complete_activity(CompleteActivity {
                    id: Some(activity.id),
                    attempt: activity.attempt,
                    node,
                    key: held.state.key,
                    instance_id: id(&name),
                    execution: 0,
                    body: MessageBody::TaskCompleted { dispatch: dispatch(1, 0), result: None },
                }))
            }
            "abandon_activity" => scripted!(store.abandon_activity(AbandonActivity {
                id: ActivityId(1),
                attempt: 1,
                node,
                retry_after: Duration::ZERO,
                failure: None
            })),
            "get_instances" => scripted!(store.get_instances(vec![id(&name)], true)),
            "query_instances" => {
                scripted!(store.query_instances(InstanceQuery { page_size: 1, ..InstanceQuery::default() }))
            }
            "count_instances" => scripted!(store.count_instances(InstanceQuery::default(), 10)),
            "list_instance_ids" => {
                scripted!(store.list_instance_ids(ListInstanceIds { page_size: 1, ..ListInstanceIds::default() }))
            }
            "get_node" => scripted!(store.get_node(node)),
            "get_holders" => scripted!(store.get_holders(id(&name), None)),
            "get_entity" => scripted!(store.get_entity(id("@e@1"), true)),
            "query_entities" => {
                scripted!(store.query_entities(EntityQuery { page_size: 1, ..EntityQuery::default() }))
            }
            "clean_entities" => {
                scripted!(store.clean_entities(CleanEntities { limit: 1, ..CleanEntities::default() }))
            }
            "get_lost_activities" => scripted!(store.get_lost_activities(node, vec![ActivityId(1)])),
            "rewind_instances" => scripted!(store.rewind_instances(vec![], vec![])),
            "export_instances" => scripted!(store.export_instances(vec![id(&name)])),
            "import_instance" => scripted!(store.import_instance(document(&name))),
            "get_poisoned" => scripted!(store.get_poisoned(10)),
            "release_poisoned" => scripted!(store.release_poisoned(id(&name), false)),
            "get_executions" => scripted!(store.get_executions(id(&name))),
            "get_history" => scripted!(store.get_history(id(&name), None)),
            "get_history_part" => {
                let part = HistoryPart { instance_id: id(&name), execution_id: None, after: 0, bytes: 1 };
                scripted!(store.get_history_part(part))
            }
            "purge_instances" => {
                scripted!(store.purge_instances(PurgeFilter::instance(id(&name), true)))
            }
            "purge_expired" => scripted!(store.purge_expired(10)),
            "set_hub_setting" => scripted!(store.set_hub_setting("retention.failed", Some("30d"))),
            "get_hub_settings" => scripted!(store.get_hub_settings()),
            other => panic!("no method {other}"),
        }
    }
}

/// Whether the method is written in lanes, where an item is rejected instead of failing its caller.
fn rejects(method: &str) -> bool {
    matches!(method, "create_instance" | "send_message" | "checkpoint" | "complete_activity")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_method_takes_each_answer_for_what_it_is() {
    let boundary = Boundary::new().await;
    for (method, function) in METHODS {
        let call = |code, times| boundary.call(&boundary.store, (method, function), code, times);
        let fine = call("00000", 0).await;
        assert!(fine.is_ok(), "{method}: {fine:?}");
        // A history is read in a read-only transaction, where the script cannot count.
        if !method.starts_with("get_history") {
            for code in ["40001", "53300", "57014", "25006", "08006", "cut"] {
                let again = call(code, 1).await;
                assert!(again.is_ok(), "{method} after one {code}: {again:?}");
            }
        }
        let away = boundary.call(&boundary.hasty, (method, function), "40001", 1_000_000).await;
        let away = away.expect_err("until the deadline");
        assert!(matches!(away, BackendError::Unavailable { .. }), "{method}: {away:?}");
        let refused = call("42P01", 1_000_000).await.expect_err("for the operator");
        assert!(matches!(refused, BackendError::Refused { .. }), "{method}: {refused:?}");
        assert!(refused.to_string().contains("42P01"), "{method}: {refused}");
        let item = call("22P05", 1_000_000).await;
        if rejects(method) {
            assert!(item.as_ref().is_ok_and(|said| said.starts_with("Rejected")), "{method}: {item:?}");
        } else {
            assert!(matches!(item, Err(BackendError::Invalid { .. })), "{method}: {item:?}");
        }
        if !matches!(method, "create_instance" | "send_message") {
            let gone = call("ED001", 1_000_000).await;
            assert!(matches!(gone, Err(BackendError::NodeGone)), "{method}: {gone:?}");
        }
    }
    drop(boundary.server);
}

/// What is stored and makes no sense is told, and nothing is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_rows_are_corrupt_and_named() {
    let boundary = Boundary::new().await;
    let store = &boundary.store;
    for (spoil, what) in [
        ("update everdure.instances set status = 99", "status"),
        ("update everdure.instances set tags = '[1]'", "tags"),
        ("update everdure.instances set failure = '7'", "failure"),
        ("update everdure.instances set parent = '{\"instanceId\": \"\"}'", "instance_id"),
    ] {
        create(store, creation(what, "o")).await;
        boundary.session.batch_execute(&format!("{spoil} where instance_id = '{what}'")).await.expect(spoil);
        let error = store.get_instances(vec![id(what)], true).await.expect_err(what);
        assert!(matches!(error, BackendError::Corrupt { .. }) && error.to_string().contains(what), "{error}");
    }
    create(store, creation("history", "h")).await;
    let node = node(store).await;
    claim(store, node, "h").await.checkpoint(store, vec![task(0, "a")], false).await;
    boundary
        .session
        .batch_execute("update everdure.history set events = '[{\"type\": \"Nonsense\"}]'")
        .await
        .expect("spoilt");
    let error = store.get_history(id("history"), None).await.expect_err("nonsense");
    assert!(matches!(error, BackendError::Corrupt { .. }) && error.to_string().contains("events"), "{error}");

    boundary
        .session
        .batch_execute(
            "create or replace function everdure._close_flush(p_node bigint, p_lane int, p_flush bigint) returns text \
             language sql as $$ select '{\"create\": []}' $$",
        )
        .await
        .expect("fewer outcomes than operations");
    let error = store.create_instance(creation("unread", "o")).await.expect_err("no outcome");
    assert!(matches!(error, BackendError::Corrupt { .. }), "{error:?}");
}

/// An instance that has not begun, to be imported.
fn document(name: &str) -> everdure_core::ExportedInstance {
    let text = format!(
        r#"{{"format":1,"instanceId":"{name}","executionId":"{:032x}","execution":0,"name":"o","status":"Pending",
            "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","turn":0,"executionTurn":0,
            "history":[],"messages":[]}}"#,
        7
    );
    serde_json::from_str(&text).expect("a document")
}
