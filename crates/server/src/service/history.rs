//! Histories, in chunks that fit into one message, read as fast as they are taken.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use everdure::ClientError;
use everdure_core::{Backend, ExecutionId, HistoryEvent, HistoryPart, HistoryTurn, InstanceId, InstanceRecord};
use everdure_proto::prost::Message;
use everdure_proto::{convert, pb};
use futures::{Stream, StreamExt};
use tonic::{Request, Status};

use super::{client_status, invalid};
use crate::dispatch::Asked;
use crate::hubs::{Hub, Hubs, store_status};

const CHUNK_BYTES: usize = 1024 * 1024;
/// Of what is read at once, a turn may be larger.
const READ_BYTES: u64 = 1024 * 1024;

type Chunks = Pin<Box<dyn Stream<Item = Result<pb::HistoryChunk, Status>> + Send>>;

pub(super) async fn stream_instance_history(
    hubs: &Hubs,
    request: Request<pb::StreamInstanceHistoryRequest>,
) -> Result<Chunks, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let id = convert::instance_id(&request.instance_id).map_err(invalid)?;
    let unknown = client_status(&ClientError::NotFound(id.clone()));
    if id.is_entity() {
        return Err(unknown);
    }
    let wanted = request.execution_id.filter(|id| !id.is_empty());
    // What is no id is that of no execution.
    let execution: Option<ExecutionId> = wanted.as_deref().map(str::parse).transpose().map_err(|_| unknown.clone())?;
    if !request.for_work_item_processing {
        return Stored::begin(&hub, id, execution, convert::client_event).await?.ok_or(unknown);
    }
    let asked = Asked { instance_id: request.instance_id, task_id: None };
    if let Some(events) = hub.dispatcher.history_of(&asked, wanted.as_deref()) {
        return Ok(Box::pin(futures::stream::iter(chunks(events).into_iter().map(Ok))));
    }
    let no_turn = Status::not_found(format!("no turn of instance '{id}' is under way"));
    // A balancer may have brought the call to another server than that which handed the turn out. What is to be replayed
    // is what is stored: the turn is not, as long as it is under way.
    if !is_elsewhere(&hub, &id).await? {
        return Err(no_turn);
    }
    Stored::begin(&hub, id, execution, convert::worker_event).await?.ok_or(no_turn)
}

async fn is_elsewhere(hub: &Hub, id: &InstanceId) -> Result<bool, Status> {
    let holders = hub.backend.get_holders(id.clone(), None).await.map_err(|error| store_status(&error))?;
    Ok(holders.iter().any(|node| *node != hub.node.node()))
}

/// A history on its way out of the store.
struct Stored {
    backend: Arc<dyn Backend>,
    id: InstanceId,
    execution: Option<ExecutionId>,
    seen: fn(&HistoryEvent) -> Option<pb::HistoryEvent>,
    /// The last turn that was read, and the last one that there was in the beginning.
    read: i64,
    until: i64,
    chunks: VecDeque<pb::HistoryChunk>,
}

impl Stored {
    /// `None` when there is no such execution.
    async fn begin(
        hub: &Hub,
        id: InstanceId,
        execution: Option<ExecutionId>,
        seen: fn(&HistoryEvent) -> Option<pb::HistoryEvent>,
    ) -> Result<Option<Chunks>, Status> {
        let backend = Arc::clone(&hub.backend);
        let mut stored = Self { backend, id, execution, seen, read: 0, until: 0, chunks: VecDeque::new() };
        let Some((record, turns)) = stored.part().await? else { return Ok(None) };
        (stored.execution, stored.until) = (Some(record.execution_id), record.turn);
        stored.take(Some(&record), &turns);
        let chunks = futures::stream::try_unfold(stored, |mut stored| async move {
            Ok(stored.next().await?.map(|chunk| (chunk, stored)))
        });
        Ok(Some(chunks.boxed()))
    }

    async fn part(&self) -> Result<Option<(InstanceRecord, Vec<HistoryTurn>)>, Status> {
        let (instance_id, execution_id) = (self.id.clone(), self.execution);
        let part = HistoryPart { instance_id, execution_id, after: self.read, bytes: READ_BYTES };
        self.backend.get_history_part(part).await.map_err(|error| store_status(&error))
    }

    /// Encodes turns; with `record` they are the first.
    fn take(&mut self, record: Option<&InstanceRecord>, turns: &[HistoryTurn]) {
        let mut started = record.map(InstanceRecord::started);
        let mut events = Vec::new();
        for turn in turns.iter().filter(|turn| turn.turn <= self.until) {
            let seen = convert::turn_events(started.as_ref(), turn, self.seen);
            events.extend(seen.map(|event| Bytes::from(event.encode_to_vec())));
            started = None;
        }
        // None left is the end.
        self.read = turns.last().map_or(self.until, |turn| turn.turn);
        self.chunks.extend(chunks(events));
    }

    async fn next(&mut self) -> Result<Option<pb::HistoryChunk>, Status> {
        while self.chunks.is_empty() && self.read < self.until {
            let (_, turns) = self.part().await?.ok_or_else(|| {
                Status::aborted(format!("instance '{}' was replaced or removed while its history was read", self.id))
            })?;
            self.take(None, &turns);
        }
        Ok(self.chunks.pop_front())
    }
}

fn chunks(events: Vec<Bytes>) -> Vec<pb::HistoryChunk> {
    let mut chunks = Vec::new();
    let mut chunk = pb::HistoryChunk::default();
    let mut bytes = 0;
    for event in events {
        if bytes + event.len() > CHUNK_BYTES && !chunk.events.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += event.len() + 8;
        chunk.events.push(event);
    }
    if !chunk.events.is_empty() {
        chunks.push(chunk);
    }
    chunks
}
