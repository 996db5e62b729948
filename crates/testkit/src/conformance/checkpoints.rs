//! `lock_orchestrations`, `checkpoint` and `demote`: what is claimed, what lands, what is lost.

use std::time::Duration;

use chrono::TimeDelta;
use everdure_core::{
    Action, ActionKind, Checkpoint, CheckpointOutcome, CompleteActivity, CompleteOutcome, CreateInstance,
    CreateOutcome, Demote, DemoteOutcome, InboxItem, LockActivities, LockOrchestrations, MessageBody, NameFilter,
    OrchestrationStatus, PurgeFilter,
};

use super::fixture::{
    Held, Store, claim, complete, continue_as_new, create, creation, dispatch, event, event_inputs, get, id, land,
    lock, lock_one, may_be_due, names, node, request, send, task, timer, until,
};

pub async fn a_claimed_instance_comes_with_what_was_stored(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    assert_eq!(held.state.started.input.as_deref(), Some("\"input\""));
    held.checkpoint(&store, vec![task(0, "a"), timer(1, store.now())], false).await;
    let again = claim(&store, node, "o").await;
    assert_eq!(again.state, held.state);
    assert_eq!(get(&store, "i").await.map(|record| record.status), Some(OrchestrationStatus::Running));
}

pub async fn bug_04_one_instance_is_claimed_by_one_node(store: Store) {
    for number in 0..20 {
        create(&store, creation(&format!("i{number}"), "o")).await;
    }
    let (one, two) = (node(&store).await, node(&store).await);
    let (a, b) = futures::join!(lock(&store, one, "o"), lock(&store, two, "o"));
    let mut keys: Vec<_> = a.iter().chain(&b).map(|item| item.key).collect();
    keys.extend(lock(&store, one, "o").await.iter().map(|item| item.key));
    let claimed = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((claimed, keys.len()), (20, 20));
}

pub async fn only_names_that_a_worker_takes_are_claimed(store: Store) {
    create(&store, creation("known", "o")).await;
    create(&store, creation("unknown", "somebody else's")).await;
    let node = node(&store).await;
    assert_eq!(claim(&store, node, "o").await.state.started.instance_id, id("known"));
    assert!(lock(&store, node, "o").await.is_empty());
}

pub async fn bug_27_only_versions_that_a_worker_takes_are_claimed(store: Store) {
    let versioned =
        |instance: &str, version: &str| CreateInstance { version: Some(version.into()), ..creation(instance, "o") };
    create(&store, versioned("one", "1")).await;
    create(&store, versioned("two", "2")).await;
    let node = node(&store).await;
    let only_two = LockOrchestrations {
        names: vec![NameFilter { name: "o".into(), version: Some("2".into()) }],
        ..request(node, &[])
    };
    let items = store.lock_orchestrations(only_two).await.expect("locking orchestrations").items;
    assert_eq!(items.iter().map(|item| item.started.instance_id.as_str()).collect::<Vec<_>>(), ["two"]);
    assert_eq!(lock_one(&store, node, "o").await.started.instance_id, id("one"));
}

pub async fn a_checkpoint_lands_once(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let checkpoint = held.turn(&store, complete("\"done\""));
    land(&store, checkpoint.clone()).await;
    let again = store.checkpoint(checkpoint).await.expect("an answer");
    assert_eq!(again, CheckpointOutcome::Lost);
    let record = get(&store, "i").await.expect("it exists");
    assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Completed, Some("\"done\"")));
    assert!(record.completed_at.is_some());
    let history = store.get_history(id("i"), None).await.expect("an answer").expect("it exists").1;
    assert_eq!(history.len(), 1);
}

async fn reclaimed(store: &Store, name: &str) -> (Held, Held) {
    let (slow, quick) = (node(store).await, node(store).await);
    let first = claim(store, slow, name).await;
    release(store, &first, None).await;
    (first, claim(store, quick, name).await)
}

