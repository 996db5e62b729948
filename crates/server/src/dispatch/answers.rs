//! Asking workers, and taking their answers.

use std::sync::Arc;

use everdure_core::NodeId;
use everdure_proto::pb;
use everdure_proto::pb::work_item::Request;
use everdure_proto::prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::items::{Answer, Asked, Group, Item, Reply};
use super::token::Token;
use super::{Dispatcher, Shared};

/// What the parts of one answer together may take.
const PARTS_BYTES: usize = 256 * 1024 * 1024;

/// Takes the item out when nobody waits for its answer any more.
struct Asking {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.finish(self.number);
    }
}

impl Shared {
    /// Asks a worker, and waits for what it says, however long that takes. The key is that of the rejections.
    pub(super) async fn ask(self: &Arc<Self>, key: &str, group: Group, asked: Asked, request: Request) -> Reply {
        let (reply, answered) = oneshot::channel();
        let rejected_by = self.rejections.by(key);
        let asking = {
            let node = self.node();
            let mut state = self.lock();
            let number = state.next();
            let token = Token { node, life: self.life, item: number, handout: 0 };
            let work = pb::WorkItem { request: Some(request), completion_token: String::new() };
            let (on, parts, part_bytes) = (None, std::collections::BTreeMap::new(), 0);
            let waits_since = Instant::now();
            let item = Item { group, asked, work, token, reply, rejected_by, on, waits_since, parts, part_bytes };
            if !state.add(number, item) {
                return Reply::NotTaken;
            }
            Asking { shared: Arc::clone(self), number }
        };
        let reply = answered.await.unwrap_or(Reply::NotTaken);
        drop(asking);
        reply
    }

    fn finish(&self, number: u64) -> Option<Item> {
        let (item, freed) = self.lock().remove(number)?;
        if freed {
            self.tell(item.group.kind);
        }
        Some(item)
    }
}

/// An item that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    item: u64,
    /// Which time it was; answers without a token do not say.
    handout: Option<u32>,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It is kept, or belongs to nobody any more.
    Taken,
    /// With those before it, it is too large.
    TooLarge,
}

/// Where an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressee {
    /// An item of this server.
    Item(Handed),
    /// An item of the server of that node.
    Elsewhere(NodeId),
    /// It has no token, and no item of this server fits: one of another server may.
    Unknown,
    /// Nobody waits for it any more.
    Nobody,
}

impl Dispatcher {
    /// Finds the item by its token; without one, as older SDKs answer, by what was asked.
    pub fn addressee(&self, token: &str, asked: &Asked) -> Addressee {
        if token.is_empty() {
            let found = self.0.lock().find(asked);
            return found.map_or(Addressee::Unknown, |item| Addressee::Item(Handed { item, handout: None }));
        }
        match token.parse::<Token>() {
            Ok(token) if token.life == self.0.life => {
                Addressee::Item(Handed { item: token.item, handout: Some(token.handout) })
            }
            Ok(token) => Addressee::Elsewhere(token.node),
            Err(()) => Addressee::Nobody,
        }
    }

    /// Hands an answer over; `false` when nobody waits for it any more, or for another kind of answer. The first one
    /// counts, also that of a worker whose stream has ended; but only who has the item can give it back.
    pub fn answer(&self, to: Handed, answer: Answer) -> bool {
        let mut state = self.0.lock();
        let fits = |item: &mut Item| {
            let its = if answer.gives_back() { item.is_with(to.handout) } else { item.was_with(to.handout) };
            its && answer.fits(item.group.kind)
        };
        if !state.item_mut(to.item).is_some_and(fits) {
            return false;
        }
        drop(state);
        let Some(item) = self.0.finish(to.item) else { return false };
        let reply = if answer.gives_back() { Reply::GivenBack(item.on) } else { Reply::Answered(answer) };
        item.reply.send(reply).is_ok()
    }

    /// Takes a turn back from the worker that has it; what that worker says later goes nowhere.
    pub fn recall(&self, asked: &Asked) {
        let item = self.0.lock().find(asked);
        if let Some(item) = item.and_then(|item| self.0.finish(item)) {
            // Who waits no more has given it up already.
            let _ = item.reply.send(Reply::NotTaken);
        }
    }

    /// Keeps a part of an answer until the rest has come; a part that comes twice counts once.
    pub fn keep_part(&self, of: Handed, number: i32, actions: Vec<pb::OrchestratorAction>) -> Part {
        let mut state = self.0.lock();
        let Some(item) = state.item_mut(of.item).filter(|item| item.is_with(of.handout)) else { return Part::Taken };
        if item.parts.contains_key(&number) {
            return Part::Taken;
        }
        item.part_bytes += actions.iter().map(Message::encoded_len).sum::<usize>();
        if item.part_bytes > PARTS_BYTES {
            return Part::TooLarge;
        }
        item.parts.insert(number, actions);
        Part::Taken
    }

    /// The parts before the last one, in order. `None` when some are missing: they were lost with the stream of their
    /// worker, and half an answer is none.
    pub fn take_parts(&self, of: Handed, last: i32) -> Option<Vec<pb::OrchestratorAction>> {
        let mut state = self.0.lock();
        let item = state.item_mut(of.item).filter(|item| item.is_with(of.handout))?;
        let parts = std::mem::take(&mut item.parts);
        let whole = (0..last).all(|number| parts.contains_key(&number));
        whole.then(|| parts.into_iter().take_while(|(number, _)| *number < last).flat_map(|(_, part)| part).collect())
    }

    /// The history that goes with a turn under way.
    pub fn history_of(&self, asked: &Asked, execution_id: Option<&str>) -> Option<Vec<bytes::Bytes>> {
        let mut state = self.0.lock();
        let number = state.find(asked)?;
        match &state.item_mut(number)?.work.request {
            Some(Request::OrchestratorRequest(request))
                if execution_id.is_none() || request.execution_id.as_deref() == execution_id =>
            {
                Some(request.past_events.clone())
            }
            _ => None,
        }
    }
}
