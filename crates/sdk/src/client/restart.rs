//! Starting again what an instance was started with.

use everdure_core::{InstanceId, InstanceRecord};

use super::{Client, ClientError, Start};

impl Client {
    /// Starts the instance's orchestration anew under the same id, with the version, input and tags of its last
    /// execution, without its parent. The old instance must have ended; it is replaced, with its history.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance, [`ClientError::AlreadyExists`] when it has not ended.
    pub async fn restart(&self, id: &InstanceId) -> Result<InstanceId, ClientError> {
        self.start_again(id).await?.id(id.clone()).await
    }

    /// The same under a new id, whatever the state of the old instance, which is left alone. Gives the new id.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such instance.
    pub async fn restart_with_new_id(&self, id: &InstanceId) -> Result<InstanceId, ClientError> {
        self.start_again(id).await?.await
    }

    async fn start_again(&self, id: &InstanceId) -> Result<Start, ClientError> {
        let InstanceRecord { name, version, input, tags, .. } =
            self.get(id).await?.ok_or_else(|| ClientError::NotFound(id.clone()))?;
        let mut start = self.start_by_name(&name, input);
        if let Some(version) = &version {
            start = start.version(version);
        }
        Ok(tags.iter().fold(start, |start, (key, value)| start.tag(key, value)))
    }
}
