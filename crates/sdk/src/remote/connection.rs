//! One connection to a server, shared by everybody who talks over it. It heals by itself: a call on a broken one connects
//! anew.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use everdure_core::BackendResult;
use everdure_proto::pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::options::RemoteOptions;
use super::status::unanswered;

/// The stub that the compiler made of the description.
pub(crate) type Stub = TaskHubSidecarServiceClient<Channel>;

/// How long a server has to say hello.
const HELLO: Duration = Duration::from_secs(30);

/// How long a question is asked again while the server is away, and the pauses between.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Connection {
    stub: Stub,
    headers: Arc<Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>>,
    address: Arc<str>,
}

impl Connection {
    /// Connects, and hears whether a server answers.
    pub async fn open(options: &RemoteOptions) -> BackendResult<Self> {
        let headers = Arc::new(options.headers()?);
        let stub = TaskHubSidecarServiceClient::new(options.open().await?)
            .max_decoding_message_size(options.max_message_bytes)
            .max_encoding_message_size(usize::MAX);
        let connection = Self { stub, headers, address: options.address().into() };
        let mut stub = connection.stub();
        let hello = tokio::time::timeout(HELLO, stub.hello(connection.request(()))).await;
        let answered = hello.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer to the first call")));
        match answered {
            Ok(_) => Ok(connection),
            Err(status) => Err(unanswered(&connection.address, status)),
        }
    }

    pub fn stub(&self) -> Stub {
        self.stub.clone()
    }

    /// The address, for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A call with what goes with every call.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in self.headers.iter() {
            request.metadata_mut().insert(key.clone(), value.clone());
        }
        request
    }

    /// Asks something that changes nothing, again and again while the server is away, for a while.
    pub async fn ask<T, F>(&self, ask: impl Fn(Stub) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let begun = tokio::time::Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask(self.stub()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if status.code() == Code::Unavailable && begun.elapsed() < PATIENCE => {}
                Err(status) => return Err(status),
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Between half and all of it, so that many who wait do not come back at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().into_bytes();
    let share = f64::from(u16::from_le_bytes([random[0], random[1]])) / f64::from(u16::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}
