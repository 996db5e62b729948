//! What a flush did, as the database tells it: once in the reply, once in the lane's row for when the reply is lost.

use everdure_core::{
    ActivityId, BackendResult, CheckpointOutcome, ChildOutcome, CompleteOutcome, CreateOutcome, DemoteOutcome,
    DispatchId, FailureDetails, InstanceKey, Landed, Message, MessageBody, MessageNumber, NodeId, SendOutcome, Sent,
};
use serde::Deserialize;

use super::item::{Item, Operation};
use crate::rows::{corrupt, json, micros, status};

/// The outcome of one operation.
pub(super) enum Outcome {
    Create(CreateOutcome),
    Send(SendOutcome),
    Checkpoint(CheckpointOutcome),
    Complete(CompleteOutcome),
    Demote(DemoteOutcome),
    Rejected(FailureDetails),
}

/// Letter, the rows of what goes on running.
type RawDemote = (char, Option<Vec<(DispatchId, i64)>>);

/// Letter, key, number, time, holder.
type RawSend = (char, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    create: Vec<(char, i64, bool, i64, i16)>,
    #[serde(default)]
    send: Vec<RawSend>,
    #[serde(default)]
    checkpoint: RawCheckpoint,
    #[serde(default)]
    complete: Vec<(char, Option<i64>, i64, Option<i64>)>,
    #[serde(default)]
    demote: Vec<RawDemote>,
}

#[derive(Default, Deserialize)]
struct RawCheckpoint {
    codes: String,
    details: Vec<(usize, RawSteps)>,
}

#[derive(Default, Deserialize)]
struct RawSteps {
    children: Vec<Option<i64>>,
    delivered: Vec<RawSent>,
}

#[derive(Deserialize)]
struct RawSent {
    key: i64,
    number: i64,
    #[serde(default)]
    execution: Option<i32>,
    at: i64,
    body: MessageBody,
}

const BUSY: char = 'B';

/// The outcomes of a flush in the order of its items; `None` for an item whose row was not free.
pub(super) fn read(text: &str, items: &[Item]) -> BackendResult<Vec<Option<Outcome>>> {
    let raw: Raw = json("outcomes of a flush", text)?;
    let missing = || corrupt("outcomes of a flush", "there are fewer outcomes than operations");
    let mut steps: Vec<RawSteps> = raw.checkpoint.codes.chars().map(|_| RawSteps::default()).collect();
    for (place, details) in raw.checkpoint.details {
        *place.checked_sub(1).and_then(|index| steps.get_mut(index)).ok_or_else(missing)? = details;
    }
    let mut create = raw.create.into_iter();
    let mut send = raw.send.into_iter();
    let mut checkpoint = raw.checkpoint.codes.chars().zip(steps);
    let mut complete = raw.complete.into_iter();
    let mut demote = raw.demote.into_iter();
    items
        .iter()
        .map(|item| match &item.operation {
            Operation::Create(_) => created(create.next().ok_or_else(missing)?),
            Operation::Send(row) => sent(send.next().ok_or_else(missing)?, &row.request.body),
            Operation::Checkpoint(_) => landed(checkpoint.next().ok_or_else(missing)?),
            Operation::Complete(row) => completed(complete.next().ok_or_else(missing)?, row),
            Operation::Demote(_) => demoted(demote.next().ok_or_else(missing)?),
        })
        .collect()
}

fn unknown<T>(code: char) -> BackendResult<T> {
    Err(corrupt("outcomes of a flush", format!("no outcome has the letter {code}")))
}

fn created((code, key, born_claimed, created_at, code_of_status): (char, i64, bool, i64, i16)) -> Parsed {
    Ok(Some(Outcome::Create(match code {
        BUSY => return Ok(None),
        'C' | 'D' => CreateOutcome::Created { key: InstanceKey(key), born_claimed, created_at: micros(created_at)? },
        'A' => CreateOutcome::AlreadyExists { status: status(code_of_status)? },
        _ => return unknown(code),
    })))
}

type Parsed = BackendResult<Option<Outcome>>;

fn sent((code, key, number, at, holder): RawSend, body: &MessageBody) -> Parsed {
    Ok(Some(Outcome::Send(match (code, key, number, at) {
        (BUSY, ..) => return Ok(None),
        ('R', ..) => SendOutcome::Repeated,
        ('T', ..) => SendOutcome::Terminated,
        ('F', ..) => SendOutcome::Finished,
        ('N', ..) => SendOutcome::NotFound,
        ('S', Some(key), Some(number), Some(at)) => SendOutcome::Sent {
            key: InstanceKey(key),
            message: message(number, None, at, body.clone())?,
            held_by: holder.map(NodeId),
        },
        // The instance ended between two statements of the transaction: it cannot, its row is locked.
        _ => return unknown(code),
    })))
}

fn message(number: i64, execution: Option<i32>, at: i64, body: MessageBody) -> BackendResult<Message> {
    let at = micros(at)?;
    Ok(Message { number: MessageNumber(number), execution, sent_at: at, visible_at: at, body })
}

fn landed((code, steps): (char, RawSteps)) -> Parsed {
    Ok(Some(Outcome::Checkpoint(match code {
        BUSY => return Ok(None),
        'X' => CheckpointOutcome::Lost,
        'E' => CheckpointOutcome::Early,
        'L' => {
            let child = |key: Option<i64>| {
                key.map_or(ChildOutcome::AlreadyExists, |key| ChildOutcome::Created(InstanceKey(key)))
            };
            let delivered = steps.delivered.into_iter().map(|sent| {
                let message = message(sent.number, sent.execution, sent.at, sent.body)?;
                Ok(Sent { key: InstanceKey(sent.key), message })
            });
            CheckpointOutcome::Landed(Landed {
                children: steps.children.into_iter().map(child).collect(),
                delivered: delivered.collect::<BackendResult<_>>()?,
            })
        }
        _ => return unknown(code),
    })))
}

fn completed(
    (code, number, at, holder): (char, Option<i64>, i64, Option<i64>),
    row: &super::item::CompleteRow,
) -> Parsed {
    Ok(Some(Outcome::Complete(match (code, number) {
        (BUSY, _) => return Ok(None),
        ('L', _) => CompleteOutcome::Lost,
        ('D', Some(number)) => {
            let request = &row.request;
            let message = message(number, Some(request.execution), at, request.body.clone())?;
            CompleteOutcome::Delivered { sent: Sent { key: request.key, message }, held_by: holder.map(NodeId) }
        }
        _ => return unknown(code),
    })))
}

fn demoted((code, running): RawDemote) -> Parsed {
    Ok(Some(Outcome::Demote(match code {
        BUSY => return Ok(None),
        'R' => DemoteOutcome::Released {
            running: running.unwrap_or_default().into_iter().map(|(dispatch, id)| (dispatch, ActivityId(id))).collect(),
        },
        'L' => DemoteOutcome::Lost,
        _ => return unknown(code),
    })))
}
