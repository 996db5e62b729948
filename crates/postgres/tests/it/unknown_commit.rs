//! Rule 2: the reply to a commit is lost; what happened is found out, and nothing happens twice.

use std::sync::Arc;

use everdure_core::{
    Checkpoint, CheckpointOutcome, CompleteActivity, CompleteOutcome, CreateOutcome, Demote, DemoteOutcome,
    LockActivities, MessageBody, SendOutcome,
};
use everdure_postgres::{PostgresBackend, PostgresOptions};
use everdure_testkit::conformance::fixture::{
    Store, claim, complete, create, creation, dispatch, event, event_inputs, get, id, land, names, node, send, task,
};

use super::proxy::{Cut, Proxy};
use super::support::{majors, server};

async fn through(proxy: &Proxy, url: &str, port: u16) -> Store {
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    // One lane: the connection that the fault is meant for.
    let builder = PostgresOptions::builder(&url).expect("the URL of the proxy").lanes(1).listen(false);
    let backend = PostgresBackend::connect(builder.build().expect("good options")).await;
    Arc::new(backend.expect("connecting through the proxy"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_02_an_unknown_commit_is_resolved() {
    for major in majors() {
        let server = server(major);
        let proxy = Proxy::to(server.port()).await;
        let store = through(&proxy, &server.url(), server.port()).await;
        for cut in [Cut::AfterTheCommit, Cut::BeforeTheCommit] {
            each_operation_happens_once(&store, &proxy, cut).await;
        }
    }
}

async fn each_operation_happens_once(store: &Store, proxy: &Proxy, cut: Cut) {
    let name = format!("{cut:?}");
    // Warms the connection up, so that the next commit is the one under test.
    create(store, creation(&format!("{name} first"), "somebody else's")).await;

    proxy.arm(cut);
    let created = store.create_instance(creation(&name, "o")).await.expect("an answer");
    assert!(matches!(created, CreateOutcome::Created { .. }) && proxy.has_cut(), "{cut:?}: {created:?}");

    proxy.arm(cut);
    let sent = send(store, &name, event("e", "once")).await;
    assert!(matches!(sent, SendOutcome::Sent { .. } | SendOutcome::Repeated) && proxy.has_cut(), "{cut:?}: {sent:?}");

    let node = node(store).await;
    let mut held = claim(store, node, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["once"], "{cut:?}");
    let checkpoint = Checkpoint { hold: false, ..held.turn(store, vec![task(0, "a")]) };
    proxy.arm(cut);
    let landed = store.checkpoint(checkpoint).await.expect("an answer");
    assert!(matches!(landed, CheckpointOutcome::Landed(_)) && proxy.has_cut(), "{cut:?}: {landed:?}");

    let request = LockActivities { node, names: names(&["a"]), limit: 10 };
    let activity = store.lock_activities(request).await.expect("claiming").items.remove(0);
    let completion = CompleteActivity {
        id: Some(activity.id),
        attempt: activity.attempt,
        node,
        key: activity.task.key,
        instance_id: activity.task.instance_id.clone(),
        execution: activity.task.execution,
        body: MessageBody::TaskCompleted { dispatch: activity.task.dispatch, result: Some("1".into()) },
    };
    proxy.arm(cut);
    let delivered = store.complete_activity(completion).await.expect("an answer");
    assert!(matches!(delivered, CompleteOutcome::Delivered { .. }) && proxy.has_cut(), "{cut:?}: {delivered:?}");

    let held = claim(store, node, "o").await;
    assert_eq!(held.inbox.len(), 1, "{cut:?}: one result");
    let demotion = Demote {
        key: held.state.key,
        instance_id: id(&name),
        node,
        claim: held.claim,
        turn: held.state.turn,
        execution: 0,
        activities: vec![],
        running: vec![],
        completions: vec![],
        retry_after: None,
        failure: None,
    };
    proxy.arm(cut);
    let demoted = store.demote(demotion).await.expect("an answer");
    assert!(demoted == DemoteOutcome::Released { running: vec![] } && proxy.has_cut(), "{cut:?}: {demoted:?}");

    let mut held = claim(store, node, "o").await;
    assert_eq!(held.state.open_dispatch(dispatch(1, 0)).map(|open| open.task_id), Some(0));
    let end = held.turn(store, complete("\"done\""));
    land(store, end).await;
    assert_eq!(get(store, &name).await.expect("it exists").turn, 2, "{cut:?}: no turn was written twice");
    let (_, turns) = store.get_history(id(&name), None).await.expect("readable").expect("there");
    assert_eq!(turns.len(), 2);
}

/// A client has no lane: its request is recognised by its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_17_a_request_that_is_sent_again_is_applied_once() {
    let server = server(majors()[0]);
    let proxy = Proxy::to(server.port()).await;
    let store = through(&proxy, &server.url(), server.port()).await;
    create(&store, creation("i", "o")).await;
    for round in 0..5 {
        proxy.arm(Cut::AfterTheCommit);
        send(&store, "i", event("e", &round.to_string())).await;
        assert!(proxy.has_cut());
    }
    let held = claim(&store, node(&store).await, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["0", "1", "2", "3", "4"]);
}
