//! The actor of a resident instance: the only one who decides what its next turn sees.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use everdure_core::{
    Action, ActionKind, ActivityTask, BackendError, Checkpoint, CheckpointOutcome, Demote, DemoteOutcome, DispatchId,
    ExecutionStarted, FailedAttempt, FailureDetails, HistoryTurn, InboxItem, Landed, Message, MessageBody,
    MessageNumber, NewActivity, NextExecution, OpenTurn, RuntimeState, TurnActions,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::incarnation::Incarnation;
use super::rooms::Rooms;
use super::{activities, handover};
use crate::{Ack, ActivityReturn, LiveOrchestration, NewTurn, TurnFault};

/// How long an actor must have waited before it makes place for others.
const YIELD_AFTER: Duration = Duration::from_secs(1);

/// What an actor is told.
pub(super) enum Mail {
    Messages(Vec<Message>),
    /// There is mail in the store.
    Look,
    Completed(DispatchId, ActivityReturn),
    GiveUp,
    /// Others need the place: an actor that only waits goes.
    Yield,
}

pub(super) struct Running {
    activity: NewActivity,
    cancel: CancellationToken,
}

pub(super) struct Actor {
    pub(super) node: Arc<Incarnation>,
    pub state: RuntimeState,
    claim: i32,
    mail: mpsc::UnboundedSender<Mail>,
    pub(super) received: mpsc::UnboundedReceiver<Mail>,
    pub(super) inbox: Vec<InboxItem>,
    /// Results that the turn under way has taken and the store does not have: should it fail, they are given back.
    in_turn: Vec<MessageBody>,
    /// Whether there was mail before the first turn.
    looks: bool,
    /// The turns that a new live orchestration has to see again.
    pub history: Vec<HistoryTurn>,
    live: Option<Box<dyn LiveOrchestration>>,
    pub(super) running: BTreeMap<DispatchId, Running>,
    seen: BTreeSet<MessageNumber>,
    /// Mail that came while a turn ran.
    pub(super) waiting: VecDeque<Mail>,
    /// Activities that nobody here takes any more.
    pub(super) given_back: BTreeSet<DispatchId>,
    /// Who waits to hear that a result that was taken is durable.
    pub(super) untold: BTreeMap<DispatchId, Ack>,
    /// Since when it has had nothing to do.
    idle_since: Instant,
}

/// Whether the actor goes on.
enum Next {
    Turn,
    End,
}

impl Actor {
    pub fn new(
        node: Arc<Incarnation>,
        state: RuntimeState,
        claim: i32,
        mail: mpsc::UnboundedSender<Mail>,
        received: mpsc::UnboundedReceiver<Mail>,
    ) -> Self {
        Self {
            node,
            state,
            claim,
            mail,
            received,
            inbox: Vec::new(),
            in_turn: Vec::new(),
            looks: false,
            history: Vec::new(),
            live: None,
            running: BTreeMap::new(),
            seen: BTreeSet::new(),
            waiting: VecDeque::new(),
            given_back: BTreeSet::new(),
            untold: BTreeMap::new(),
            idle_since: Instant::now(),
        }
    }

    pub async fn run(mut self) {
        while let Next::Turn = self.step().await {}
        for running in self.running.values() {
            running.cancel.cancel();
        }
        self.node.leave(self.state.key, &self.mail);
    }

    async fn step(&mut self) -> Next {
        while let Some(mail) = self.waiting.pop_front().or_else(|| self.received.try_recv().ok()) {
            if let Next::End = self.take(mail).await {
                return Next::End;
            }
        }
        let limit = usize::try_from(self.node.options.events_per_turn).unwrap_or(usize::MAX);
        let here = self.completed_here();
        match OpenTurn::begin(&self.state, &mut self.inbox, self.node.backend.now(), limit) {
            Some(turn) => {
                let answers =
                    turn.events().iter().filter(|event| event.data.answers().is_some_and(|d| here.contains(&d)));
                self.in_turn = answers.filter_map(|event| MessageBody::from_event(&event.data)).collect();
                self.turn(turn).await
            }
            None if self.running.is_empty() => self.give_up().await,
            None => match tokio::time::timeout_at(self.idle_since + self.node.options.idle_after, self.received.recv())
                .await
            {
                Ok(Some(mail)) => self.take(mail).await,
                Ok(None) => Next::End,
                Err(_) => self.step_aside().await,
            },
        }
    }

