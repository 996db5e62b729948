//! Waiting for an instance.

use std::time::Duration;

use everdure_core::{InstanceId, InstanceRecord, OrchestrationStatus};
use serde::de::DeserializeOwned;

use super::waiters::Until;
use super::{Client, ClientError};
use crate::json;

impl Client {
    /// Waits until the first turn has committed.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_start(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.wait(id, timeout, Until::Started).await
    }

    /// Waits for the end, whatever it is.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_end(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.wait(id, timeout, Until::Ended).await
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// [`ClientError::Failed`] and [`ClientError::Terminated`] when the instance ended without one;
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_completion<Out: DeserializeOwned>(
        &self,
        id: &InstanceId,
        timeout: Duration,
    ) -> Result<Out, ClientError> {
        let record = self.wait_for_end(id, timeout).await?;
        match (record.status, record.failure) {
            (OrchestrationStatus::Completed, _) => {
                Ok(json::decode("the result of the orchestration", record.output.as_deref())?)
            }
            (OrchestrationStatus::Failed, Some(failure)) => Err(ClientError::Failed { id: id.clone(), failure }),
            _ => Err(ClientError::Terminated { id: id.clone(), reason: record.output }),
        }
    }

    async fn wait(&self, id: &InstanceId, timeout: Duration, until: Until) -> Result<InstanceRecord, ClientError> {
        let found = self.waiters.wait(id, until);
        match tokio::time::timeout(timeout, found).await {
            Ok(Ok(Ok(record))) => record.ok_or_else(|| ClientError::NotFound(id.clone())),
            Ok(Ok(Err(error))) => Err(ClientError::Shared(error)),
            // The runtime is being shut down, or time is over.
            Ok(Err(_)) | Err(_) => {
                let record = self.look(id, true).await?.ok_or_else(|| ClientError::NotFound(id.clone()))?;
                if until.is_reached(record.status) {
                    return Ok(record);
                }
                Err(ClientError::TimedOut { id: id.clone(), status: record.status, waited: timeout })
            }
        }
    }
}
