//! Entities, as clients see them.

use everdure_core::{
    BackendError, BackendResult, CleanEntities, CleanedEntities, EntityPage, EntityQuery, EntityRecord, InstanceId,
    InstanceKey,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::rows::{self, get};

/// Pages of more would only make the caller wait.
const LARGEST_PAGE: u32 = 1000;

fn record(row: &Row) -> BackendResult<EntityRecord> {
    Ok(EntityRecord {
        key: InstanceKey(get(row, "key")?),
        instance_id: rows::instance_id(get(row, "instance_id")?)?,
        exists: get(row, "has_state")?,
        state: get(row, "state")?,
        locked_by: get::<Option<String>>(row, "locked_by")?.map(rows::instance_id).transpose()?,
        backlog: u64::try_from(get::<i64>(row, "backlog")?).unwrap_or(0),
        updated_at: get(row, "updated_at")?,
    })
}

/// How many rows to look at.
fn limit(size: u32, what: &str) -> BackendResult<i32> {
    if !(1..=LARGEST_PAGE).contains(&size) {
        return Err(BackendError::invalid(format!("{what} of {size} entities: ask for 1 to {LARGEST_PAGE}")));
    }
    Ok(i32::try_from(size).unwrap_or(i32::MAX))
}

impl PostgresBackend {
    pub(crate) async fn read_entity(&self, id: InstanceId, include_state: bool) -> BackendResult<Option<EntityRecord>> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.hub, &id.as_str(), &include_state];
        let rows = self.query("reading an entity", "_get_entity", 3, &parameters).await?;
        rows.first().map(record).transpose()
    }

    pub(crate) async fn read_entities(&self, query: EntityQuery) -> BackendResult<EntityPage> {
        let limit = limit(query.page_size, "a page")?;
        let prefix = query.id_prefix.as_deref().unwrap_or("@");
        let after = query.after.as_ref().map(InstanceId::as_str);
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &self.hub,
            &prefix,
            &query.updated_from,
            &query.updated_to,
            &query.include_state,
            &query.include_transient,
            &after,
            &limit,
        ];
        let rows = self.query("reading a page of entities", "_query_entities", 8, &parameters).await?;
        let mut entities = rows.iter().map(record).collect::<BackendResult<Vec<_>>>()?;
        let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let more = entities.len() > size;
        entities.truncate(size);
        let next = entities.last().filter(|_| more).map(|last| last.instance_id.clone());
        Ok(EntityPage { entities, next })
    }

    pub(crate) async fn tidy_entities(&self, request: CleanEntities) -> BackendResult<CleanedEntities> {
        let limit = limit(request.limit, "a look")?;
        let after = request.after.as_ref().map(InstanceId::as_str);
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&self.hub, &request.remove_empty, &request.release_orphaned_locks, &after, &limit];
        let row = self.query_one("tidying up entities", "_clean_entities", 5, &parameters).await?;
        let count = |column| get::<i64>(&row, column).map(|count| u64::try_from(count).unwrap_or(0));
        let (removed, released) = (count("removed")?, count("released")?);
        if released > 0 {
            self.hints.orchestrations();
        }
        let next = get::<Option<String>>(&row, "last")?.map(rows::instance_id).transpose()?;
        Ok(CleanedEntities { removed, released, next })
    }
}
