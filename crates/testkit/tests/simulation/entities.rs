//! The entities of a run: each keeps a log of what was done to it, which tells whether every operation counted once, in
//! its sender's order, and whether nobody came between the operations of a critical section.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use everdure_core::{
    Backend, EntityBatch, EntityBatchResult, EntityOperation, EntityQuery, EntityRecord, FailureDetails, InstanceId,
    MessageBody,
};
use everdure_engine::{EntityExecutor, EntityReturn, TurnFault};

use crate::plan::{Plans, Step, fails, label};
use crate::world::World;

/// The name of every entity.
pub const LOG: &str = "@log";
/// The name of every operation; what it notes is its input.
pub const NOTE: &str = "note";
/// How many entities a run has.
pub const ENTITIES: usize = 3;

pub fn entity_id(number: usize) -> InstanceId {
    InstanceId::entity(&LOG[1..], &number.to_string()).expect("a valid id")
}

/// What an entity notes: the critical section, if it is in one, and what for.
pub fn entry(section: &str, label: &str) -> String {
    format!("{section}|{label}")
}

/// The input of a client's signal.
pub fn client_entry(plan: usize, number: usize) -> String {
    entry("", &format!("c{plan}.0.{number}"))
}

/// A client's signal.
pub fn client_signal(plan: usize, number: usize) -> (InstanceId, MessageBody) {
    let input = Some(client_entry(plan, number));
    let request_id = format!("client {plan}.{number}");
    let body =
        MessageBody::EntityOperation { request_id, operation: NOTE.to_owned(), input, caller: None, trace: None };
    (entity_id((plan + number) % ENTITIES), body)
}

/// Runs operations; some batches only in part, and some not at all.
pub struct Log(pub Arc<World>);

#[async_trait]
impl EntityExecutor for Log {
    async fn run_batch(&self, batch: EntityBatch) -> Result<EntityReturn, TurnFault> {
        let world = &self.0;
        if world.chance(world.weather.faults) {
            return Err(TurnFault::Failed("the worker is not well".to_owned()));
        }
        let part = world.chance(200).then(|| world.rng().usize(1..=batch.operations.len()));
        let mut state = batch.state;
        let operations = batch.operations.into_iter().take(part.unwrap_or(usize::MAX));
        let results = operations.map(|operation| self.note(&mut state, operation)).collect();
        let ack = world.rng().bool().then(|| tokio::sync::oneshot::channel().0);
        Ok(EntityReturn { result: EntityBatchResult { results, actions: Vec::new(), state }, ack })
    }
}

impl Log {
    fn note(&self, state: &mut Option<String>, operation: EntityOperation) -> Result<Option<String>, FailureDetails> {
        if operation.sent_at > self.0.now() {
            self.0.ledger().report(format!("operation {} runs before its time", operation.request_id));
        }
        let entry = operation.input.unwrap_or_default();
        let (_, label) = entry.split_once('|').unwrap_or_default();
        if fails(label) {
            return Err(FailureDetails::new("Planned", label));
        }
        let told = label.to_owned();
        *state = Some(state.take().map_or(entry.clone(), |log| format!("{log},{entry}")));
        Ok(Some(told))
    }
}

/// What plans note in the entities, without what fails: certain, or, for those that are ended from outside, possible.
fn expected(plans: &Plans) -> BTreeMap<usize, BTreeSet<String>> {
    let mut all: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut add = |entity: usize, section: &str, label: String| {
        if !fails(&label) {
            all.entry(entity).or_default().insert(entry(section, &label));
        }
    };
    for (plan, steps) in plans.plans.iter().enumerate() {
        for (place, step) in steps.steps.iter().enumerate() {
            match step {
                Step::Signals(entities, _) | Step::Calls(entities) => {
                    let numbered = entities.iter().enumerate();
                    numbered.for_each(|(index, entity)| add(*entity, "", label(plan, place, index)));
                }
                Step::Critical(entities, _) => {
                    let section = section(plan, place);
                    let twice = entities.iter().chain(entities).enumerate();
                    twice.for_each(|(index, entity)| add(*entity, &section, label(plan, place, index)));
                }
                _ => {}
            }
        }
        for number in 0..steps.signals {
            let label = format!("c{plan}.0.{number}");
            add((plan + number) % ENTITIES, "", label);
        }
    }
    all
}

