//! The other servers of a database: an answer that a load balancer brought to the wrong one is handed on.
//!
//! A token names the node that waits for its answer. A live one is told, and the worker hears what it says, after its
//! commit; one that cannot be reached is UNAVAILABLE, so that the worker tries again; of a dead one nobody waits. What
//! was handed on says for which node it is, so that a server whose address leads elsewhere is not taken for a dead one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use everdure_core::{InstanceId, NodeId, Whereabouts};
use everdure_proto::pb;
use everdure_proto::pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::dispatch::Asked;
use crate::hubs::{Hub, store_status};

/// On calls that were handed on, to the node that it names: nobody hands them on again.
const FORWARDED: &str = "x-everdure-forwarded";

/// How long it may take to reach another server.
const CONNECT: Duration = Duration::from_secs(3);

/// How often another server that owes an answer is asked whether it lives, and how long it has to say so.
const ALIVE: Duration = Duration::from_secs(5);

/// Connections to other servers, by address.
#[derive(Default)]
pub(crate) struct Peers(Mutex<HashMap<String, Channel>>);

impl Peers {
    /// The nodes that an answer without a token may be for. Their servers find the item as this one would have.
    pub async fn holders<T>(&self, hub: &Hub, request: &Request<T>, asked: &Asked) -> Result<Vec<NodeId>, Status> {
        let Ok(id) = InstanceId::new(asked.instance_id.as_str()) else { return Ok(Vec::new()) };
        if let Some(node) = handed_on_to(request.metadata()) {
            refuse_strays(hub, node).await?;
            return Ok(Vec::new());
        }
        let mut nodes = hub.backend.get_holders(id, asked.task_id).await.map_err(|error| store_status(&error))?;
        nodes.retain(|node| *node != hub.node.node());
        Ok(nodes)
    }

    /// Where that node is reached; `None` when it does not live.
    async fn client(
        &self,
        hub: &Hub,
        node: NodeId,
        metadata: &MetadataMap,
    ) -> Result<Option<TaskHubSidecarServiceClient<Channel>>, Status> {
        if handed_on_to(metadata).is_some() {
            refuse_strays(hub, node).await?;
            return Ok(None);
        }
        // From an earlier life of this very server: whoever waited has gone.
        if node == hub.node.node() {
            return Ok(None);
        }
        let address = match whereabouts(hub, node).await? {
            Whereabouts::Gone => return Ok(None),
            Whereabouts::Untold => {
                return Err(Status::unavailable(format!(
                    "this answer is for node {node}, whose server has told no address: start it with --advertise"
                )));
            }
            Whereabouts::At(address) => address,
        };
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&address) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))
                    .map_err(|_| Status::unavailable(format!("'{address}' is no address of a server")))?;
                // One that is frozen, or cut off, keeps its connections and says nothing.
                let endpoint = endpoint
                    .connect_timeout(CONNECT)
                    .http2_keep_alive_interval(ALIVE)
                    .keep_alive_timeout(ALIVE)
                    .keep_alive_while_idle(true);
                let channel = endpoint.connect_lazy();
                channels.insert(address, channel.clone());
                channel
            }
        };
        let client = TaskHubSidecarServiceClient::new(channel);
        Ok(Some(client.max_encoding_message_size(usize::MAX).max_decoding_message_size(usize::MAX)))
    }
}

async fn whereabouts(hub: &Hub, node: NodeId) -> Result<Whereabouts, Status> {
    hub.backend.get_node(node).await.map_err(|error| store_status(&error))
}

/// The node that another server meant; no node of this hub when that server does not say.
fn handed_on_to(metadata: &MetadataMap) -> Option<NodeId> {
    let value = metadata.get(FORWARDED)?;
    Some(NodeId(value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or_default()))
}

/// Nobody waits here for what was handed on: right if that node is this one or gone, wrong if it lives elsewhere.
async fn refuse_strays(hub: &Hub, node: NodeId) -> Result<(), Status> {
    if node == hub.node.node() || whereabouts(hub, node).await? == Whereabouts::Gone {
        return Ok(());
    }
    Err(Status::unavailable(format!(
        "this answer is for node {node}, whose address leads to another server: check its --advertise"
    )))
}

/// Whether the server said this, and not what lies between.
fn is_its_answer(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted | Code::FailedPrecondition | Code::NotFound)
}

macro_rules! forward {
    ($($method:ident($request:ident) -> $response:ident;)*) => {
        impl Peers {
            $(
                /// Hands the call on to the server of that node.
                pub async fn $method(
                    &self,
                    hub: &Hub,
                    node: NodeId,
                    request: Request<pb::$request>,
                ) -> Result<pb::$response, Status> {
                    let Some(mut client) = self.client(hub, node, request.metadata()).await? else {
                        return Ok(pb::$response {});
                    };
                    let mut onward = Request::new(request.into_inner());
                    let name = MetadataValue::try_from(hub.name.as_str())
                        .map_err(|_| Status::invalid_argument("the `taskhub` header is no text"))?;
                    onward.metadata_mut().insert("taskhub", name);
                    onward.metadata_mut().insert(FORWARDED, MetadataValue::from(node.0));
                    match client.$method(onward).await {
                        Ok(answer) => Ok(answer.into_inner()),
                        Err(status) if is_its_answer(&status) => Err(status),
                        // It died before it could answer: nobody waits any more.
                        Err(_) if whereabouts(hub, node).await? == Whereabouts::Gone => Ok(pb::$response {}),
                        Err(status) => Err(Status::unavailable(format!(
                            "this answer is for node {node}, whose server was not reached: {}", status.message()
                        ))),
                    }
                }
            )*
        }
    };
}

forward! {
    complete_activity_task(ActivityResponse) -> CompleteTaskResponse;
    complete_orchestrator_task(OrchestratorResponse) -> CompleteTaskResponse;
    complete_entity_task(EntityBatchResult) -> CompleteTaskResponse;
    abandon_task_activity_work_item(AbandonActivityTaskRequest) -> AbandonActivityTaskResponse;
    abandon_task_orchestrator_work_item(AbandonOrchestrationTaskRequest) -> AbandonOrchestrationTaskResponse;
    abandon_task_entity_work_item(AbandonEntityTaskRequest) -> AbandonEntityTaskResponse;
}
