//! A small orchestration in the middle of its life, and short ways to say what happens to it.

use everdure_core::{
    Action, ActionKind, Checkpoint, DispatchId, ExecutionId, ExecutionStarted, InboxItem, InstanceId, InstanceKey,
    Message, MessageBody, MessageNumber, NodeId, OpenTurn, ParentLink, RuntimeState, Tags, Timestamp, TurnActions,
};

pub const NODE: NodeId = NodeId(7);

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_000_000 + seconds, 0).expect("in the range of times")
}

pub fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid id")
}

pub fn started() -> ExecutionStarted {
    ExecutionStarted {
        instance_id: id("order-1"),
        execution_id: "0123456789abcdef0123456789abcdef".parse::<ExecutionId>().expect("32 hexadecimal digits"),
        name: "order".into(),
        version: None,
        input: Some("\"in\"".into()),
        parent: None,
        tags: Tags::new(),
        scheduled_start: None,
        trace: None,
    }
}

pub fn child_of_other() -> ExecutionStarted {
    let parent = ParentLink {
        key: InstanceKey(99),
        execution: 2,
        dispatch: DispatchId { turn: 5, index: 1 },
        instance_id: id("parent"),
        task_id: 4,
        name: "parent".into(),
        version: None,
        execution_id: None,
    };
    ExecutionStarted { parent: Some(parent), ..started() }
}

pub fn new_state() -> RuntimeState {
    RuntimeState::new(InstanceKey(1), 0, 0, started())
}

pub fn message(number: i64, execution: Option<i32>, body: MessageBody) -> InboxItem {
    InboxItem::Message(Message {
        number: MessageNumber(number),
        execution,
        sent_at: at(number),
        visible_at: at(number),
        body,
    })
}

pub fn event(number: i64, name: &str) -> InboxItem {
    message(number, None, MessageBody::EventRaised { name: name.into(), input: None })
}

pub fn completion(dispatch: DispatchId, result: &str) -> InboxItem {
    InboxItem::Completion { dispatch, at: at(50), outcome: Ok(Some(result.into())) }
}

pub fn dispatch(turn: i64, index: u32) -> DispatchId {
    DispatchId { turn, index }
}

pub fn task(id: i32, name: &str) -> Action {
    Action {
        id,
        kind: ActionKind::ScheduleTask {
            name: name.into(),
            version: None,
            input: None,
            tags: Tags::new(),
            trace: None,
        },
    }
}

pub fn begin(state: &RuntimeState, inbox: Vec<InboxItem>, now: Timestamp) -> OpenTurn {
    let mut inbox = inbox;
    OpenTurn::begin(state, &mut inbox, now, 1000).expect("there is something to do")
}

/// Runs one turn to its checkpoint and folds it, as if it had landed.
pub fn turn(state: &mut RuntimeState, inbox: Vec<InboxItem>, actions: Vec<Action>) -> Checkpoint {
    let open = begin(state, inbox, at(100));
    let checkpoint = open
        .apply(state, NODE, 1, TurnActions { actions, ..TurnActions::default() })
        .expect("the actions fit the history");
    state.fold(checkpoint.turn + 1, checkpoint.time, &checkpoint.events).expect("the events fit the history");
    checkpoint
}
