//! The rules of the protocol against the database that need a second session to show. Numbers as in
//! `docs/reliability.md`; rules that any backend keeps are in the conformance suite.

use std::time::Duration;

use everdure_core::{BackendError, Checkpoint, CheckpointOutcome, CreateOutcome, OrchestrationStatus, SendOutcome};
use everdure_testkit::conformance::fixture::{
    Held, Store, claim, complete, create, creation, event, get, id, land, lock, lock_one, node, node_with_lease, send,
    task, until,
};
use tokio_postgres::{Client, NoTls};

use super::support::{majors, open, server};

pub async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a plain session");
    tokio::spawn(connection);
    client
}

/// Whether a session waits for a lock.
pub async fn somebody_waits(session: &Client, function: &str) -> bool {
    let waiting = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like $1)";
    let like = format!("%{function}%");
    session.query_one(waiting, &[&like]).await.expect("readable").get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_01_reaping_waits_for_the_flush_under_way_and_lets_no_other_begin() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    let reaper = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let mortal = node_with_lease(&store, Duration::from_millis(50)).await;
    let mut held = claim(&store, mortal, "o").await;
    let checkpoint = Checkpoint { hold: true, ..held.turn(&store, vec![task(0, "a")]) };

    // Whoever holds the lane's row stands for a flush in the middle.
    let (stopper, watcher) = (session(&server.url()).await, session(&server.url()).await);
    let hold = format!("begin; select 1 from everdure.lanes where node_id = {mortal} for update");
    stopper.batch_execute(&hold).await.expect("holding the lanes");
    until("the lease has run out", || async {
        let expired = "select expires_at < clock_timestamp() from everdure.nodes where node_id = $1";
        watcher.query_one(expired, &[&mortal.0]).await.expect("readable").get(0)
    })
    .await;
    let reaping = tokio::spawn({
        let reaper = reaper.clone();
        async move { reaper.reap_nodes().await }
    });
    until("reaping waits for the flush", || somebody_waits(&watcher, "_reap_nodes")).await;
    let writing = tokio::spawn({
        let (store, checkpoint) = (store.clone(), checkpoint.clone());
        async move { store.checkpoint(checkpoint).await }
    });
    assert!(lock(&reaper, node(&reaper).await, "o").await.is_empty(), "nothing is released before the flush has ended");
    stopper.batch_execute("commit").await.expect("letting go");

    let reaped = reaping.await.expect("no panic").expect("reaping");
    assert!(reaped.nodes.contains(&mortal));
    let written = writing.await.expect("no panic");
    let landed = matches!(written, Ok(CheckpointOutcome::Landed(_)));
    assert!(landed || matches!(written, Err(BackendError::NodeGone)), "{written:?}");
    let record = get(&reaper, "i").await.expect("it exists");
    assert_eq!(record.turn, i64::from(landed), "what was told is what is stored");
    assert!(matches!(store.checkpoint(checkpoint).await, Err(BackendError::NodeGone)));
    claim(&reaper, node(&reaper).await, "o").await;
}

