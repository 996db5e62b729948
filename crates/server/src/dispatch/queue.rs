//! The streams, the items, and who gets what. Pure bookkeeping under one lock; nothing here waits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everdure_core::NameFilter;
use everdure_engine::Places;
use everdure_proto::pb;
use everdure_proto::prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::filters::{Kind, WorkerFilter};
use super::items::{Asked, Group, Item, Reply};
use super::stream::Capabilities;

/// A connected worker.
pub(super) struct Connected {
    pub filter: WorkerFilter,
    pub capabilities: Capabilities,
    /// How many items of each kind it takes at once, and has.
    pub limits: [usize; 3],
    pub taken: [usize; 3],
    /// When it was given something last, in the order of all such times.
    pub served: u64,
    pub sender: mpsc::UnboundedSender<pb::WorkItem>,
    /// Bytes given to the stream that its connection has not taken.
    pub unsent: Arc<AtomicUsize>,
}

/// A worker that does not read gets no more than so many bytes, and one item.
pub(super) const MOST_UNSENT: usize = 32 * 1024 * 1024;

impl Connected {
    /// How many more items of the kind it takes now.
    fn free(&self, kind: Kind) -> usize {
        if self.filter.names(kind).is_empty() || self.unsent.load(Ordering::Relaxed) > MOST_UNSENT {
            return 0;
        }
        self.limits[kind.index()].saturating_sub(self.taken[kind.index()])
    }
}

#[derive(Default)]
pub(super) struct State {
    pub streams: BTreeMap<u64, Connected>,
    items: HashMap<u64, Item>,
    asked: BTreeMap<Asked, u64>,
    /// Items that no stream has room for, oldest first.
    waiting: BTreeMap<Group, VecDeque<u64>>,
    last: u64,
    /// Nothing new is handed out.
    pub closing: bool,
}

impl State {
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn is_taken(&self, kind: Kind, name: &str, version: Option<&str>) -> bool {
        !self.closing && self.streams.values().any(|stream| stream.filter.takes(kind, name, version))
    }

    /// What is asked of the store. What waits here waits for other streams than those that have free places, and takes
    /// nothing away from them.
    pub fn places(&self, kind: Kind) -> Vec<Places> {
        let mut places: BTreeMap<&[NameFilter], usize> = BTreeMap::new();
        for stream in self.streams.values().filter(|stream| !self.closing && stream.free(kind) > 0) {
            *places.entry(stream.filter.names(kind)).or_default() += stream.free(kind);
        }
        places.into_iter().map(|(names, free)| Places { names: names.to_vec(), free }).collect()
    }

    /// How many more of such items the streams take now; `None` when no stream takes them at all.
    pub fn room(&self, kind: Kind, name: &str, version: Option<&str>) -> Option<usize> {
        let mut taking = self.streams.values().filter(|stream| stream.filter.takes(kind, name, version)).peekable();
        taking.peek().filter(|_| !self.closing)?;
        Some(taking.map(|stream| stream.free(kind)).sum())
    }

    pub fn waiting_of(&self, kind: Kind) -> usize {
        self.waiting.iter().filter(|(group, _)| group.kind == kind).map(|(_, items)| items.len()).sum()
    }

    pub fn in_flight(&self) -> usize {
        self.items.values().filter(|item| item.on.is_some()).count()
    }

    /// Gives the item to a stream, or has it wait for one; `false` when no stream takes such items.
    pub fn add(&mut self, number: u64, item: Item) -> bool {
        let Group { kind, name, version } = &item.group;
        if !self.is_taken(*kind, name, version.as_deref()) {
            return false;
        }
        self.asked.insert(item.asked.clone(), number);
        self.items.insert(number, item);
        self.place(number);
        true
    }

    fn place(&mut self, number: u64) {
        let Some(item) = self.items.get(&number) else { return };
        let Group { kind, name, version } = &item.group;
        let takes =
            |stream: &&Connected| stream.free(*kind) > 0 && stream.filter.takes(*kind, name, version.as_deref());
        // Of those with the most room, who has had nothing for the longest time.
        let rank =
            |id: &u64, stream: &Connected| (!item.rejected_by.contains(id), stream.free(*kind), Reverse(stream.served));
        let best = self.streams.iter().filter(|(_, stream)| takes(stream)).max_by_key(|(id, stream)| rank(id, stream));
        match best.map(|(id, _)| *id) {
            Some(stream) if !self.closing => self.hand_out(number, stream),
            _ => self.waiting.entry(item.group.clone()).or_default().push_back(number),
        }
    }

    fn hand_out(&mut self, number: u64, to: u64) {
        let served = self.next();
        let (Some(item), Some(stream)) = (self.items.get_mut(&number), self.streams.get_mut(&to)) else { return };
        item.on = Some(to);
        item.token.handout += 1;
        item.parts.clear();
        item.part_bytes = 0;
        stream.taken[item.group.kind.index()] += 1;
        stream.served = served;
        // A stream that ends just now gives it back when it is removed.
        let mut work = stream.capabilities.suit(item.work.clone());
        work.completion_token = item.token.to_string();
        stream.unsent.fetch_add(work.encoded_len(), Ordering::Relaxed);
        let _ = stream.sender.send(work);
    }

