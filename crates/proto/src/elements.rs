//! How many elements a request has, counted before it is decoded.
//!
//! An element takes two bytes on the wire and hundreds in memory: without this, one message of the size that a server
//! takes could be decoded to gigabytes. The count follows the description, since on the wire a text and a message look
//! alike. What is no message at all is left to the decoder.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::{Label, Type};

/// Elements of lists, at all depths together: many times what a turn has.
pub(crate) const MOST: usize = 200_000;

/// The decoder goes no deeper.
const DEPTH: usize = 100;

/// A field that the count looks at.
#[derive(Clone, Copy)]
struct Field {
    /// Each occurrence takes memory of its own: an element of a list, or a message in one of its own kind.
    counts: bool,
    /// What kind of message it is, if it is one.
    message: Option<usize>,
}

/// The fields of a kind of message by their numbers.
type Shape = HashMap<u32, Field>;

struct Shapes {
    shapes: Vec<Shape>,
    /// The kinds that are requests, by their names.
    requests: HashMap<String, usize>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    // What cannot be read has no requests, and nothing is counted; a test tells.
    Shapes::of(&FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap_or_default())
});

impl Shapes {
    fn of(described: &FileDescriptorSet) -> Self {
        let mut kinds = Vec::new();
        let mut open: Vec<_> = described
            .file
            .iter()
            .flat_map(|file| {
                let package = file.package().to_owned();
                file.message_type.iter().map(move |kind| (package.clone(), kind))
            })
            .collect();
        while let Some((within, kind)) = open.pop() {
            let name = if within.is_empty() { kind.name().to_owned() } else { format!("{within}.{}", kind.name()) };
            open.extend(kind.nested_type.iter().map(|nested| (name.clone(), nested)));
            kinds.push((format!(".{name}"), kind));
        }
        let places: HashMap<&str, usize> =
            kinds.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place)).collect();
        let shapes = kinds.iter().map(|(name, kind)| {
            let fields = kind.field.iter().filter_map(|field| {
                let message =
                    (field.r#type() == Type::Message).then(|| places.get(field.type_name()).copied()).flatten();
                let counts =
                    field.label() == Label::Repeated || message.is_some() && field.type_name() == name.as_str();
                let number = u32::try_from(field.number()).ok()?;
                (counts || message.is_some()).then_some((number, Field { counts, message }))
            });
            fields.collect()
        });
        let shapes = shapes.collect();
        let methods = described.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
        let requests = methods.filter_map(|method| {
            let name = method.input_type();
            Some((name.rsplit('.').next()?.to_owned(), *places.get(name)?))
        });
        let requests = requests.collect();
        Self { shapes, requests }
    }

    /// Takes what it finds from `left`; `false` when that is not enough.
    fn count(&self, mut bytes: &[u8], shape: usize, depth: usize, left: &mut usize) -> bool {
        // Inside of groups, which no message of ours has.
        let mut groups = 0_usize;
        while !bytes.is_empty() {
            let Ok((number, wire_type)) = decode_key(&mut bytes) else { return true };
            let size = match wire_type {
                WireType::Varint => decode_varint(&mut bytes).map(|_| 0),
                WireType::ThirtyTwoBit => Ok(4),
                WireType::SixtyFourBit => Ok(8),
                WireType::LengthDelimited => decode_varint(&mut bytes),
                WireType::StartGroup => {
                    groups += 1;
                    Ok(0)
                }
                WireType::EndGroup => {
                    groups = groups.saturating_sub(1);
                    Ok(0)
                }
            };
            let Some(size) = size.ok().and_then(|size| usize::try_from(size).ok()) else { return true };
            let Some((value, rest)) = bytes.split_at_checked(size) else { return true };
            bytes = rest;
            if groups > 0 {
                continue;
            }
            let Some(field) = self.shapes[shape].get(&number) else { continue };
            if field.counts {
                let Some(fewer) = left.checked_sub(1) else { return false };
                *left = fewer;
            }
            if let Some(message) = field.message
                && wire_type == WireType::LengthDelimited
                && depth < DEPTH
                && !self.count(value, message, depth + 1, left)
            {
                return false;
            }
        }
        true
    }
}

