//! What the batch of an entity is made of.

use std::collections::BTreeMap;

use everdure_core::{
    EntityCaller, ExecutionId, HeldEntity, InstanceId, InstanceKey, Message, MessageBody, MessageNumber, Timestamp,
};

const MEGABYTE: usize = 1 << 20;

fn entity(state: usize) -> HeldEntity {
    HeldEntity {
        key: InstanceKey(1),
        instance_id: InstanceId::new("@counter@x").expect("a valid id"),
        execution_id: ExecutionId::from_uuid(uuid::Uuid::nil()),
        claim: 1,
        turn: 0,
        execution: 0,
        state: Some("s".repeat(state)),
        lock: None,
    }
}

fn message(number: i64, body: MessageBody) -> (MessageNumber, Message) {
    let (number, time) = (MessageNumber(number), Timestamp::UNIX_EPOCH);
    (number, Message { number, execution: None, sent_at: time, visible_at: time, body })
}

fn operation(number: i64, input: usize) -> (MessageNumber, Message) {
    let body = MessageBody::EntityOperation {
        request_id: number.to_string(),
        operation: "add".to_owned(),
        input: Some("i".repeat(input)),
        caller: None,
        trace: None,
    };
    message(number, body)
}

#[test]
fn operations_share_the_limit_of_a_message_with_the_state() {
    let inbox: BTreeMap<_, _> = (0..10).map(|number| operation(number, MEGABYTE / 2 - 10)).collect();
    for (state, expected) in [(0, 4), (MEGABYTE, 2), (3 * MEGABYTE, 1)] {
        let open = entity(state).open(&inbox, 100).expect("there is something to do");
        assert_eq!(open.len(), expected, "beside a state of {state} bytes");
    }
    let open = entity(0).open(&inbox, 3).expect("there is something to do");
    assert_eq!(open.len(), 3);
}

#[test]
fn what_does_not_go_to_a_worker_takes_no_room() {
    let owner = EntityCaller {
        key: InstanceKey(2),
        execution: 0,
        instance_id: InstanceId::new("owner").expect("a valid id"),
        execution_id: ExecutionId::from_uuid(uuid::Uuid::nil()),
        dispatch: None,
    };
    let lock = MessageBody::EntityLockRequested {
        critical_section: "cs".to_owned(),
        lock_set: vec![InstanceId::new("@counter@x").expect("a valid id")],
        position: 0,
        owner,
    };
    let behind = (1..10).map(|number| operation(number, MEGABYTE));
    let inbox: BTreeMap<_, _> = std::iter::once(message(0, lock)).chain(behind).collect();
    let open = entity(0).open(&inbox, 100).expect("there is something to do");
    assert_eq!(open.len(), 0);
    let result = everdure_core::EntityBatchResult::default();
    let change = entity(0).apply(open, result, everdure_core::NodeId(1), Timestamp::UNIX_EPOCH).entity;
    assert_eq!(change.expect("a batch changes the entity").parked.len(), 9, "all of them wait for the end of the lock");
}
