//! Many instances, in pages that fit into one message.

use everdure_core::{InstanceKey, InstanceQuery, OrchestrationStatus, PageToken};
use everdure_proto::pb;
use everdure_proto::prost::Message;
use everdure_proto::prost_types;
use tonic::{Request, Status};

use super::{client_status, invalid};
use crate::hubs::Hubs;
use everdure_proto::convert;

/// What clients take in one message, less some room for the rest of it.
const PAGE_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// Instances on a page when the client does not say how many.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// What is read at once with its payloads, which may be large: few before their size is known.
const READ_AT_FIRST: usize = 4;
const READ_AT_ONCE: usize = 20;

pub(super) fn page_size(wanted: i32) -> u32 {
    u32::try_from(wanted).ok().filter(|wanted| *wanted > 0).unwrap_or(PAGE).min(LARGEST_PAGE)
}

/// The states of a filter; `None`: there are some, and no instance is ever seen in one of them.
pub(super) fn statuses(codes: &[i32]) -> Result<Option<Vec<OrchestrationStatus>>, Status> {
    let known = codes.iter().filter_map(|code| convert::status_from_wire(*code).transpose());
    let known: Vec<_> = known.collect::<Result<_, _>>().map_err(invalid)?;
    Ok((codes.is_empty() || !known.is_empty()).then_some(known))
}

pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Result<Option<everdure_core::Timestamp>, Status> {
    time.map(convert::time_from_wire).transpose().map_err(invalid)
}

/// A place in a list; nothing is the beginning.
pub(super) fn place(token: Option<&str>) -> Result<Option<PageToken>, Status> {
    let unusable = |_| Status::invalid_argument("the continuation token is not one that this server gave: begin anew");
    token
        .filter(|token| !token.is_empty())
        .map(|token| token.parse().map(InstanceKey).map(PageToken))
        .transpose()
        .map_err(unusable)
}

pub(super) async fn query_instances(
    hubs: &Hubs,
    request: Request<pb::QueryInstancesRequest>,
) -> Result<pb::QueryInstancesResponse, Status> {
    let hub = hubs.of(&request).await?;
    let query = request.into_inner().query.unwrap_or_default();
    let hubs_wanted: Vec<_> = query.task_hub_names.iter().filter(|name| !name.is_empty()).collect();
    let Some(statuses) = statuses(&query.runtime_status)? else { return Ok(pb::QueryInstancesResponse::default()) };
    if !hubs_wanted.is_empty() && !hubs_wanted.contains(&&hub.name) {
        return Ok(pb::QueryInstancesResponse::default());
    }
    let payloads = query.fetch_inputs_and_outputs;
    let wanted = page_size(query.max_instance_count);
    let mut query = InstanceQuery {
        statuses,
        created_from: time(query.created_time_from.as_ref())?,
        created_to: time(query.created_time_to.as_ref())?,
        id_prefix: query.instance_id_prefix.filter(|prefix| !prefix.is_empty()),
        payloads,
        page_size: 1,
        after: place(query.continuation_token.as_deref())?,
        ..InstanceQuery::default()
    };
    let mut filling = Filling::new(wanted, payloads);
    while let Some(size) = filling.reads() {
        (query.page_size, query.after) = (size, filling.next.or(query.after));
        let read = hub.client.query(query.clone()).await.map_err(|error| client_status(&error))?;
        let states = read.instances.into_iter().map(|record| (PageToken(record.key), convert::state(record, payloads)));
        filling.take(states, read.next);
    }
    Ok(pb::QueryInstancesResponse {
        orchestration_state: filling.page,
        continuation_token: filling.next.map(|next| next.0.to_string()),
    })
}

/// A page as far as it is filled: no larger than what clients receive.
pub(super) struct Filling<T, P> {
    pub page: Vec<T>,
    /// Behind which the next page begins; `None` when there is none.
    pub next: Option<P>,
    wanted: usize,
    payloads: bool,
    bytes: usize,
    full: bool,
}

impl<T: Message, P> Filling<T, P> {
    /// A page of so many; with `payloads`, each may be large.
    pub fn new(wanted: u32, payloads: bool) -> Self {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Self { page: Vec::new(), next: None, wanted, payloads, bytes: 0, full: false }
    }

