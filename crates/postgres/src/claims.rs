//! Handing out what is due.

use std::time::Duration;

use everdure_core::{
    AbandonActivity, ActivityId, ActivityTask, BackendError, BackendResult, DispatchId, FailedAttempt, InstanceKey,
    LockActivities, LockOrchestrations, LockedActivities, LockedActivity, LockedOrchestrations, NameFilter, NodeId,
};
use tokio_postgres::Row;

use crate::backend::PostgresBackend;
use crate::committer::steps;
use crate::rows::{self, corrupt, get};

fn filters(names: &[NameFilter]) -> (Vec<&str>, Vec<Option<&str>>) {
    names.iter().map(|filter| (filter.name.as_str(), filter.version.as_deref())).unzip()
}

fn limit(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The last row of a claim has no key and says when to look again.
fn next_due(rows: &[Row]) -> BackendResult<Option<Duration>> {
    let Some(last) = rows.last() else { return Ok(None) };
    let micros: Option<i64> = get(last, "next_due")?;
    Ok(micros.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
}

impl PostgresBackend {
    pub(crate) async fn claim_orchestrations(
        &self,
        request: LockOrchestrations,
    ) -> BackendResult<LockedOrchestrations> {
        let (names, versions) = filters(&request.names);
        let rows = self
            .query(
                "claiming orchestrations",
                "_lock_orchestrations",
                7,
                &[
                    &self.hub,
                    &request.node.0,
                    &self.committer.claim_lane(),
                    &names,
                    &versions,
                    &limit(request.limit),
                    &limit(request.messages),
                ],
            )
            .await?;
        let next_due = next_due(&rows)?;
        let claimed = &rows[..rows.len().saturating_sub(1)];
        let mut items = Vec::with_capacity(claimed.len());
        for row in claimed {
            match rows::locked_orchestration(row) {
                Ok(item) => items.push(item),
                Err(error) => {
                    let instance = row.try_get::<_, &str>("instance_id").unwrap_or("unknown");
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        hub = self.hub_name,
                        instance,
                        "unreadable, and set aside"
                    );
                    let reason = chain(&error);
                    self.set_aside(request.node.0, row, &reason).await?;
                }
            }
        }
        Ok(LockedOrchestrations { items, next_due })
    }

    pub(crate) async fn claim_activities(&self, request: LockActivities) -> BackendResult<LockedActivities> {
        let (names, versions) = filters(&request.names);
        let lane = self.committer.claim_lane();
        let rows = self
            .query(
                "claiming activities",
                "_lock_activities",
                6,
                &[&self.hub, &request.node.0, &lane, &names, &versions, &limit(request.limit)],
            )
            .await?;
        let next_due = next_due(&rows)?;
        let claimed = &rows[..rows.len().saturating_sub(1)];
        let mut items = Vec::with_capacity(claimed.len());
        for row in claimed {
            match locked_activity(row) {
                Ok(item) => items.push(item),
                Err(error) => self.set_activity_aside(request.node, row, &error).await?,
            }
        }
        Ok(LockedActivities { items, next_due })
    }

    /// An activity whose row cannot be read must not come again with each claim, nor take the others with it.
    async fn set_activity_aside(&self, node: NodeId, row: &Row, error: &BackendError) -> BackendResult<()> {
        let instance = row.try_get::<_, &str>("instance_id").unwrap_or("unknown");
        tracing::error!(
            error = error as &dyn std::error::Error,
            hub = self.hub_name,
            instance,
            "unreadable activity, and set aside"
        );
        let request = AbandonActivity {
            id: ActivityId(get(row, "id")?),
            attempt: get(row, "attempt")?,
            node,
            retry_after: Duration::ZERO,
            failure: Some(FailedAttempt { reason: chain(error), lasting: true }),
        };
        self.give_activity_back(request).await?;
        Ok(())
    }

    pub(crate) async fn find_lost_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
    ) -> BackendResult<Vec<ActivityId>> {
        let known: Vec<i64> = known.into_iter().map(|id| id.0).collect();
        let rows = self.query("looking for lost activities", "_get_lost_activities", 2, &[&node.0, &known]).await?;
        Ok(rows.iter().map(|row| ActivityId(row.get(0))).collect())
    }

    pub(crate) async fn give_activity_back(&self, request: AbandonActivity) -> BackendResult<bool> {
        let sql = format!("select {}._abandon_activity($1, $2, $3, make_interval(secs => $4), $5, $6)", self.schema);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &request.id.0,
            &request.attempt,
            &request.node.0,
            &request.retry_after.as_secs_f64(),
            &request.failure.as_ref().map(|failure| steps::storable(&failure.reason)),
            &request.failure.as_ref().is_some_and(|failure| failure.lasting),
        ];
        let rows = self.query_sql("giving an activity back", &sql, &parameters).await?;
        self.hints.activities();
        Ok(rows[0].get(0))
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn locked_activity(row: &Row) -> BackendResult<LockedActivity> {
    let dispatch: DispatchId = get::<&str>(row, "dispatch")?.parse().map_err(|error| corrupt("dispatch", error))?;
    let execution_id = rows::execution_id(row)?;
    Ok(LockedActivity {
        id: ActivityId(get(row, "id")?),
        attempt: get(row, "attempt")?,
        task: ActivityTask {
            key: InstanceKey(get(row, "key")?),
            instance_id: rows::instance_id(get(row, "instance_id")?)?,
            execution: get(row, "execution")?,
            dispatch,
            task_id: get(row, "task_id")?,
            name: get(row, "name")?,
            version: get(row, "version")?,
            input: get(row, "input")?,
            tags: rows::tags(row)?,
            orchestration_version: get(row, "orchestration_version")?,
            trace: rows::trace(row)?,
            execution_id,
            idempotency_key: execution_id.idempotency_key(dispatch),
        },
    })
}