/// The name of a critical section in the entries of its operations.
pub fn section(plan: usize, place: usize) -> String {
    format!("s{plan}.{place}")
}

/// Entities that have something to do or are locked.
pub async fn busy(world: &World) -> Vec<EntityRecord> {
    let query = EntityQuery { include_transient: true, page_size: 100, ..EntityQuery::default() };
    let mut found = world.store.query_entities(query).await.expect("the store answers").entities;
    found.retain(|entity| entity.backlog > 0 || entity.locked_by.is_some());
    found
}

/// The first promise that a log shows broken.
pub async fn judge(world: &World, plans: &Plans, is_doomed: impl Fn(usize) -> bool) -> Option<String> {
    let expected = expected(plans);
    for number in 0..ENTITIES {
        let found = world.store.get_entity(entity_id(number), true).await.expect("the store answers");
        let state = found.and_then(|entity| entity.state).unwrap_or_default();
        let log: Vec<_> = state.split(',').filter(|entry| !entry.is_empty()).collect();
        let nothing = BTreeSet::new();
        let problem = check(&log, expected.get(&number).unwrap_or(&nothing), plans, &is_doomed);
        if let Some(problem) = problem {
            return Some(format!("entity {number}: {problem}: {log:?}"));
        }
    }
    None
}

fn check(
    log: &[&str],
    expected: &BTreeSet<String>,
    plans: &Plans,
    is_doomed: impl Fn(usize) -> bool,
) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut left = BTreeSet::new();
    let mut inside = "";
    for entry in log {
        if !seen.insert((*entry).to_owned()) {
            return Some(format!("{entry} counted twice"));
        }
        if !expected.contains(*entry) {
            return Some(format!("{entry} was never sent here"));
        }
        let (section, label) = entry.split_once('|').unwrap_or_default();
        // What the owner sent before gets through.
        let owner = inside.strip_prefix('s').and_then(|inside| inside.split('.').next());
        let is_owners = section.is_empty() && owner.is_some() && owner == parts(label).0.strip_prefix('a');
        if section != inside && !is_owners {
            left.insert(inside);
            inside = section;
        }
        if !section.is_empty() && left.contains(section) {
            return Some(format!("somebody came between those of {section}"));
        }
        let (sender, place, index) = parts(label);
        if is_delayed(plans, sender, place) {
            continue;
        }
        if last.insert(sender, (place, index)).is_some_and(|last| last > (place, index)) {
            return Some(format!("{label} was overtaken by one of the same sender"));
        }
    }
    let missing = expected.difference(&seen).find(|entry| {
        let (sender, ..) = parts(entry.split_once('|').unwrap_or_default().1);
        // Clients go on, whatever becomes of their orchestration.
        sender.starts_with('c') || !sender[1..].parse().is_ok_and(&is_doomed)
    });
    missing.map(|entry| format!("{entry} got lost"))
}

/// Whether a step sends what comes when it is due, and in no order.
fn is_delayed(plans: &Plans, sender: &str, place: usize) -> bool {
    let plan =
        sender.strip_prefix('a').and_then(|plan| plan.parse::<usize>().ok()).and_then(|plan| plans.plans.get(plan));
    plan.is_some_and(|plan| matches!(plan.steps.get(place), Some(Step::Signals(_, Some(_)))))
}

/// Sender, place and index of a label.
fn parts(label: &str) -> (&str, usize, usize) {
    let mut parts = label.split('.');
    let sender = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|number| number.parse().ok()).unwrap_or_default();
    (sender, number(), number())
}
