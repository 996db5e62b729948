//! The rarer parts of a checkpoint, and demotions, as the JSON that the functions take.

use std::borrow::Cow;

use everdure_core::{
    BackendResult, Checkpoint, Demote, DispatchId, EntityChange, EntityLock, MessageBody, NewActivity, NewChild,
    NewTimer, OutboundMessage, Rewinding, Tags, Target, Timestamp, TraceContext,
};
use serde::Serialize;

use super::item::json_text;

/// Tags as a JSON object.
pub(crate) fn tags_text(tags: &Tags) -> String {
    // Unwrap safety: a map from strings to strings can always be said in JSON.
    serde_json::to_string(tags).expect("a map of strings is representable in JSON")
}

/// A trace context as JSON.
pub(crate) fn trace_text(trace: &TraceContext) -> String {
    // Unwrap safety: a record of strings can always be said in JSON.
    serde_json::to_string(trace).expect("a record of strings is representable in JSON")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Steps<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Next<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    carry: &'a [MessageBody],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cancelled: &'a [DispatchId],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timers: Vec<Timer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    activities: Vec<Activity<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Child<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Outbound<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Entity<'a>>,
}

#[derive(Serialize)]
struct Entity<'a> {
    state: Option<&'a str>,
    lock: Option<&'a EntityLock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<Vec<i64>>,
    unpark: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    withdrawn: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Next<'a> {
    execution_id: String,
    version: Option<&'a str>,
    input: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timer {
    dispatch: DispatchId,
    fire_at: Timestamp,
    body: MessageBody,
}

#[derive(Serialize)]
struct Activity<'a> {
    dispatch: DispatchId,
    task: i32,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a TraceContext>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Child<'a> {
    n: usize,
    instance_id: &'a str,
    execution_id: String,
    name: &'a str,
    version: Option<&'a str>,
    input: Option<&'a str>,
    tags: Option<&'a Tags>,
    parent: Option<&'a everdure_core::ParentLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a TraceContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_start: Option<Timestamp>,
    born: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outbound<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    child: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatch: Option<DispatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    body: &'a MessageBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Demotion<'a> {
    claim: i32,
    turn: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    activities: Vec<Activity<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    running: Vec<Activity<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    completions: Vec<Completion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Cow<'a, str>>,
    lasting: bool,
}

#[derive(Serialize)]
struct Completion<'a> {
    dispatch: Option<DispatchId>,
    body: &'a MessageBody,
}

/// A reason may hold what a worker said, and text cannot hold U+0000: nothing shall be held for ever because of that.
pub(crate) fn storable(reason: &str) -> Cow<'_, str> {
    if reason.contains('\0') { Cow::Owned(reason.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(reason) }
}

fn some_tags(tags: &Tags) -> Option<&Tags> {
    Some(tags).filter(|tags| !tags.is_empty())
}

fn activity(activity: &NewActivity) -> Activity<'_> {
    Activity {
        dispatch: activity.dispatch,
        task: activity.task_id,
        name: &activity.name,
        version: activity.version.as_deref(),
        input: activity.input.as_deref(),
        tags: some_tags(&activity.tags),
        trace: activity.trace.as_ref(),
    }
}

/// `None` when the checkpoint has no rarer parts.
pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> BackendResult<Option<String>> {
    let rare = checkpoint.next_execution.is_some()
        || !checkpoint.cancelled.is_empty()
        || !checkpoint.timers.is_empty()
        || !checkpoint.activities.is_empty()
        || !checkpoint.children.is_empty()
        || !checkpoint.messages.is_empty()
        || checkpoint.entity.is_some();
    if !rare {
        return Ok(None);
    }
    let next = checkpoint.next_execution.as_ref();
    let steps = Steps {
        next: next.map(|next| Next {
            execution_id: next.execution_id.to_string(),
            version: next.version.as_deref(),
            input: next.input.as_deref(),
        }),
        carry: next.map_or(&[], |next| &next.carry_over),
        cancelled: &checkpoint.cancelled,
        timers: timers(&checkpoint.timers),
        activities: checkpoint.activities.iter().map(activity).collect(),
        children: children(&checkpoint.children),
        messages: checkpoint.messages.iter().map(outbound).collect(),
        entity: checkpoint.entity.as_ref().map(entity),
    };
    json_text(&steps).map(Some)
}

/// What a rewound instance sees again, the timers that are open, and the children to create; `None` when there is none.
pub(crate) fn of_rewinding(rewinding: &Rewinding, messages: &[OutboundMessage]) -> BackendResult<Option<String>> {
    if rewinding.timers.is_empty() && rewinding.children.is_empty() && messages.is_empty() {
        return Ok(None);
    }
    let steps = Steps {
        next: None,
        carry: &[],
        cancelled: &[],
        timers: timers(&rewinding.timers),
        activities: Vec::new(),
        children: children(&rewinding.children),
        messages: messages.iter().map(outbound).collect(),
        entity: None,
    };
    json_text(&steps).map(Some)
}

fn timers(timers: &[NewTimer]) -> Vec<Timer> {
    let timer = |timer: &NewTimer| Timer {
        dispatch: timer.dispatch,
        fire_at: timer.fire_at,
        body: MessageBody::TimerFired { dispatch: timer.dispatch, fire_at: timer.fire_at },
    };
    timers.iter().map(timer).collect()
}

fn children(children: &[NewChild]) -> Vec<Child<'_>> {
    let numbered = children.iter().enumerate();
    let children = numbered.map(|(n, child)| Child {
        n,
        instance_id: child.instance_id.as_str(),
        execution_id: child.execution_id.to_string(),
        name: &child.name,
        version: child.version.as_deref(),
        input: child.input.as_deref(),
        tags: some_tags(&child.tags),
        parent: child.parent.as_ref(),
        trace: child.trace.as_ref(),
        scheduled_start: child.scheduled_start,
        born: child.born_claimed,
    });
    children.collect()
}

fn outbound(message: &OutboundMessage) -> Outbound<'_> {
    let (key, execution, instance_id) = match &message.target {
        Target::Instance(id) | Target::Child(id) => (None, None, Some(id.as_str())),
        Target::Execution { key, execution, .. } => (Some(key.0), Some(*execution), None),
    };
    let (dispatch, not_before, body) = (message.body.dispatch(), message.not_before, &message.body);
    let child = matches!(message.target, Target::Child(_));
    Outbound { key, execution, instance_id, child, dispatch, not_before, body }
}

fn entity(change: &EntityChange) -> Entity<'_> {
    let parked = change.parked.iter().map(|number| number.0);
    Entity {
        state: change.state.as_deref(),
        lock: change.lock.as_ref(),
        parked: (!change.parked.is_empty()).then(|| parked.collect()),
        unpark: change.unpark,
        withdrawn: &change.withdrawn,
    }
}

pub(super) fn of_demotion(request: &Demote) -> BackendResult<String> {
    json_text(&Demotion {
        claim: request.claim,
        turn: request.turn,
        activities: request.activities.iter().map(activity).collect(),
        running: request.running.iter().map(activity).collect(),
        completions: request.completions.iter().map(|body| Completion { dispatch: body.dispatch(), body }).collect(),
        retry_after: request.retry_after.map(|delay| delay.as_secs_f64()),
        failure: request.failure.as_ref().map(|failure| storable(&failure.reason)),
        lasting: request.failure.as_ref().is_some_and(|failure| failure.lasting),
    })
}