async fn release(store: &Store, held: &Held, retry_after: Option<Duration>) {
    let outcome = store.demote(demotion(held, retry_after)).await.expect("demoting");
    assert_eq!(outcome, DemoteOutcome::Released { running: vec![] });
}

pub fn demotion(held: &Held, retry_after: Option<Duration>) -> Demote {
    Demote {
        key: held.state.key,
        instance_id: held.state.started.instance_id.clone(),
        node: held.node,
        claim: held.claim,
        turn: held.state.turn,
        execution: held.state.execution,
        activities: vec![],
        running: vec![],
        completions: vec![],
        retry_after,
        failure: None,
    }
}

pub async fn bug_01_a_stale_checkpoint_across_continue_as_new_is_lost(store: Store) {
    create(&store, creation("i", "o")).await;
    let (mut stale, mut winner) = reclaimed(&store, "o").await;
    let late = stale.turn(&store, complete("\"stale\""));
    let next = winner.turn(&store, continue_as_new(vec![]));
    land(&store, next).await;
    assert_eq!(store.checkpoint(late).await.expect("an answer"), CheckpointOutcome::Lost);
    let record = get(&store, "i").await.expect("it exists");
    assert_eq!((record.execution, record.output, record.input.as_deref()), (1, None, Some("\"again\"")));
}

pub async fn bug_02_a_stale_checkpoint_after_purge_and_creation_is_lost(store: Store) {
    create(&store, creation("i", "o")).await;
    let mut stale = claim(&store, node(&store).await, "o").await;
    let late = stale.turn(&store, complete("\"stale\""));
    let purge = PurgeFilter::instance(id("i"), true);
    assert_eq!(store.purge_instances(purge).await.expect("purging").purged, 1);
    create(&store, creation("i", "o")).await;
    assert_eq!(store.checkpoint(late).await.expect("an answer"), CheckpointOutcome::Lost);
    assert_eq!(get(&store, "i").await.map(|record| record.status), Some(OrchestrationStatus::Pending));
}

pub async fn born_claimed_instances_are_not_offered_to_others(store: Store) {
    let (home, other) = (node(&store).await, node(&store).await);
    let request = CreateInstance { born_claimed: Some(home), ..creation("i", "o") };
    let outcome = store.create_instance(request).await.expect("an answer");
    assert!(matches!(outcome, CreateOutcome::Created { born_claimed: true, .. }), "{outcome:?}");
    assert!(lock(&store, other, "o").await.is_empty());
    assert!(lock(&store, home, "o").await.is_empty(), "its holder starts it from memory");
}

pub async fn a_finished_instance_is_released(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    held.checkpoint(&store, complete("1"), true).await;
    assert_eq!(store.release_unknown(node, vec![], Duration::ZERO).await.expect("releasing"), 0);
    assert!(lock(&store, node, "o").await.is_empty());
}

pub async fn bug_06_a_timer_is_not_delivered_before_it_is_due(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let (soon, late) = (store.now() + TimeDelta::seconds(1), store.now() + TimeDelta::hours(1));
    held.checkpoint(&store, vec![timer(0, late), timer(1, soon)], false).await;
    send(&store, "i", event("e", "1")).await;
    let mut held = claim(&store, node, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["1"]);
    if may_be_due(&store, soon) {
        return; // the machine was so slow that nothing can be said about what came first
    }
    assert_eq!(held.inbox.len(), 1, "the timers are not due: {:?}", held.inbox);
    held.checkpoint(&store, vec![], false).await;
    let held = claim(&store, node, "o").await;
    let fired: Vec<_> = held.inbox.iter().filter(|item| is_timer(item, dispatch(1, 1))).collect();
    assert_eq!((fired.len(), held.inbox.len()), (1, 1));
    let InboxItem::Message(message) = &held.inbox[0] else { panic!("a timer is a message") };
    assert!(message.visible_at >= soon);
}

