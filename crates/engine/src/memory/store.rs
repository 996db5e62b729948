//! What the in-memory backend keeps, and the small steps that every operation is made of.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use everdure_core::{
    ActivityId, ActivityTask, DEFAULT_ATTEMPTS, DispatchId, EntityLock, EventData, Execution, ExecutionStarted,
    HistoryEvent, HistoryTurn, InstanceId, InstanceKey, InstanceRecord, Message, MessageBody, MessageNumber,
    NewActivity, NodeId, OrchestrationStatus, ParentLink, RequestId, SET_ASIDE, Setting, SettingValue, Timestamp,
    back_off,
};

/// A live process.
pub(super) struct NodeRow {
    pub address: Option<String>,
    pub lease: TimeDelta,
    pub expires_at: Timestamp,
}

/// One instance, with its messages and the turns of its current execution.
pub(super) struct Row {
    pub started: ExecutionStarted,
    pub request_id: Option<RequestId>,
    pub status: OrchestrationStatus,
    pub custom_status: Option<String>,
    pub output: Option<String>,
    pub failure: Option<everdure_core::FailureDetails>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub turn: i64,
    pub execution: i32,
    pub execution_turn: i64,
    pub claim: i32,
    pub locked_by: Option<NodeId>,
    /// When its holder got it.
    pub claimed_at: Timestamp,
    /// When there is something to do; `None`: nothing.
    pub due_at: Option<Timestamp>,
    pub messages: BTreeMap<MessageNumber, Message>,
    pub history: Vec<HistoryTurn>,
    /// Of an entity: who may use it alone.
    pub entity_lock: Option<EntityLock>,
    /// Of an entity: messages that wait for the end of that.
    pub hidden: BTreeMap<MessageNumber, Message>,
    /// Executions that ended by continue-as-new, where the hub keeps them.
    pub former: Vec<(Execution, Vec<HistoryTurn>)>,
}

/// An activity that waits for a worker, or runs on one.
pub(super) struct ActivityRow {
    pub task: ActivityTask,
    /// Not to be handed out before; of one that is held, since when.
    pub visible_at: Timestamp,
    pub locked_by: Option<NodeId>,
    pub attempt: i32,
}

/// Attempts that failed, of the same turn or activity.
pub(super) struct Poison {
    pub turn: i64,
    pub attempts: u32,
    pub reason: String,
    pub failed_at: Timestamp,
}

/// Everything.
#[derive(Default)]
pub(super) struct Store {
    pub nodes: BTreeMap<NodeId, NodeRow>,
    pub ids: BTreeMap<InstanceId, InstanceKey>,
    pub rows: BTreeMap<InstanceKey, Row>,
    pub activities: BTreeMap<ActivityId, ActivityRow>,
    pub requests: BTreeSet<RequestId>,
    pub settings: BTreeMap<String, String>,
    /// Failed attempts of turns and of activities.
    pub poison: BTreeMap<(InstanceKey, Option<ActivityId>), Poison>,
    /// One counter for keys, nodes, messages and activities: whatever it gives is new.
    last: i64,
    /// Counts down: events that continue-as-new carries over go ahead of all that waits.
    first: i64,
}

impl Row {
    /// By a node, which what was set aside is not.
    pub fn is_held(&self) -> bool {
        self.locked_by.is_some_and(|node| node != SET_ASIDE)
    }

    /// A new instance in its first execution.
    pub fn new(started: ExecutionStarted, request_id: Option<RequestId>, now: Timestamp) -> Self {
        let due_at = Some(started.scheduled_start.map_or(now, |start| start.max(now)));
        Self {
            started,
            request_id,
            status: OrchestrationStatus::Pending,
            custom_status: None,
            output: None,
            failure: None,
            created_at: now,
            updated_at: now,
            completed_at: None,
            turn: 0,
            execution: 0,
            execution_turn: 0,
            claim: 0,
            locked_by: None,
            claimed_at: now,
            due_at,
            messages: BTreeMap::new(),
            history: Vec::new(),
            entity_lock: None,
            hidden: BTreeMap::new(),
            former: Vec::new(),
        }
    }

    /// Pending means not before its time: messages do not change when it is due.
    pub fn wake_at(&mut self, at: Timestamp) {
        if self.status != OrchestrationStatus::Pending {
            self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
        }
    }

    /// Those that an entity hides as well.
    pub fn all_messages(&self) -> impl Iterator<Item = &Message> + Clone {
        self.messages.values().chain(self.hidden.values())
    }

