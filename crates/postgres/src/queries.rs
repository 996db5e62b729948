//! Looking at instances, and removing them.

use everdure_core::{
    BackendError, BackendResult, EventData, Execution, HistoryPart, HistoryTurn, InstanceId, InstanceIdPage,
    InstanceKey, InstanceQuery, InstanceRecord, ListInstanceIds, Page, PageToken, PurgeFilter, PurgeOutcome,
};

use deadpool_postgres::{Object, Transaction};
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

    pub(crate) async fn read_ids(&self, request: ListInstanceIds) -> BackendResult<InstanceIdPage> {
        if !(1..=LARGEST_PAGE).contains(&request.page_size) {
            let size = request.page_size;
            return Err(BackendError::invalid(format!("a page of {size} ids: ask for 1 to {LARGEST_PAGE}")));
        }
        let statuses: Vec<i16> = request.statuses.iter().map(|status| status.code()).collect();
        let (after_time, after_key) = request.after.map(|(time, key)| (time, key.0)).unzip();
        let limit = i32::try_from(request.page_size + 1).unwrap_or(i32::MAX);
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&self.hub, &statuses, &request.completed_from, &request.completed_to, &after_time, &after_key, &limit];
        let rows = self.query("listing ids", "_list_instance_ids", 7, &parameters).await?;
        let size = usize::try_from(request.page_size).unwrap_or(usize::MAX);
        let shown = &rows[..rows.len().min(size)];
        let place =
            |row: &tokio_postgres::Row| Ok((rows::get(row, "completed_at")?, InstanceKey(rows::get(row, "key")?)));
        let next = shown.last().filter(|_| rows.len() > size).map(place).transpose()?;
        let ids = shown.iter().map(|row| rows::instance_id(rows::get(row, "instance_id")?));
        Ok(InstanceIdPage { ids: ids.collect::<BackendResult<_>>()?, next })
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
        let mut client = self.client().await?;
        let transaction = snapshot(&mut client).await?;
        let call = self.call("_get_instances", 3);
        let found = transaction.query_opt(&call, &[&self.hub, &vec![id.as_str()], &true]).await.map_err(failed)?;
        let Some(record) = found.as_ref().map(rows::record).transpose()? else { return Ok(None) };
        let wanted = execution.filter(|wanted| *wanted != record.execution);
        let record = match wanted {
            None => record,
            Some(wanted) => match self.former(&transaction, id, |former| former.execution == wanted).await? {
                Some(former) => record.of_execution(former),
                None => return Ok(None),
            },
        };
        let call = self.call("_get_history", 2);
        let rows = transaction.query(&call, &[&record.key.0, &record.execution]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let mut turns = turns(&rows)?;
        rows::derive_end(&record, &mut turns);
        Ok(Some((record, turns)))
    }

    pub(crate) async fn read_history_part(
        &self,
        part: HistoryPart,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let deadline = Instant::now() + self.deadline;
        let mut pause = Pause::default();
        loop {
            match self.try_read_history_part(&part).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => pause.wait().await,
                read => return read,
            }
        }
    }

    async fn try_read_history_part(
        &self,
        part: &HistoryPart,
    ) -> BackendResult<Option<(InstanceRecord, Vec<HistoryTurn>)>> {
        let mut client = self.client().await?;
        let transaction = snapshot(&mut client).await?;
        let call = self.call("_get_instances", 3);
        let ids = vec![part.instance_id.as_str()];
        // Large as they may be, the payloads are read for the first part, and for the end.
        let payloads = part.after == 0;
        let found = transaction.query_opt(&call, &[&self.hub, &ids, &payloads]).await.map_err(failed)?;
        let Some(record) = found.as_ref().map(rows::record).transpose()? else { return Ok(None) };
        let wanted = part.execution_id.filter(|wanted| *wanted != record.execution_id);
        let record = match wanted {
            None => record,
            Some(wanted) => {
                match self.former(&transaction, &part.instance_id, |former| former.execution_id == wanted).await? {
                    Some(former) => record.of_execution(former),
                    None => return Ok(None),
                }
            }
        };
        let input = record.input.as_ref().map_or(0, |input| input.len() as u64);
        let bytes = i64::try_from(part.bytes.saturating_sub(input)).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 4] = [&record.key.0, &record.execution, &part.after, &bytes];
        let rows = transaction.query(&self.call("_get_history_part", 4), &parameters).await.map_err(failed)?;
        let mut turns = turns(&rows)?;
        let ends = |turn: &HistoryTurn| {
            turn.events.iter().any(|event| matches!(event.data, EventData::ExecutionCompleted { .. }))
        };
        if payloads {
            rows::derive_end(&record, &mut turns);
        } else if turns.last().is_some_and(ends) {
            let whole = transaction.query_one(&call, &[&self.hub, &ids, &true]).await.map_err(failed)?;
            rows::derive_end(&rows::record(&whole)?, &mut turns);
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Some((record, turns)))
    }

    /// A former execution of an instance, if it is kept.
    async fn former(
        &self,
        transaction: &Transaction<'_>,
        id: &InstanceId,
        is_wanted: impl Fn(&Execution) -> bool,
    ) -> BackendResult<Option<Execution>> {
        let call = self.call("_get_executions", 2);
        let all = transaction.query(&call, &[&self.hub, &id.as_str()]).await.map_err(failed)?;
        let all = all.iter().map(rows::execution).collect::<BackendResult<Vec<_>>>()?;
        Ok(all.into_iter().find(is_wanted))
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
            PurgeFilter::Finished { statuses, created_from, created_to, completed_to, limit, recurse } => {
                if let Some(live) = statuses.iter().find(|status| !status.is_terminal()) {
                    return Err(BackendError::invalid(format!(
                        "purging instances that are {live}: only Completed, Failed and Terminated ones are purged by \
                         filter"
                    )));
                }
                let statuses: Vec<i16> = statuses.iter().map(|status| status.code()).collect();
                let limit = i32::try_from(limit.min(100_000)).unwrap_or(100_000);
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&self.hub, &statuses, &created_from, &created_to, &completed_to, &limit, &recurse];
                let row = self.query_one(doing, "_purge_finished", 7, &parameters).await?;
                Ok(PurgeOutcome {
                    purged: unsigned(rows::get(&row, "purged")?),
                    complete: rows::get(&row, "complete")?,
                })
            }
        }
    }
}

fn failed(error: tokio_postgres::Error) -> BackendError {
    fault("reading a history", error)
}

/// Record and turns of one moment: they are written together, so a snapshot sees them together.
async fn snapshot(client: &mut Object) -> BackendResult<Transaction<'_>> {
    let transaction = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    transaction.read_only(true).start().await.map_err(failed)
}

fn turns(rows: &[tokio_postgres::Row]) -> BackendResult<Vec<HistoryTurn>> {
    let turn = |row| rows::history_turn(rows::get(row, "turn")?, rows::get(row, "at")?, rows::get(row, "events")?);
    rows.iter().map(turn).collect()
}

pub(crate) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
