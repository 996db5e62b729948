//! What a turn writes.

use everdure_core::{
    Action, ActionKind, EventData, FailureDetails, InstanceKey, MessageBody, OrchestrationStatus, RuntimeState, Tags,
    Target, TurnActions, TurnError,
};

use crate::fixture::{
    NODE, at, begin, child_of_other, completion, dispatch, event, id, message, new_state, task, turn,
};

fn action(id: i32, kind: ActionKind) -> Action {
    Action { id, kind }
}

fn child(action_id: i32, instance_id: Option<&str>) -> Action {
    let instance_id = instance_id.map(id);
    action(
        action_id,
        ActionKind::CreateSubOrchestration {
            name: "ship".into(),
            version: None,
            instance_id,
            input: None,
            tags: Tags::new(),
            trace: None,
            forget: false,
        },
    )
}

#[test]
fn every_new_activity_gets_its_own_dispatch_even_when_ids_repeat() {
    let mut state = new_state();
    let checkpoint = turn(&mut state, vec![], vec![task(0, "a"), task(0, "a")]);
    let dispatches: Vec<_> = checkpoint.activities.iter().map(|activity| activity.dispatch).collect();
    assert_eq!(dispatches, [dispatch(1, 0), dispatch(1, 1)]);
    assert_eq!(state.open_activities().count(), 2);
}

#[test]
fn a_step_given_up_in_its_own_turn_writes_nothing_but_history() {
    let mut state = new_state();
    let cancel = action(1, ActionKind::CancelTask { task_id: 0 });
    let checkpoint = turn(&mut state, vec![], vec![task(0, "a"), cancel]);
    assert!(checkpoint.activities.is_empty() && checkpoint.cancelled.is_empty());
    assert_eq!(checkpoint.events.len(), 2);
    assert_eq!(state.open_activities().count(), 0);
}

#[test]
fn an_older_step_given_up_is_named_for_removal() {
    let mut state = new_state();
    turn(&mut state, vec![], vec![task(0, "a"), action(1, ActionKind::CreateTimer { fire_at: at(900) })]);
    let give_up =
        vec![action(2, ActionKind::CancelTask { task_id: 0 }), action(3, ActionKind::CancelTimer { timer_id: 1 })];
    let checkpoint = turn(&mut state, vec![event(1, "go")], give_up);
    assert_eq!(checkpoint.cancelled, [dispatch(1, 0), dispatch(1, 1)]);
    assert_eq!(state.open_dispatches().count(), 0);
}

#[test]
fn a_step_answered_and_given_up_in_one_turn_is_closed_once() {
    let mut state = new_state();
    turn(&mut state, vec![], vec![task(0, "a")]);
    let cancel = action(1, ActionKind::CancelTask { task_id: 0 });
    turn(&mut state, vec![event(1, "go"), completion(dispatch(1, 0), "late")], vec![cancel]);
    assert_eq!(state.open_dispatches().count(), 0);
}

#[test]
fn giving_up_what_is_not_open_is_the_orchestrations_fault() {
    let state = new_state();
    let actions = vec![action(1, ActionKind::CancelTimer { timer_id: 5 })];
    let open = begin(&state, vec![], at(1));
    let error = open.apply(&state, NODE, 1, TurnActions { actions, ..TurnActions::default() });
    assert_eq!(error, Err(TurnError::NotOpen { task_id: 5, what: "timer" }));
}

#[test]
fn the_end_comes_last_wherever_it_stands() {
    let ends = [
        ActionKind::Complete { result: None },
        ActionKind::Fail { failure: FailureDetails::new("Broken", "it broke") },
        ActionKind::ContinueAsNew { input: None, version: None, carry_over: vec![] },
    ];
    for end in ends {
        let another = ActionKind::Complete { result: Some("another".into()) };
        let actions = vec![action(1, end.clone()), child(0, Some("child")), action(2, another)];
        let checkpoint = turn(&mut new_state(), vec![], actions);
        assert_eq!(checkpoint.children.len(), 1, "{end:?}");
        let ids: Vec<_> = checkpoint.events.iter().map(|event| event.event_id).filter(|id| *id >= 0).collect();
        assert_eq!(ids, [0, 1], "{end:?}");
    }
}