fn is_timer(item: &InboxItem, expected: everdure_core::DispatchId) -> bool {
    matches!(item, InboxItem::Message(message)
        if matches!(message.body, MessageBody::TimerFired { dispatch, .. } if dispatch == expected))
}

pub async fn a_checkpoint_that_takes_a_timer_too_early_is_refused(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    send(&store, "i", event("before", "1")).await;
    held.checkpoint(&store, vec![timer(0, store.now() + TimeDelta::hours(1))], true).await;
    let before = lock_one(&store, node, "o").await;
    send(&store, "i", event("after", "2")).await;
    let after = lock_one(&store, node, "o").await;
    let (first, last) = (before.messages[0].number.0, after.messages.last().expect("the second event").number.0);
    // Numbers of one instance rise: the timer's is one of those between the two events.
    held.inbox = vec![InboxItem::Message(before.messages[0].clone())];
    let honest = held.turn(&store, vec![]);
    let mut refused = 0;
    for number in first + 1..last {
        let eager = Checkpoint { consumed: vec![everdure_core::MessageNumber(number)], ..honest.clone() };
        match store.checkpoint(eager).await.expect("an answer") {
            CheckpointOutcome::Early => refused += 1,
            CheckpointOutcome::Lost => {}
            other => panic!("a timer was taken an hour early: {other:?}"),
        }
    }
    assert_eq!(refused, 1);
    land(&store, honest).await;
}

pub async fn a_cancelled_timer_never_comes(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let soon = store.now() + TimeDelta::milliseconds(50);
    held.checkpoint(&store, vec![timer(0, soon)], false).await;
    send(&store, "i", event("stop", "1")).await;
    let mut held = claim(&store, node, "o").await;
    let cancel = Action { id: 1, kind: ActionKind::CancelTimer { timer_id: 0 } };
    if held.inbox.len() > 1 {
        return; // the machine was so slow that the timer fired first; then there is nothing to cancel
    }
    held.checkpoint(&store, vec![cancel], false).await;
    until("the timer would have been due", || async { store.now() > soon + TimeDelta::milliseconds(20) }).await;
    assert!(lock(&store, node, "o").await.is_empty());
}

pub async fn bug_08_continue_as_new_keeps_external_events_and_drops_old_timers(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let soon = store.now() + TimeDelta::milliseconds(50);
    held.checkpoint(&store, vec![timer(0, soon), task(1, "a")], true).await;
    send(&store, "i", event("e", "kept")).await;
    let mail = lock_one(&store, node, "o").await;
    let (last, others) = mail.messages.split_last().expect("the event has come");
    assert!(others.iter().all(|timer| timer.visible_at >= soon), "{others:?}");
    // The turn that continues as new has seen nothing of this: it is caused by another event.
    send(&store, "i", event("go", "now")).await;
    let mail = lock_one(&store, node, "o").await;
    let go = mail.messages.iter().find(|message| message.number > last.number).expect("the second event has come");
    held.inbox = vec![InboxItem::Message(go.clone())];
    let next = held.turn(&store, continue_as_new(vec![]));
    land(&store, next).await;
    let held = claim(&store, node, "o").await;
    assert_eq!((held.state.execution, event_inputs(&held.inbox)), (1, vec!["kept".to_owned()]));
    assert_eq!(held.inbox.len(), 1, "no timer of the old execution: {:?}", held.inbox);
}

pub async fn carried_events_come_before_those_that_wait(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    send(&store, "i", event("e", "waiting")).await;
    let carried = |text: &str| ("e".to_owned(), Some(text.to_owned()));
    let next = held.turn(&store, continue_as_new(vec![carried("first"), carried("second")]));
    land(&store, next).await;
    let mut held = claim(&store, node, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["first", "second", "waiting"]);
    let next = held.turn(&store, continue_as_new(vec![carried("second"), carried("waiting")]));
    land(&store, next).await;
    let held = claim(&store, node, "o").await;
    assert_eq!(event_inputs(&held.inbox), ["second", "waiting"]);
}

