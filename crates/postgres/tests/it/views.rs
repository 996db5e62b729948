//! The views for people who look with SQL.

use everdure_core::{CompleteActivity, CreateInstance, LockActivities, MessageBody};
use everdure_testkit::conformance::fixture::{claim, complete, create, creation, event, names, node, send, task};

use super::rules::session;
use super::support::{majors, open, server};

#[tokio::test]
async fn a_history_has_a_row_per_event_in_order() {
    for major in majors() {
        let server = server(major);
        let store = open(&server, "hub").await;
        create(&store, creation("i", "o")).await;
        let node = node(&store).await;
        claim(&store, node, "o").await.checkpoint(&store, vec![task(0, "a")], false).await;
        send(&store, "i", event("e", "\"payload\"")).await;
        claim(&store, node, "o").await.checkpoint(&store, complete("\"result\""), false).await;

        let session = session(&server.url()).await;
        let query = "select turn, type, task_id, name, input, result from everdure.v_history \
                     where instance_id = 'i' and task_hub = 'hub' order by turn, sequence";
        let rows = session.query(query, &[]).await.expect("the view");
        let text = |row: &tokio_postgres::Row, column: usize| row.get::<_, Option<String>>(column).unwrap_or_default();
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let (turn, task_id): (i64, Option<i32>) = (row.get(0), row.get(2));
                let task_id = task_id.map(|id| id.to_string()).unwrap_or_default();
                format!("{turn} {} {task_id} {} {} {}", text(row, 1), text(row, 3), text(row, 4), text(row, 5))
            })
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(
            found,
            [
                "1 OrchestratorStarted",
                "1 ExecutionStarted  o \"input\"",
                "1 TaskScheduled 0 a \"for the activity\"",
                "2 OrchestratorStarted",
                "2 EventRaised  e \"payload\"",
                "2 ExecutionCompleted 0   \"result\"",
            ],
            "PostgreSQL {major}"
        );
        let query = "select status, output, turn from everdure.v_instances where instance_id = 'i'";
        let row = session.query_one(query, &[]).await.expect("the view");
        let shown: (String, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(shown, ("Completed".into(), Some("\"result\"".into()), 2));
    }
}

/// Each payload stands in one place when all is over: no copy is left behind, and none was made on the way.
#[tokio::test]
async fn a_payload_is_stored_once() {
    for major in majors() {
        let server = server(major);
        let store = open(&server, "hub").await;
        create(&store, CreateInstance { input: Some("\"of the instance\"".into()), ..creation("i", "o") }).await;
        let node = node(&store).await;
        claim(&store, node, "o").await.checkpoint(&store, vec![task(0, "a")], false).await;
        let request = LockActivities { node, names: names(&["a"]), limit: 1 };
        let item = store.lock_activities(request).await.expect("locking").items.remove(0);
        let body = MessageBody::TaskCompleted { dispatch: item.task.dispatch, result: Some("\"of the step\"".into()) };
        let completion = CompleteActivity {
            id: Some(item.id),
            attempt: item.attempt,
            node,
            key: item.task.key,
            instance_id: item.task.instance_id,
            execution: item.task.execution,
            body,
        };
        store.complete_activity(completion).await.expect("an answer");
        send(&store, "i", event("e", "\"of the event\"")).await;
        claim(&store, node, "o").await.checkpoint(&store, complete("\"of the end\""), false).await;
        let session = session(&server.url()).await;
        for payload in ["of the instance", "for the activity", "of the step", "of the event", "of the end"] {
            let query = "select t.kind from (
                select 'instances' as kind, i::text as row from everdure.instances i
                union all select 'history', h::text from everdure.history h
                union all select 'messages', m::text from everdure.messages m
                union all select 'activities', a::text from everdure.activities a) t
              where strpos(t.row, $1) > 0";
            let rows = session.query(query, &[&payload]).await.expect("four tables");
            let places: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let derived = matches!(payload, "of the instance" | "of the end");
            assert_eq!(places, [if derived { "instances" } else { "history" }], "{payload}");
        }
    }
}