    /// Fills the stream with what waits, oldest first.
    pub fn fill(&mut self, stream: u64) {
        if self.closing {
            return;
        }
        for kind in Kind::ALL {
            while let Some(number) = self.oldest_for(stream, kind) {
                self.hand_out(number, stream);
            }
        }
    }

    fn oldest_for(&mut self, stream: u64, kind: Kind) -> Option<u64> {
        let connected = self.streams.get(&stream).filter(|stream| stream.free(kind) > 0)?;
        let mine =
            |group: &Group| group.kind == kind && connected.filter.takes(kind, &group.name, group.version.as_deref());
        let oldest =
            self.waiting.iter().filter(|(group, _)| mine(group)).min_by_key(|(_, items)| items.front().copied());
        let group = oldest?.0.clone();
        let items = self.waiting.get_mut(&group)?;
        let number = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(&group);
        }
        number
    }

    pub fn find(&self, asked: &Asked) -> Option<u64> {
        self.asked.get(asked).copied()
    }

    pub fn item_mut(&mut self, number: u64) -> Option<&mut Item> {
        self.items.get_mut(&number)
    }

    /// Takes an item out and fills its place; tells whether its stream has a free place that it did not have before.
    pub fn remove(&mut self, number: u64) -> Option<(Item, bool)> {
        if self.items.get(&number)?.on.is_none() {
            self.leave_queue(number);
        }
        let item = self.items.remove(&number)?;
        if self.asked.get(&item.asked) == Some(&number) {
            self.asked.remove(&item.asked);
        }
        let kind = item.group.kind;
        let mut freed = false;
        if let Some(stream) = item.on {
            if let Some(connected) = self.streams.get_mut(&stream) {
                freed = connected.free(kind) == 0;
                connected.taken[kind.index()] -= 1;
            }
            self.fill(stream);
            freed &= self.streams.get(&stream).is_some_and(|connected| connected.free(kind) > 0);
        }
        Some((item, freed))
    }

    /// Ends a stream: what it had goes to others, and what nobody takes any more is given back.
    pub fn end_stream(&mut self, stream: u64) {
        self.streams.remove(&stream);
        let mut had: Vec<_> =
            self.items.iter().filter(|(_, item)| item.on == Some(stream)).map(|(number, _)| *number).collect();
        had.sort_unstable();
        for number in had {
            if !self.closing && self.items.get(&number).is_some_and(Item::is_large) {
                // The worker may have ended its stream because of it: its neighbours get their turn first. A stream that the
                // server itself ends says nothing of that.
                if let Some(item) = self.items.remove(&number) {
                    self.asked.remove(&item.asked);
                    // Who waits no more has given it up already.
                    let _ = item.reply.send(Reply::TooLarge(item.work.encoded_len()));
                }
                continue;
            }
            if let Some(item) = self.items.get_mut(&number) {
                item.on = None;
                item.waits_since = Instant::now();
            }
            self.place(number);
        }
        self.give_back_untaken();
    }

    /// Gives back what waits and no stream takes.
    pub fn give_back_untaken(&mut self) {
        let untaken = |state: &Self, group: &Group| !state.is_taken(group.kind, &group.name, group.version.as_deref());
        let groups: Vec<_> = self.waiting.keys().filter(|group| untaken(self, group)).cloned().collect();
        for group in groups {
            for number in self.waiting.remove(&group).unwrap_or_default() {
                self.give_back(number);
            }
        }
    }

    /// Gives back what no stream has had room for since then, at most so many.
    pub fn give_back_waiting(&mut self, since: Instant, most: usize) {
        let waits = |number: &u64| self.items.get(number).is_some_and(|item| item.waits_since <= since);
        let surplus = self.waiting.values().flatten().copied().filter(waits).take(most);
        for number in surplus.collect::<Vec<_>>() {
            self.leave_queue(number);
            self.give_back(number);
        }
    }

    fn give_back(&mut self, number: u64) {
        if let Some(item) = self.items.remove(&number) {
            self.asked.remove(&item.asked);
            // Who waits no more has given it up already.
            let _ = item.reply.send(Reply::NotTaken);
        }
    }

    fn leave_queue(&mut self, number: u64) {
        let Some(group) = self.items.get(&number).map(|item| &item.group) else { return };
        if let Some(items) = self.waiting.get_mut(group) {
            items.retain(|waiting| *waiting != number);
            if items.is_empty() {
                self.waiting.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::token::Token;
    use everdure_core::NodeId;
    use tokio::sync::oneshot;

    /// A stream that takes these activities, so many at once, and nothing else.
    fn connect(state: &mut State, names: &[&str], limit: usize) -> (u64, mpsc::UnboundedReceiver<pb::WorkItem>) {
        let activities = names.iter().map(|name| pb::ActivityFilter { name: (*name).to_owned(), versions: Vec::new() });
        let filters = pb::WorkItemFilters { activities: activities.collect(), ..pb::WorkItemFilters::default() };
        let (sender, items) = mpsc::unbounded_channel();
        let id = state.next();
        let connected = Connected {
            filter: WorkerFilter::new(Some(filters), true),
            capabilities: Capabilities::default(),
            limits: [limit; 3],
            taken: [0; 3],
            served: 0,
            sender,
            unsent: Arc::default(),
        };
        state.streams.insert(id, connected);
        (id, items)
    }

    fn add(state: &mut State, name: &str, rejected_by: &[u64], bytes: usize) -> oneshot::Receiver<Reply> {
        let number = state.next();
        let (reply, replied) = oneshot::channel();
        let request = pb::ActivityRequest { input: Some("x".repeat(bytes)), ..pb::ActivityRequest::default() };
        let request = Some(pb::work_item::Request::ActivityRequest(request));
        let item = Item {
            group: Group { kind: Kind::Activity, name: name.to_owned(), version: None },
            asked: Asked { instance_id: number.to_string(), task_id: Some(1) },
            work: pb::WorkItem { request, completion_token: String::new() },
            token: Token { node: NodeId(1), life: 1, item: number, handout: 0 },
            reply,
            rejected_by: rejected_by.to_vec(),
            on: None,
            waits_since: Instant::now(),
            parts: BTreeMap::new(),
            part_bytes: 0,
        };
        assert!(state.add(number, item));
        replied
    }

    fn room(state: &State, name: &str) -> Option<usize> {
        state.room(Kind::Activity, name, None)
    }

    #[test]
    fn what_waits_takes_no_room_from_others() {
        let mut state = State::default();
        let (_slow, _items) = connect(&mut state, &["slow"], 1);
        let (_fast, _more) = connect(&mut state, &["fast", "both"], 3);
        let (_also, _most) = connect(&mut state, &["fast", "both"], 2);
        assert_eq!((room(&state, "slow"), room(&state, "fast"), room(&state, "other")), (Some(1), Some(5), None));
        let waiting: Vec<_> = (0..10).map(|_| add(&mut state, "slow", &[], 1)).collect();
        assert_eq!((room(&state, "slow"), room(&state, "both")), (Some(0), Some(5)));
        let places = state.places(Kind::Activity);
        assert_eq!(places.iter().map(|places| (places.names.len(), places.free)).collect::<Vec<_>>(), [(2, 5)]);
        // A filter without names of a kind has no room for it.
        assert!(state.places(Kind::Orchestration).is_empty());
        drop(waiting);
    }

    #[test]
    fn what_waits_for_long_goes_back_a_little_at_a_time() {
        let mut state = State::default();
        let (stream, mut items) = connect(&mut state, &["a"], 1);
        let mut replies: Vec<_> = (0..4).map(|_| add(&mut state, "a", &[], 1)).collect();
        state.give_back_waiting(Instant::now() - std::time::Duration::from_secs(1), 9);
        assert!(replies.iter_mut().all(|reply| reply.try_recv().is_err()));
        state.give_back_waiting(Instant::now(), 2);
        let back = replies.iter_mut().map(|reply| matches!(reply.try_recv(), Ok(Reply::NotTaken)));
        assert_eq!(back.collect::<Vec<_>>(), [false, true, true, false]);
        // Who has the first one gets the last one next.
        let first = items.try_recv().ok().and_then(|work| work.completion_token.parse::<Token>().ok());
        let freed = first.and_then(|token| state.remove(token.item)).map(|(_, freed)| freed);
        assert!(freed == Some(false) && items.try_recv().is_ok() && state.waiting_of(Kind::Activity) == 0);
        state.end_stream(stream);
    }

    #[test]
    fn equals_take_turns_and_who_gave_back_comes_last() {
        let mut state = State::default();
        let (one, mut first) = connect(&mut state, &["a"], 2);
        let (two, mut second) = connect(&mut state, &["a"], 2);
        let _replies: Vec<_> = (0..2).map(|_| add(&mut state, "a", &[], 1)).collect();
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        for rejected in [one, two] {
            let _reply = add(&mut state, "a", &[rejected], 1);
            assert_eq!((first.try_recv().is_ok(), second.try_recv().is_ok()), (rejected == two, rejected == one));
        }
    }

    #[test]
    fn an_end_that_the_server_brings_about_blames_no_item() {
        for closing in [false, true] {
            let mut state = State::default();
            let (stream, _items) = connect(&mut state, &["a"], 2);
            let mut reply = add(&mut state, "a", &[], 5 << 20);
            state.closing = closing;
            state.end_stream(stream);
            let reply = reply.try_recv();
            assert_eq!(matches!(reply, Ok(Reply::NotTaken)), closing, "{reply:?}");
        }
    }
}
