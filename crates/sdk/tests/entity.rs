//! A batch of operations, run as the engine runs it.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::sync::{Arc, Mutex};

use everdure::{
    Entity, EntityContext, EntityState, Failure, Functions, InstanceId, Operation, Orchestration, Timestamp,
};
use everdure_core::{EntityAction, EntityBatch, EntityBatchResult, EntityOperation, ExecutionId, InstanceKey};
use everdure_engine::Workers;
use futures::FutureExt;

const COUNTER: Entity<i64> = Entity::new("counter");
const ADD: Operation<i64, i64, i64> = COUNTER.operation("Add");
const SPREAD: Operation<i64, bool, ()> = COUNTER.operation("spread");
const KEEP: Operation<i64, (), ()> = COUNTER.operation("keep");
const MISUSE: Operation<i64, (), ()> = COUNTER.operation("misuse");
const ORDER: Orchestration<(), ()> = Orchestration::new("order");

async fn add(_: EntityContext, mut counter: EntityState<i64>, number: i64) -> everdure::Result<i64> {
    *counter += number;
    Ok(*counter)
}

/// Does all that an operation can do, and then fails if it is told to.
async fn spread(ctx: EntityContext, mut counter: EntityState<i64>, fails: bool) -> everdure::Result<()> {
    *counter = 1000;
    ctx.signal_entity(&COUNTER.id("other")?, &ADD, *counter)?.at(ctx.sent_at());
    ctx.start_orchestration(&ORDER, ())?.id(InstanceId::new("o-1")?).version("2").scheduled_at(ctx.sent_at());
    if fails { Err(Failure::new("Failed", "as it was told to")) } else { Ok(()) }
}

type Kept = Arc<Mutex<Option<(EntityContext, EntityState<i64>)>>>;

fn functions(kept: &Kept) -> Functions {
    let kept = Arc::clone(kept);
    Functions::new().entity(COUNTER, |counter| {
        counter
            .operation(ADD, add)
            .operation(SPREAD, spread)
            .operation(KEEP, move |ctx: EntityContext, state: EntityState<i64>, (): ()| {
                *kept.lock().unwrap() = Some((ctx, state));
                async { Ok::<_, Failure>(()) }
            })
            .operation(MISUSE, async |ctx: EntityContext, _: EntityState<i64>, (): ()| {
                ctx.start_orchestration(&ORDER, ())?.id(InstanceId::new("@counter@x")?);
                Ok::<_, Failure>(())
            })
    })
}

fn operation(name: &str, input: &str) -> EntityOperation {
    EntityOperation {
        request_id: "r".to_owned(),
        operation: name.to_owned(),
        input: (!input.is_empty()).then(|| input.to_owned()),
        caller: None,
        sent_at: Timestamp::UNIX_EPOCH,
        trace: None,
    }
}

fn run_keeping(kept: &Kept, state: Option<&str>, operations: &[(&str, &str)]) -> EntityBatchResult {
    let registry = functions(kept).into_registry().unwrap();
    let batch = EntityBatch {
        key: InstanceKey(1),
        instance_id: COUNTER.id("x").unwrap().into(),
        execution_id: "0123456789abcdef0123456789abcdef".parse::<ExecutionId>().unwrap(),
        state: state.map(str::to_owned),
        operations: operations.iter().map(|(name, input)| operation(name, input)).collect(),
    };
    let executor = registry.entity("@counter").unwrap();
    executor.run_batch(batch).now_or_never().unwrap().unwrap().result
}

fn run(state: Option<&str>, operations: &[(&str, &str)]) -> EntityBatchResult {
    run_keeping(&Kept::default(), state, operations)
}

/// Results, failures by their type.
fn told(result: &EntityBatchResult) -> Vec<&str> {
    let results = result.results.iter();
    results
        .map(|result| match result {
            Ok(output) => output.as_deref().unwrap_or("nothing"),
            Err(failure) => failure.error_type.as_str(),
        })
        .collect()
}

#[test]
fn operations_see_what_those_before_them_left() {
    let result = run(None, &[("add", "1"), ("ADD", "2"), ("add", "\"three\""), ("add", "4")]);
    assert_eq!(told(&result), ["1", "3", "Serialization", "7"], "names in any case");
    assert_eq!(result.state.as_deref(), Some("7"));
}

#[test]
fn a_failure_takes_back_state_signals_and_starts() {
    let result = run(Some("5"), &[("spread", "true"), ("add", "1")]);
    assert_eq!(told(&result), ["Failed", "6"]);
    assert_eq!((result.state.as_deref(), result.actions.len()), (Some("6"), 0));
    let result = run(Some("5"), &[("spread", "false"), ("add", "1"), ("spread", "true")]);
    assert_eq!(result.state.as_deref(), Some("1001"));
    assert!(
        matches!(&result.actions[..], [
            EntityAction::Signal { target, operation, input: Some(input), not_before: Some(_), .. },
            EntityAction::Start { instance_id, name, version: Some(version), scheduled_start: Some(_), .. },
        ] if target.as_str() == "@counter@other" && operation == "Add" && input == "1000"
            && instance_id.as_str() == "o-1" && name == "order" && version == "2"),
        "{:?}",
        result.actions
    );
}

#[test]
fn a_state_that_cannot_be_read_fails_operations_and_can_be_deleted() {
    let result = run(Some("\"text\""), &[("add", "1"), ("nonsense", ""), ("spread", "false")]);
    assert_eq!(told(&result), ["Serialization", "OperationNotFound", "Serialization"]);
    assert_eq!(result.state.as_deref(), Some("\"text\""), "it is left as it is");
    let result = run(Some("\"text\""), &[("add", "1"), ("delete", ""), ("add", "1")]);
    assert_eq!(told(&result), ["Serialization", "nothing", "1"]);
    assert_eq!(run(Some("1"), &[("delete", "")]).state, None);
}

#[test]
fn nothing_of_an_operation_outlives_it() {
    let kept = Kept::default();
    let result = run_keeping(&kept, Some("1"), &[("keep", ""), ("add", "1")]);
    assert_eq!(told(&result), ["StateKept", "2"]);
    let (context, _state) = kept.lock().unwrap().take().unwrap();
    let late = context.start_orchestration(&ORDER, ()).err().unwrap();
    assert!(late.to_string().contains("the operation has ended"), "{late}");
    assert_eq!(told(&run(None, &[("misuse", "")])), ["InvalidId"], "an orchestration under the id of an entity");
}

#[test]
fn names_are_taken_once() {
    let twice = Functions::new().entity(COUNTER, |counter| counter.operation(ADD, add).operation(ADD, add));
    let told = twice.into_registry().err().unwrap().to_string();
    assert!(told.starts_with("operation 'Add of counter' is registered twice"), "{told}");
    let other = Entity::<i64>::new("Counter");
    let twice = Functions::new().entity(COUNTER, |counter| counter).entity(other, |counter| counter);
    assert!(twice.into_registry().err().unwrap().to_string().starts_with("entity 'Counter' is registered twice"));
}

#[test]
fn ids_are_json_texts_of_the_form_name_and_key() {
    let id = COUNTER.id(7).unwrap();
    assert_eq!((id.to_string().as_str(), id.key()), ("@counter@7", "7"));
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, r#""@counter@7""#);
    assert_eq!(serde_json::from_str::<everdure::EntityId<i64>>(&json).unwrap(), id);
    assert!(serde_json::from_str::<everdure::EntityId<i64>>(r#""seven""#).is_err());
}
