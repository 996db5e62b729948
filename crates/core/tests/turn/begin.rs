//! What a turn sees.

use chrono::TimeDelta;
use everdure_core::{EventData, FailureDetails, MessageBody, OpenTurn, OrchestrationStatus, RuntimeState};

use crate::fixture::{at, begin, completion, dispatch, event, message, new_state, task, turn};

fn types(open: &OpenTurn) -> Vec<&'static str> {
    open.events().iter().map(|event| event.data.type_name()).collect()
}

fn with_one_activity() -> RuntimeState {
    let mut state = new_state();
    turn(&mut state, vec![], vec![task(0, "charge")]);
    state
}

#[test]
fn the_first_turn_needs_no_message() {
    let open = begin(&new_state(), vec![], at(1));
    assert!(open.events().is_empty() && open.runs_user_code(&new_state()));
    assert_eq!(open.number(), 1);
}

#[test]
fn a_later_turn_without_anything_to_see_is_no_turn() {
    let state = with_one_activity();
    assert_eq!(OpenTurn::begin(&state, &mut vec![], at(5), 10), None);
}

#[test]
fn bug_10_an_answer_counts_once_and_only_for_an_open_step() {
    let state = with_one_activity();
    let open = begin(
        &state,
        vec![
            completion(dispatch(1, 0), "first"),
            completion(dispatch(1, 0), "repeated"),
            completion(dispatch(1, 9), "never asked for"),
        ],
        at(200),
    );
    assert_eq!(types(&open), ["TaskCompleted"]);
}

#[test]
fn an_answer_of_another_kind_than_the_question_is_ignored() {
    let state = with_one_activity();
    let fired = MessageBody::TimerFired { dispatch: dispatch(1, 0), fire_at: at(1) };
    let open = begin(&state, vec![message(1, Some(0), fired)], at(200));
    assert!(open.events().is_empty() && !open.runs_user_code(&state));
}

#[test]
fn a_message_for_an_earlier_execution_is_consumed_and_not_seen() {
    let mut state = RuntimeState::new(everdure_core::InstanceKey(1), 3, 10, crate::fixture::started());
    turn(&mut state, vec![], vec![task(0, "charge")]);
    let late = MessageBody::TaskFailed { dispatch: dispatch(11, 0), failure: FailureDetails::new("E", "late") };
    let checkpoint = turn(&mut state, vec![message(4, Some(2), late)], vec![]);
    assert!(checkpoint.events.is_empty());
    assert_eq!(checkpoint.consumed.len(), 1);
}

#[test]
fn bug_34_time_never_runs_backwards_and_never_before_a_timer_that_fired() {
    let mut state = new_state();
    let timer = everdure_core::Action { id: 0, kind: everdure_core::ActionKind::CreateTimer { fire_at: at(500) } };
    let first = turn(&mut state, vec![], vec![timer]);
    let slow_clock = begin(&state, vec![event(1, "x")], at(0));
    assert_eq!(slow_clock.time(), first.time + TimeDelta::microseconds(1));
    let fired = MessageBody::TimerFired { dispatch: dispatch(1, 0), fire_at: at(500) };
    assert_eq!(begin(&state, vec![message(1, Some(0), fired)], at(499)).time(), at(500));
}

#[test]
fn what_exceeds_the_limit_waits_in_order() {
    let state = with_one_activity();
    let mut inbox: Vec<_> = (0..10).map(|number| event(number, "e")).collect();
    let open = OpenTurn::begin(&state, &mut inbox, at(200), 4).expect("there are events");
    assert_eq!(open.events().len(), 4);
    assert_eq!(inbox.first(), Some(&event(4, "e")));
}

#[test]
fn nothing_after_a_request_to_terminate_is_seen() {
    let state = with_one_activity();
    let stop = MessageBody::ExecutionTerminated { reason: Some("enough".into()), recurse: false };
    let open = begin(&state, vec![event(1, "a"), message(2, None, stop), event(3, "b")], at(200));
    assert_eq!(types(&open), ["EventRaised", "ExecutionTerminated"]);
    assert!(!open.runs_user_code(&state));
}

#[test]
fn suspending_and_resuming_show_in_the_status() {
    let mut state = with_one_activity();
    turn(&mut state, vec![message(1, None, MessageBody::ExecutionSuspended { reason: None })], vec![]);
    assert_eq!(state.status, OrchestrationStatus::Suspended);
    let seen = turn(&mut state, vec![event(2, "while suspended")], vec![]);
    assert_eq!(seen.status, OrchestrationStatus::Suspended);
    turn(&mut state, vec![message(3, None, MessageBody::ExecutionResumed { reason: None })], vec![]);
    assert_eq!(state.status, OrchestrationStatus::Running);
    assert!(matches!(seen.events[0].data, EventData::EventRaised { .. }));
}