    /// When the next message may be delivered.
    pub fn next_message(&self) -> Option<Timestamp> {
        self.messages.values().map(|message| message.visible_at).min()
    }

    /// Ends the instance and forgets what still waited for it.
    pub fn finish(&mut self, status: OrchestrationStatus, now: Timestamp) {
        self.status = status;
        self.completed_at = Some(now);
        self.locked_by = None;
        self.due_at = None;
        self.messages.clear();
    }

    /// The current execution, ended or not.
    pub fn execution(&self) -> Execution {
        Execution {
            execution: self.execution,
            execution_id: self.started.execution_id,
            version: self.started.version.clone(),
            input: self.started.input.clone(),
            turn: self.turn,
            ended_at: self.completed_at,
        }
    }

    pub fn executions(&self) -> Vec<Execution> {
        self.former.iter().map(|(execution, _)| execution.clone()).chain([self.execution()]).collect()
    }

    pub fn history_of(&self, key: InstanceKey, execution: i32) -> Option<(InstanceRecord, Vec<HistoryTurn>)> {
        let record = self.record(key, true);
        if execution == self.execution {
            return Some((record, self.history.clone()));
        }
        let (former, turns) = self.former.iter().find(|(former, _)| former.execution == execution)?;
        Some((record.of_execution(former.clone()), turns.clone()))
    }

    pub fn record(&self, key: InstanceKey, payloads: bool) -> InstanceRecord {
        let payload = |text: &Option<String>| text.clone().filter(|_| payloads);
        InstanceRecord {
            key,
            instance_id: self.started.instance_id.clone(),
            execution_id: self.started.execution_id,
            execution: self.execution,
            name: self.started.name.clone(),
            version: self.started.version.clone(),
            parent_instance_id: self.started.parent.as_ref().map(|parent| parent.instance_id.clone()),
            tags: self.started.tags.clone(),
            status: self.status,
            created_at: self.created_at,
            scheduled_start: self.started.scheduled_start,
            updated_at: self.updated_at,
            completed_at: self.completed_at,
            turn: self.turn,
            input: payload(&self.started.input),
            output: payload(&self.output),
            custom_status: payload(&self.custom_status),
            failure: self.failure.clone(),
            parent: self.started.parent.clone(),
            trace: self.started.trace.clone(),
        }
    }
}

impl Store {
    pub fn next_number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    pub fn row_of(&mut self, id: &InstanceId) -> Option<(InstanceKey, &mut Row)> {
        let key = *self.ids.get(id)?;
        self.rows.get_mut(&key).map(|row| (key, row))
    }

    /// Puts a new row under its id; whatever had the id before is gone with all that belonged to it.
    pub fn insert(&mut self, row: Row) -> InstanceKey {
        let key = InstanceKey(self.next_number());
        if let Some(old) = self.ids.insert(row.started.instance_id.clone(), key) {
            self.forget(old);
        }
        self.rows.insert(key, row);
        key
    }

    /// The entity of that id, made if need be: Running, and not due until it gets a message.
    pub fn entity(&mut self, id: &InstanceId, now: Timestamp) -> InstanceKey {
        if let Some(key) = self.ids.get(id) {
            return *key;
        }
        let name = id.entity_parts().map_or("@", |(name, _)| name).to_owned();
        // Unwrap safety: these are 32 hexadecimal digits.
        let execution_id = format!("{:032x}", self.next_number()).parse().expect("an execution id");
        let started = ExecutionStarted {
            instance_id: id.clone(),
            execution_id,
            name,
            version: None,
            input: None,
            parent: None,
            tags: everdure_core::Tags::new(),
            scheduled_start: None,
            trace: None,
        };
        let row = Row { status: OrchestrationStatus::Running, due_at: None, ..Row::new(started, None, now) };
        self.insert(row)
    }

    /// Has the entities that an instance had locked unlocked.
    pub fn unlock_entities(&mut self, owner: InstanceKey, now: Timestamp) {
        let locked = self.rows.iter().filter_map(|(key, row)| {
            let lock = row.entity_lock.as_ref().filter(|lock| lock.owner.key == owner)?;
            Some((*key, lock.critical_section.clone()))
        });
        for (key, critical_section) in locked.collect::<Vec<_>>() {
            self.post(key, None, MessageBody::EntityUnlock { critical_section }, now, now);
        }
    }

    /// Removes an instance's row and activities; its id is the caller's affair.
    pub fn forget(&mut self, key: InstanceKey) {
        self.rows.remove(&key);
        self.activities.retain(|_, activity| activity.task.key != key);
        self.poison.retain(|(of, _), _| *of != key);
    }

