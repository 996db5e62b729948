//! Activities as the engine runs them, and the way of their errors back to the caller.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::fmt;

use everdure::{
    Activity, ActivityContext, CancellationToken, Failure, FailureDetails, Functions, InstanceId, Orchestration,
    OrchestrationContext, Tags, activity_executor,
};
use everdure_core::{ActivityTask, DispatchId, InstanceKey};
use everdure_engine::{ActivityOutcome, Workers};
use futures::FutureExt;
use serde::{Deserialize, Serialize};

const PAY: Activity<u32, u32> = Activity::new("pay");

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Declined {
    code: u32,
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "declined with code {}", self.code)
    }
}

impl std::error::Error for Declined {}

fn task(input: &str) -> ActivityTask {
    ActivityTask {
        key: InstanceKey(1),
        instance_id: InstanceId::new("order-7").unwrap(),
        execution: 0,
        execution_id: everdure_core::ExecutionId::from_uuid(uuid::Uuid::nil()),
        dispatch: DispatchId { turn: 1, index: 0 },
        task_id: 0,
        name: "pay".to_owned(),
        version: None,
        input: Some(input.to_owned()),
        tags: Tags::new(),
        orchestration_version: None,
        trace: None,
        idempotency_key: "abc/1.0".to_owned(),
    }
}

async fn pay(ctx: ActivityContext, amount: u32) -> everdure::Result<u32> {
    assert_eq!((ctx.idempotency_key(), ctx.name()), ("abc/1.0", "pay"));
    match amount {
        0 => panic!("nothing to pay"),
        1 => Err(Failure::typed(&Declined { code: 51 }).non_retriable()),
        2 => Ok("two".parse::<u32>()?),
        _ => Ok(amount * 2),
    }
}

fn run(input: &str) -> Result<Option<String>, FailureDetails> {
    let returned = activity_executor(pay).run(task(input), CancellationToken::new()).now_or_never().unwrap();
    match returned.outcome {
        ActivityOutcome::Ended(ended) => ended,
        ActivityOutcome::GivenBack | ActivityOutcome::NotRun(_) => panic!("a function of this process runs"),
    }
}

#[test]
fn a_result_is_json() {
    assert_eq!(run("21"), Ok(Some("42".to_owned())));
}

#[test]
fn a_panic_is_a_failure() {
    assert_eq!(run("0"), Err(FailureDetails::new("Panic", "nothing to pay")));
}

#[test]
fn any_error_becomes_a_failure_with_its_type() {
    let failure = run("2").unwrap_err();
    assert_eq!(failure.error_type, "core::num::error::ParseIntError");
    assert!(!failure.is_non_retriable);
}

#[test]
fn a_typed_error_carries_itself() {
    let failure = run("1").unwrap_err();
    assert!(failure.is_non_retriable);
    assert_eq!(failure.error_message, "declined with code 51");
    assert_eq!(serde_json::from_str::<Declined>(failure.data.as_deref().unwrap()).unwrap(), Declined { code: 51 });
}

#[test]
fn an_input_of_another_type_is_told_and_not_retried() {
    let failure = run("\"ten\"").unwrap_err();
    assert_eq!(failure.error_type, "Serialization");
    assert!(failure.is_non_retriable);
    assert!(failure.error_message.contains("u32"), "{failure}");
}

#[test]
fn one_name_takes_one_function() {
    const ORDER: Orchestration<u32, u32> = Orchestration::new("order");
    async fn order(ctx: OrchestrationContext, amount: u32) -> everdure::Result<u32> {
        Ok(ctx.call_activity(&PAY, amount).await?)
    }
    let functions = Functions::new().activity(PAY, pay).orchestration(ORDER, order);
    let registry = functions.clone().activity(PAY.version("2"), pay).into_registry().unwrap();
    assert!(registry.activity("pay", Some("2")).is_some() && registry.orchestration("order", None).is_some());
    let Err(error) = functions.activity(PAY, pay).into_registry() else { panic!("the name is taken") };
    assert_eq!(error.to_string(), "activity 'pay' is registered twice: give one of them another name or version");
}
