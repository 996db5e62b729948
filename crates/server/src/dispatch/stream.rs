//! Streams of work items.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use everdure_proto::pb;
use everdure_proto::pb::work_item::Request;
use everdure_proto::prost::Message;
use futures::Stream;
use tokio::sync::mpsc;
use tonic::Status;

use super::filters::{Kind, WorkerFilter};
use super::queue::{Connected, MOST_UNSENT};
use super::{Dispatcher, Shared};

/// SDKs give up a stream on which nothing came for two minutes.
const PING: Duration = Duration::from_secs(20);

/// Histories above this size are fetched by workers that can, instead of being sent along.
const STREAMED_ABOVE: usize = 1024 * 1024;

/// What the worker of a stream can do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    /// It fetches long histories by itself.
    pub history_streaming: bool,
}

impl Capabilities {
    /// The item as this worker wants it.
    pub(super) fn suit(self, mut work: pb::WorkItem) -> pb::WorkItem {
        if let Some(Request::OrchestratorRequest(request)) = &mut work.request
            && self.history_streaming
            && request.past_events.iter().map(bytes::Bytes::len).sum::<usize>() > STREAMED_ABOVE
        {
            request.past_events.clear();
            request.requires_history_streaming = true;
        }
        work
    }
}

/// The items for one worker, with a sign of life now and then. Dropping it gives back what the worker had.
pub(crate) struct WorkStream {
    items: mpsc::UnboundedReceiver<pb::WorkItem>,
    ping: tokio::time::Interval,
    id: u64,
    unsent: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    /// Hub and agent, for the log.
    who: (String, String),
    /// Whether this server ended it.
    sent_away: bool,
}

impl Dispatcher {
    /// Connects a worker.
    pub fn connect(&self, filter: WorkerFilter, capabilities: Capabilities, limits: [usize; 3]) -> WorkStream {
        let (sender, items) = mpsc::unbounded_channel();
        let unsent = Arc::new(AtomicUsize::new(0));
        let mut state = self.0.lock();
        let id = state.next();
        if !state.closing {
            state.streams.insert(
                id,
                Connected {
                    filter,
                    capabilities,
                    limits,
                    taken: [0; 3],
                    served: 0,
                    sender,
                    unsent: Arc::clone(&unsent),
                },
            );
            state.fill(id);
        }
        drop(state);
        self.0.tell(Kind::Orchestration);
        self.0.tell(Kind::Activity);
        let ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        let shared = Arc::clone(&self.0);
        WorkStream { items, ping, id, unsent, shared, who: Default::default(), sent_away: false }
    }

    /// How many workers are connected.
    pub fn workers(&self) -> usize {
        self.0.lock().streams.len()
    }

    /// Items that workers have, and that wait for one, by kind.
    pub fn load(&self) -> [(usize, usize); 3] {
        let state = self.0.lock();
        Kind::ALL.map(|kind| {
            let taken = state.streams.values().map(|stream| stream.taken[kind.index()]).sum();
            (taken, state.waiting_of(kind))
        })
    }

    /// Hands out nothing any more; waits until what workers have is answered, for up to `patience`; ends the streams.
    pub async fn drain(&self, patience: Duration) {
        {
            let mut state = self.0.lock();
            state.closing = true;
            self.0.closing.cancel();
            state.give_back_untaken();
        }
        let begun = tokio::time::Instant::now();
        while self.0.lock().in_flight() > 0 && begun.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut state = self.0.lock();
        let streams: Vec<_> = state.streams.keys().copied().collect();
        streams.into_iter().for_each(|stream| state.end_stream(stream));
    }
}

impl Stream for WorkStream {
    type Item = Result<pb::WorkItem, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(item) = self.items.poll_recv(context) {
            self.ping.reset();
            match &item {
                Some(item) => self.sent(item.encoded_len()),
                None => self.sent_away = true,
            }
            return Poll::Ready(item.map(Ok));
        }
        if self.ping.poll_tick(context).is_ready() {
            let request = Some(Request::HealthPing(pb::HealthPing {}));
            return Poll::Ready(Some(Ok(pb::WorkItem { request, completion_token: String::new() })));
        }
        Poll::Pending
    }
}

impl WorkStream {
    /// Tells the log whose stream begins here.
    pub fn announce(mut self, hub: &str, agent: &str, from: Option<SocketAddr>) -> Self {
        let from = from.map(tracing::field::display);
        tracing::info!(hub, stream = self.id, agent, from, "a worker has connected");
        self.who = (hub.to_owned(), agent.to_owned());
        self
    }

    /// The connection has taken so many bytes: there may be room for more.
    fn sent(&self, bytes: usize) {
        let before = self.unsent.fetch_sub(bytes, Ordering::Relaxed);
        if before > MOST_UNSENT && before - bytes <= MOST_UNSENT {
            self.shared.lock().fill(self.id);
            Kind::ALL.into_iter().for_each(|kind| self.shared.tell(kind));
        }
    }
}

impl Drop for WorkStream {
    fn drop(&mut self) {
        let (hub, agent) = &self.who;
        let reason = if self.sent_away { "this server ended its stream" } else { "it ended its stream, or was lost" };
        tracing::info!(hub, stream = self.id, agent, reason, "a worker has gone");
        self.shared.lock().end_stream(self.id);
    }
}