    fn completed_here(&self) -> BTreeSet<DispatchId> {
        let completions = self.inbox.iter().filter_map(|item| match item {
            InboxItem::Completion { dispatch, .. } => Some(*dispatch),
            InboxItem::Message(_) => None,
        });
        completions.collect()
    }

    async fn take(&mut self, mail: Mail) -> Next {
        match mail {
            Mail::Messages(messages) => self.receive(messages),
            Mail::Completed(dispatch, returned) => {
                self.complete(dispatch, returned).await;
                if !self.given_back.is_empty() {
                    return self.step_aside().await;
                }
            }
            Mail::Look => self.look(),
            Mail::GiveUp => return self.give_up().await,
            Mail::Yield if self.inbox.is_empty() && self.idle_since.elapsed() >= YIELD_AFTER => {
                return self.step_aside().await;
            }
            Mail::Yield => {}
        }
        Next::Turn
    }

    /// Mail to a pending instance comes due with its first turn.
    fn look(&mut self) {
        self.looks = self.state.turn == 0;
        if !self.looks {
            self.node.mail_came.notify_one();
        }
    }

    /// Takes messages; what the store repeats is dropped by number.
    pub fn receive(&mut self, messages: Vec<Message>) {
        let new: Vec<_> = messages.into_iter().filter(|message| self.seen.insert(message.number)).collect();
        let carried = new.iter().any(|message| message.number.0 < 0);
        self.inbox.extend(new.into_iter().map(InboxItem::Message));
        if carried {
            // What continue-as-new carried over goes ahead of all that waits.
            self.inbox.sort_by_key(|item| match item {
                InboxItem::Message(message) => message.number.0.min(0),
                InboxItem::Completion { .. } => 0,
            });
        }
    }

    async fn turn(&mut self, turn: OpenTurn) -> Next {
        let begun = Instant::now();
        let next = self.take_turn(turn).await;
        metrics::histogram!("everdure_turn_seconds", "kind" => "orchestration").record(begun.elapsed());
        next
    }

    async fn take_turn(&mut self, turn: OpenTurn) -> Next {
        let actions = if turn.runs_user_code(&self.state) {
            let node = Arc::clone(&self.node);
            let watched = node.turns.watch(self.failing("the turn did not end within its deadline", false));
            let decided = tokio::time::timeout(node.options.turn_deadline, self.decide(&turn)).await;
            drop(watched);
            match decided {
                Ok(Ok(actions)) => actions,
                Ok(Err(TurnFault::NotTaken)) => return self.step_aside().await,
                // Its code would decide the same again: whoever looks at it is told at once.
                Ok(Err(TurnFault::Unusable(reason))) => fail(FailureDetails::new("InvalidAction", reason)),
                Ok(Err(TurnFault::Failed(reason))) => return self.give_up_failing(&reason, false).await,
                Err(_) => return self.give_up_failing("the turn did not end within its deadline", false).await,
            }
        } else {
            TurnActions::default()
        };
        let mut turn = turn;
        if let Some(seen) = actions.events_seen {
            turn.put_back(seen, &mut self.inbox);
            let again = self.completed_here();
            self.in_turn.retain(|body| body.dispatch().is_none_or(|dispatch| !again.contains(&dispatch)));
        }
        let again = turn.clone();
        let applied = turn.clone().apply(&self.state, self.node.node, self.claim, actions).or_else(|error| {
            let failing = fail(FailureDetails::new("InvalidAction", error.to_string()));
            turn.apply(&self.state, self.node.node, self.claim, failing)
        });
        match applied {
            Ok(checkpoint) => match self.write(checkpoint).await {
                Ok(next) => next,
                Err(rejected) => self.fail_instead(again, rejected).await,
            },
            Err(error) => {
                let (hub, instance) = (self.node.hub(), &self.state.started.instance_id);
                tracing::error!(error = &error as &dyn std::error::Error, hub, %instance, "a failure could not be recorded");
                self.give_up_failing(&format!("a failure could not be recorded: {error}"), false).await
            }
        }
    }

