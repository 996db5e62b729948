//! The turn of an entity: messages in, a batch of operations out, its result in, a checkpoint out.
//!
//! An entity takes its messages one after the other, in the order of their numbers. While it is locked, only the execution
//! that owns the lock gets through; all else is parked, out of sight of the store's claims, until the lock is given
//! back, and then comes in its old order. A request for a lock waits until all before it is done, takes the lock and goes on
//! to the next entity of its set; the last one tells the owner. As every set is sorted the same way, no two wait for each
//! other. Pure, like the turn of an orchestration: what comes of a message depends on nothing else.

use std::collections::BTreeMap;

use crate::{
    Checkpoint, EntityAction, EntityBatch, EntityBatchResult, EntityCaller, EntityChange, EntityLock, EntityOperation,
    ExecutionId, FailureDetails, InstanceId, InstanceKey, LockedOrchestration, Message, MessageBody, MessageNumber,
    NewChild, NodeId, OrchestrationStatus, OutboundMessage, Tags, Target, Timestamp,
};

/// An entity in the hands of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEntity {
    /// The row.
    pub key: InstanceKey,
    /// `@name@key`.
    pub instance_id: InstanceId,
    /// The id of its row's execution.
    pub execution_id: ExecutionId,
    /// The claim to name in checkpoints.
    pub claim: i32,
    /// The last durable turn.
    pub turn: i64,
    /// The generation number.
    pub execution: i32,
    /// Its state.
    pub state: Option<String>,
    /// Who may use it alone.
    pub lock: Option<EntityLock>,
}

impl HeldEntity {
    /// What a claim brought, without its messages.
    #[must_use]
    pub fn new(item: LockedOrchestration) -> Self {
        Self {
            key: item.key,
            instance_id: item.started.instance_id,
            execution_id: item.started.execution_id,
            claim: item.claim,
            turn: item.turn,
            execution: item.execution,
            state: item.started.input,
            lock: item.entity_lock,
        }
    }

    /// What the next batch is made of; `None` when there is nothing to do. At most `limit` operations; what is left
    /// stays in `inbox`. A worker gets the operations together with the state, so that they share its limit of bytes.
    #[must_use]
    pub fn open(&self, inbox: &BTreeMap<MessageNumber, Message>, limit: usize) -> Option<OpenBatch> {
        let mut open = OpenBatch { lock: self.lock.clone(), ..OpenBatch::default() };
        let mut bytes = self.state.as_ref().map_or(0, String::len);
        for message in inbox.values() {
            let (size, before) = (message.body.payload_bytes(), open.operations.len());
            let full = before >= limit || before > 0 && bytes + size > crate::turn::MOST_BYTES;
            if full || !open.take(&self.instance_id, message) {
                break;
            }
            if open.operations.len() > before {
                bytes += size;
            }
        }
        (!open.is_empty()).then_some(open)
    }

    /// The operations of a batch, for whoever runs them.
    #[must_use]
    pub fn batch(&self, open: &OpenBatch) -> EntityBatch {
        EntityBatch {
            key: self.key,
            instance_id: self.instance_id.clone(),
            execution_id: self.execution_id,
            state: self.state.clone(),
            operations: open.operations.iter().map(|(_, operation)| operation.clone()).collect(),
        }
    }

    /// The change to be written. Operations without a result stay where they are.
    #[must_use]
    pub fn apply(&self, open: OpenBatch, result: EntityBatchResult, node: NodeId, now: Timestamp) -> Checkpoint {
        let mut consumed = open.consumed;
        let mut messages = open.messages;
        for ((number, operation), result) in open.operations.into_iter().zip(result.results) {
            consumed.push(number);
            messages.extend(answer(operation, result));
        }
        let mut children = Vec::new();
        for action in result.actions {
            match action {
                EntityAction::Signal { target, request_id, operation, input, not_before, trace } => {
                    let body = MessageBody::EntityOperation { request_id, operation, input, caller: None, trace };
                    messages.push(OutboundMessage { target: Target::Instance(target), body, not_before });
                }
                start @ EntityAction::Start { .. } => children.extend(child(start)),
            }
        }
        Checkpoint {
            key: self.key,
            instance_id: self.instance_id.clone(),
            node,
            claim: self.claim,
            turn: self.turn,
            execution: self.execution,
            time: now,
            events: Vec::new(),
            consumed,
            status: OrchestrationStatus::Running,
            custom_status: None,
            output: None,
            failure: None,
            next_execution: None,
            messages,
            timers: Vec::new(),
            children,
            activities: Vec::new(),
            cancelled: Vec::new(),
            hold: false,
            entity: Some(EntityChange {
                state: result.state,
                lock: open.lock,
                parked: open.parked,
                unpark: open.unpark,
                withdrawn: open.withdrawn,
            }),
        }
    }

    /// A checkpoint is durable: this is how the entity stands.
    pub fn landed(&mut self, change: EntityChange) {
        self.turn += 1;
        self.state = change.state;
        self.lock = change.lock;
    }
}

/// A batch between the moment its messages are chosen and the moment its result is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenBatch {
    operations: Vec<(MessageNumber, EntityOperation)>,
    /// Messages that are done without running anything.
    consumed: Vec<MessageNumber>,
    parked: Vec<MessageNumber>,
    withdrawn: Vec<String>,
    lock: Option<EntityLock>,
    unpark: bool,
    messages: Vec<OutboundMessage>,
}

