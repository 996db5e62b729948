//! Waiting for an instance: hints wake, a look decides, and a pause that grows makes up for lost hints.

use std::time::Duration;

use everdure_core::{Hint, InstanceId, InstanceRecord, OrchestrationStatus};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{Client, ClientError};
use crate::json;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// Waits until the first turn has committed.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_start(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.wait(id, timeout, |status| status != OrchestrationStatus::Pending).await
    }

    /// Waits for the end, whatever it is.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::TimedOut`].
    pub async fn wait_for_end(&self, id: &InstanceId, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        self.wait(id, timeout, OrchestrationStatus::is_terminal).await
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

    async fn wait(
        &self,
        id: &InstanceId,
        timeout: Duration,
        enough: impl Fn(OrchestrationStatus) -> bool,
    ) -> Result<InstanceRecord, ClientError> {
        let deadline = Instant::now() + timeout;
        let mut hints = self.backend.hints();
        let mut pause = FIRST_PAUSE;
        loop {
            let record = self.look(id, false).await?.ok_or_else(|| ClientError::NotFound(id.clone()))?;
            if enough(record.status) {
                return self.look(id, true).await?.ok_or_else(|| ClientError::NotFound(id.clone()));
            }
            if Instant::now() >= deadline {
                return Err(ClientError::TimedOut { id: id.clone(), status: record.status, waited: timeout });
            }
            let changed = async {
                loop {
                    if matches!(hints.next().await, Hint::Changed(ids) if ids.contains(id)) {
                        return;
                    }
                }
            };
            // Running out only means to look again.
            let _ = timeout_at(deadline.min(Instant::now() + pause), changed).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
