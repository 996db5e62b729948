//! Workers: their streams, and what they answer.

use everdure_proto::{convert, pb};
use futures::future::join_all;
use tokio::sync::oneshot;
use tonic::{Request, Status};

use crate::dispatch::{Addressee, Answer, Asked, Capabilities, Part, WorkStream, WorkerFilter};
use crate::hubs::Hubs;

/// However much a worker says that it takes, it has no more at once than so many times what is usual.
const MOST_OF_USUAL: usize = 10;

pub(super) async fn get_work_items(
    hubs: &Hubs,
    request: Request<pb::GetWorkItemsRequest>,
) -> Result<WorkStream, Status> {
    if hubs.draining.is_cancelled() {
        // SDKs connect anew at once when a stream ends without an error.
        return Err(Status::unavailable("this server is stopping: ask another one"));
    }
    let hub = hubs.of(&request).await?;
    let from = request.remote_addr();
    let agent = request.metadata().get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent = agent.to_owned();
    let silent = agent.contains("grpc-go") || agent.contains("grpc-java");
    let request = request.into_inner();
    let wanted = [
        request.max_concurrent_orchestration_work_items,
        request.max_concurrent_activity_work_items,
        request.max_concurrent_entity_work_items,
    ];
    let usual = hubs.options().items_per_worker;
    let limit = |wanted: i32| {
        let wanted = usize::try_from(wanted).ok().filter(|wanted| *wanted > 0).unwrap_or(usual);
        wanted.min(usual.saturating_mul(MOST_OF_USUAL))
    };
    // The Go SDK, and older ones for Java, say nothing of themselves, and do not know entities.
    let knows_entities = !(silent && wanted == [0; 3] && request.capabilities.is_empty());
    let filter = WorkerFilter::new(request.work_item_filters, knows_entities);
    let history_streaming = request.capabilities.contains(&pb::WorkerCapability::HistoryStreaming.into());
    let stream = hub.dispatcher.connect(filter, Capabilities { history_streaming }, wanted.map(limit));
    Ok(stream.announce(&hub.name, &agent, from))
}

/// The same answer, for one more server.
fn copy<T: Clone>(request: &Request<T>) -> Request<T> {
    Request::new(request.get_ref().clone())
}

pub(super) async fn complete_activity_task(
    hubs: &Hubs,
    request: Request<pb::ActivityResponse>,
) -> Result<pb::CompleteTaskResponse, Status> {
    let hub = hubs.of(&request).await?;
    let asked = Asked { instance_id: request.get_ref().instance_id.clone(), task_id: Some(request.get_ref().task_id) };
    let item = match hub.dispatcher.addressee(&request.get_ref().completion_token, &asked) {
        Addressee::Item(item) => item,
        Addressee::Elsewhere(node) => {
            return hubs.peers.complete_activity_task(&hub, node, request).await;
        }
        Addressee::Unknown => {
            let holders = hubs.peers.holders(&hub, &request, &asked).await?;
            // Any of them may be the one that waits, also when another one cannot be reached.
            let told = holders.into_iter().map(|node| hubs.peers.complete_activity_task(&hub, node, copy(&request)));
            return join_all(told).await.into_iter().fold(Ok(pb::CompleteTaskResponse {}), Result::and);
        }
        Addressee::Nobody => return Ok(pb::CompleteTaskResponse {}),
    };
    let (ack, durable) = oneshot::channel();
    let patient = request.metadata().contains_key(convert::PATIENT);
    // A result that nobody wants, or whose node has lost its lease, is not asked for again by its sender: who wants it
    // has the activity run again.
    if hub.dispatcher.answer(item, Answer::Activity(Box::new(request.into_inner()), ack, patient)) {
        let _ = durable.await;
    }
    Ok(pb::CompleteTaskResponse {})
}