impl OpenBatch {
    /// Whether there is an operation to run.
    #[must_use]
    pub fn runs_user_code(&self) -> bool {
        !self.operations.is_empty()
    }

    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.consumed.is_empty() && self.parked.is_empty()
    }

    /// The result of a batch whose result cannot be stored: every operation has failed, nothing else has happened.
    #[must_use]
    pub fn all_failed(&self, state: Option<String>, failure: &FailureDetails) -> EntityBatchResult {
        let results = self.operations.iter().map(|_| Err(failure.clone())).collect();
        EntityBatchResult { results, actions: Vec::new(), state }
    }

    /// Takes a message; `false` when it must wait for the end of this batch.
    fn take(&mut self, me: &InstanceId, message: &Message) -> bool {
        let number = message.number;
        match &message.body {
            MessageBody::EntityOperation { request_id, operation, input, caller, trace } => {
                if !self.admits(caller.as_ref()) {
                    self.parked.push(number);
                    return true;
                }
                let operation = EntityOperation {
                    request_id: request_id.clone(),
                    operation: operation.clone(),
                    input: input.clone(),
                    caller: caller.clone(),
                    sent_at: message.sent_at.max(message.visible_at),
                    trace: trace.clone(),
                };
                self.operations.push((number, operation));
                true
            }
            MessageBody::EntityLockRequested { critical_section, lock_set, position, owner } => {
                self.take_lock(me, number, critical_section, lock_set, *position, owner)
            }
            MessageBody::EntityUnlock { critical_section } => self.take_unlock(number, critical_section),
            // Nothing else is for entities.
            _ => {
                self.consumed.push(number);
                true
            }
        }
    }

    fn admits(&self, caller: Option<&EntityCaller>) -> bool {
        self.lock.as_ref().is_none_or(|lock| caller.is_some_and(|caller| caller.is_same_execution(&lock.owner)))
    }

    fn take_lock(
        &mut self,
        me: &InstanceId,
        number: MessageNumber,
        critical_section: &str,
        lock_set: &[InstanceId],
        position: usize,
        owner: &EntityCaller,
    ) -> bool {
        match &self.lock {
            Some(lock) if lock.critical_section != critical_section => {
                self.parked.push(number);
                return true;
            }
            None if self.runs_user_code() => return false,
            // A set may name an entity twice.
            Some(_) | None => {}
        }
        self.consumed.push(number);
        self.lock = Some(EntityLock { critical_section: critical_section.to_owned(), owner: owner.clone() });
        let critical_section = critical_section.to_owned();
        let next = lock_set.iter().enumerate().skip(position + 1).find(|(_, entity)| *entity != me);
        let message = match (next, owner.dispatch) {
            (Some((position, entity)), _) => {
                let (lock_set, owner) = (lock_set.to_vec(), owner.clone());
                let body = MessageBody::EntityLockRequested { critical_section, lock_set, position, owner };
                OutboundMessage::new(Target::Instance(entity.clone()), body)
            }
            (None, Some(dispatch)) => {
                let lock_set = lock_set.to_vec();
                let body = MessageBody::EntityLockGranted { dispatch, critical_section, lock_set };
                OutboundMessage::new(to(owner), body)
            }
            (None, None) => return true,
        };
        self.messages.push(message);
        true
    }

    fn take_unlock(&mut self, number: MessageNumber, critical_section: &str) -> bool {
        let mine = self.lock.as_ref().is_some_and(|lock| lock.critical_section == critical_section);
        if mine && self.runs_user_code() {
            return false;
        }
        self.consumed.push(number);
        if mine {
            self.lock = None;
            self.unpark = true;
        } else {
            self.withdrawn.push(critical_section.to_owned());
        }
        // What was parked comes before all else.
        !mine
    }
}

/// The request for these locks, to the first of the entities. SDKs sort by UTF-16 or by code points: here they are in one
/// order for everybody, so that no two wait for each other.
pub(crate) fn lock_request(
    critical_section: String,
    mut lock_set: Vec<InstanceId>,
    owner: EntityCaller,
) -> Option<OutboundMessage> {
    lock_set.sort();
    lock_set.dedup();
    let first = lock_set.first()?.clone();
    let body = MessageBody::EntityLockRequested { critical_section, lock_set, position: 0, owner };
    Some(OutboundMessage::new(Target::Instance(first), body))
}

fn to(caller: &EntityCaller) -> Target {
    Target::Execution { key: caller.key, instance_id: caller.instance_id.clone(), execution: caller.execution }
}

/// What the caller is told, if it waits.
fn answer(operation: EntityOperation, result: Result<Option<String>, FailureDetails>) -> Option<OutboundMessage> {
    let request_id = operation.request_id;
    let caller = operation.caller?;
    let dispatch = caller.dispatch?;
    let body = match result {
        Ok(output) => MessageBody::EntityOperationCompleted { dispatch, request_id, output },
        Err(failure) => MessageBody::EntityOperationFailed { dispatch, request_id, failure },
    };
    Some(OutboundMessage::new(to(&caller), body))
}

fn child(action: EntityAction) -> Option<NewChild> {
    let EntityAction::Start { instance_id, execution_id, name, version, input, scheduled_start, trace } = action else {
        return None;
    };
    let tags = Tags::new();
    Some(NewChild {
        instance_id,
        execution_id,
        name,
        version,
        input,
        tags,
        parent: None,
        scheduled_start,
        trace,
        born_claimed: false,
    })
}
