//! Sub-orchestrations and events between instances: no parent waits for ever.

use everdure_core::{
    Action, ActionKind, ChildOutcome, FailureDetails, InboxItem, MessageBody, OrchestrationStatus, PurgeFilter,
    SendOutcome,
};

use super::fixture::{
    Held, Store, child, claim, complete, continue_as_new, create, creation, dispatch, event, event_inputs, get, id,
    land, node, run_to_end, send, task, terminate,
};

async fn parent_with_child(store: &Store, child_id: &str) -> (Held, ChildOutcome) {
    create(store, creation("parent", "p")).await;
    let node = node(store).await;
    let mut parent = claim(store, node, "p").await;
    let landed = parent.checkpoint(store, vec![child(0, "c", child_id)], false).await;
    (parent, landed.children[0])
}

fn failure_told(held: &Held) -> &FailureDetails {
    let [InboxItem::Message(message)] = held.inbox.as_slice() else { panic!("one message, not {:?}", held.inbox) };
    match &message.body {
        MessageBody::SubOrchestrationInstanceFailed { dispatch: step, failure } => {
            assert_eq!(*step, dispatch(1, 0));
            failure
        }
        other => panic!("not a failure of the child: {other:?}"),
    }
}

pub async fn a_child_tells_its_parent(store: Store) {
    let (parent, outcome) = parent_with_child(&store, "child").await;
    let mut child = claim(&store, parent.node, "c").await;
    assert_eq!(outcome, ChildOutcome::Created(child.state.key));
    let record = get(&store, "child").await.expect("it exists");
    assert_eq!(record.parent_instance_id, Some(id("parent")));
    child.checkpoint(&store, complete("\"from child\""), false).await;
    let parent = claim(&store, parent.node, "p").await;
    let [InboxItem::Message(told)] = parent.inbox.as_slice() else { panic!("one message") };
    let expected = MessageBody::SubOrchestrationInstanceCompleted {
        dispatch: dispatch(1, 0),
        result: Some("\"from child\"".into()),
    };
    assert_eq!((&told.body, told.execution), (&expected, Some(0)));
}

pub async fn bug_15_a_child_whose_id_is_live_fails_the_call(store: Store) {
    let key = create(&store, creation("taken", "somebody else's")).await;
    let (parent, outcome) = parent_with_child(&store, "taken").await;
    assert_eq!(outcome, ChildOutcome::AlreadyExists);
    let parent = claim(&store, parent.node, "p").await;
    assert_eq!(failure_told(&parent).error_type, "OrchestrationAlreadyExists");
    assert_eq!(get(&store, "taken").await.map(|record| record.key), Some(key));
}

pub async fn bug_15_a_child_whose_id_is_finished_replaces_it(store: Store) {
    let old = create(&store, creation("taken", "o")).await;
    let node = node(&store).await;
    run_to_end(&store, node, "o").await;
    let (parent, outcome) = parent_with_child(&store, "taken").await;
    let ChildOutcome::Created(new) = outcome else { panic!("the finished one is replaced") };
    assert_ne!(old, new);
    claim(&store, parent.node, "c").await.checkpoint(&store, complete("2"), false).await;
    assert_eq!(claim(&store, parent.node, "p").await.inbox.len(), 1);
}

pub async fn bug_16_terminating_a_pending_child_tells_its_parent(store: Store) {
    let (parent, _) = parent_with_child(&store, "child").await;
    assert_eq!(send(&store, "child", terminate("enough")).await, SendOutcome::Terminated);
    assert_eq!(get(&store, "child").await.map(|record| record.status), Some(OrchestrationStatus::Terminated));
    let parent = claim(&store, parent.node, "p").await;
    assert_eq!(failure_told(&parent).error_type, "OrchestrationTerminated");
}

pub async fn bug_20_an_event_between_instances_survives_continue_as_new(store: Store) {
    create(&store, creation("receiver", "r")).await;
    create(&store, creation("sender", "s")).await;
    let node = node(&store).await;
    let mut receiver = claim(&store, node, "r").await;
    let mut sender = claim(&store, node, "s").await;
    let again = receiver.turn(&store, continue_as_new(vec![]));
    let kind = ActionKind::SendEvent { instance_id: id("receiver"), name: "e".into(), input: Some("1".into()) };
    sender.checkpoint(&store, vec![Action { id: 0, kind }], false).await;
    land(&store, again).await;
    let receiver = claim(&store, node, "r").await;
    assert_eq!((receiver.state.execution, event_inputs(&receiver.inbox)), (1, vec!["1".to_owned()]));
}

/// A parent that has a child, which has a child; nobody holds any of them.
async fn three_deep(store: &Store) -> Held {
    let (parent, _) = parent_with_child(store, "child").await;
    claim(store, parent.node, "c").await.checkpoint(store, vec![child(0, "g", "grandchild")], false).await;
    claim(store, parent.node, "g").await.checkpoint(store, vec![task(0, "a")], false).await;
    parent
}

async fn status(store: &Store, name: &str) -> Option<OrchestrationStatus> {
    get(store, name).await.map(|record| record.status)
}

pub async fn terminating_reaches_all_below_without_a_worker(store: Store) {
    three_deep(&store).await;
    let body = MessageBody::ExecutionTerminated { reason: Some("enough".into()), recurse: true };
    assert_eq!(send(&store, "parent", body).await, SendOutcome::Terminated);
    for name in ["parent", "child", "grandchild"] {
        assert_eq!(status(&store, name).await, Some(OrchestrationStatus::Terminated), "{name}");
        let (record, turns) = store.get_history(id(name), None).await.expect("an answer").expect("it exists");
        let last = turns.last().expect("a turn tells the end");
        assert_eq!((record.output.as_deref(), last.turn), (Some("enough"), record.turn));
        let types: Vec<_> = last.events.iter().map(|event| event.data.type_name()).collect();
        assert_eq!(types, ["ExecutionTerminated", "ExecutionCompleted"]);
    }
}