    /// Runs user code.
    ///
    /// # Errors
    /// Why it could not be run here.
    async fn decide(&mut self, turn: &OpenTurn) -> Result<TurnActions, TurnFault> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                let started = &self.state.started;
                let known = self.node.workers.orchestration(&started.name, started.version.as_deref());
                let executor = known.ok_or(TurnFault::NotTaken)?;
                let mut live = executor.begin(started);
                for past in &self.history {
                    if let Err(failure) = live.replay(past).await {
                        return Ok(fail(failure));
                    }
                }
                if self.node.options.keep_live {
                    self.history.clear();
                }
                live
            }
        };
        let new = NewTurn { number: turn.number(), time: turn.time(), events: turn.events() };
        let decided = {
            let mut deciding = live.run_turn(new);
            loop {
                tokio::select! {
                    biased;
                    decided = &mut deciding => break decided,
                    Some(mail) = self.received.recv() => self.take_aside(mail).await,
                }
            }
        };
        let ran = matches!(decided, Ok(_) | Err(TurnFault::Unusable(_)));
        self.live = (ran && self.node.options.keep_live).then_some(live);
        if let Err(fault @ (TurnFault::Failed(_) | TurnFault::Unusable(_))) = &decided {
            let (hub, instance) = (self.node.hub(), &self.state.started.instance_id);
            tracing::warn!(error = fault as &dyn std::error::Error, hub, %instance, "a turn failed");
        }
        decided
    }

    /// A turn that cannot be stored fails its orchestration, visibly. If not even that can be stored, what came in is
    /// to blame: the instance is set aside, and an operator has to look.
    async fn fail_instead(&mut self, turn: OpenTurn, rejected: FailureDetails) -> Next {
        let instance = self.state.started.instance_id.clone();
        tracing::error!(%rejected, hub = self.node.hub(), %instance, "a turn cannot be stored; its orchestration fails");
        if let Ok(checkpoint) = turn.apply(&self.state, self.node.node, self.claim, fail(rejected))
            && let Ok(next) = self.write(checkpoint).await
        {
            return next;
        }
        tracing::error!(hub = self.node.hub(), %instance, "its failure cannot be stored either; it is set aside");
        self.give_up_failing("neither its turn nor the failure of it can be stored", true).await
    }

    /// Writes a turn until the store has answered.
    ///
    /// # Errors
    /// Why this turn, and no other, cannot be stored.
    async fn write(&mut self, mut checkpoint: Checkpoint) -> Result<Next, FailureDetails> {
        let local = self.place(&mut checkpoint);
        let running = self.running.keys().filter(|dispatch| !checkpoint.cancelled.contains(dispatch)).count();
        checkpoint.hold = !checkpoint.status.is_terminal()
            && (!local.is_empty()
                || running > 0 && checkpoint.next_execution.is_none()
                || checkpoint.next_execution.is_some()
                || !self.inbox.is_empty());
        self.node.welcome_children(&mut checkpoint);
        let landed = loop {
            match self.node.backend.checkpoint(checkpoint.clone()).await {
                Ok(CheckpointOutcome::Landed(landed)) => break landed,
                // The row moved on, or a timer is not due after all: what the store says is read anew. Should the
                // row still be ours, it is given back; if not, that is lost as well.
                Ok(CheckpointOutcome::Lost | CheckpointOutcome::Early) => return Ok(self.give_up().await),
                Err(BackendError::NodeGone) => return Ok(Next::End),
                Ok(CheckpointOutcome::Rejected(failure)) => return Err(failure),
                Err(error) => {
                    let (hub, instance) = (self.node.hub(), &checkpoint.instance_id);
                    tracing::warn!(error = &error as &dyn std::error::Error, hub, %instance, "could not write a turn; trying again");
                    tokio::time::sleep(self.node.options.retry_after).await;
                }
            }
        };
        Ok(self.landed(checkpoint, local, landed))
    }

    /// Takes out of the checkpoint the activities that start here as soon as it is durable.
    fn place(&self, checkpoint: &mut Checkpoint) -> Vec<(NewActivity, OwnedSemaphorePermit)> {
        let activities = std::mem::take(&mut checkpoint.activities);
        let mut rooms = Rooms::new(|name, version| self.node.activity_room(name, version));
        let permits: Vec<_> = activities
            .iter()
            .map(|activity| {
                let version = activity.version.as_deref().or(self.state.started.version.as_deref());
                rooms.take(&activity.name, version).then(|| self.node.accept_activity()).flatten()
            })
            .collect();
        let mut local = Vec::new();
        for (activity, permit) in activities.into_iter().zip(permits) {
            match permit {
                Some(permit) => local.push((activity, permit)),
                None => checkpoint.activities.push(activity),
            }
        }
        local
    }

    fn landed(
        &mut self,
        checkpoint: Checkpoint,
        local: Vec<(NewActivity, OwnedSemaphorePermit)>,
        landed: Landed,
    ) -> Next {
        self.in_turn.clear();
        self.idle_since = Instant::now();
        if let Some(live) = &mut self.live {
            let events = &checkpoint.events;
            live.settled(NewTurn { number: checkpoint.turn + 1, time: checkpoint.time, events });
        }
        let newborn = self.node.admit_children(checkpoint.children, &landed.children);
        for dispatch in &checkpoint.cancelled {
            self.stop(*dispatch);
        }
        if checkpoint.status.is_terminal() {
            metrics::counter!("everdure_ended_total", "status" => checkpoint.status.name()).increment(1);
        }
        match checkpoint.status.is_terminal() || checkpoint.next_execution.is_some() {
            true => self.tell_all(),
            false => self.tell(checkpoint.events.iter().filter_map(|event| event.data.answers())),
        }
        let turn = checkpoint.turn + 1;
        match checkpoint.next_execution {
            Some(next) => self.continue_as_new(turn, next),
            None => {
                if let Err(error) = self.state.fold(turn, checkpoint.time, &checkpoint.events) {
                    let (hub, instance) = (self.node.hub(), &self.state.started.instance_id);
                    tracing::error!(error = &error as &dyn std::error::Error, hub, %instance, "memory and store disagree");
                    return Next::End;
                }
                if !self.node.options.keep_live {
                    self.history.push(HistoryTurn { turn, time: checkpoint.time, events: checkpoint.events });
                }
            }
        }
        for (activity, permit) in local {
            self.start(activity, permit);
        }
        let (own, others): (Vec<_>, Vec<_>) = landed.delivered.into_iter().partition(|sent| sent.key == self.state.key);
        self.receive(own.into_iter().map(|sent| sent.message).collect());
        self.node.deliver_written(others, &newborn);
        if self.looks {
            self.look();
        }
        if checkpoint.hold { Next::Turn } else { Next::End }
    }

    fn continue_as_new(&mut self, turn: i64, next: NextExecution) {
        let dispatches: Vec<_> = self.running.keys().copied().collect();
        dispatches.into_iter().for_each(|dispatch| self.stop(dispatch));
        let started = ExecutionStarted {
            execution_id: next.execution_id,
            version: next.version,
            input: next.input,
            ..self.state.started.clone()
        };
        self.state = RuntimeState::new(self.state.key, self.state.execution + 1, turn, started);
        self.live = None;
        self.history.clear();
        self.inbox.retain(|item| matches!(item, InboxItem::Message(message) if message.execution.is_none()));
    }

    fn stop(&mut self, dispatch: DispatchId) {
        if let Some(running) = self.running.remove(&dispatch) {
            running.cancel.cancel();
        }
    }

    /// Starts what a former holder had started: the same step, under the same key.
    pub fn dispatch_again(&mut self, open: Vec<NewActivity>) {
        for activity in open {
            let version = activity.version.as_deref().or(self.state.started.version.as_deref());
            let known = self.node.workers.activity(&activity.name, version).is_some();
            // More than is welcome when many come back at once; they wait for their places in memory.
            let permit = Arc::clone(&self.node.accepted).try_acquire_owned().ok();
            if known {
                self.start_with(activity, permit);
            } else {
                let cancel = CancellationToken::new();
                self.running.insert(activity.dispatch, Running { activity, cancel });
                // Nobody here takes it: give it a row, for others.
                let _ = self.mail.send(Mail::GiveUp);
            }
        }
    }

    fn start(&mut self, activity: NewActivity, permit: OwnedSemaphorePermit) {
        self.start_with(activity, Some(permit));
    }

    fn start_with(&mut self, activity: NewActivity, permit: Option<OwnedSemaphorePermit>) {
        let cancel = self.node.ended.child_token();
        let task = self.task(&activity);
        let (node, mail, cancelled) = (Arc::clone(&self.node), self.mail.clone(), cancel.clone());
        let dispatch = activity.dispatch;
        self.running.insert(dispatch, Running { activity, cancel });
        tokio::spawn(async move {
            let _accepted = permit;
            // Given up while it waited for its place: it has a row now, or nobody wants it.
            let Some(Ok(_place)) = cancelled.run_until_cancelled(node.places.acquire()).await else { return };
            let outcome = activities::run(&node, task, cancelled).await;
            if node.ended.is_cancelled() {
                // What an activity returns because its node stops is no result.
                return;
            }
            // An actor that has gone has given the activity a row, or nobody waits for it.
            let _ = mail.send(Mail::Completed(dispatch, outcome));
        });
    }

    fn task(&self, activity: &NewActivity) -> ActivityTask {
        ActivityTask {
            key: self.state.key,
            instance_id: self.state.started.instance_id.clone(),
            execution: self.state.execution,
            execution_id: self.state.started.execution_id,
            dispatch: activity.dispatch,
            task_id: activity.task_id,
            name: activity.name.clone(),
            version: activity.version.clone(),
            input: activity.input.clone(),
            tags: activity.tags.clone(),
            orchestration_version: self.state.started.version.clone(),
            trace: activity.trace.clone(),
            idempotency_key: self.state.idempotency_key(activity.dispatch),
        }
    }

    /// Ends residency: rows for what runs here, messages for results that no turn has seen, release.
    async fn give_up(&mut self) -> Next {
        let request = self.demotion();
        self.end_with(request).await
    }

    /// The same after a turn that could not be run or stored.
    async fn give_up_failing(&mut self, reason: &str, lasting: bool) -> Next {
        let request = self.failing(reason, lasting);
        self.end_with(request).await
    }

    async fn end_with(&mut self, request: Demote) -> Next {
        // From here on others may run what waits for a place here.
        self.running.values().for_each(|running| running.cancel.cancel());
        if let Some(DemoteOutcome::Released { .. }) = handover::demote(&self.node, request).await {
            self.tell_all();
        }
        Next::End
    }

    /// Ends the residency of an instance that waits for activities here, and for nothing else: they go on running, as
    /// rows that this node holds, and their results go the way of rows. What nobody here takes is for others.
    async fn step_aside(&mut self) -> Next {
        self.take_waiting_results();
        let mut request = self.demotion();
        (request.activities, request.running) = std::mem::take(&mut request.activities)
            .into_iter()
            .partition(|activity| self.given_back.contains(&activity.dispatch));
        if let Some(DemoteOutcome::Released { running }) = handover::demote(&self.node, request).await {
            self.tell_all();
            let (_, nothing) = mpsc::unbounded_channel();
            let received = std::mem::replace(&mut self.received, nothing);
            let kept = running.into_iter().filter_map(|(dispatch, id)| {
                let running = self.running.remove(&dispatch)?;
                Some((dispatch, id, running.cancel))
            });
            let running = kept.collect();
            handover::hand_over(&self.node, &self.state, received, running);
        }
        Next::End
    }

    fn failing(&self, reason: &str, lasting: bool) -> Demote {
        let failure = FailedAttempt { reason: reason.to_owned(), lasting };
        Demote { retry_after: Some(self.node.options.retry_after), failure: Some(failure), ..self.demotion() }
    }

    fn demotion(&self) -> Demote {
        Demote {
            key: self.state.key,
            instance_id: self.state.started.instance_id.clone(),
            node: self.node.node,
            claim: self.claim,
            turn: self.state.turn,
            execution: self.state.execution,
            activities: self.running.values().map(|running| running.activity.clone()).collect(),
            running: Vec::new(),
            completions: self.in_turn.iter().cloned().chain(self.unseen_results()).collect(),
            retry_after: None,
            failure: None,
        }
    }
}

fn fail(failure: FailureDetails) -> TurnActions {
    TurnActions { actions: vec![Action { id: -1, kind: ActionKind::Fail { failure } }], ..TurnActions::default() }
}
