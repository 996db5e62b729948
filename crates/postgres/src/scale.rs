//! What autoscalers and the people behind them ask: what waits, what runs, for how many workers there is work.
//!
//! Methods of this backend and not of [`everdure_core::Backend`]: no runtime needs them.

use std::num::NonZeroU32;
use std::time::Duration;

use everdure_core::{BackendError, BackendResult};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::queries::unsigned;
use crate::rows::get;

/// Work of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What is due and held by nobody.
    pub waiting: u64,
    /// What nodes hold.
    pub running: u64,
    /// How long the oldest of what waits has waited.
    pub oldest: Duration,
}

/// The work of a task hub, counted up to a cap of 100,000 for each number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScaleMetric {
    /// Orchestrations with a turn to take.
    pub orchestrations: Load,
    /// Activities that have rows.
    pub activities: Load,
    /// Live nodes.
    pub nodes: u64,
}

impl PostgresBackend {
    /// What waits and what runs in the task hub.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn scale_metric(&self) -> BackendResult<ScaleMetric> {
        self.scale_metric_of(&self.hub_name).await
    }

    /// The same for another task hub of the database.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn scale_metric_of(&self, hub: &str) -> BackendResult<ScaleMetric> {
        let sql = format!(
            "select kind, waiting, running, extract(epoch from oldest)::float8 as oldest, nodes \
             from {}.get_scale_metric($1)",
            self.schema
        );
        let rows = self.query_sql("counting what waits", &sql, &[&hub]).await?;
        let mut metric = ScaleMetric::default();
        for row in &rows {
            match get(row, "kind")? {
                "orchestrations" => metric.orchestrations = load(row)?,
                "activities" => metric.activities = load(row)?,
                other => return Err(BackendError::corrupt(format!("work of the kind '{other}'"), "it is unknown")),
            }
            metric.nodes = unsigned(get(row, "nodes")?);
        }
        Ok(metric)
    }

    /// The connections of the pool: how many there are, how many are free, and how many callers wait for one.
    #[must_use]
    pub fn pool_status(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        (status.size, status.available, status.waiting)
    }

    /// For how many workers there is work, when each takes so many orchestrations and so many activities at once.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn scale_recommendation(&self, orchestrations: NonZeroU32, activities: NonZeroU32) -> BackendResult<u32> {
        let bound = |number: NonZeroU32| i32::try_from(number.get()).unwrap_or(i32::MAX);
        let (orchestrations, activities) = (bound(orchestrations), bound(activities));
        let parameters: [&(dyn ToSql + Sync); 3] = [&orchestrations, &activities, &self.hub_name];
        let row = self.query_one("counting workers", "get_scale_recommendation", 3, &parameters).await?;
        let workers: i32 = get(&row, "get_scale_recommendation")?;
        Ok(u32::try_from(workers).unwrap_or(0))
    }
}

fn load(row: &Row) -> BackendResult<Load> {
    Ok(Load {
        waiting: unsigned(get(row, "waiting")?),
        running: unsigned(get(row, "running")?),
        oldest: Duration::try_from_secs_f64(get(row, "oldest")?).unwrap_or_default(),
    })
}
