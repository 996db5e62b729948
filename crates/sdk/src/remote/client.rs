//! A client over a connection to a server.

use std::time::Duration;

use async_trait::async_trait;
use everdure_core::{
    CleanEntities, CleanedEntities, CreateInstance, EntityPage, EntityQuery, EntityRecord, HistoryTurn, InstanceId,
    InstanceQuery, InstanceRecord, MessageBody, OrchestrationStatus, Page, PurgeFilter, PurgeOutcome, ReusePolicy,
    SendMessage,
};
use everdure_proto::convert::{self, WireHistory};
use everdure_proto::pb;
use everdure_proto::prost::Message;
use tonic::{Code, Status};

use super::connection::{Connection, jittered};
use super::status::{about, general, unreadable};
use super::{entities, purge, query};
use crate::client::ClientError;
use crate::client::access::Access;
use crate::client::wait::at_the_end;
use crate::client::waiters::Until;

/// The pause before a wait is begun anew that ended because the server went away.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct RemoteClient(pub Connection);

impl RemoteClient {
    #[expect(clippy::result_large_err, reason = "the public error; the async callers return it anyway")]
    fn record(&self, answer: pb::GetInstanceResponse) -> Result<Option<InstanceRecord>, ClientError> {
        let state = answer.orchestration_state.filter(|_| answer.exists);
        state.map(convert::record).transpose().map_err(|unusable| unreadable(self.0.address(), unusable))
    }

    /// The state of an instance of which something was refused.
    async fn status(&self, id: &InstanceId) -> Result<OrchestrationStatus, ClientError> {
        let found = self.look(id, false).await?;
        found.map(|record| record.status).ok_or_else(|| ClientError::NotFound(id.clone()))
    }

    /// One call, until the server says something about the instance; over and over while the server is away.
    async fn waited(&self, id: &InstanceId, until: Until) -> Result<Option<InstanceRecord>, ClientError> {
        loop {
            let message = pb::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: true };
            let mut stub = self.0.stub();
            let request = self.0.request(message);
            let answered = match until {
                Until::Started => stub.wait_for_instance_start(request).await,
                Until::Ended => stub.wait_for_instance_completion(request).await,
            };
            match answered {
                Ok(answer) => return self.record(answer.into_inner()),
                Err(status) if passes(&status) => tokio::time::sleep(jittered(PAUSE)).await,
                Err(status) => return Err(about(self.0.address(), id, status)),
            }
        }
    }
}

