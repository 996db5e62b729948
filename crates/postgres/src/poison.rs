//! What was set aside, and letting it go on.

use everdure_core::{ActivityId, BackendResult, InstanceId, Poisoned, PoisonedActivity};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::rows::{self, get};

impl PostgresBackend {
    pub(crate) async fn read_poisoned(&self, limit: u32) -> BackendResult<Vec<Poisoned>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = self.query("reading what was set aside", "_get_poisoned", 2, &[&self.hub, &limit]).await?;
        rows.iter().map(poisoned).collect()
    }

    pub(crate) async fn let_poisoned_go(&self, id: InstanceId, fail: bool) -> BackendResult<Option<u64>> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.hub, &id.as_str(), &fail];
        let row = self.query_one("letting what was set aside go on", "_release_poisoned", 3, &parameters).await?;
        self.hints.orchestrations();
        self.hints.activities();
        Ok(row.get::<_, Option<i64>>(0).map(crate::queries::unsigned))
    }

    /// Sets aside an instance whose row cannot be read, so that it does not come again with each claim.
    pub(crate) async fn set_aside(&self, node: i64, row: &Row, reason: &str) -> BackendResult<()> {
        let (key, claim): (i64, i32) = (get(row, "key")?, get(row, "claim")?);
        let parameters: [&(dyn ToSql + Sync); 4] = [&node, &key, &claim, &reason];
        self.query("setting an unreadable instance aside", "_set_aside", 4, &parameters).await?;
        Ok(())
    }
}

fn poisoned(row: &Row) -> BackendResult<Poisoned> {
    let activity = match get::<Option<i64>>(row, "activity_id")? {
        None => None,
        Some(id) => {
            let dispatch = get::<&str>(row, "dispatch")?.parse().ok();
            Some(PoisonedActivity { id: ActivityId(id), name: get(row, "activity")?, dispatch })
        }
    };
    Ok(Poisoned {
        instance_id: rows::instance_id(get(row, "instance_id")?)?,
        name: get(row, "name")?,
        activity,
        attempts: u32::try_from(get::<i32>(row, "attempts")?).unwrap_or(0),
        reason: get(row, "reason")?,
        since: get(row, "set_aside_at")?,
    })
}
