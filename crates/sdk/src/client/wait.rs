//! Waiting for an instance.

use std::time::Duration;

use everdure_core::{InstanceId, InstanceRecord, OrchestrationStatus};
use serde::de::DeserializeOwned;

use super::access::Access;
use super::waiters::Until;
use super::{Client, ClientError};
use crate::json;

impl Client {
    /// Waits until the first turn has committed.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_start(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.access.wait(id, Until::Started, timeout).await
    }

    /// Waits for the end, whatever it is.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_end(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.access.wait(id, Until::Ended, timeout).await
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
}

/// What to say when the time to wait is over: the instance may have got there in the last moment.
pub(crate) async fn at_the_end(
    access: &dyn Access,
    id: &InstanceId,
    until: Until,
    waited: Duration,
) -> Result<InstanceRecord, ClientError> {
    let record = access.look(id, true).await?.ok_or_else(|| ClientError::NotFound(id.clone()))?;
    if until.is_reached(record.status) {
        return Ok(record);
    }
    Err(ClientError::TimedOut { id: id.clone(), status: record.status, waited })
}
