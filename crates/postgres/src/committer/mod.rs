//! Group commit: whatever wants to be durable waits in a lane while one transaction is under way, and goes together
//! in the next. There is no timer: an idle system writes at once, a busy one in large batches. A caller gets its own
//! outcome after the commit, never before.
//!
//! All operations of one instance id go through one lane, in their order. A lane never waits for a row lock: what it
//! cannot lock is carried to the next flush, and runs alone after a few of them.

mod item;
mod lane;
mod outcomes;
mod parameters;
pub(crate) mod steps;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    BackendError, BackendResult, Checkpoint, CheckpointOutcome, CompleteActivity, CompleteOutcome, CreateInstance,
    CreateOutcome, Demote, DemoteOutcome, FailureDetails, InstanceId, SendMessage, SendOutcome,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::connect::Connector;
use crate::fault::fault;
use crate::hints::Hints;
use crate::options::PostgresOptions;
use crate::trouble::Trouble;
use item::{Item, Operation};
use lane::{Lane, Told};
use outcomes::Outcome;
use writer::{Writer, WriterContext};

pub(crate) use item::json_text;
pub(crate) use steps::tags_text;

/// How long a failure to write says that the next attempt would fail, too.
const FRESH: Duration = Duration::from_secs(5);

/// The door of all writes.
pub(crate) struct Committer {
    lanes: Vec<mpsc::UnboundedSender<Told>>,
    deadline: Duration,
    connector: Connector,
    troubles: Vec<Arc<Trouble>>,
}

impl Committer {
    /// Starts the lanes; they end when the committer is dropped and what they hold is written.
    pub fn start(
        options: &PostgresOptions,
        hub: i32,
        hurried: Connector,
        patient: Connector,
        hints: Arc<Hints>,
    ) -> Self {
        let (schema, hub_name) = (options.schema.as_str().into(), options.hub.as_str().into());
        let context = WriterContext { hub, hub_name, schema, hints };
        let solo_lane = i32::try_from(options.lanes).unwrap_or(i32::MAX);
        let solo = Writer::new(context.clone(), patient, solo_lane, true);
        let mut troubles = vec![solo.trouble()];
        let solo = Arc::new(tokio::sync::Mutex::new(solo));
        let lanes = (0..solo_lane).map(|number| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let writer = Writer::new(context.clone(), hurried.clone(), number, false);
            troubles.push(writer.trouble());
            tokio::spawn(Lane::new(writer, Arc::clone(&solo), receiver, sender.downgrade()).run());
            sender
        });
        Self { lanes: lanes.collect(), deadline: options.deadline, connector: hurried, troubles }
    }

    /// Whether writing works, as far as is known: what fails now fails, and where the last attempt failed some time ago,
    /// another connection is tried.
    pub async fn check(&self) -> BackendResult<()> {
        let failing: Vec<_> = self.troubles.iter().filter_map(|trouble| trouble.cause()).collect();
        if let Some((cause, _)) = failing.iter().find(|(_, age)| *age < FRESH) {
            return Err(BackendError::unavailable(cause.clone()));
        }
        if !failing.is_empty() {
            self.connector.connect().await.map_err(|error| fault("connecting to write", error))?;
        }
        Ok(())
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The row in `lanes` that claims lock: after those of the lanes and of what runs alone.
    pub fn claim_lane(&self) -> i32 {
        i32::try_from(self.lanes.len() + 1).unwrap_or(i32::MAX)
    }

    async fn submit(&self, id: &InstanceId, operation: Operation) -> BackendResult<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let item = Item::new(id.clone(), operation, reply, Instant::now() + self.deadline);
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        // The remainder of a division by the number of lanes fits.
        let lane = (hasher.finish() % self.lanes.len() as u64) as usize;
        let gone = || BackendError::unavailable("the writer has stopped");
        self.lanes[lane].send(Told::Item(Box::new(item))).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    pub async fn create_instance(&self, mut request: CreateInstance) -> BackendResult<CreateOutcome> {
        request.request_id.get_or_insert_with(uuid::Uuid::new_v4);
        let id = request.instance_id.clone();
        match self.submit(&id, Operation::create(request)).await? {
            Outcome::Create(outcome) => Ok(outcome),
            Outcome::Rejected(failure) => Ok(CreateOutcome::Rejected(failure)),
            _ => Err(mixed_up()),
        }
    }

    pub async fn send_message(&self, mut request: SendMessage) -> BackendResult<SendOutcome> {
        request.request_id.get_or_insert_with(uuid::Uuid::new_v4);
        let id = request.instance_id.clone();
        match self.submit(&id, Operation::send(request)?).await? {
            Outcome::Send(outcome) => Ok(outcome),
            Outcome::Rejected(failure) => Ok(SendOutcome::Rejected(failure)),
            _ => Err(mixed_up()),
        }
    }

    pub async fn checkpoint(&self, checkpoint: Checkpoint) -> BackendResult<CheckpointOutcome> {
        let id = checkpoint.instance_id.clone();
        match self.submit(&id, Operation::checkpoint(checkpoint)?).await? {
            Outcome::Checkpoint(outcome) => Ok(outcome),
            Outcome::Rejected(failure) => Ok(CheckpointOutcome::Rejected(failure)),
            _ => Err(mixed_up()),
        }
    }

    pub async fn complete_activity(&self, request: CompleteActivity) -> BackendResult<CompleteOutcome> {
        let id = request.instance_id.clone();
        match self.submit(&id, Operation::complete(request)?).await? {
            Outcome::Complete(outcome) => Ok(outcome),
            Outcome::Rejected(failure) => Ok(CompleteOutcome::Rejected(failure)),
            _ => Err(mixed_up()),
        }
    }

    pub async fn demote(&self, request: Demote) -> BackendResult<DemoteOutcome> {
        let id = request.instance_id.clone();
        match self.submit(&id, Operation::demote(request)?).await? {
            Outcome::Demote(outcome) => Ok(outcome),
            Outcome::Rejected(failure) => Err(BackendError::Invalid {
                context: format!("giving back '{id}': {}", failure.error_message),
                source: Some(failure.into()),
            }),
            _ => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> BackendError {
    BackendError::corrupt("an operation got the outcome of another kind", FailureDetails::default())
}
