//! Orchestrations driven by hand-built turns. Each scenario runs live, and again as a full replay before every
//! turn: both must decide the same.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use everdure::{
    Activity, CallError, Failure, FailureDetails, InstanceId, Orchestration, OrchestrationContext, RetryPolicy,
    Timestamp, orchestration_executor,
};
use everdure_core::{
    Action, ActionKind, DispatchId, EventData, ExecutionId, ExecutionStarted, HistoryEvent, HistoryTurn,
    OrchestrationStatus,
};
use everdure_engine::{LiveOrchestration, NewTurn, OrchestrationExecutor};
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};

const ECHO: Activity<u32, u32> = Activity::new("echo");
const CHILD: Orchestration<u32, u32> = Orchestration::new("child");

/// Runs turns live and in replay, and compares.
struct Harness {
    executor: Arc<dyn OrchestrationExecutor>,
    live: Box<dyn LiveOrchestration>,
    history: Vec<HistoryTurn>,
}

fn started() -> ExecutionStarted {
    ExecutionStarted {
        instance_id: InstanceId::new("test").unwrap(),
        execution_id: "0123456789abcdef0123456789abcdef".parse::<ExecutionId>().unwrap(),
        name: "test".to_owned(),
        version: None,
        input: None,
        parent: None,
        tags: Default::default(),
        scheduled_start: None,
        trace: None,
    }
}

fn time(turn: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(turn * 10)
}

fn dispatch(task_id: i32) -> DispatchId {
    DispatchId { turn: 0, index: u32::try_from(task_id).unwrap() }
}

fn done(task_id: i32, result: u32) -> EventData {
    EventData::TaskCompleted { dispatch: dispatch(task_id), task_id, result: Some(result.to_string()) }
}

fn failed(task_id: i32, failure: FailureDetails) -> EventData {
    EventData::TaskFailed { dispatch: dispatch(task_id), task_id, failure }
}

fn fired(timer_id: i32) -> EventData {
    EventData::TimerFired { dispatch: dispatch(timer_id), timer_id, fire_at: time(0) }
}

fn raised(name: &str, payload: u32) -> EventData {
    EventData::EventRaised { name: name.to_owned(), input: Some(payload.to_string()) }
}

fn recorded(action: &Action) -> HistoryEvent {
    let dispatch = dispatch(action.id);
    let data = match action.kind.clone() {
        ActionKind::ScheduleTask { name, version, input, tags, trace } => {
            EventData::TaskScheduled { dispatch, name, version, input, tags, trace }
        }
        ActionKind::CancelTask { task_id } => EventData::TaskCancelled { dispatch, task_id },
        ActionKind::CreateSubOrchestration { name, version, instance_id, input, tags, trace, forget } => {
            let instance_id = instance_id.unwrap_or_else(|| InstanceId::new("derived").unwrap());
            EventData::SubOrchestrationInstanceCreated {
                dispatch,
                name,
                version,
                instance_id,
                input,
                tags,
                trace,
                forget,
            }
        }
        ActionKind::CreateTimer { fire_at } => EventData::TimerCreated { dispatch, fire_at },
        ActionKind::CancelTimer { timer_id } => EventData::TimerCancelled { dispatch, timer_id },
        ActionKind::SendEvent { instance_id, name, input } => EventData::EventSent { instance_id, name, input },
        ActionKind::Complete { result } => {
            EventData::ExecutionCompleted { status: OrchestrationStatus::Completed, result, failure: None }
        }
        ActionKind::Fail { failure } => {
            EventData::ExecutionCompleted { status: OrchestrationStatus::Failed, result: None, failure: Some(failure) }
        }
        ActionKind::ContinueAsNew { input, .. } => EventData::ContinueAsNew { input },
        other => unreachable!("no test here decides {other:?}"),
    };
    HistoryEvent { event_id: action.id, timestamp: time(0), data }
}

impl Harness {
    fn new<F, Fut>(function: F) -> Self
    where
        F: Fn(OrchestrationContext, ()) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = everdure::Result<u32>> + Send + 'static,
    {
        let executor = orchestration_executor(function);
        let live = executor.begin(&started());
        Self { executor, live, history: Vec::new() }
    }

