//! Instances out, and in.

use everdure_core::{
    BackendError, BackendResult, DispatchId, ExportedInstance, ExportedMessage, ImportOutcome, InstanceId, InstanceKey,
    Limits,
};
use serde::Serialize;
use tokio_postgres::types::ToSql;

use crate::backend::PostgresBackend;
use crate::committer::json_text;
use crate::rows::{self, get};

/// The document with what the function needs besides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(flatten)]
    instance: &'a ExportedInstance,
    status_code: i16,
    tag_set: Option<&'a everdure_core::Tags>,
    waiting: Vec<Waiting<'a>>,
}

#[derive(Serialize)]
struct Waiting<'a> {
    #[serde(flatten)]
    message: &'a ExportedMessage,
    dispatch: Option<DispatchId>,
}

impl PostgresBackend {
    pub(crate) async fn export(&self, ids: Vec<InstanceId>) -> BackendResult<Vec<ExportedInstance>> {
        let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
        let found = self.query("exporting instances", "_export_instances", 2, &[&self.hub, &ids]).await?;
        found.iter().map(rows::exported).collect()
    }

    pub(crate) async fn import(&self, mut instance: ExportedInstance) -> BackendResult<ImportOutcome> {
        instance.check(&Limits::default())?;
        let messages = std::mem::take(&mut instance.messages);
        let waiting = |message| Waiting { message, dispatch: message.body.dispatch() };
        let document = Document {
            status_code: instance.status.code(),
            tag_set: Some(&instance.tags).filter(|tags| !tags.is_empty()),
            waiting: messages.iter().map(waiting).collect(),
            instance: &instance,
        };
        let text = json_text(&document)?;
        let parameters: [&(dyn ToSql + Sync); 2] = [&self.hub, &text];
        let row = self.query_one("importing an instance", "_import_instance", 2, &parameters).await?;
        match get::<Option<i64>>(&row, "key")? {
            Some(key) => {
                self.hints.orchestrations();
                Ok(ImportOutcome::Imported { key: InstanceKey(key), orphaned: get(&row, "orphaned")? })
            }
            None => match get::<Option<i16>>(&row, "status")? {
                Some(status) => Ok(ImportOutcome::AlreadyExists(rows::status(status)?)),
                None => Err(BackendError::unavailable("the id was taken and freed meanwhile: try again")),
            },
        }
    }
}
