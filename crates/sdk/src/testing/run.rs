//! An instance under test, and what became of it.

use std::fmt::Debug;
use std::marker::PhantomData;

use everdure_core::{FailureDetails, InstanceId, InstanceRecord, OrchestrationStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{History, TestHub};
use crate::json;

/// An instance that was started by [`TestHub::start`].
pub struct TestInstance<'a, Out> {
    hub: &'a TestHub,
    id: InstanceId,
    output: PhantomData<fn() -> Out>,
}

impl<'a, Out> TestInstance<'a, Out> {
    pub(super) fn new(hub: &'a TestHub, id: InstanceId) -> Self {
        Self { hub, id, output: PhantomData }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Raises an event in it.
    pub async fn raise_event<T: Serialize + ?Sized>(&self, name: &str, payload: &T) {
        self.hub.client().raise_event(&self.id, name, payload).await.expect("an event that the store takes");
    }

    /// Holds it still.
    pub async fn suspend(&self) {
        self.hub.client().suspend(&self.id, None).await.expect("a request that the store takes");
        self.hub.until(&self.id, "suspended", |now| now.status == OrchestrationStatus::Suspended).await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        self.hub.client().resume(&self.id, None).await.expect("a request that the store takes");
    }

    /// Asks for its end; with `recurse`, for that of its children too.
    pub async fn terminate(&self, reason: &str, recurse: bool) {
        self.hub.client().terminate(&self.id, Some(reason), recurse).await.expect("a request that the store takes");
    }

    /// The instance as it stands.
    pub async fn record(&self) -> InstanceRecord {
        self.hub.record(&self.id).await
    }

    /// What has happened to it so far.
    pub async fn history(&self) -> History {
        self.hub.history_of(&self.id).await
    }

    /// Waits until history says that, in the words of [`History::steps`].
    pub async fn until_step(&self, step: &str) {
        self.hub.until_history(&self.id, step, |history| history.steps().iter().any(|taken| taken == step)).await;
    }

    /// Waits for its end.
    pub async fn end(&self) -> Run<Out> {
        self.hub.until(&self.id, "at its end", |now| now.status.is_terminal()).await;
        Run { history: self.history().await, output: PhantomData }
    }
}

/// An instance that has ended.
pub struct Run<Out> {
    history: History,
    output: PhantomData<fn() -> Out>,
}

impl<Out> Run<Out> {
    /// What happened.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The failure that it ended with.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    #[must_use]
    pub fn failure(&self) -> &FailureDetails {
        self.assert_status(OrchestrationStatus::Failed);
        self.history.record().failure.as_ref().expect("what failed says why")
    }

    /// Checks that it was terminated, with that reason.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn assert_terminated(&self, reason: &str) {
        self.assert_status(OrchestrationStatus::Terminated);
        assert_eq!(self.history.record().output.as_deref(), Some(reason), "{}", self.history);
    }

    #[track_caller]
    fn assert_status(&self, expected: OrchestrationStatus) {
        let record = self.history.record();
        let why = record.failure.as_ref().map(|failure| format!("\n{failure}")).unwrap_or_default();
        assert_eq!(record.status, expected, "{}{why}", self.history);
    }
}

impl<Out: DeserializeOwned> Run<Out> {
    /// The result that it returned.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    #[must_use]
    pub fn output(&self) -> Out {
        self.assert_status(OrchestrationStatus::Completed);
        let output = json::decode("the result of the orchestration", self.history.record().output.as_deref());
        output.unwrap_or_else(|failure| panic!("{failure}"))
    }
}

impl<Out: DeserializeOwned + Debug> Run<Out> {
    /// Checks that it completed, with that result; tells the history when not.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn assert_completed<T: Debug + ?Sized>(&self, expected: &T)
    where
        Out: PartialEq<T>,
    {
        let output = self.output();
        assert!(output == *expected, "expected {expected:?}, got {output:?}\n{}", self.history);
    }
}
