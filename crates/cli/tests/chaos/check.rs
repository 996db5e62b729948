//! What must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use everdure::{Client, OrchestrationStatus, PostgresBackend};
use everdure_core::{Backend, EventData};
use tokio_postgres::NoTls;

use super::clients::Told;
use super::worker::FAN;

/// Once the faults have stopped, everything ends well within this time.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn everything_ends(backend: &Arc<PostgresBackend>, told: &[Told]) {
    let client = Client::new(Arc::clone(backend) as Arc<dyn Backend>);
    for told in told {
        let record = client.wait_for_end(&told.id, PATIENCE).await;
        let record = record.unwrap_or_else(|error| panic!("'{}' is stuck: {error}", told.id));
        let failure = record.failure.map(|failure| failure.to_string()).unwrap_or_default();
        assert_eq!(record.status, OrchestrationStatus::Completed, "'{}': {failure}", told.id);
    }
}

pub async fn outputs(backend: &PostgresBackend, told: &[Told]) {
    for told in told {
        let mut found = backend.get_instances(vec![told.id.clone()], true).await.expect("readable");
        let output = found.pop().and_then(|record| record.output);
        assert_eq!(output.as_deref(), Some(told.expected().to_string().as_str()), "the output of {told:?}");
    }
}

/// Turns without gaps, and no step answered twice.
pub async fn histories(backend: &PostgresBackend, told: &[Told]) {
    for told in told {
        let (record, turns) = backend.get_history(told.id.clone(), None).await.expect("readable").expect("it was told");
        let first = record.turn - turns.len() as i64 + 1;
        let numbers: Vec<_> = turns.iter().map(|turn| turn.turn).collect();
        assert_eq!(numbers, (first..=record.turn).collect::<Vec<_>>(), "the turns of '{}'", told.id);
        let events = || turns.iter().flat_map(|turn| &turn.events).map(|event| &event.data);
        let answered: Vec<_> = events().filter_map(EventData::answers).collect();
        let distinct: BTreeSet<_> = answered.iter().collect();
        assert_eq!(answered.len(), distinct.len(), "a step of '{}' was answered twice", told.id);
        let raised = events().filter(|data| matches!(data, EventData::EventRaised { .. })).count();
        assert_eq!(raised, if told.rounds { 0 } else { 2 }, "events in the last execution of '{}'", told.id);
    }
}

pub struct Database(tokio_postgres::Client);

impl Database {
    pub async fn open(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the private server");
        tokio::spawn(connection);
        Self(client)
    }

    pub async fn make_effects_table(&self) {
        let table = "create table chaos_effects (number bigint, step bigint, key text, instance text)";
        self.0.batch_execute(table).await.expect("a table of our own");
    }

    /// Each step of each instance has had its effect; and however often it ran, under one idempotency key, unless it
    /// failed on the way and was asked for again.
    pub async fn check_effects(&self, told: &[Told]) {
        let rows = self.0.query("select number, step, key, count(*) from chaos_effects group by 1, 2, 3", &[]);
        let mut effects: BTreeMap<(i64, i64), Vec<(String, i64)>> = BTreeMap::new();
        for row in rows.await.expect("readable") {
            effects.entry((row.get(0), row.get(1))).or_default().push((row.get(2), row.get(3)));
        }
        let steps = [0, 1, 2, 5].into_iter().chain(10..10 + FAN as i64);
        for told in told.iter().filter(|told| !told.rounds) {
            for step in steps.clone() {
                assert!(effects.contains_key(&(told.number as i64, step)), "step {step} of '{}' never ran", told.id);
            }
        }
        let runs: i64 = effects.values().flatten().map(|(_, count)| count).sum();
        println!("effects: {} steps, {runs} runs", effects.len());
    }

    pub async fn check_nothing_is_left(&self) {
        for (what, query) in [
            ("messages", "select count(*) from everdure.messages"),
            ("activities", "select count(*) from everdure.activities"),
            ("live instances", "select count(*) from everdure.instances where completed_at is null"),
            ("held instances", "select count(*) from everdure.instances where locked_by is not null"),
            ("due instances", "select count(*) from everdure.instances where due_at is not null"),
        ] {
            let count: i64 = self.0.query_one(query, &[]).await.expect("readable").get(0);
            assert_eq!(count, 0, "{what} are left");
        }
    }
}