    /// Adds a message to a live row and makes the row due when it may be delivered.
    pub fn post(
        &mut self,
        key: InstanceKey,
        execution: Option<i32>,
        body: MessageBody,
        now: Timestamp,
        visible_at: Timestamp,
    ) -> Option<Message> {
        let number = MessageNumber(self.next_number());
        self.post_as(key, Message { number, execution, sent_at: now, visible_at, body })
    }

    /// Adds events that were received and not consumed, ahead of all that waits.
    pub fn post_carried(&mut self, key: InstanceKey, bodies: Vec<MessageBody>, now: Timestamp) -> Vec<Message> {
        let count = i64::try_from(bodies.len()).expect("a count of events in memory fits");
        self.first -= count;
        let first = self.first;
        let messages = bodies.into_iter().zip(first..).map(|(body, number)| Message {
            number: MessageNumber(number),
            execution: None,
            sent_at: now,
            visible_at: now,
            body,
        });
        messages.filter_map(|message| self.post_as(key, message)).collect()
    }

    fn post_as(&mut self, key: InstanceKey, message: Message) -> Option<Message> {
        let row = self.rows.get_mut(&key).filter(|row| !row.status.is_terminal())?;
        row.wake_at(message.visible_at);
        row.messages.insert(message.number, message.clone());
        Some(message)
    }

    /// Ends an instance that nobody holds, and tells its parent; with `recurse` all below it as well, those that are held by a
    /// message. `false` when it has ended, or is held, of which the caller tells it.
    pub fn terminate_unheld(&mut self, key: InstanceKey, reason: Option<&str>, recurse: bool, now: Timestamp) -> bool {
        let Some(row) = self.rows.get(&key).filter(|row| !row.status.is_terminal()) else { return false };
        let (held, execution) = (row.is_held(), row.execution);
        let (parent, name) = (row.started.parent.clone(), row.started.name.clone());
        if !held {
            self.end_unheld(key, reason, recurse, now);
            if let Some(parent) = parent {
                self.tell_terminated(&parent, &name, reason, now);
            }
        }
        if recurse {
            self.terminate_below(key, execution, reason, now);
        }
        !held
    }

    /// Also what goes on below a child that has ended.
    fn terminate_below(&mut self, key: InstanceKey, execution: i32, reason: Option<&str>, now: Timestamp) {
        let is_child = |row: &Row| {
            row.started.parent.as_ref().is_some_and(|parent| (parent.key, parent.execution) == (key, execution))
        };
        let children = self.rows.iter().filter(|(_, row)| is_child(row));
        let children: Vec<_> = children.map(|(key, row)| (*key, row.execution, row.is_held(), row.status)).collect();
        for (child, execution, held, status) in children {
            if held {
                let body = MessageBody::ExecutionTerminated { reason: reason.map(str::to_owned), recurse: true };
                self.post(child, None, body, now, now);
            } else if !status.is_terminal() {
                self.end_unheld(child, reason, true, now);
            }
            self.terminate_below(child, execution, reason, now);
        }
    }

    /// What waited for it goes.
    fn end_unheld(&mut self, key: InstanceKey, reason: Option<&str>, recurse: bool, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        row.turn += 1;
        row.updated_at = now;
        if row.status == OrchestrationStatus::Pending {
            row.execution_turn = row.turn;
        } else {
            let last = row.history.last().map(|turn| turn.time + TimeDelta::microseconds(1));
            let time = last.map_or(now, |last| last.max(now));
            let reason = reason.map(str::to_owned);
            let ended = EventData::ExecutionCompleted {
                status: OrchestrationStatus::Terminated,
                result: reason.clone(),
                failure: None,
            };
            let events = [EventData::ExecutionTerminated { reason, recurse }, ended];
            let events = events.into_iter().map(|data| HistoryEvent::unsolicited(time, data)).collect();
            row.history.push(HistoryTurn { turn: row.turn, time, events });
        }
        row.finish(OrchestrationStatus::Terminated, now);
        row.output = reason.map(str::to_owned);
        self.activities.retain(|_, activity| activity.task.key != key);
        self.unlock_entities(key, now);
    }

    /// Tells the parent of a live instance that another one takes its id.
    pub fn tell_replaced(&mut self, key: InstanceKey, now: Timestamp) {
        let Some(row) = self.rows.get(&key).filter(|row| !row.status.is_terminal()) else { return };
        if let Some(parent) = row.started.parent.clone() {
            let name = row.started.name.clone();
            self.tell_terminated(&parent, &name, Some("replaced by another instance"), now);
        }
    }

