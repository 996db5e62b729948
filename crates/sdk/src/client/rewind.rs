//! Taking a failure back.

use everdure_core::InstanceId;

use super::{Client, ClientError};

impl Client {
    /// Takes the failure of an instance back: it goes on from before it failed, its failed activities run again, its
    /// failed sub-orchestrations are rewound with it, and those that were purged are created again. Returns how many
    /// instances go on (a server does not tell: then 1). History notes it as `ExecutionRewound`, with the reason.
    ///
    /// What the orchestration has answered, by a retry or a compensation, stays: of an activity with a retry policy the
    /// last attempt runs again.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance, [`ClientError::NotFailed`] when it has not failed.
    pub async fn rewind(&self, id: &InstanceId, reason: Option<&str>) -> Result<usize, ClientError> {
        self.access.rewind(id, reason).await
    }
}