/// Whether the same wait may go on when it is begun anew.
fn passes(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

#[async_trait]
impl Access for RemoteClient {
    async fn create(&self, request: CreateInstance) -> Result<(), ClientError> {
        if request.request_id.is_some() {
            return Err(ClientError::unsupported("a request id (give the instance an id instead)"));
        }
        let (id, execution_id) = (request.instance_id.clone(), request.execution_id);
        let mut stub = self.0.stub();
        match stub.start_instance(self.0.request(creation(request))).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => match self.look(&id, false).await? {
                // The answer to an earlier try was lost on the way.
                Some(record) if record.execution_id == execution_id => Ok(()),
                // It is gone by now: what it was when it was in the way is not known.
                None => Err(ClientError::AlreadyExists { id, status: OrchestrationStatus::Running }),
                Some(record) => Err(ClientError::AlreadyExists { id, status: record.status }),
            },
            Err(status) => Err(about(self.0.address(), &id, status)),
        }
    }

    async fn send(&self, id: &InstanceId, body: MessageBody) -> Result<(), ClientError> {
        let mut stub = self.0.stub();
        let instance_id = id.to_string();
        let sent = match body {
            MessageBody::EventRaised { name, input } => {
                let request = self.0.request(pb::RaiseEventRequest { instance_id, name, input });
                stub.raise_event(request).await.map(drop)
            }
            MessageBody::ExecutionSuspended { reason } => {
                stub.suspend_instance(self.0.request(pb::SuspendRequest { instance_id, reason })).await.map(drop)
            }
            MessageBody::ExecutionResumed { reason } => {
                stub.resume_instance(self.0.request(pb::ResumeRequest { instance_id, reason })).await.map(drop)
            }
            MessageBody::ExecutionTerminated { reason, recurse } => {
                // The protocol ends what is not there without a word.
                self.status(id).await?;
                let request = pb::TerminateRequest { instance_id, output: reason, recursive: recurse };
                stub.terminate_instance(self.0.request(request)).await.map(drop)
            }
            _ => return Err(ClientError::unsupported("a message of this kind")),
        };
        sent.map_err(|status| about(self.0.address(), id, status))
    }

    async fn look(&self, id: &InstanceId, payloads: bool) -> Result<Option<InstanceRecord>, ClientError> {
        let message = pb::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: payloads };
        let answered = self.0.ask(|mut stub| {
            let request = self.0.request(message.clone());
            async move { stub.get_instance(request).await }
        });
        self.record(answered.await.map_err(|status| about(self.0.address(), id, status))?)
    }

    async fn wait(&self, id: &InstanceId, until: Until, timeout: Duration) -> Result<InstanceRecord, ClientError> {
        match tokio::time::timeout(timeout, self.waited(id, until)).await {
            Ok(found) => found?.ok_or_else(|| ClientError::NotFound(id.clone())),
            Err(_) => at_the_end(self, id, until, timeout).await,
        }
    }

    async fn query(&self, query: InstanceQuery) -> Result<Page, ClientError> {
        query::page(&self.0, query).await
    }

    async fn history(&self, id: &InstanceId) -> Result<Vec<HistoryTurn>, ClientError> {
        let address = self.0.address();
        let request = pb::StreamInstanceHistoryRequest {
            instance_id: id.to_string(),
            execution_id: None,
            for_work_item_processing: false,
        };
        let opened = self.0.ask(|mut stub| {
            let request = self.0.request(request.clone());
            async move { stub.stream_instance_history(request).await }
        });
        let mut chunks = opened.await.map_err(|status| about(address, id, status))?;
        let mut history = WireHistory::default();
        while let Some(chunk) = chunks.message().await.map_err(|status| about(address, id, status))? {
            for event in chunk.events {
                let event = pb::HistoryEvent::decode(event).map_err(|error| convert::Unusable(error.to_string()));
                event.and_then(|event| history.add(event)).map_err(|unusable| unreadable(address, unusable))?;
            }
        }
        Ok(history.turns)
    }

    async fn purge(&self, filter: PurgeFilter) -> Result<PurgeOutcome, ClientError> {
        purge::purge(&self.0, filter).await
    }

    async fn signal(&self, request: SendMessage) -> Result<(), ClientError> {
        entities::signal(&self.0, request).await
    }

    async fn entity(&self, id: InstanceId) -> Result<Option<EntityRecord>, ClientError> {
        entities::get(&self.0, id).await
    }

    async fn query_entities(&self, query: EntityQuery) -> Result<EntityPage, ClientError> {
        entities::query(&self.0, query).await
    }

    async fn clean_entities(&self, request: CleanEntities) -> Result<CleanedEntities, ClientError> {
        entities::clean(&self.0, request).await
    }

    async fn rewind(&self, id: &InstanceId, reason: Option<&str>) -> Result<usize, ClientError> {
        let request = pb::RewindInstanceRequest { instance_id: id.to_string(), reason: reason.map(str::to_owned) };
        match self.0.stub().rewind_instance(self.0.request(request)).await {
            Ok(_) => Ok(1),
            Err(status) if status.code() == Code::FailedPrecondition => match self.status(id).await? {
                // It failed in the meantime, or something else is the matter.
                OrchestrationStatus::Failed => Err(general(self.0.address(), status)),
                status => Err(ClientError::NotFailed { id: id.clone(), status }),
            },
            Err(status) => Err(about(self.0.address(), id, status)),
        }
    }
}

fn creation(request: CreateInstance) -> pb::CreateInstanceRequest {
    let statuses = match request.reuse {
        // What the protocol means by saying nothing.
        ReusePolicy::ReplaceFinished => None,
        policy => Some(policy.replaceable()),
    };
    let policy = statuses.map(|statuses| {
        let listed = OrchestrationStatus::ALL.into_iter().filter(|status| statuses.contains(*status));
        let replaceable_status = listed.map(|status| convert::status_to_wire(status).into()).collect();
        pb::OrchestrationIdReusePolicy { replaceable_status, action: None }
    });
    pb::CreateInstanceRequest {
        instance_id: request.instance_id.into(),
        name: request.name,
        version: request.version,
        input: request.input,
        scheduled_start_timestamp: request.scheduled_start.map(convert::time_to_wire),
        orchestration_id_reuse_policy: policy,
        execution_id: Some(request.execution_id.to_string()),
        tags: request.tags.clone(),
        parent_trace_context: convert::trace_to_wire(request.trace.as_ref()),
        request_time: None,
    }
}
