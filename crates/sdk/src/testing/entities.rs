//! Entities under test.

use serde::de::DeserializeOwned;

use super::TestHub;
use crate::client::EntitySnapshot;
use crate::entity::EntityId;

impl TestHub {
    /// The state of an entity; `None` when it has none.
    ///
    /// # Panics
    /// When the state cannot be read as `S`.
    pub async fn entity<S: DeserializeOwned>(&self, entity: &EntityId<S>) -> Option<S> {
        self.snapshot(entity).await.map(|snapshot| snapshot.state)
    }

    /// The entity as it stands; `None` when it has no state.
    ///
    /// # Panics
    /// When the state cannot be read as `S`.
    pub async fn snapshot<S: DeserializeOwned>(&self, entity: &EntityId<S>) -> Option<EntitySnapshot<S>> {
        self.client().get_entity(entity).await.unwrap_or_else(|error| panic!("'{entity}' cannot be read: {error}"))
    }

    /// Waits until the entity stands like that.
    ///
    /// # Panics
    /// When the time is over.
    pub async fn until_entity<S: DeserializeOwned>(
        &self,
        entity: &EntityId<S>,
        reached: impl Fn(Option<&EntitySnapshot<S>>) -> bool,
    ) {
        let story = async || {
            let found = self.client().entity_record(entity.instance_id()).await;
            format!("'{entity}' is {found:?}")
        };
        self.wait("as expected", story, async || reached(self.snapshot(entity).await.as_ref())).await;
    }
}
