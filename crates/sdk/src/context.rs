//! What an orchestration has instead of the world.

mod entities;

use std::fmt;
use std::time::Duration;

use everdure_core::{ActionKind, ExecutionId, InstanceId, Tags, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::call::{ActivityCall, EventWait, Pending, Sleep, SubOrchestrationCall};
use crate::failure::{Ending, Failure};
use crate::handle::{Activity, Orchestration};
use crate::replay::{Shared, SlotKind};
use crate::{json, retry};

pub use entities::{CriticalSection, EntityCall, LockWait};

/// The door of an orchestration to everything that is durable. Steps begin when they are called, not when they are
/// awaited; dropping one before its end gives it up.
#[derive(Clone)]
pub struct OrchestrationContext {
    shared: Shared,
}

impl OrchestrationContext {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Runs an activity. Dropping the call cancels it.
    pub fn call_activity<In, Out>(&self, activity: &Activity<In, Out>, input: In) -> ActivityCall<Out>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        let pending = match json::encode("the input of the activity", &input) {
            Err(failure) => Pending::failed(&self.shared, failure),
            Ok(input) => Pending::decide(
                &self.shared,
                SlotKind::Task,
                ActionKind::ScheduleTask {
                    name: activity.name().to_owned(),
                    version: activity.version_name().map(str::to_owned),
                    input,
                    tags: self.shared.started.tags.clone(),
                    trace: None,
                },
            ),
        };
        ActivityCall::new(activity.name(), pending)
    }

    /// Runs another orchestration and waits for its result. Dropping the call leaves the child running.
    pub fn call_sub_orchestration<In, Out>(
        &self,
        orchestration: &Orchestration<In, Out>,
        input: In,
    ) -> SubOrchestrationCall<Out>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        let input = json::encode("the input of the sub-orchestration", &input);
        let pending = match input.and_then(|input| self.shared.check_sub_orchestration().map(|()| input)) {
            Err(failure) => Pending::failed(&self.shared, failure),
            Ok(input) => Pending::decide(
                &self.shared,
                SlotKind::Child,
                ActionKind::CreateSubOrchestration {
                    name: orchestration.name().to_owned(),
                    version: orchestration.version_name().map(str::to_owned),
                    instance_id: None,
                    input,
                    tags: Tags::new(),
                    trace: None,
                    forget: false,
                },
            ),
        };
        SubOrchestrationCall::new(orchestration.name(), pending)
    }

    /// Sleeps, for seconds or for months. Dropping it cancels the timer.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let fire_at = self.now().checked_add_signed(retry::delta(duration)).unwrap_or(Timestamp::MAX_UTC);
        self.sleep_until(fire_at)
    }

    /// Sleeps until then, by the database clock.
    pub fn sleep_until(&self, fire_at: Timestamp) -> Sleep {
        Sleep::new(Pending::decide(&self.shared, SlotKind::Timer, ActionKind::CreateTimer { fire_at }))
    }

    /// Waits for an event of that name, upper and lower case alike. Events that came before wait here; each is taken
    /// once, in the order of their arrival. Dropping the wait leaves the event to the next one.
    pub fn wait_for_event<T: DeserializeOwned>(&self, name: &str) -> EventWait<T> {
        EventWait::new(name, Pending::event(&self.shared, name))
    }

    /// Raises an event in another instance. Nothing tells whether that instance exists.
    ///
    /// # Errors
    /// [`Failure`] when the instance id is not valid or the payload cannot be written as JSON.
    pub fn send_event<T: Serialize + ?Sized>(&self, instance_id: &str, name: &str, payload: &T) -> Result<(), Failure> {
        let instance_id = InstanceId::new(instance_id)?;
        let input = json::encode("the payload of the event", payload)?;
        self.shared.lock().push(ActionKind::SendEvent { instance_id, name: name.to_owned(), input });
        Ok(())
    }

    /// Shows clients how far the orchestration is; visible when the turn has committed.
    ///
    /// # Errors
    /// [`Failure`] when the value cannot be written as JSON.
    pub fn set_custom_status<T: Serialize + ?Sized>(&self, status: &T) -> Result<(), Failure> {
        let status = serde_json::to_string(status)?;
        self.shared.lock().custom_status = Some(status);
        Ok(())
    }

    /// Ends this execution and begins the next with that input and an empty history. Return what it gives:
    /// `return ctx.continue_as_new(&next)`. Events that came and were not taken go along.
    ///
    /// # Errors
    /// Always: that is how the request leaves the function.
    pub fn continue_as_new<T, In: Serialize + ?Sized>(&self, input: &In) -> Result<T, Failure> {
        let input = json::encode("the input of the next execution", input)?;
        Err(Failure(Ending::ContinueAsNew { input, version: None }))
    }

    /// As [`OrchestrationContext::continue_as_new`], going on with another version of the orchestration.
    ///
    /// # Errors
    /// Always: that is how the request leaves the function.
    pub fn continue_as_version<T, In: Serialize + ?Sized>(&self, version: &str, input: &In) -> Result<T, Failure> {
        let input = json::encode("the input of the next execution", input)?;
        Err(Failure(Ending::ContinueAsNew { input, version: Some(version.to_owned()) }))
    }

    /// The instance.
    #[must_use]
    pub fn instance_id(&self) -> &InstanceId {
        &self.shared.started.instance_id
    }

    /// The generation: continue-as-new begins another one.
    #[must_use]
    pub fn execution_id(&self) -> ExecutionId {
        self.shared.started.execution_id
    }

    /// The orchestration's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.started.name
    }

    /// The orchestration's version, if it was started with one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.shared.started.version.as_deref()
    }

    /// Tags of the instance.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.shared.started.tags
    }

    /// The time of the turn: the same in replay, and never before that of an earlier turn.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.lock().time
    }

    /// A GUID that is new, and the same in replay.
    #[must_use]
    pub fn new_guid(&self) -> Uuid {
        let number = self.shared.lock().next_guid();
        self.execution_id().derive(&format!("guid:{number}"))
    }

    /// Whether the code runs again what it ran before. For logs; decisions must not depend on it.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.shared.lock().replaying
    }

    /// Logs a line, once: not in replay, and not by what runs when the code is put away between two turns.
    pub fn log(&self, message: impl fmt::Display) {
        let inner = self.shared.lock();
        let silent = inner.replaying || inner.closing;
        drop(inner);
        if !silent {
            tracing::info!(orchestration = self.name(), instance_id = %self.instance_id(), "{message}");
        }
    }
}

impl fmt::Debug for OrchestrationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrchestrationContext").field("instance_id", self.instance_id()).finish_non_exhaustive()
    }
}