#[test]
fn the_end_drops_what_was_left_running_and_tells_the_parent_exactly() {
    let mut state = RuntimeState::new(InstanceKey(1), 0, 0, child_of_other());
    let end = action(1, ActionKind::Complete { result: Some("7".into()) });
    let checkpoint = turn(&mut state, vec![], vec![task(0, "left running"), end, task(2, "said after the end")]);
    assert!(checkpoint.activities.is_empty());
    assert_eq!(checkpoint.status, OrchestrationStatus::Completed);
    assert_eq!(checkpoint.events.len(), 3);
    let [told] = checkpoint.messages.as_slice() else { panic!("one message, to the parent") };
    assert_eq!(told.target, Target::Execution { key: InstanceKey(99), instance_id: id("parent"), execution: 2 });
    let body = MessageBody::SubOrchestrationInstanceCompleted { dispatch: dispatch(5, 1), result: Some("7".into()) };
    assert_eq!(told.body, body);
}

#[test]
fn a_failure_reaches_the_parent_with_its_details() {
    let mut state = RuntimeState::new(InstanceKey(1), 0, 0, child_of_other());
    let failure = FailureDetails::new("CardDeclined", "no money").caused_by(FailureDetails::new("Io", "reset"));
    let checkpoint = turn(&mut state, vec![], vec![action(0, ActionKind::Fail { failure: failure.clone() })]);
    let body = MessageBody::SubOrchestrationInstanceFailed { dispatch: dispatch(5, 1), failure };
    assert_eq!(checkpoint.messages[0].body, body);
}

#[test]
fn terminating_recursively_reaches_open_children_and_the_parent() {
    let mut state = RuntimeState::new(InstanceKey(1), 0, 0, child_of_other());
    turn(&mut state, vec![], vec![child(0, Some("child-1"))]);
    let stop = MessageBody::ExecutionTerminated { reason: Some("enough".into()), recurse: true };
    let checkpoint = turn(&mut state, vec![message(1, None, stop.clone())], vec![]);
    assert_eq!(checkpoint.status, OrchestrationStatus::Terminated);
    assert_eq!(checkpoint.output.as_deref(), Some("enough"));
    assert_eq!(checkpoint.messages[0].target, Target::Child(id("child-1")));
    assert_eq!(checkpoint.messages[0].body, stop);
    assert!(matches!(checkpoint.messages[1].body, MessageBody::SubOrchestrationInstanceFailed { .. }));
}

#[test]
fn a_child_without_an_id_gets_the_same_one_each_time() {
    let first = turn(&mut new_state(), vec![], vec![child(0, None), child(1, None)]);
    let again = turn(&mut new_state(), vec![], vec![child(0, None), child(1, None)]);
    assert_eq!(first.children, again.children);
    assert_ne!(first.children[0].instance_id, first.children[1].instance_id);
    assert_ne!(first.children[0].execution_id, first.children[1].execution_id);
}

#[test]
fn continue_as_new_keeps_version_and_unread_events() {
    let mut started = crate::fixture::started();
    started.version = Some("2.1".into());
    let mut state = RuntimeState::new(InstanceKey(1), 0, 0, started);
    let again = ActionKind::ContinueAsNew {
        input: Some("2".into()),
        version: None,
        carry_over: vec![("unread".into(), Some("1".into()))],
    };
    let checkpoint = turn(&mut state, vec![], vec![task(0, "dropped"), action(1, again)]);
    let next = checkpoint.next_execution.expect("an execution follows");
    assert_eq!(next.version.as_deref(), Some("2.1"));
    assert_eq!(next.carry_over, [MessageBody::EventRaised { name: "unread".into(), input: Some("1".into()) }]);
    assert!(checkpoint.activities.is_empty());
    assert_eq!(checkpoint.status, OrchestrationStatus::Running);
}

#[test]
fn an_activity_has_the_tags_of_its_action_and_no_others() {
    let mut started = crate::fixture::started();
    started.tags = Tags::from([("team".into(), "blue".into()), ("tier".into(), "1".into())]);
    let mut state = RuntimeState::new(InstanceKey(1), 0, 0, started);
    let kind = ActionKind::ScheduleTask {
        name: "a".into(),
        version: None,
        input: None,
        tags: Tags::from([("tier".into(), "2".into())]),
        trace: None,
    };
    let checkpoint = turn(&mut state, vec![], vec![action(0, kind)]);
    assert_eq!(checkpoint.activities[0].tags, Tags::from([("tier".into(), "2".into())]));
    assert!(matches!(&checkpoint.events[0].data, EventData::TaskScheduled { tags, .. } if tags["tier"] == "2"));
}
