//! Settings of the hub, and what they have done without anybody asking.

use std::collections::BTreeMap;

use everdure_core::{BackendResult, PurgeOutcome, Setting, SettingName};
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::queries::unsigned;
use crate::rows;

impl PostgresBackend {
    pub(crate) async fn expire(&self, limit: u32) -> BackendResult<PurgeOutcome> {
        let limit = i32::try_from(limit.min(100_000)).unwrap_or(100_000);
        let parameters: [&(dyn ToSql + Sync); 2] = [&self.hub, &limit];
        let row = self.query_one("purging what has expired", "_purge_expired", 2, &parameters).await?;
        Ok(PurgeOutcome { purged: unsigned(rows::get(&row, "purged")?), complete: rows::get(&row, "complete")? })
    }

    pub(crate) async fn write_setting(&self, name: &str, value: Option<&str>) -> BackendResult<()> {
        match value {
            Some(value) => _ = Setting::read(name, value)?,
            None => _ = SettingName::read(name)?,
        }
        let parameters: [&(dyn ToSql + Sync); 3] = [&name, &value, &self.hub_name];
        self.query("deciding a setting", "set_hub_setting", 3, &parameters).await?;
        Ok(())
    }

    pub(crate) async fn read_settings(&self) -> BackendResult<BTreeMap<String, String>> {
        let rows = self.query("reading settings", "get_hub_settings", 1, &[&self.hub_name]).await?;
        rows.iter().map(|row| Ok((rows::get(row, "name")?, rows::get(row, "value")?))).collect()
    }
}
