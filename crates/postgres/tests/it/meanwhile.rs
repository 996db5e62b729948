//! What another session changes between the moment at which a function finds a row and the one at which it locks it.

use std::time::Duration;

use everdure_core::{LockActivities, MessageBody, OrchestrationStatus, SendOutcome};
use everdure_testkit::conformance::fixture::{
    child, claim, create, creation, get, names, node, node_with_lease, send, task, until,
};

use super::rules::{session, somebody_waits};
use super::support::{majors, open, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reaping_takes_nothing_from_its_next_holder() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let mortal = node_with_lease(&store, Duration::from_millis(50)).await;
    let mut held = claim(&store, node(&store).await, "o").await;
    held.checkpoint(&store, vec![task(0, "a")], true).await;
    let request = LockActivities { node: mortal, names: names(&["a"]), limit: 1 };
    assert_eq!(store.lock_activities(request).await.expect("claimed").items.len(), 1);

    let (other, watcher) = (session(&server.url()).await, session(&server.url()).await);
    let claimed = "begin; update everdure.activities set locked_by = 4711, attempt = attempt + 1";
    other.batch_execute(claimed).await.expect("claimed by another");
    let reaping = tokio::spawn({
        let store = store.clone();
        async move {
            while store.reap_nodes().await.expect("reaping").nodes.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    until("reaping waits for the row", || somebody_waits(&watcher, "_reap_nodes")).await;
    other.batch_execute("commit").await.expect("committed");
    reaping.await.expect("reaped");
    let holder = "select locked_by, (select count(*) from everdure.poison) from everdure.activities";
    let row = watcher.query_one(holder, &[]).await.expect("readable");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4711, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminating_reaches_a_child_that_is_born_meanwhile() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("parent", "p")).await;
    let node = node(&store).await;
    claim(&store, node, "p").await.checkpoint(&store, vec![child(0, "c", "child")], false).await;
    claim(&store, node, "c").await.checkpoint(&store, vec![task(0, "a")], false).await;

    let (other, watcher) = (session(&server.url()).await, session(&server.url()).await);
    other
        .batch_execute("begin; select from everdure.instances where instance_id = 'child' for update")
        .await
        .expect("the child takes a turn");
    let terminating = tokio::spawn({
        let store = store.clone();
        async move { send(&store, "parent", MessageBody::ExecutionTerminated { reason: None, recurse: true }).await }
    });
    until("terminating waits for the child", || somebody_waits(&watcher, "_send_messages")).await;
    let born = "insert into everdure.instances
        select (json_populate_record(i, json_build_object(
          'key', nextval('everdure.instance_keys'), 'instance_id', 'grandchild', 'execution_id', gen_random_uuid(),
          'parent', json_build_object(
            'instanceId', i.instance_id, 'key', i.key, 'execution', i.execution, 'dispatch', '1.0', 'taskId', 0)))).*
        from everdure.instances i where instance_id = 'child'; commit";
    other.batch_execute(born).await.expect("the turn makes a child");
    assert_eq!(terminating.await.expect("no panic"), SendOutcome::Terminated);
    for name in ["parent", "child", "grandchild"] {
        let status = get(&store, name).await.map(|record| record.status);
        assert_eq!(status, Some(OrchestrationStatus::Terminated), "{name}");
    }
}