    fn tell_terminated(&mut self, parent: &ParentLink, name: &str, reason: Option<&str>, now: Timestamp) {
        let failure = everdure_core::FailureDetails::new(
            "OrchestrationTerminated",
            format!("sub-orchestration '{name}' was terminated: {}", reason.unwrap_or("no reason given")),
        );
        let body = MessageBody::SubOrchestrationInstanceFailed { dispatch: parent.dispatch, failure };
        let execution = self.rows.get(&parent.key).map(|row| row.execution);
        if execution == Some(parent.execution) {
            self.post(parent.key, execution, body, now, now);
        }
    }

    pub fn add_activity(&mut self, key: InstanceKey, activity: NewActivity, now: Timestamp) -> Option<ActivityId> {
        let row = self.rows.get(&key)?;
        let NewActivity { dispatch, task_id, name, version, input, tags, trace } = activity;
        let task = ActivityTask {
            key,
            instance_id: row.started.instance_id.clone(),
            execution: row.execution,
            dispatch,
            task_id,
            name,
            version,
            input,
            tags,
            orchestration_version: row.started.version.clone(),
            trace,
            execution_id: row.started.execution_id,
            idempotency_key: row.started.execution_id.idempotency_key(dispatch),
        };
        let id = ActivityId(self.next_number());
        self.activities.insert(id, ActivityRow { task, visible_at: now, locked_by: None, attempt: 0 });
        Some(id)
    }

    pub fn drop_activities(&mut self, key: InstanceKey, gone: impl Fn(DispatchId) -> bool) {
        self.activities.retain(|_, activity| activity.task.key != key || !gone(activity.task.dispatch));
    }

    /// Frees everything that these nodes hold, and makes it due. Returns how much it was.
    /// Frees what these nodes held; if they crashed, that is a failed attempt of all of it.
    pub fn release_all(&mut self, nodes: &[NodeId], crashed: bool, now: Timestamp) -> u64 {
        const REASON: &str = "the node that held it stopped without a word";
        let held = |locked_by: Option<NodeId>| locked_by.is_some_and(|node| nodes.contains(&node));
        let rows = self.rows.iter().filter(|(_, row)| held(row.locked_by));
        let rows: Vec<_> = rows.map(|(key, row)| (*key, row.turn)).collect();
        for (key, turn) in &rows {
            let pause = if crashed {
                self.count_failure(*key, None, *turn, REASON, false, now)
            } else {
                Some(TimeDelta::zero())
            };
            if let Some(row) = self.rows.get_mut(key) {
                row.locked_by = pause.is_none().then_some(SET_ASIDE);
                row.due_at = pause.map(|pause| now + pause);
            }
        }
        let activities = self.activities.iter().filter(|(_, activity)| held(activity.locked_by));
        let activities: Vec<_> = activities.map(|(id, activity)| (*id, activity.task.key)).collect();
        for (id, key) in &activities {
            let pause = if crashed {
                self.count_failure(*key, Some(*id), 0, REASON, false, now)
            } else {
                Some(TimeDelta::zero())
            };
            if let Some(activity) = self.activities.get_mut(id) {
                activity.locked_by = pause.is_none().then_some(SET_ASIDE);
                activity.visible_at = now + pause.unwrap_or_default();
            }
        }
        u64::try_from(rows.len() + activities.len()).unwrap_or(u64::MAX)
    }

    /// Counts a failed attempt; how long the next one waits, `None` when there is none.
    pub fn count_failure(
        &mut self,
        key: InstanceKey,
        activity: Option<ActivityId>,
        turn: i64,
        reason: &str,
        lasting: bool,
        now: Timestamp,
    ) -> Option<TimeDelta> {
        let setting = if activity.is_some() { "attempts.activity" } else { "attempts.turn" };
        let allowed = match self.settings.get(setting).map(|value| Setting::read(setting, value)) {
            Some(Ok(Setting { value: SettingValue::Attempts(allowed), .. })) => allowed,
            _ => Some(DEFAULT_ATTEMPTS),
        };
        let poison = self.poison.entry((key, activity)).or_insert_with(|| Poison {
            turn,
            attempts: 0,
            reason: String::new(),
            failed_at: now,
        });
        poison.attempts = if poison.turn == turn { poison.attempts + 1 } else { 1 };
        (poison.turn, poison.reason, poison.failed_at) = (turn, reason.to_owned(), now);
        let set_aside = lasting || allowed.is_some_and(|allowed| poison.attempts >= allowed);
        (!set_aside).then(|| TimeDelta::from_std(back_off(poison.attempts)).unwrap_or_default())
    }
}
