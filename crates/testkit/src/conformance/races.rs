//! Several at once: whoever wins, the rows stay whole and nothing hangs.

use chrono::TimeDelta;
use everdure_core::{
    Action, ActionKind, Checkpoint, CheckpointOutcome, CreateInstance, CreateOutcome, InboxItem, InstanceQuery,
    MessageBody, OrchestrationStatus, PurgeFilter, SendOutcome, Timestamp,
};
use futures::future::join_all;

use super::fixture::{
    Held, Store, child, claim, complete, continue_as_new, create, creation, event, get, id, land, lock, lock_one,
    names, node, send, task, terminate, timer, until,
};

/// Whatever a claim returns is live and has something to see, however claims and ends interleave.
pub async fn bug_05_an_instance_that_just_ended_is_not_claimed(store: Store) {
    let (ending, other) = (node(&store).await, node(&store).await);
    for round in 0..20 {
        let name = format!("i{round}");
        create(&store, creation(&name, "o")).await;
        let mut held = claim(&store, ending, "o").await;
        let end = held.turn(&store, complete("1"));
        let (landed, claimed, sent) =
            futures::join!(store.checkpoint(end), lock(&store, other, "o"), send(&store, &name, event("e", "1")));
        assert!(matches!(landed.expect("an answer"), CheckpointOutcome::Landed(_)));
        assert!(claimed.is_empty(), "an instance in the hands of another node: {claimed:?}");
        assert!(matches!(sent, SendOutcome::Sent { .. } | SendOutcome::Finished), "{sent:?}");
        assert!(lock(&store, other, "o").await.is_empty(), "ended, and still offered");
    }
}

/// Terminating wins over continue-as-new, and loses to the end.
pub async fn bug_09_terminate_races_with_continue_as_new_and_the_end(store: Store) {
    let node = node(&store).await;
    for round in 0..10 {
        let name = format!("again{round}");
        create(&store, creation(&name, "o")).await;
        let mut held = claim(&store, node, "o").await;
        let next = Checkpoint { hold: false, ..held.turn(&store, continue_as_new(vec![])) };
        let (landed, sent) = futures::join!(store.checkpoint(next), send(&store, &name, terminate("stop")));
        assert!(matches!(landed.expect("an answer"), CheckpointOutcome::Landed(_)));
        match sent {
            // Held, or between two claims: then nobody else is needed.
            SendOutcome::Sent { .. } => {
                claim(&store, node, "o").await.checkpoint(&store, vec![], false).await;
            }
            SendOutcome::Terminated => {}
            other => panic!("the instance lives: {other:?}"),
        }
        let record = get(&store, &name).await.expect("it exists");
        assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Terminated, Some("stop")));
    }
    for round in 0..10 {
        let name = format!("end{round}");
        create(&store, creation(&name, "o")).await;
        let mut held = claim(&store, node, "o").await;
        let end = held.turn(&store, complete("1"));
        let (landed, _) = futures::join!(store.checkpoint(end), send(&store, &name, terminate("too late")));
        assert!(matches!(landed.expect("an answer"), CheckpointOutcome::Landed(_)));
        let record = get(&store, &name).await.expect("it exists");
        assert_eq!((record.status, record.output.as_deref()), (OrchestrationStatus::Completed, Some("1")));
    }
    assert!(lock(&store, node, "o").await.is_empty(), "nothing is left to do");
}

/// One of two parents gets the child, the other is told; both checkpoints land.
pub async fn bug_13_two_parents_create_one_child(store: Store) {
    let node = node(&store).await;
    for round in 0..10 {
        let shared = format!("shared{round}");
        let mut checkpoints = Vec::new();
        for parent in ["p", "q"] {
            create(&store, creation(&format!("{parent}{round}"), "o")).await;
            let mut held = claim(&store, node, "o").await;
            checkpoints.push(Checkpoint { hold: true, ..held.turn(&store, vec![child(0, "c", &shared)]) });
        }
        let outcomes = join_all(checkpoints.into_iter().map(|checkpoint| store.checkpoint(checkpoint))).await;
        let mut created = 0;
        for outcome in outcomes {
            let CheckpointOutcome::Landed(landed) = outcome.expect("an answer") else { panic!("a parent lost") };
            created +=
                landed.children.iter().filter(|child| matches!(child, everdure_core::ChildOutcome::Created(_))).count();
        }
        assert_eq!(created, 1, "of two children with one id");
        until("the other parent is told", || async {
            let mail = lock(&store, node, "o").await;
            mail.iter().flat_map(|item| &item.messages).any(|message| {
                matches!(&message.body, MessageBody::SubOrchestrationInstanceFailed { failure, .. }
                    if failure.error_type == "OrchestrationAlreadyExists")
            })
        })
        .await;
    }
}