pub async fn terminating_tells_those_below_that_are_held(store: Store) {
    let parent = three_deep(&store).await;
    send(&store, "child", event("go", "1")).await;
    let mut held = claim(&store, parent.node, "c").await;
    assert_eq!(send(&store, "parent", recursive()).await, SendOutcome::Terminated);
    assert_eq!(status(&store, "child").await, Some(OrchestrationStatus::Running), "its holder decides");
    held.mail(&store).await;
    held.checkpoint(&store, vec![], false).await;
    for name in ["child", "grandchild"] {
        assert_eq!(status(&store, name).await, Some(OrchestrationStatus::Terminated), "{name}");
    }
}

/// Whether somebody holds the instance or not.
pub async fn terminating_reaches_below_what_has_ended(store: Store) {
    for is_held in [false, true] {
        let parent = three_deep(&store).await;
        send(&store, "child", event("go", "1")).await;
        claim(&store, parent.node, "c").await.checkpoint(&store, complete("1"), false).await;
        let mut held = claim(&store, parent.node, "p").await;
        let outcome = if is_held {
            let outcome = send(&store, "parent", recursive()).await;
            assert_eq!(status(&store, "parent").await, Some(OrchestrationStatus::Running), "its holder decides");
            held.mail(&store).await;
            held.checkpoint(&store, vec![], false).await;
            outcome
        } else {
            held.checkpoint(&store, vec![], false).await;
            send(&store, "parent", recursive()).await
        };
        assert_eq!(matches!(outcome, SendOutcome::Terminated), !is_held, "{outcome:?}");
        assert_eq!(status(&store, "child").await, Some(OrchestrationStatus::Completed));
        for name in ["parent", "grandchild"] {
            assert_eq!(status(&store, name).await, Some(OrchestrationStatus::Terminated), "{name}, held: {is_held}");
        }
        let all = PurgeFilter::Instances { ids: vec![id("parent")], force: false, recurse: true };
        store.purge_instances(all).await.expect("purged");
    }
}

fn recursive() -> MessageBody {
    MessageBody::ExecutionTerminated { reason: None, recurse: true }
}

pub async fn terminating_spares_who_took_a_childs_id(store: Store) {
    create(&store, creation("parent", "p")).await;
    let mut parent = claim(&store, node(&store).await, "p").await;
    let other = node(&store).await;
    parent.checkpoint(&store, vec![child(0, "c", "child"), child(1, "d", "second")], true).await;
    let mut held = claim(&store, other, "c").await;
    assert!(matches!(send(&store, "parent", recursive()).await, SendOutcome::Sent { .. }));
    // The terminate is numbered before the answer, so the turn that ends the parent still holds the child for open.
    held.checkpoint(&store, complete("1"), false).await;
    create(&store, creation("child", "somebody else's")).await;
    parent.mail(&store).await;
    assert_eq!(parent.inbox.len(), 2);
    parent.checkpoint(&store, vec![], false).await;
    assert_eq!(status(&store, "parent").await, Some(OrchestrationStatus::Terminated));
    assert_eq!(status(&store, "child").await, Some(OrchestrationStatus::Pending), "it is no child of the parent");
    assert_eq!(status(&store, "second").await, Some(OrchestrationStatus::Terminated));
}

pub async fn purging_reaches_all_below_when_asked_to(store: Store) {
    let purge = async |recurse: bool| {
        let which = PurgeFilter::Instances { ids: vec![id("parent")], force: false, recurse };
        store.purge_instances(which).await.expect("purging").purged
    };
    three_deep(&store).await;
    assert_eq!(purge(true).await, 0, "none of them has ended");
    send(&store, "parent", recursive()).await;
    assert_eq!(purge(true).await, 3);
    for name in ["parent", "child", "grandchild"] {
        assert_eq!(status(&store, name).await, None, "{name}");
    }
}

pub async fn purging_by_state_reaches_what_has_ended_below(store: Store) {
    let (parent, _) = parent_with_child(&store, "child").await;
    claim(&store, parent.node, "c").await.checkpoint(&store, complete("1"), false).await;
    claim(&store, parent.node, "p").await.checkpoint(&store, super::fixture::fail("Sad", "it went wrong"), false).await;
    let purge = async |recurse: bool| {
        let (created_from, created_to, completed_to) = (None, None, None);
        let statuses = vec![OrchestrationStatus::Failed];
        let which = PurgeFilter::Finished { statuses, created_from, created_to, completed_to, limit: 1, recurse };
        let outcome = store.purge_instances(which).await.expect("purging");
        (outcome.purged, outcome.complete)
    };
    assert_eq!(purge(true).await, (2, true), "the child has another state");
    assert_eq!((status(&store, "parent").await, status(&store, "child").await), (None, None));
    let (parent, _) = parent_with_child(&store, "child").await;
    claim(&store, parent.node, "c").await.checkpoint(&store, complete("1"), false).await;
    claim(&store, parent.node, "p").await.checkpoint(&store, super::fixture::fail("Sad", "it went wrong"), false).await;
    assert_eq!(purge(false).await, (1, true));
    assert!(status(&store, "child").await.is_some());
    let (parent, _) = parent_with_child(&store, "live").await;
    send(&store, "parent", event("e", "1")).await;
    claim(&store, parent.node, "p").await.checkpoint(&store, super::fixture::fail("Sad", "it went wrong"), false).await;
    assert_eq!(purge(true).await, (1, true));
    assert_eq!(status(&store, "live").await, Some(OrchestrationStatus::Pending), "it has not ended");
}