    fn turn(&mut self, events: Vec<EventData>) -> Vec<ActionKind> {
        let number = i64::try_from(self.history.len()).unwrap() + 1;
        let events: Vec<_> = events.into_iter().map(|data| HistoryEvent::unsolicited(time(number), data)).collect();
        let turn = NewTurn { number, time: time(number), events: &events };

        let mut replayed = self.executor.begin(&started());
        for stored in &self.history {
            replayed.replay(stored).now_or_never().unwrap().unwrap();
        }
        let again = replayed.run_turn(turn).now_or_never().unwrap().unwrap();
        let actions = self.live.run_turn(turn).now_or_never().unwrap().unwrap();
        assert_eq!(actions, again, "replay decides what the live orchestration decides");

        let mut stored = events.clone();
        stored.extend(actions.actions.iter().map(recorded));
        self.history.push(HistoryTurn { turn: number, time: time(number), events: stored });
        actions.actions.into_iter().map(|action| action.kind).collect()
    }
}

fn complete(result: u32) -> ActionKind {
    ActionKind::Complete { result: Some(result.to_string()) }
}

fn failure(actions: &[ActionKind]) -> &FailureDetails {
    match actions {
        [.., ActionKind::Fail { failure }] => failure,
        other => panic!("expected a failure at the end, got {other:?}"),
    }
}

#[test]
fn a_sequence_takes_one_turn_a_step() {
    let mut test = Harness::new(|ctx, ()| async move {
        let one = ctx.call_activity(&ECHO, 1).await?;
        let two = ctx.call_activity(&ECHO, 2).tag("kind", "second").await?;
        Ok(one + two)
    });
    assert!(matches!(&test.turn(vec![])[..], [ActionKind::ScheduleTask { name, .. }] if name == "echo"));
    let second = test.turn(vec![done(0, 1)]);
    assert!(matches!(&second[..], [ActionKind::ScheduleTask { tags, .. }] if tags["kind"] == "second"));
    assert_eq!(test.turn(vec![done(1, 2)]), [complete(3)]);
}

#[test]
fn join_all_takes_two_thousand_children_in_any_order() {
    let mut test = Harness::new(|ctx, ()| async move {
        let calls = (0..2_000).map(|n| ctx.call_activity(&ECHO, n));
        Ok(futures::future::try_join_all(calls).await?.into_iter().sum())
    });
    assert_eq!(test.turn(vec![]).len(), 2_000);
    assert_eq!(test.turn((1_000..2_000).rev().map(|n| done(n, 1)).collect()), []);
    assert_eq!(test.turn((0..1_000).map(|n| done(n, 1)).collect()), [complete(2_000)]);
}

#[test]
fn the_loser_of_a_select_is_cancelled() {
    let mut test = Harness::new(|ctx, ()| async move {
        let winner = {
            let call = ctx.call_activity(&ECHO, 1);
            let timeout = ctx.sleep(Duration::from_secs(60));
            futures::pin_mut!(call, timeout);
            match futures::future::select(call, timeout).await {
                futures::future::Either::Left((result, _)) => result?,
                futures::future::Either::Right(_) => 0,
            }
        };
        ctx.call_activity(&ECHO, winner).await?;
        Ok(winner)
    });
    test.turn(vec![]);
    let actions = test.turn(vec![fired(1)]);
    assert!(matches!(actions[..], [ActionKind::CancelTask { task_id: 0 }, ActionKind::ScheduleTask { .. }]));
    assert_eq!(test.turn(vec![done(3, 0)]), [complete(0)]);
}

#[test]
fn tokio_select_works_and_history_order_decides() {
    let mut test = Harness::new(|ctx, ()| async move {
        tokio::select! {
            one = ctx.call_activity(&ECHO, 1) => Ok(one?),
            two = ctx.call_activity(&ECHO, 2) => Ok(two?),
        }
    });
    test.turn(vec![]);
    assert_eq!(test.turn(vec![done(1, 2), done(0, 1)]), [complete(2)]);
}