pub async fn a_demoted_instance_is_due_again_with_its_results(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let mut held = claim(&store, node, "o").await;
    let mut checkpoint = held.turn(&store, vec![task(0, "ran here"), task(1, "waits here")]);
    let rows = std::mem::take(&mut checkpoint.activities);
    checkpoint.hold = true;
    land(&store, checkpoint.clone()).await;
    held.state.fold(1, checkpoint.time, &checkpoint.events).expect("what was written fits");
    let result = MessageBody::TaskCompleted { dispatch: dispatch(1, 0), result: Some("5".into()) };
    let request = Demote { activities: vec![rows[1].clone()], completions: vec![result], ..demotion(&held, None) };
    let demoted = store.demote(request.clone()).await.expect("demoting");
    assert_eq!(demoted, DemoteOutcome::Released { running: vec![] });
    assert_eq!(store.demote(request).await.expect("demoting"), DemoteOutcome::Lost);
    let item = lock_one(&store, node, "o").await;
    assert_eq!(item.activities, [dispatch(1, 1)]);
    assert_eq!(item.messages.len(), 1);
    assert_eq!(item.messages[0].body.dispatch(), Some(dispatch(1, 0)));
}

pub async fn activities_go_on_running_when_their_instance_is_demoted(store: Store) {
    create(&store, creation("i", "o")).await;
    let (node, other) = (node(&store).await, node(&store).await);
    let mut held = claim(&store, node, "o").await;
    let mut checkpoint = held.turn(&store, vec![task(0, "runs here"), task(1, "runs here")]);
    let running = std::mem::take(&mut checkpoint.activities);
    checkpoint.hold = true;
    land(&store, checkpoint.clone()).await;
    held.state.fold(1, checkpoint.time, &checkpoint.events).expect("what was written fits");
    let demoted = store.demote(Demote { running, ..demotion(&held, None) }).await.expect("demoting");
    let DemoteOutcome::Released { running } = demoted else { panic!("it was held: {demoted:?}") };
    let steps: Vec<_> = running.iter().map(|(dispatch, _)| *dispatch).collect();
    assert_eq!(steps, [dispatch(1, 0), dispatch(1, 1)]);
    let free = LockActivities { node: other, names: names(&["runs here"]), limit: 10 };
    assert_eq!(store.lock_activities(free.clone()).await.expect("locking").items, [], "they run already");
    let body = MessageBody::TaskCompleted { dispatch: steps[0], result: Some("5".into()) };
    let completion = CompleteActivity {
        id: Some(running[0].1),
        attempt: 1,
        node,
        key: held.state.key,
        instance_id: held.state.started.instance_id.clone(),
        execution: held.state.execution,
        body: body.clone(),
    };
    let done = store.complete_activity(completion).await.expect("an answer");
    assert!(matches!(done, CompleteOutcome::Delivered { held_by: None, .. }), "{done:?}");
    let item = lock_one(&store, other, "o").await;
    assert_eq!(item.activities, [steps[1]]);
    assert_eq!(item.messages.iter().map(|message| &message.body).collect::<Vec<_>>(), [&body]);
    store.remove_node(node).await.expect("removing");
    let again = store.lock_activities(free).await.expect("locking").items;
    let again: Vec<_> = again.iter().map(|item| (item.id, item.attempt)).collect();
    assert_eq!(again, [(running[1].1, 2)], "who runs it now does so for the second time");
}

pub async fn a_backing_off_instance_is_not_offered_at_once(store: Store) {
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    let held = claim(&store, node, "o").await;
    let released = store.now();
    release(&store, &held, Some(Duration::from_millis(200))).await;
    lock_one(&store, node, "o").await;
    assert!(store.now() >= released + TimeDelta::milliseconds(150), "it came back too early");
}