/// Messages race with turns that end: afterwards something is due as long as a message waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_03_no_wake_up_is_lost_between_a_message_and_a_turn() {
    const MESSAGES: usize = 150;
    let server = server(majors()[0]);
    let (store, other) = (open(&server, "hub").await, open(&server, "hub").await);
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![], false).await;
    let sender = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let sent = send(&other, "i", event("e", &number.to_string())).await;
            assert!(matches!(sent, SendOutcome::Sent { .. }));
        }
    });
    let mut seen = 0;
    while seen < MESSAGES {
        // Fails after its patience when a message waits and nothing is due.
        let mut held = claim(&store, node, "o").await;
        seen += held.inbox.len();
        held.checkpoint(&store, vec![], false).await;
    }
    sender.await.expect("all were sent");
    assert_eq!(seen, MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_09_a_users_transaction_stalls_nobody_but_its_own_instance() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    let node = node(&store).await;
    for name in ["locked", "free 1", "free 2", "free 3"] {
        create(&store, creation(name, "o")).await;
    }
    let mut all: Vec<_> = lock(&store, node, "o").await.into_iter().map(|item| Held::new(node, item)).collect();
    let place = all.iter().position(|held| held.state.started.instance_id == id("locked")).expect("claimed");
    let mut locked = all.swap_remove(place);

    let user = session(&server.url()).await;
    user.batch_execute("begin; select 1 from everdure.instances where instance_id = 'locked' for update")
        .await
        .expect("locking a row");
    let end = locked.turn(&store, complete("1"));
    // It enters its lane when it is first polled: of two tasks, either could be the first.
    let mut writing = Box::pin({
        let store = store.clone();
        async move { land(&store, end).await }
    });
    assert!(futures::poll!(&mut writing).is_pending());
    let writing = tokio::spawn(writing);
    let messaging = tokio::spawn({
        let store = store.clone();
        async move { send(&store, "locked", event("e", "late")).await }
    });
    for held in &mut all {
        held.checkpoint(&store, complete("1"), false).await;
    }
    assert!(!writing.is_finished(), "it waits for the row");
    user.batch_execute("rollback").await.expect("letting go");
    writing.await.expect("it landed");
    // The message came after the turn, in its lane as well.
    assert_eq!(messaging.await.expect("an answer"), SendOutcome::Finished);
    assert_eq!(get(&store, "locked").await.map(|record| record.status), Some(OrchestrationStatus::Completed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_09_a_creation_waits_alone_for_one_of_the_same_id() {
    let server = server(majors()[0]);
    let store = open(&server, "default").await;
    for (name, end, exists) in [("committed", "commit", true), ("rolled back", "rollback", false)] {
        let user = session(&server.url()).await;
        user.batch_execute(&format!("begin; select everdure.start_instance('o', null, '{name}')"))
            .await
            .expect("starting in a transaction");
        let waiting = tokio::spawn({
            let (store, request) = (store.clone(), creation(name, "o"));
            async move { store.create_instance(request).await }
        });
        // Many at once, so that some are written in one transaction with it.
        let neighbours = (0..50).map(|number| {
            let store = store.clone();
            async move { create(&store, creation(&format!("{name} neighbour {number}"), "o")).await }
        });
        futures::future::join_all(neighbours).await;
        assert!(!waiting.is_finished(), "whether the id is taken is not decided");
        user.batch_execute(end).await.expect("the end of the user's transaction");
        let outcome = waiting.await.expect("no panic").expect("an answer");
        assert_eq!(matches!(outcome, CreateOutcome::AlreadyExists { .. }), exists, "{name}: {outcome:?}");
        assert_eq!(matches!(outcome, CreateOutcome::Created { .. }), !exists, "{name}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_two_creations_of_one_id_in_one_batch_are_two_outcomes() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    for round in 0..20 {
        let name = format!("i{round}");
        let (one, other) =
            futures::join!(store.create_instance(creation(&name, "o")), store.create_instance(creation(&name, "o")));
        let created = [one, other].into_iter().map(|outcome| outcome.expect("an answer"));
        let created = created.filter(|outcome| matches!(outcome, CreateOutcome::Created { .. })).count();
        assert_eq!(created, 1);
    }
}

/// Class 22: the one item that cannot be stored fails, whoever was in its batch lands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_15_an_item_that_cannot_be_stored_spoils_nobody_else() {
    const GOOD: usize = 50;
    let server = server(majors()[0]);
    let store: Store = open(&server, "hub").await;
    let node = node(&store).await;
    for number in 0..=GOOD {
        create(&store, creation(&format!("i{number}"), "o")).await;
    }
    let mut held: Vec<_> = lock(&store, node, "o").await.into_iter().map(|item| Held::new(node, item)).collect();
    let mut checkpoints: Vec<_> = held.iter_mut().map(|held| held.turn(&store, complete("1"))).collect();
    checkpoints[GOOD / 2].output = Some("U+0000 \u{0} within".into());
    let outcomes = futures::future::join_all(checkpoints.into_iter().map(|checkpoint| store.checkpoint(checkpoint)));
    let outcomes: Vec<_> = outcomes.await.into_iter().map(|outcome| outcome.expect("an answer")).collect();
    let landed = outcomes.iter().filter(|outcome| matches!(outcome, CheckpointOutcome::Landed(_))).count();
    assert_eq!(landed, GOOD);
    let CheckpointOutcome::Rejected(failure) = &outcomes[GOOD / 2] else { panic!("{:?}", outcomes[GOOD / 2]) };
    assert!(failure.error_message.contains("SQLSTATE 22"), "{failure}");
    // Still held, and whole: its orchestration can fail instead.
    assert!(lock(&store, node, "o").await.is_empty());
}

/// Rule 5, for a claim of what nobody has anything for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_05_what_a_removed_node_held_is_due_even_without_messages() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let leaving = node(&store).await;
    claim(&store, leaving, "o").await.checkpoint(&store, vec![], true).await;
    store.remove_node(leaving).await.expect("leaving");
    assert!(lock_one(&store, node(&store).await, "o").await.messages.is_empty());
}
