//! Histories as they are stored and read back.

use everdure_core::{
    EventData, FailureDetails, HistoryEvent, HistoryTurn, OrchestrationStatus, OrchestrationTrace, RuntimeState, Tags,
    TraceContext,
};

use crate::fixture::{at, completion, dispatch, id, new_state, task, turn};

fn one_of_each() -> Vec<EventData> {
    let failure = FailureDetails::new("E", "m \"quoted\" \u{1F600}").caused_by(FailureDetails::new("I", "inner"));
    let text = Some("a\\b\"c\nd".to_owned());
    vec![
        EventData::ExecutionStarted(crate::fixture::child_of_other()),
        EventData::ExecutionCompleted {
            status: OrchestrationStatus::Failed,
            result: None,
            failure: Some(failure.clone()),
        },
        EventData::ExecutionTerminated { reason: text.clone(), recurse: true },
        EventData::ExecutionSuspended { reason: text.clone() },
        EventData::ExecutionResumed { reason: None },
        EventData::TaskScheduled {
            dispatch: dispatch(3, 1),
            name: "n".into(),
            version: Some("1".into()),
            input: text.clone(),
            tags: Tags::from([("k".into(), "v".into())]),
            trace: Some(TraceContext {
                trace_parent: "00-1-2-01".into(),
                trace_state: text.clone(),
                span_id: "2".into(),
            }),
        },
        EventData::TaskCompleted { dispatch: dispatch(3, 1), task_id: 4, result: text.clone() },
        EventData::TaskFailed { dispatch: dispatch(3, 1), task_id: 4, failure: failure.clone() },
        EventData::TaskCancelled { dispatch: dispatch(3, 1), task_id: 4 },
        EventData::SubOrchestrationInstanceCreated {
            dispatch: dispatch(3, 2),
            name: "n".into(),
            version: None,
            instance_id: id("child"),
            input: None,
            tags: Tags::new(),
            trace: None,
            forget: true,
        },
        EventData::SubOrchestrationInstanceCompleted { dispatch: dispatch(3, 2), task_id: 5, result: None },
        EventData::SubOrchestrationInstanceFailed { dispatch: dispatch(3, 2), task_id: 5, failure },
        EventData::TimerCreated { dispatch: dispatch(3, 3), fire_at: at(9) },
        EventData::TimerFired { dispatch: dispatch(3, 3), timer_id: 6, fire_at: at(9) },
        EventData::TimerCancelled { dispatch: dispatch(3, 3), timer_id: 6 },
        EventData::OrchestratorStarted,
        EventData::EventSent { instance_id: id("other"), name: "e".into(), input: text.clone() },
        EventData::EventRaised { name: "e".into(), input: text.clone() },
        EventData::ContinueAsNew { input: text.clone() },
        EventData::EntityOperationCalled {
            dispatch: dispatch(3, 4),
            request_id: "r".into(),
            operation: "o".into(),
            input: text.clone(),
            target: id("@e@1"),
            not_before: Some(at(9)),
        },
        EventData::EntityOperationSignaled {
            request_id: "r".into(),
            operation: "o".into(),
            input: None,
            target: id("@e@1"),
            not_before: None,
        },
        EventData::EntityOperationCompleted { dispatch: dispatch(3, 4), request_id: "r".into(), output: text.clone() },
        EventData::EntityOperationFailed {
            dispatch: dispatch(3, 4),
            request_id: "r".into(),
            failure: FailureDetails::new("E", "m"),
        },
        EventData::EntityLockRequested {
            dispatch: dispatch(3, 5),
            critical_section: "c".into(),
            lock_set: vec![id("@e@1"), id("@e@2")],
        },
        EventData::EntityLockGranted { dispatch: dispatch(3, 5), critical_section: "c".into() },
        EventData::EntityUnlockSent { critical_section: "c".into(), target: id("@e@1") },
        EventData::InstanceTerminated { instance_id: id("i"), reason: None, recurse: true },
        EventData::OrchestrationTraced { trace: OrchestrationTrace { span_id: text.clone(), started_at: Some(at(1)) } },
        EventData::GenericEvent { data: text },
    ]
}

#[test]
fn every_event_type_survives_storage() {
    let events: Vec<_> = one_of_each()
        .into_iter()
        .enumerate()
        .map(|(index, data)| HistoryEvent {
            event_id: i32::try_from(index).expect("a small number") - 1,
            timestamp: at(i64::try_from(index % 2).expect("0 or 1")),
            data,
        })
        .collect();
    let json = HistoryTurn::encode_events(&events, at(0));
    assert_eq!(HistoryTurn::decode_events(&json, at(0)).expect("what was encoded"), events);
    for event in &events {
        assert!(json.contains(&format!("\"type\":\"{}\"", event.data.type_name())), "{json}");
    }
}

#[test]
fn the_stored_form_is_this() {
    let mut state = new_state();
    turn(&mut state, vec![], vec![task(0, "charge")]);
    let checkpoint = turn(&mut state, vec![completion(dispatch(1, 0), "\"ok\"")], vec![task(1, "ship")]);
    assert_eq!(
        HistoryTurn::encode_events(&checkpoint.events, checkpoint.time),
        concat!(
            r#"[{"at":1000050000000,"type":"TaskCompleted","dispatch":"1.0","taskId":0,"result":"\"ok\""},"#,
            r#"{"id":1,"type":"TaskScheduled","dispatch":"2.0","name":"ship"}]"#
        )
    );
}

#[test]
fn an_unknown_event_is_an_error_and_not_skipped() {
    let error = HistoryTurn::decode_events(r#"[{"type":"FromTheFuture"}]"#, at(0)).expect_err("an unknown type");
    assert!(error.to_string().contains("FromTheFuture"), "{error}");
}

#[test]
fn replay_gives_the_state_that_folding_gave() {
    let mut live = new_state();
    let mut history = Vec::new();
    for (inbox, actions) in [
        (vec![], vec![task(0, "a"), task(1, "b")]),
        (vec![completion(dispatch(1, 0), "1")], vec![task(2, "c")]),
        (vec![completion(dispatch(2, 0), "2")], vec![]),
    ] {
        let checkpoint = turn(&mut live, inbox, actions);
        history.push(HistoryTurn { turn: checkpoint.turn + 1, time: checkpoint.time, events: checkpoint.events });
    }
    assert_eq!(new_state().replay(&history).expect("a whole history"), live);
}

#[test]
fn a_gap_and_an_answer_without_a_question_are_corruption() {
    let turn_two = HistoryTurn { turn: 2, time: at(1), events: vec![] };
    let error = new_state().replay(&[turn_two]).expect_err("turn 1 is missing");
    assert!(error.to_string().contains("turn 2 follows turn 0"), "{error}");
    let answer = EventData::TaskCompleted { dispatch: dispatch(1, 0), task_id: 0, result: None };
    let events = vec![HistoryEvent::unsolicited(at(1), answer)];
    let state: Result<RuntimeState, _> = new_state().replay(&[HistoryTurn { turn: 1, time: at(1), events }]);
    assert!(state.expect_err("nothing was asked").to_string().contains("1.0"));
}