#[test]
fn futures_unordered_yields_in_the_order_of_history() {
    let mut test = Harness::new(|ctx, ()| async move {
        let mut calls: FuturesUnordered<_> = (0..3).map(|n| ctx.call_activity(&ECHO, n)).collect();
        let mut digits = 0;
        while let Some(result) = calls.next().await {
            digits = digits * 10 + result?;
        }
        Ok(digits)
    });
    test.turn(vec![]);
    assert_eq!(test.turn(vec![done(2, 3), done(0, 1)]), []);
    assert_eq!(test.turn(vec![done(1, 2)]), [complete(312)]);
}

#[test]
fn events_are_taken_once_in_order_whatever_the_case() {
    let mut test = Harness::new(|ctx, ()| async move {
        ctx.call_activity(&ECHO, 0).await?;
        drop(ctx.wait_for_event::<u32>("ok"));
        let one: u32 = ctx.wait_for_event("OK").await?;
        let two: u32 = ctx.wait_for_event("ok").await?;
        let three: u32 = ctx.wait_for_event("Ok").await?;
        Ok(one * 100 + two * 10 + three)
    });
    test.turn(vec![raised("ok", 1), raised("other", 9)]);
    assert_eq!(test.turn(vec![raised("oK", 2)]), []);
    assert_eq!(test.turn(vec![done(0, 0)]), []);
    assert_eq!(test.turn(vec![raised("ok", 3)]), [complete(123)]);
}

#[test]
fn bug_21_a_suspended_orchestration_sees_nothing_until_it_is_resumed() {
    let mut test = Harness::new(|ctx, ()| async move {
        let (one, two) = (ctx.call_activity(&ECHO, 1), ctx.call_activity(&ECHO, 2));
        let first = futures::future::select(one, two).await.factor_first().0?;
        ctx.call_activity(&ECHO, first).await.map_err(Failure::from)
    });
    test.turn(vec![]);
    let suspend = EventData::ExecutionSuspended { reason: None };
    assert_eq!(test.turn(vec![suspend, done(1, 2)]), []);
    assert_eq!(test.turn(vec![done(0, 1)]), []);
    // The loser's answer is here already: it is too late to cancel it.
    let resumed = test.turn(vec![EventData::ExecutionResumed { reason: None }]);
    assert!(matches!(&resumed[..], [ActionKind::ScheduleTask { input: Some(input), .. }] if input == "2"));
    assert_eq!(test.turn(vec![done(2, 2)]), [complete(2)]);
}

#[test]
fn other_code_than_history_is_told_in_words() {
    let mut test = Harness::new(|ctx, ()| async move { Ok(ctx.call_activity(&ECHO, 1).await?) });
    test.turn(vec![]);
    everdure::testing::check_replay(&test.executor, &started(), &test.history).unwrap();
    let changed = orchestration_executor(|ctx: OrchestrationContext, ()| async move {
        Ok::<_, Failure>(ctx.call_sub_orchestration(&CHILD, 1).await?)
    });
    let error = everdure::testing::check_replay(&changed, &started(), &test.history).unwrap_err();
    assert_eq!(error.error_type, "NonDeterministicOrchestration");
    assert!(error.error_message.contains("turn 1, decision 1"), "{error}");
    assert!(error.error_message.contains("activity 'echo'"), "{error}");
    assert!(error.error_message.contains("sub-orchestration 'child'"), "{error}");
}

#[test]
fn a_panic_fails_the_orchestration() {
    let mut test = Harness::new(|ctx, ()| async move {
        ctx.call_activity(&ECHO, 1).await?;
        panic!("no way on")
    });
    test.turn(vec![]);
    let actions = test.turn(vec![done(0, 1)]);
    assert_eq!(failure(&actions), &FailureDetails::new("Panic", "no way on"));
}

#[test]
fn retries_wait_on_durable_timers_and_stop() {
    let mut test = Harness::new(|ctx, ()| async move {
        let policy = RetryPolicy::new(3, Duration::from_secs(1)).backoff_coefficient(2.0);
        let error: CallError = ctx.call_activity(&ECHO, 1).retry(policy).await.unwrap_err();
        assert_eq!(error.details().error_type, "Io");
        Err(error.into())
    });
    let io = || FailureDetails::new("Io", "unreachable");
    test.turn(vec![]);
    let pause = |turn, seconds| ActionKind::CreateTimer { fire_at: time(turn) + TimeDelta::seconds(seconds) };
    assert_eq!(test.turn(vec![failed(0, io())]), [pause(2, 1)]);
    assert!(matches!(test.turn(vec![fired(1)])[..], [ActionKind::ScheduleTask { .. }]));
    assert_eq!(test.turn(vec![failed(2, io())]), [pause(4, 2)]);
    assert!(matches!(test.turn(vec![fired(3)])[..], [ActionKind::ScheduleTask { .. }]));
    let actions = test.turn(vec![failed(4, io())]);
    assert_eq!(failure(&actions).error_type, "TaskFailed");
    assert_eq!(failure(&actions).inner_failure.as_deref(), Some(&io()));
}