pub(super) async fn complete_orchestrator_task(
    hubs: &Hubs,
    request: Request<pb::OrchestratorResponse>,
) -> Result<pb::CompleteTaskResponse, Status> {
    let hub = hubs.of(&request).await?;
    let asked = Asked { instance_id: request.get_ref().instance_id.clone(), task_id: None };
    let item = match hub.dispatcher.addressee(&request.get_ref().completion_token, &asked) {
        Addressee::Item(item) => item,
        Addressee::Elsewhere(node) => {
            return hubs.peers.complete_orchestrator_task(&hub, node, request).await;
        }
        Addressee::Unknown => {
            let holders = hubs.peers.holders(&hub, &request, &asked).await?;
            // Any of them may be the one that waits, also when another one cannot be reached.
            let told =
                holders.into_iter().map(|node| hubs.peers.complete_orchestrator_task(&hub, node, copy(&request)));
            return join_all(told).await.into_iter().fold(Ok(pb::CompleteTaskResponse {}), Result::and);
        }
        Addressee::Nobody => return Ok(pb::CompleteTaskResponse {}),
    };
    let mut response = request.into_inner();
    #[expect(deprecated, reason = "SDKs in use send large answers in parts")]
    let (is_part, number) = (response.is_partial, response.chunk_index.unwrap_or(0));
    if is_part {
        return match hub.dispatcher.keep_part(item, number, response.actions) {
            Part::Taken => Ok(pb::CompleteTaskResponse {}),
            Part::TooLarge => {
                let message = "the parts of this answer are too large together: do less in a turn";
                Err(Status::resource_exhausted(message))
            }
        };
    }
    if number > 0 {
        let Some(mut actions) = hub.dispatcher.take_parts(item, number) else {
            // Whoever has the item is asked again: what half of an answer means, nobody knows.
            hub.dispatcher.answer(item, Answer::Abandoned);
            return Ok(pb::CompleteTaskResponse {});
        };
        if response.num_events_processed == Some(0) {
            // Some SDKs count the events with the first part, and none with those after it.
            response.num_events_processed = None;
        }
        actions.append(&mut response.actions);
        response.actions = actions;
    }
    let (ack, durable) = oneshot::channel();
    if hub.dispatcher.answer(item, Answer::Orchestration(Box::new(response), ack)) {
        // A turn that was lost is asked for again: there is nothing to send again.
        let _ = durable.await;
    }
    Ok(pb::CompleteTaskResponse {})
}

pub(super) async fn complete_entity_task(
    hubs: &Hubs,
    request: Request<pb::EntityBatchResult>,
) -> Result<pb::CompleteTaskResponse, Status> {
    let hub = hubs.of(&request).await?;
    let item = match hub.dispatcher.addressee(&request.get_ref().completion_token, &NOBODY) {
        Addressee::Item(item) => item,
        Addressee::Elsewhere(node) => return hubs.peers.complete_entity_task(&hub, node, request).await,
        Addressee::Unknown | Addressee::Nobody => return Ok(pb::CompleteTaskResponse {}),
    };
    let (ack, durable) = oneshot::channel();
    // A batch that was lost is asked for again: there is nothing to send again.
    if hub.dispatcher.answer(item, Answer::Entity(Box::new(request.into_inner()), ack)) {
        let _ = durable.await;
    }
    Ok(pb::CompleteTaskResponse {})
}

/// An item that only its token finds.
const NOBODY: Asked = Asked { instance_id: String::new(), task_id: None };

macro_rules! abandon {
    ($($method:ident($request:ident) -> $response:ident;)*) => {$(
        /// The worker gives an item back; one that is gone is given back already.
        pub(super) async fn $method(
            hubs: &Hubs,
            request: Request<pb::$request>,
        ) -> Result<pb::$response, Status> {
            let hub = hubs.of(&request).await?;
            match hub.dispatcher.addressee(&request.get_ref().completion_token, &NOBODY) {
                Addressee::Item(item) => {
                    hub.dispatcher.answer(item, Answer::Abandoned);
                }
                Addressee::Elsewhere(node) => return hubs.peers.$method(&hub, node, request).await,
                Addressee::Unknown | Addressee::Nobody => {}
            }
            Ok(pb::$response {})
        }
    )*};
}

abandon! {
    abandon_task_activity_work_item(AbandonActivityTaskRequest) -> AbandonActivityTaskResponse;
    abandon_task_orchestrator_work_item(AbandonOrchestrationTaskRequest) -> AbandonOrchestrationTaskResponse;
    abandon_task_entity_work_item(AbandonEntityTaskRequest) -> AbandonEntityTaskResponse;
}