    /// How many to read next; `None` when the page is full, or there are no more. Of what is large, no more is read than
    /// will fit, judged by what was read before.
    pub fn reads(&self) -> Option<u32> {
        let left = if self.full { 0 } else { self.wanted.saturating_sub(self.page.len()) };
        let most = match (self.payloads, self.page.len()) {
            (false, _) => left,
            (true, 0) => READ_AT_FIRST,
            (true, count) => READ_AT_ONCE.min(PAGE_BYTES.saturating_sub(self.bytes) * count / self.bytes),
        };
        u32::try_from(left.min(most)).ok().filter(|size| *size > 0)
    }

    /// Adds what was read and fits, each with its place; `more` as the store told.
    pub fn take(&mut self, read: impl Iterator<Item = (P, T)>, more: Option<P>) {
        for (place, item) in read {
            let bytes = item.encoded_len() + 8;
            if self.bytes + bytes > PAGE_BYTES && !self.page.is_empty() {
                // The page ends before it.
                self.full = true;
                return;
            }
            self.bytes += bytes;
            self.page.push(item);
            self.next = Some(place);
        }
        self.full = more.is_none();
        self.next = more;
    }
}

pub(super) async fn list_instance_ids(
    hubs: &Hubs,
    request: Request<pb::ListInstanceIdsRequest>,
) -> Result<pb::ListInstanceIdsResponse, Status> {
    let hub = hubs.of(&request).await?;
    let request = request.into_inner();
    let Some(statuses) = statuses(&request.runtime_status)? else { return Ok(pb::ListInstanceIdsResponse::default()) };
    let page = everdure_core::ListInstanceIds {
        statuses,
        completed_from: time(request.completed_time_from.as_ref())?,
        completed_to: time(request.completed_time_to.as_ref())?,
        page_size: page_size(request.page_size),
        after: ended_after(request.last_instance_key.as_deref())?,
    };
    let page = hub.backend.list_instance_ids(page).await.map_err(|error| crate::hubs::store_status(&error))?;
    Ok(pb::ListInstanceIdsResponse {
        instance_ids: page.ids.into_iter().map(String::from).collect(),
        last_instance_key: page.next.map(|(time, key)| format!("{}.{key}", time.timestamp_micros())),
    })
}

fn ended_after(token: Option<&str>) -> Result<Option<(everdure_core::Timestamp, InstanceKey)>, Status> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let parse = || {
        let (micros, key) = token.split_once('.')?;
        let time = everdure_core::Timestamp::from_timestamp_micros(micros.parse().ok()?)?;
        Some((time, InstanceKey(key.parse().ok()?)))
    };
    let unusable = || Status::invalid_argument("the key is not one that this server gave: begin anew");
    parse().map(Some).ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use super::{Filling, PAGE_BYTES};

    /// Pages of items of these sizes: how many are read at once, and where each page ends.
    fn pages(sizes: &[usize], wanted: u32, payloads: bool) -> (Vec<u32>, Vec<usize>) {
        let (mut reads, mut ends) = (Vec::new(), vec![0]);
        loop {
            let begin = *ends.last().unwrap_or(&0);
            let mut filling = Filling::new(wanted, payloads);
            while let Some(size) = filling.reads() {
                reads.push(size);
                let from = filling.next.unwrap_or(begin);
                let to = sizes.len().min(from + size as usize);
                let read = (from..to).map(|place| (place + 1, "x".repeat(sizes[place])));
                filling.take(read, (to < sizes.len()).then_some(to));
            }
            assert!(filling.page.len() <= wanted as usize);
            let Some(next) = filling.next else { return (reads, ends) };
            assert_eq!(next, begin + filling.page.len());
            ends.push(next);
        }
    }

    #[test]
    fn small_ones_are_read_together_and_large_ones_as_many_as_fit() {
        assert_eq!(pages(&[10; 100], 100, false), (vec![100], vec![0]));
        assert_eq!(pages(&[10; 50], 50, true), (vec![4, 20, 20, 6], vec![0]));
        assert_eq!(pages(&[10; 50], 3, true).0[..2], [3, 3]);
        let large = PAGE_BYTES / 10 - 20;
        assert_eq!(pages(&[large; 12], 100, true), (vec![4, 6, 4], vec![0, 10]));
        assert_eq!(pages(&[PAGE_BYTES * 2; 3], 100, true).1, [0, 1, 2]);
        assert_eq!(pages(&[], 100, true), (vec![4], vec![0]));
    }
}
