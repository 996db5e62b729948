//! A batch of operations as arrays, one element an operation, in the order in which the functions take them.

use everdure_core::{CreateInstance, InstanceId, Timestamp};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::item::{CheckpointRow, CompleteRow, DemoteRow, Item, Operation, SendRow};
use super::steps::{tags_text, trace_text};

/// Borrowed parameters of one statement.
pub(super) type Borrowed<'a> = Vec<&'a (dyn ToSql + Sync)>;

#[derive(Default)]
pub(super) struct Creations<'a> {
    ids: Vec<&'a str>,
    execution_ids: Vec<Uuid>,
    names: Vec<&'a str>,
    versions: Vec<Option<&'a str>>,
    inputs: Vec<Option<&'a str>>,
    tags: Vec<Option<String>>,
    traces: Vec<Option<String>>,
    scheduled: Vec<Option<Timestamp>>,
    replaceable: Vec<i16>,
    request_ids: Vec<Option<Uuid>>,
    born: Vec<bool>,
}

#[derive(Default)]
pub(super) struct Sends<'a> {
    ids: Vec<&'a str>,
    bodies: Vec<&'a str>,
    terminate: Vec<bool>,
    request_ids: Vec<Option<Uuid>>,
    not_before: Vec<Option<Timestamp>>,
}

#[derive(Default)]
pub(super) struct Checkpoints<'a> {
    keys: Vec<i64>,
    claims: Vec<i32>,
    turns: Vec<i64>,
    executions: Vec<i32>,
    times: Vec<Timestamp>,
    statuses: Vec<i16>,
    kinds: Vec<i16>,
    holds: Vec<bool>,
    events: Vec<&'a str>,
    custom_statuses: Vec<Option<&'a str>>,
    outputs: Vec<Option<&'a str>>,
    failures: Vec<Option<&'a str>>,
    consumed_items: Vec<i32>,
    consumed: Vec<i64>,
    steps: Vec<Option<&'a str>>,
}

#[derive(Default)]
pub(super) struct Completions<'a> {
    ids: Vec<Option<i64>>,
    attempts: Vec<i32>,
    keys: Vec<i64>,
    executions: Vec<i32>,
    dispatches: Vec<Option<&'a str>>,
    bodies: Vec<&'a str>,
}

#[derive(Default)]
pub(super) struct Demotions<'a> {
    keys: Vec<i64>,
    items: Vec<&'a str>,
}

/// What a flush writes. Kinds without operations are `None` and cost nothing.
#[derive(Default)]
pub(super) struct Parameters<'a> {
    pub creations: Option<Creations<'a>>,
    pub sends: Option<Sends<'a>>,
    pub checkpoints: Option<Checkpoints<'a>>,
    pub completions: Option<Completions<'a>>,
    pub demotions: Option<Demotions<'a>>,
}

impl<'a> Parameters<'a> {
    pub fn new(items: &'a [Item]) -> Self {
        let mut parameters = Self::default();
        for item in items {
            match &item.operation {
                Operation::Create(request) => {
                    parameters.creations.get_or_insert_default().push(&item.id, request);
                }
                Operation::Send(row) => parameters.sends.get_or_insert_default().push(&item.id, row),
                Operation::Checkpoint(row) => parameters.checkpoints.get_or_insert_default().push(row),
                Operation::Complete(row) => parameters.completions.get_or_insert_default().push(row),
                Operation::Demote(row) => parameters.demotions.get_or_insert_default().push(row),
            }
        }
        parameters
    }
}

impl<'a> Creations<'a> {
    fn push(&mut self, id: &'a InstanceId, request: &'a CreateInstance) {
        self.ids.push(id.as_str());
        self.execution_ids.push(request.execution_id.as_uuid());
        self.names.push(&request.name);
        self.versions.push(request.version.as_deref());
        self.inputs.push(request.input.as_deref());
        self.tags.push((!request.tags.is_empty()).then(|| tags_text(&request.tags)));
        self.traces.push(request.trace.as_ref().map(trace_text));
        self.scheduled.push(request.scheduled_start);
        self.replaceable.push(request.reuse.replaceable().bits());
        self.request_ids.push(request.request_id);
        self.born.push(request.born_claimed.is_some());
    }