#[test]
fn a_failure_that_is_not_retriable_is_not_retried() {
    let mut test = Harness::new(|ctx, ()| async move {
        Ok(ctx.call_activity(&ECHO, 1).retry(RetryPolicy::new(5, Duration::from_secs(1))).await?)
    });
    test.turn(vec![]);
    let actions = test.turn(vec![failed(0, FailureDetails::new("Bad", "input").non_retriable())]);
    assert_eq!(failure(&actions).error_type, "TaskFailed");
}

#[test]
fn continue_as_new_carries_events_over() {
    let mut test = Harness::new(|ctx, ()| async move {
        let first: u32 = ctx.wait_for_event("a").await?;
        ctx.continue_as_new(&first)
    });
    test.turn(vec![]);
    let actions = test.turn(vec![raised("B", 7), raised("a", 1), raised("a", 2)]);
    // The event after the one that ended the execution stays in order behind those that came before.
    let carry_over = vec![("B".to_owned(), Some("7".to_owned())), ("a".to_owned(), Some("2".to_owned()))];
    assert_eq!(actions, [ActionKind::ContinueAsNew { input: Some("1".to_owned()), version: None, carry_over }]);
}

#[test]
fn waiting_for_a_foreign_future_fails_instead_of_hanging() {
    let mut test = Harness::new(|_, ()| std::future::pending());
    assert_eq!(failure(&test.turn(vec![])).error_type, "ForeignFuture");
}

#[test]
fn what_is_left_running_at_the_end_is_not_cancelled() {
    let mut test = Harness::new(|ctx, ()| async move {
        let _left = ctx.call_activity(&ECHO, 1);
        drop(ctx.call_sub_orchestration(&CHILD, 1));
        Ok(5)
    });
    let actions = test.turn(vec![]);
    assert!(matches!(
        actions[..],
        [ActionKind::ScheduleTask { .. }, ActionKind::CreateSubOrchestration { .. }, ActionKind::Complete { .. }]
    ));
}

#[test]
fn time_and_guids_are_those_of_the_turn() {
    let mut test = Harness::new(|ctx, ()| async move {
        assert_eq!(ctx.now(), time(1));
        assert_ne!(ctx.new_guid(), ctx.new_guid());
        let guid = ctx.new_guid().as_u128();
        ctx.call_activity(&ECHO, u32::try_from(guid % 1000).unwrap()).await?;
        assert_eq!(ctx.now(), time(2));
        assert!(!ctx.is_replaying());
        Ok(0)
    });
    test.turn(vec![]);
    assert_eq!(test.turn(vec![done(0, 1)]), [complete(0)]);
}

#[test]
fn an_option_set_too_late_is_told() {
    let mut test = Harness::new(|ctx, ()| async move {
        let call = ctx.call_activity(&ECHO, 1);
        ctx.call_activity(&ECHO, 2).await?;
        Ok(call.tag("late", "yes").await?)
    });
    test.turn(vec![]);
    assert_eq!(failure(&test.turn(vec![done(1, 2)])).error_type, "LateOption");
}

#[test]
fn an_event_given_back_goes_to_the_next_wait() {
    let mut test = Harness::new(|ctx, ()| async move {
        let unread = ctx.wait_for_event::<u32>("a");
        ctx.call_activity(&ECHO, 0).await?;
        drop(unread);
        Ok(ctx.wait_for_event::<u32>("a").await?)
    });
    test.turn(vec![]);
    test.turn(vec![raised("a", 4)]);
    assert_eq!(test.turn(vec![done(0, 0)]), [complete(4)]);
}
