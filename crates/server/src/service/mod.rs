//! The calls of `TaskHubSidecarService`. Each is a function of a topic; this file says which.

mod entities;
mod filters;
mod history;
mod hubs;
mod instances;
mod purge;
mod queries;
mod start;
mod work;

use std::pin::Pin;
use std::sync::Arc;

use everdure::ClientError;
use everdure_proto::pb;
use everdure_proto::pb::task_hub_sidecar_service_server::TaskHubSidecarService;
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::dispatch::WorkStream;
use crate::hubs::{Hubs, store_status};
use everdure_proto::convert::Unusable;

type Answer<T> = Result<Response<T>, Status>;

/// The service, over all hubs of a server.
pub(crate) struct Service {
    pub hubs: Arc<Hubs>,
}

/// What a client of the project was told, as a status.
pub(crate) fn client_status(error: &ClientError) -> Status {
    match error {
        ClientError::Invalid(error) => Status::invalid_argument(error.to_string()),
        ClientError::Json(failure) | ClientError::Rejected(failure) => Status::invalid_argument(failure.to_string()),
        // The words that an older SDK looks for.
        ClientError::AlreadyExists { id, status } => {
            Status::already_exists(format!("orchestration instance already exists: '{id}' is {status}"))
        }
        ClientError::NotFound(_) => Status::not_found(error.to_string()),
        ClientError::NotFailed { .. } => Status::failed_precondition(error.to_string()),
        ClientError::Backend(error) => store_status(error),
        ClientError::Shared(error) => store_status(error),
        other => Status::unavailable(other.to_string()),
    }
}

fn invalid(error: Unusable) -> Status {
    error.into()
}

macro_rules! calls {
    ($($method:ident($request:ty) -> $response:ty = $topic:ident;)*) => {
        #[tonic::async_trait]
        impl TaskHubSidecarService for Service {
            type GetWorkItemsStream = WorkStream;
            type StreamInstanceHistoryStream = Pin<Box<dyn Stream<Item = Result<pb::HistoryChunk, Status>> + Send>>;

            async fn hello(&self, _: Request<()>) -> Answer<()> {
                Ok(Response::new(()))
            }

            async fn get_work_items(&self, request: Request<pb::GetWorkItemsRequest>) -> Answer<WorkStream> {
                filters::check(request.get_ref().work_item_filters.as_ref())?;
                work::get_work_items(&self.hubs, request).await.map(Response::new)
            }

            async fn stream_instance_history(
                &self,
                request: Request<pb::StreamInstanceHistoryRequest>,
            ) -> Answer<Self::StreamInstanceHistoryStream> {
                history::stream_instance_history(&self.hubs, request).await.map(Response::new)
            }

            $(async fn $method(&self, request: Request<$request>) -> Answer<$response> {
                $topic::$method(&self.hubs, request).await.map(Response::new)
            })*
        }
    };
}

calls! {
    start_instance(pb::CreateInstanceRequest) -> pb::CreateInstanceResponse = start;
    restart_instance(pb::RestartInstanceRequest) -> pb::RestartInstanceResponse = start;
    get_instance(pb::GetInstanceRequest) -> pb::GetInstanceResponse = instances;
    wait_for_instance_start(pb::GetInstanceRequest) -> pb::GetInstanceResponse = instances;
    wait_for_instance_completion(pb::GetInstanceRequest) -> pb::GetInstanceResponse = instances;
    rewind_instance(pb::RewindInstanceRequest) -> pb::RewindInstanceResponse = instances;
    raise_event(pb::RaiseEventRequest) -> pb::RaiseEventResponse = instances;
    terminate_instance(pb::TerminateRequest) -> pb::TerminateResponse = instances;
    suspend_instance(pb::SuspendRequest) -> pb::SuspendResponse = instances;
    resume_instance(pb::ResumeRequest) -> pb::ResumeResponse = instances;
    skip_graceful_orchestration_terminations(pb::SkipGracefulOrchestrationTerminationsRequest)
        -> pb::SkipGracefulOrchestrationTerminationsResponse = instances;
    query_instances(pb::QueryInstancesRequest) -> pb::QueryInstancesResponse = queries;
    list_instance_ids(pb::ListInstanceIdsRequest) -> pb::ListInstanceIdsResponse = queries;
    purge_instances(pb::PurgeInstancesRequest) -> pb::PurgeInstancesResponse = purge;
    complete_activity_task(pb::ActivityResponse) -> pb::CompleteTaskResponse = work;
    complete_orchestrator_task(pb::OrchestratorResponse) -> pb::CompleteTaskResponse = work;
    complete_entity_task(pb::EntityBatchResult) -> pb::CompleteTaskResponse = work;
    abandon_task_activity_work_item(pb::AbandonActivityTaskRequest) -> pb::AbandonActivityTaskResponse = work;
    abandon_task_orchestrator_work_item(pb::AbandonOrchestrationTaskRequest)
        -> pb::AbandonOrchestrationTaskResponse = work;
    abandon_task_entity_work_item(pb::AbandonEntityTaskRequest) -> pb::AbandonEntityTaskResponse = work;
    create_task_hub(pb::CreateTaskHubRequest) -> pb::CreateTaskHubResponse = hubs;
    delete_task_hub(pb::DeleteTaskHubRequest) -> pb::DeleteTaskHubResponse = hubs;
    signal_entity(pb::SignalEntityRequest) -> pb::SignalEntityResponse = entities;
    get_entity(pb::GetEntityRequest) -> pb::GetEntityResponse = entities;
    query_entities(pb::QueryEntitiesRequest) -> pb::QueryEntitiesResponse = entities;
    clean_entity_storage(pb::CleanEntityStorageRequest) -> pb::CleanEntityStorageResponse = entities;
}