    pub fn borrow<'b>(&'b self, hub: &'b i32, node: &'b Option<i64>, wait: &'b bool) -> Borrowed<'b> {
        vec![
            hub,
            node,
            &self.ids,
            &self.execution_ids,
            &self.names,
            &self.versions,
            &self.inputs,
            &self.tags,
            &self.traces,
            &self.scheduled,
            &self.replaceable,
            &self.request_ids,
            &self.born,
            wait,
        ]
    }
}

impl<'a> Sends<'a> {
    fn push(&mut self, id: &'a InstanceId, row: &'a SendRow) {
        self.ids.push(id.as_str());
        self.bodies.push(&row.body);
        self.terminate.push(Operation::is_terminate(&row.request.body));
        self.request_ids.push(row.request.request_id);
        self.not_before.push(row.request.not_before);
    }

    pub fn borrow<'b>(&'b self, hub: &'b i32, wait: &'b bool) -> Borrowed<'b> {
        vec![hub, &self.ids, &self.bodies, &self.terminate, &self.request_ids, &self.not_before, wait]
    }
}

impl<'a> Checkpoints<'a> {
    fn push(&mut self, row: &'a CheckpointRow) {
        self.keys.push(row.key);
        self.claims.push(row.claim);
        self.turns.push(row.turn);
        self.executions.push(row.execution);
        self.times.push(row.time);
        self.statuses.push(row.status.code());
        self.kinds.push(row.kind);
        self.holds.push(row.hold);
        self.events.push(&row.events);
        self.custom_statuses.push(row.custom_status.as_deref());
        self.outputs.push(row.output.as_deref());
        self.failures.push(row.failure.as_deref());
        // Batches are far smaller than that.
        let place = i32::try_from(self.keys.len()).unwrap_or(i32::MAX);
        self.consumed_items.extend(row.consumed.iter().map(|_| place));
        self.consumed.extend(&row.consumed);
        self.steps.push(row.steps.as_deref());
    }

    pub fn borrow<'b>(&'b self, hub: &'b i32, node: &'b Option<i64>, wait: &'b bool) -> Borrowed<'b> {
        vec![
            hub,
            node,
            &self.keys,
            &self.claims,
            &self.turns,
            &self.executions,
            &self.times,
            &self.statuses,
            &self.kinds,
            &self.holds,
            &self.events,
            &self.custom_statuses,
            &self.outputs,
            &self.failures,
            &self.consumed_items,
            &self.consumed,
            &self.steps,
            wait,
        ]
    }
}

impl<'a> Completions<'a> {
    fn push(&mut self, row: &'a CompleteRow) {
        self.ids.push(row.request.id.map(|id| id.0));
        self.attempts.push(row.request.attempt);
        self.keys.push(row.request.key.0);
        self.executions.push(row.request.execution);
        self.dispatches.push(row.dispatch.as_deref());
        self.bodies.push(&row.body);
    }

    pub fn borrow<'b>(&'b self, node: &'b Option<i64>, wait: &'b bool) -> Borrowed<'b> {
        vec![node, &self.ids, &self.attempts, &self.keys, &self.executions, &self.dispatches, &self.bodies, wait]
    }
}

impl<'a> Demotions<'a> {
    fn push(&mut self, row: &'a DemoteRow) {
        self.keys.push(row.key);
        self.items.push(&row.item);
    }

    pub fn borrow<'b>(&'b self, node: &'b Option<i64>, wait: &'b bool) -> Borrowed<'b> {
        vec![node, &self.keys, &self.items, wait]
    }
}