/// Instances that signal each other from their checkpoints at the same time, again and again.
pub async fn bug_14_instances_that_signal_each_other_do_not_deadlock(store: Store) {
    const INSTANCES: usize = 8;
    const ROUNDS: usize = 6;
    let node = node(&store).await;
    for number in 0..INSTANCES {
        create(&store, creation(&format!("i{number}"), "o")).await;
    }
    let mut held: Vec<Held> = lock(&store, node, "o").await.into_iter().map(|item| Held::new(node, item)).collect();
    assert_eq!(held.len(), INSTANCES);
    for round in 0..ROUNDS {
        let checkpoints: Vec<_> = held
            .iter_mut()
            .map(|held| {
                if round > 0 {
                    assert!(!held.inbox.is_empty(), "each has heard of the others");
                }
                Checkpoint { hold: true, ..held.turn(&store, signals(INSTANCES)) }
            })
            .collect();
        let landed = join_all(checkpoints.iter().map(|checkpoint| land(&store, checkpoint.clone()))).await;
        for (held, (checkpoint, landed)) in held.iter_mut().zip(checkpoints.iter().zip(&landed)) {
            assert_eq!(landed.delivered.len(), INSTANCES, "to everybody, itself included");
            let (turn, time) = (checkpoint.turn + 1, checkpoint.time);
            held.state.fold(turn, time, &checkpoint.events).expect("what was written fits the history");
        }
        for sent in landed.into_iter().flat_map(|landed| landed.delivered) {
            let receiver = held.iter_mut().find(|held| held.state.key == sent.key).expect("held by this node");
            receiver.inbox.push(InboxItem::Message(sent.message));
        }
    }
}

fn signals(count: usize) -> Vec<Action> {
    let signal = |number: usize| ActionKind::SendEvent {
        instance_id: id(&format!("i{number}")),
        name: "ping".into(),
        input: None,
    };
    (0..count).map(|number| Action { id: number as i32, kind: signal(number) }).collect()
}

/// Purging races with a turn, an event and a child's end: nothing of the purged instance is left.
pub async fn bug_30_purging_races_with_everything(store: Store) {
    let node = node(&store).await;
    for round in 0..10 {
        let name = format!("i{round}");
        create(&store, creation(&name, "o")).await;
        let mut held = claim(&store, node, "o").await;
        let turn = held.turn(&store, vec![task(0, "a"), timer(1, store.now()), child(2, "c", &format!("c{round}"))]);
        let purge = PurgeFilter::instance(id(&name), true);
        let (landed, _, purged) = futures::join!(
            store.checkpoint(Checkpoint { hold: false, ..turn }),
            send(&store, &name, event("e", "1")),
            store.purge_instances(purge.clone()),
        );
        landed.expect("an answer");
        purged.expect("an answer");
        store.purge_instances(purge).await.expect("purging what may be left of the race");
        assert_eq!(get(&store, &name).await, None);
        while let Some(item) = lock(&store, node, "c").await.pop() {
            // The child's end reaches nobody, and says so to nobody.
            Held::new(node, item).checkpoint(&store, complete("1"), false).await;
        }
    }
    assert!(lock(&store, node, "o").await.is_empty());
    let activities = everdure_core::LockActivities { node, names: names(&["a"]), limit: 100 };
    assert!(store.lock_activities(activities).await.expect("claiming").items.is_empty(), "orphans");
}

/// Far ends of ranges are answers, not overflows.
pub async fn bug_33_extreme_times_and_sizes_are_answered(store: Store) {
    let far = |year: i32| {
        let date = chrono::NaiveDate::from_ymd_opt(year, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
        date.expect("a date").and_utc()
    };
    let late = CreateInstance { scheduled_start: Some(far(9999)), ..creation("late", "o") };
    let outcome = store.create_instance(late).await.expect("an answer");
    assert!(matches!(outcome, CreateOutcome::Created { .. }), "{outcome:?}");
    create(&store, creation("now", "o")).await;
    let node = node(&store).await;
    let mut held = Held::new(node, lock_one(&store, node, "o").await);
    held.checkpoint(&store, vec![timer(0, far(9999)), timer(1, store.now() + TimeDelta::days(365 * 100))], false).await;
    assert!(lock(&store, node, "o").await.is_empty());
    let between = |from: Timestamp, to: Timestamp| InstanceQuery {
        created_from: Some(from),
        created_to: Some(to),
        page_size: 1000,
        ..InstanceQuery::default()
    };
    let all = store.query_instances(between(far(1), far(9999))).await.expect("an answer");
    assert_eq!(all.instances.len(), 2);
    assert!(store.query_instances(between(far(9998), far(9999))).await.expect("an answer").instances.is_empty());
    let huge = InstanceQuery { page_size: u32::MAX, ..InstanceQuery::default() };
    assert!(store.query_instances(huge).await.is_err(), "a page that large is refused, in words");
}
