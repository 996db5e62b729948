//! Following orders to their end: the progress bar, what they say on the way, and the customer's confirmation.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use everdure::{HistoryTurn, InstanceId, InstanceRecord};
use everdure_core::{EventData, HistoryEvent};
use indicatif::{ProgressBar, ProgressStyle};

use super::functions::{CONFIRMED, Confirmation, WAITING, expected_answers};
use super::orders::Order;
use super::stage::Stage;
use super::worker::WorkerProcess;
use crate::connection::Hub;
use crate::output::{DIM, shorten};

/// A run that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(40);

/// An instance with its history.
#[derive(Clone)]
pub struct Seen {
    pub record: InstanceRecord,
    pub turns: Vec<HistoryTurn>,
}

impl Seen {
    pub fn events(&self) -> impl Iterator<Item = &HistoryEvent> {
        self.turns.iter().flat_map(|turn| &turn.events)
    }

    pub fn answers(&self) -> usize {
        self.events().filter(|event| event.data.answers().is_some()).count()
    }

    fn children(&self) -> impl Iterator<Item = &InstanceId> {
        self.events().filter_map(|event| match &event.data {
            EventData::SubOrchestrationInstanceCreated { instance_id, .. } => Some(instance_id),
            _ => None,
        })
    }
}

/// One run of all orders, under way.
pub struct Run<'a> {
    pub stage: &'a Stage,
    pub hub: &'a Hub,
    /// The instances, each with its order.
    pub orders: Vec<(InstanceId, &'a Order)>,
    bar: ProgressBar,
    confirmed: BTreeSet<InstanceId>,
    said: BTreeMap<InstanceId, String>,
}

impl<'a> Run<'a> {
    pub fn new(stage: &'a Stage, hub: &'a Hub, orders: Vec<(InstanceId, &'a Order)>) -> Self {
        let bar = ProgressBar::new(orders.iter().map(|(_, order)| expected_answers(order)).sum());
        // Unwrap safety: the template is a constant, and every run of the demo reads it.
        let style = ProgressStyle::with_template("     {bar:40} {pos}/{len} steps recorded, {elapsed}")
            .expect("the template is well formed");
        bar.set_style(style);
        Self { stage, hub, orders, bar, confirmed: BTreeSet::new(), said: BTreeMap::new() }
    }

    /// A line above the bar.
    pub fn say(&self, text: impl std::fmt::Display) -> std::io::Result<()> {
        self.bar.suspend(|| self.stage.line(text))
    }

    /// Looks again and again until `enough`; meanwhile the customers confirm.
    pub async fn follow(
        &mut self,
        mut worker: Option<&mut WorkerProcess>,
        mut enough: impl FnMut(&[Seen]) -> Result<bool, Box<dyn Error>>,
    ) -> Result<Vec<Seen>, Box<dyn Error>> {
        let began = tokio::time::Instant::now();
        loop {
            let seen = self.look().await?;
            self.bar.set_position(seen.iter().map(|seen| seen.answers() as u64).sum());
            for seen in &seen {
                self.report(&seen.record)?;
                self.confirm(&seen.record).await?;
            }
            if enough(&seen)? {
                return Ok(seen);
            }
            if let Some(worker) = worker.as_deref_mut()
                && let Some(status) = worker.ended()?
            {
                return Err(format!("the worker process {} ended by itself: {status}", worker.pid()).into());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the orders are not done after {PATIENCE:?}").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows to the end.
    pub async fn finish(&mut self, worker: Option<&mut WorkerProcess>) -> Result<Vec<Seen>, Box<dyn Error>> {
        let seen = self.follow(worker, |seen| Ok(seen.iter().all(|seen| seen.record.status.is_terminal()))).await?;
        self.bar.finish_and_clear();
        Ok(seen)
    }

    /// All instances as they stand, in the order of the orders.
    pub async fn look(&self) -> Result<Vec<Seen>, Box<dyn Error>> {
        let mut all = Vec::new();
        for (id, _) in &self.orders {
            all.push(look(self.hub, id).await?);
        }
        Ok(all)
    }

    fn report(&mut self, record: &InstanceRecord) -> Result<(), Box<dyn Error>> {
        let Some(status) = &record.custom_status else { return Ok(()) };
        if self.said.get(&record.instance_id) != Some(status) {
            self.said.insert(record.instance_id.clone(), status.clone());
            let text: String = serde_json::from_str(status)?;
            self.say(format_args!("     {DIM}{}: {text}{DIM:#}", shorten(record.instance_id.as_str(), 40)))?;
        }
        Ok(())
    }

    async fn confirm(&mut self, record: &InstanceRecord) -> Result<(), Box<dyn Error>> {
        let waits = record.custom_status.as_ref().is_some_and(|status| status.trim_matches('"') == WAITING);
        let order = self.orders.iter().find(|(id, _)| *id == record.instance_id).map(|(_, order)| order);
        if let (true, Some(order)) = (waits && !self.confirmed.contains(&record.instance_id), order) {
            let confirmation = Confirmation { confirmed_by: order.customer.clone() };
            self.hub.client.raise_event(&record.instance_id, CONFIRMED, &confirmation).await?;
            self.confirmed.insert(record.instance_id.clone());
            self.say(format_args!("     the customer, {}, raises the event '{CONFIRMED}'", order.customer))?;
        }
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

async fn look(hub: &Hub, id: &InstanceId) -> Result<Seen, Box<dyn Error>> {
    let found = hub.backend.get_history(id.clone(), None).await?;
    let (record, turns) = found.ok_or_else(|| everdure::ClientError::NotFound(id.clone()))?;
    Ok(Seen { record, turns })
}

/// The sub-orchestrations of these instances.
pub async fn children(hub: &Hub, parents: &[Seen]) -> Result<Vec<Seen>, Box<dyn Error>> {
    let mut all = Vec::new();
    for id in parents.iter().flat_map(Seen::children) {
        all.push(look(hub, id).await?);
    }
    Ok(all)
}
