//! `send_message`: what reaches an instance, in which order, and what becomes of the rest.

use chrono::TimeDelta;
use everdure_core::{
    CheckpointOutcome, CreateInstance, InboxItem, LockOrchestrations, MessageNumber, OrchestrationStatus, SendMessage,
    SendOutcome,
};

use super::fixture::{
    Held, Store, claim, complete, create, creation, event, event_inputs, get, id, lock, lock_one, may_be_due, node,
    request, run_to_end, send, terminate,
};

async fn waiting(store: &Store) -> everdure_core::NodeId {
    create(store, creation("i", "o")).await;
    let node = node(store).await;
    claim(store, node, "o").await.checkpoint(store, vec![], false).await;
    assert!(lock(store, node, "o").await.is_empty());
    node
}

pub async fn an_event_wakes_a_waiting_instance(store: Store) {
    let node = waiting(&store).await;
    let outcome = send(&store, "i", event("e", "\"x\"")).await;
    let SendOutcome::Sent { held_by: None, message, .. } = outcome else { panic!("sent to nobody: {outcome:?}") };
    let held = claim(&store, node, "o").await;
    assert_eq!(held.inbox, [InboxItem::Message(message)]);
}

pub async fn events_keep_their_order(store: Store) {
    let node = waiting(&store).await;
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for input in &expected {
        send(&store, "i", event("e", input)).await;
    }
    assert_eq!(event_inputs(&claim(&store, node, "o").await.inbox), expected);
}

pub async fn a_batch_of_messages_keeps_its_order(store: Store) {
    let node = waiting(&store).await;
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let batch = expected.iter().map(|input| send(&store, "i", event("e", input)));
    futures::future::join_all(batch).await;
    assert_eq!(event_inputs(&claim(&store, node, "o").await.inbox), expected);
}

pub async fn bug_25_numbers_of_one_instance_rise_in_commit_order(store: Store) {
    waiting(&store).await;
    let mut last = MessageNumber(i64::MIN);
    for _ in 0..20 {
        let sends = (0..5).map(|_| send(&store, "i", event("e", "1")));
        let outcomes = futures::future::join_all(sends).await;
        let numbers: Vec<_> = outcomes.iter().map(|sent| sent.number().expect("sent")).collect();
        assert!(numbers.iter().all(|number| *number > last), "{numbers:?} after {last}");
        last = *numbers.iter().max().expect("five numbers");
    }
}

pub async fn bug_26_a_turn_takes_a_bounded_number_and_the_rest_waits(store: Store) {
    let node = waiting(&store).await;
    for number in 0..25 {
        send(&store, "i", event("e", &number.to_string())).await;
    }
    let mut seen = Vec::new();
    for expected in [10, 10, 5] {
        let limited = LockOrchestrations { messages: 10, ..request(node, &["o"]) };
        let mut items = store.lock_orchestrations(limited).await.expect("locking orchestrations").items;
        let item = items.pop().expect("it is still due");
        assert_eq!((item.messages.len(), item.more_messages), (expected, expected == 10));
        let mut held = Held::new(node, item);
        seen.extend(event_inputs(&held.inbox));
        held.checkpoint(&store, vec![], false).await;
    }
    assert_eq!(seen, (0..25).map(|number| number.to_string()).collect::<Vec<_>>());
}

pub async fn bug_17_an_event_to_a_scheduled_instance_waits_for_its_start(store: Store) {
    let start = store.now() + TimeDelta::seconds(1);
    create(&store, CreateInstance { scheduled_start: Some(start), ..creation("i", "o") }).await;
    send(&store, "i", event("e", "early")).await;
    let node = node(&store).await;
    let held = claim(&store, node, "o").await;
    assert!(may_be_due(&store, start), "the event started it before its time");
    assert_eq!(event_inputs(&held.inbox), ["early"]);
}

pub async fn an_event_to_a_finished_instance_is_dropped(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    run_to_end(&store, node, "o").await;
    assert_eq!(send(&store, "i", event("e", "1")).await, SendOutcome::Finished);
    assert!(lock(&store, node, "o").await.is_empty());
}

pub async fn bug_18_an_event_to_no_instance_is_not_found(store: Store) {
    assert_eq!(send(&store, "nobody", event("e", "1")).await, SendOutcome::NotFound);
    create(&store, creation("nobody", "o")).await;
    let node = node(&store).await;
    assert!(claim(&store, node, "o").await.inbox.is_empty(), "an event from before its time");
}

pub async fn bug_23_an_event_sent_twice_arrives_once(store: Store) {
    let node = waiting(&store).await;
    let request = SendMessage {
        instance_id: id("i"),
        body: event("e", "1"),
        request_id: Some(uuid::Uuid::new_v4()),
        not_before: None,
    };
    store.send_message(request.clone()).await.expect("sending");
    assert_eq!(store.send_message(request).await.expect("sending"), SendOutcome::Repeated);
    assert_eq!(claim(&store, node, "o").await.inbox.len(), 1);
}

pub async fn mail_of_a_held_instance_reaches_its_holder(store: Store) {
    create(&store, creation("i", "o")).await;
    let (holder, other) = (node(&store).await, node(&store).await);
    let mut held = claim(&store, holder, "o").await;
    held.checkpoint(&store, vec![], true).await;
    let outcome = send(&store, "i", event("e", "1")).await;
    assert!(matches!(outcome, SendOutcome::Sent { held_by: Some(node), .. } if node == holder), "{outcome:?}");
    assert!(lock(&store, other, "o").await.is_empty());
    let mail = lock_one(&store, holder, "o").await;
    assert!(mail.was_held && mail.history.is_empty());
    assert_eq!((mail.claim, mail.messages.len()), (held.claim, 1));
    held.inbox = mail.messages.into_iter().map(InboxItem::Message).collect();
    held.checkpoint(&store, complete("1"), false).await;
}

pub async fn terminating_a_pending_instance_ends_it_directly(store: Store) {
    create(&store, creation("i", "nobody takes this")).await;
    assert_eq!(send(&store, "i", terminate("enough")).await, SendOutcome::Terminated);
    let record = get(&store, "i").await.expect("it exists");
    assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Terminated, Some("enough")));
    assert!(record.completed_at.is_some());
    let node = node(&store).await;
    assert!(lock(&store, node, "nobody takes this").await.is_empty());
    assert!(store.get_history(id("i"), None).await.expect("readable").is_some());
}

pub async fn a_message_that_was_not_there_spoils_the_checkpoint(store: Store) {
    let node = waiting(&store).await;
    send(&store, "i", event("e", "1")).await;
    let mut held = claim(&store, node, "o").await;
    let mut checkpoint = held.turn(&store, vec![]);
    checkpoint.consumed.push(MessageNumber(i64::MAX));
    assert_eq!(store.checkpoint(checkpoint.clone()).await.expect("an answer"), CheckpointOutcome::Lost);
    checkpoint.consumed.pop();
    let outcome = store.checkpoint(checkpoint).await.expect("an answer");
    assert!(matches!(outcome, CheckpointOutcome::Landed(_)), "nothing of the first had landed: {outcome:?}");
}
