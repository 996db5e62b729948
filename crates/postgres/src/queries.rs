//! Looking at instances, and removing them.

use everdure_core::{
    BackendError, BackendResult, Execution, HistoryTurn, InstanceId, InstanceQuery, InstanceRecord, Page, PageToken,
    PurgeFilter, PurgeOutcome,
};

use tokio::time::Instant;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::fault::{Pause, fault};
use crate::filter;
use crate::rows;

/// Pages of more would only make the caller wait.
const LARGEST_PAGE: u32 = 1000;

impl PostgresBackend {
    pub(crate) async fn read_instances(
        &self,
        ids: Vec<InstanceId>,
        payloads: bool,
    ) -> BackendResult<Vec<InstanceRecord>> {
        let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
        let rows = self.query("reading instances", "_get_instances", 3, &[&self.hub, &ids, &payloads]).await?;
        rows.iter().map(rows::record).collect()
    }

    pub(crate) async fn read_page(&self, query: InstanceQuery) -> BackendResult<Page> {
        if !(1..=LARGEST_PAGE).contains(&query.page_size) {
            let size = query.page_size;
            return Err(BackendError::invalid(format!("a page of {size} instances: ask for 1 to {LARGEST_PAGE}")));
        }
        let before = query.after.map_or(i64::MAX, |token| token.0.0);
        // One more than asked for tells whether there is a next page.
        let limit = i32::try_from(query.page_size + 1).unwrap_or(i32::MAX);
        let filter = filter::text(&query)?;
        let parameters: [&(dyn ToSql + Sync); 5] = [&self.hub, &filter, &query.payloads, &before, &limit];
        let rows = self.query("reading a page of instances", "_query_instances", 5, &parameters).await?;
        let mut instances = rows.iter().map(rows::record).collect::<BackendResult<Vec<_>>>()?;
        let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let more = instances.len() > size;
        instances.truncate(size);
        let next = instances.last().filter(|_| more).map(|last| PageToken(last.key));
        Ok(Page { instances, next })
    }

    pub(crate) async fn count(&self, query: &InstanceQuery, cap: u64) -> BackendResult<u64> {
        let filter = filter::text(query)?;
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.hub, &filter, &cap];
        let row = self.query_one("counting instances", "_count_instances", 3, &parameters).await?;
        Ok(unsigned(row.get(0)))
    }

    pub(crate) async fn read_history(
        &self,
        id: InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let deadline = Instant::now() + self.deadline;
        let mut pause = Pause::default();
        loop {
            match self.try_read_history(&id, execution).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => pause.wait().await,
                read => return read,
            }
        }
    }

    async fn try_read_history(
        &self,
        id: &InstanceId,
        execution: Option<i32>,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let doing = "reading a history";
        // Record and turns of one moment: they are written together, so a snapshot sees them together.
        let mut client = self.client().await?;
        let failed = |error| fault(doing, error);
        let transaction = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(failed)?;
        let call = self.call("_get_instances", 3);
        let found = transaction.query_opt(&call, &[&self.hub, &vec![id.as_str()], &true]).await.map_err(failed)?;
        let Some(record) = found.as_ref().map(rows::record).transpose()? else { return Ok(None) };
        let mut former = None;
        if let Some(wanted) = execution.filter(|execution| *execution != record.execution) {
            let call = self.call("_get_executions", 2);
            let all = transaction.query(&call, &[&self.hub, &id.as_str()]).await.map_err(failed)?;
            let all = all.iter().map(rows::execution).collect::<BackendResult<Vec<_>>>()?;
            let Some(found) = all.into_iter().find(|found| found.execution == wanted) else { return Ok(None) };
            former = Some(found);
        }
        let number = former.as_ref().map_or(record.execution, |former| former.execution);
        let call = self.call("_get_history", 2);
        let rows = transaction.query(&call, &[&record.key.0, &number]).await.map_err(failed)?;
        let record = match former {
            Some(former) => record.of_execution(former),
            None => record,
        };
        transaction.commit().await.map_err(failed)?;
        let turns = rows
            .iter()
            .map(|row| rows::history_turn(rows::get(row, "turn")?, rows::get(row, "at")?, rows::get(row, "events")?));
        let mut turns = turns.collect::<BackendResult<Vec<_>>>()?;
        rows::derive_end(&record, &mut turns);
        Ok(Some((record, turns)))
    }

    pub(crate) async fn read_executions(&self, id: InstanceId) -> BackendResult<Vec<Execution>> {
        let rows = self.query("reading executions", "_get_executions", 2, &[&self.hub, &id.as_str()]).await?;
        rows.iter().map(rows::execution).collect()
    }

    pub(crate) async fn purge(&self, filter: PurgeFilter) -> BackendResult<PurgeOutcome> {
        let doing = "purging";
        match filter {
            PurgeFilter::Instances { ids, force, recurse } => {
                let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
                let parameters: [&(dyn ToSql + Sync); 4] = [&self.hub, &ids, &force, &recurse];
                let row = self.query_one(doing, "_purge_ids", 4, &parameters).await?;
                Ok(PurgeOutcome { purged: unsigned(row.get(0)), complete: true })
            }
            PurgeFilter::Finished { statuses, created_from, created_to, completed_to, limit } => {
                if let Some(live) = statuses.iter().find(|status| !status.is_terminal()) {
                    return Err(BackendError::invalid(format!(
                        "purging instances that are {live}: only Completed, Failed and Terminated ones are purged by \
                         filter"
                    )));
                }
                let statuses: Vec<i16> = statuses.iter().map(|status| status.code()).collect();
                let limit = i32::try_from(limit.min(100_000)).unwrap_or(100_000);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&self.hub, &statuses, &created_from, &created_to, &completed_to, &limit];
                let row = self.query_one(doing, "_purge_finished", 6, &parameters).await?;
                Ok(PurgeOutcome {
                    purged: unsigned(rows::get(&row, "purged")?),
                    complete: rows::get(&row, "complete")?,
                })
            }
        }
    }
}

pub(crate) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