/// Whether these bytes of a `T` may be decoded. What a server sends is not counted: histories are as long as they are.
pub(crate) fn are_few<T>(bytes: &[u8]) -> bool {
    let name = std::any::type_name::<T>();
    let request = SHAPES.requests.get(name.rsplit("::").next().unwrap_or(name));
    request.is_none_or(|shape| SHAPES.count(bytes, *shape, 0, &mut { MOST }))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::{MOST, SHAPES, are_few};
    use crate::pb;

    fn actions(count: usize) -> Vec<u8> {
        [0x12, 0].repeat(count)
    }

    #[test]
    fn elements_are_counted_at_all_depths() {
        assert!(are_few::<pb::OrchestratorResponse>(&actions(MOST)));
        assert!(!are_few::<pb::OrchestratorResponse>(&actions(MOST + 1)));
        // Half of them in the list that an action carries over.
        let carried = pb::CompleteOrchestrationAction {
            carryover_events: vec![pb::HistoryEvent::default(); MOST / 2],
            ..pb::CompleteOrchestrationAction::default()
        };
        let action = pb::OrchestratorAction {
            id: 1,
            orchestrator_action_type: Some(pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(
                carried,
            )),
        };
        let mut answer = pb::OrchestratorResponse { actions: vec![action], ..pb::OrchestratorResponse::default() };
        assert!(are_few::<pb::OrchestratorResponse>(&answer.encode_to_vec()));
        answer.actions.push(answer.actions[0].clone());
        assert!(!are_few::<pb::OrchestratorResponse>(&answer.encode_to_vec()));
        assert!(!are_few::<pb::EntityBatchResult>(&[0x0a, 0].repeat(MOST + 1)));
    }

    #[test]
    fn failures_within_failures_count() {
        let mut failure = pb::TaskFailureDetails::default();
        for _ in 0..90 {
            failure = pb::TaskFailureDetails { inner_failure: Some(Box::new(failure)), ..Default::default() };
        }
        let result = pb::OperationResultFailure { failure_details: Some(failure), ..Default::default() };
        let result = pb::OperationResult { result_type: Some(pb::operation_result::ResultType::Failure(result)) };
        let batch = |count| {
            pb::EntityBatchResult { results: vec![result.clone(); count], ..Default::default() }.encode_to_vec()
        };
        assert!(are_few::<pb::EntityBatchResult>(&batch(2000)));
        assert!(!are_few::<pb::EntityBatchResult>(&batch(2400)));
    }

    #[test]
    fn texts_are_not_looked_into_and_groups_hide_nothing() {
        let result = Some("XX".repeat(MOST * 2));
        let answer = pb::ActivityResponse { result, ..Default::default() };
        assert!(are_few::<pb::ActivityResponse>(&answer.encode_to_vec()));
        // A group of field 100 with an action in it, then the actions.
        let mut hidden = vec![0xa3, 0x06, 0x12, 0, 0xa4, 0x06];
        hidden.extend(actions(MOST + 1));
        assert!(!are_few::<pb::OrchestratorResponse>(&hidden));
    }

    #[test]
    fn what_servers_send_is_not_counted() {
        assert!(are_few::<pb::HistoryChunk>(&[0x0a, 0].repeat(MOST + 1)));
        let requests = &SHAPES.requests;
        assert!(requests.contains_key("OrchestratorResponse") && !requests.contains_key("HistoryChunk"));
        assert!(requests.len() > 25, "{}", requests.len());
    }

    #[test]
    fn noise_ends_the_count() {
        for noise in [&[0x12][..], &[0x12, 0xff], &[0xff; 20], &[0x0f, 0x01], &[0x0c, 0x12, 0]] {
            assert!(are_few::<pb::OrchestratorResponse>(noise));
        }
        let mut deep = Vec::new();
        for _ in 0..1000 {
            let mut outer = vec![0x22];
            prost::encoding::encode_varint(deep.len() as u64, &mut outer);
            outer.extend(deep);
            deep = outer;
        }
        assert!(are_few::<pb::ActivityResponse>(&deep));
    }
}
