//! A start, with its options.

use std::future::IntoFuture;

use everdure_core::{
    CreateInstance, CreateOutcome, ExecutionId, FailureDetails, InstanceId, InvalidId, Limits, RequestId, ReusePolicy,
    Tags, Timestamp, TooLarge,
};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Client, ClientError};

/// A start to be awaited; gives the instance id. With a [`Client`] the instance exists durably by then, with an
/// outbox when the transaction has committed.
#[must_use = "nothing is started before this is awaited"]
pub struct Start<To = Client> {
    pub(super) to: To,
    limits: Limits,
    name: String,
    version: Option<String>,
    input: Result<Option<String>, FailureDetails>,
    id: Option<InstanceId>,
    tags: Tags,
    scheduled_start: Option<Timestamp>,
    reuse: ReusePolicy,
    request_id: Option<RequestId>,
}

impl<To> Start<To> {
    pub(super) fn new(
        to: To,
        limits: Limits,
        name: &str,
        version: Option<&str>,
        input: Result<Option<String>, FailureDetails>,
    ) -> Self {
        Self {
            to,
            limits,
            name: name.to_owned(),
            version: version.map(str::to_owned),
            input,
            id: None,
            tags: Tags::new(),
            scheduled_start: None,
            reuse: ReusePolicy::default(),
            request_id: None,
        }
    }

    /// Under that id, instead of a random one.
    pub fn id(mut self, id: InstanceId) -> Self {
        self.id = Some(id);
        self
    }

    /// That version of the orchestration.
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// With that tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Not before that time, by the database clock.
    pub fn scheduled_at(mut self, time: Timestamp) -> Self {
        self.scheduled_start = Some(time);
        self
    }

    /// What to do when a finished instance has the id.
    pub fn reuse(mut self, policy: ReusePolicy) -> Self {
        self.reuse = policy;
        self
    }

    /// Recognises a repetition of this start, however often it is sent.
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Where to, and what: checked.
    #[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
    pub(super) fn into_request(self) -> Result<(To, CreateInstance), ClientError> {
        let limits = self.limits;
        let id = match self.id {
            Some(id) => id,
            // Unwrap safety: 32 hexadecimal digits are visible characters.
            None => InstanceId::new(Uuid::new_v4().as_simple().to_string()).expect("a GUID is a valid instance id"),
        };
        let input = self.input?;
        if id.is_entity() {
            return Err(TooLarge::from(InvalidId::Entity(id.into())).into());
        }
        limits.check_instance_id(&id)?;
        limits.check_name("the name of the orchestration", &self.name)?;
        if let Some(version) = &self.version {
            limits.check_name("the version of the orchestration", version)?;
        }
        limits.check_payload("the input of the orchestration", input.as_deref())?;
        limits.check_tags(&self.tags)?;
        let request = CreateInstance {
            instance_id: id,
            execution_id: ExecutionId::from_uuid(Uuid::new_v4()),
            name: self.name,
            version: self.version,
            input,
            tags: self.tags,
            scheduled_start: self.scheduled_start,
            reuse: self.reuse,
            request_id: self.request_id,
            born_claimed: None,
            trace: None,
        };
        Ok((self.to, request))
    }
}

/// The id of what was created, or why it was not.
#[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
pub(super) fn created(id: InstanceId, outcome: CreateOutcome) -> Result<InstanceId, ClientError> {
    match outcome {
        CreateOutcome::Created { .. } => Ok(id),
        CreateOutcome::AlreadyExists { status } => Err(ClientError::AlreadyExists { id, status }),
        CreateOutcome::Rejected(failure) => Err(ClientError::Rejected(failure)),
    }
}

impl IntoFuture for Start {
    type Output = Result<InstanceId, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (client, request) = self.into_request()?;
            let id = request.instance_id.clone();
            client.access.create(request).await?;
            Ok(id)
        })
    }
}
