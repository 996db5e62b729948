//! One connection that writes flushes: a transaction each, sent without waiting between its statements.

use std::collections::HashMap;
use std::sync::Arc;

use everdure_core::{BackendError, BackendResult, CreateOutcome, NodeId, SendOutcome};
use everdure_core::{CheckpointOutcome, InstanceId};
use tokio::time::Instant;
use tokio_postgres::{Client, Error, Statement};

use super::item::{Item, Operation};
use super::outcomes::{self, Outcome};
use super::parameters::{Borrowed, Parameters};
use crate::connect::Connector;
use crate::fault::{Blame, Pause, blame, describe, explain, fault, is_contention};
use crate::hints::Hints;
use crate::trouble::Trouble;

const BEGIN: &str = "begin isolation level read committed";
/// Said again in each transaction: a pooler may have dropped what the session was opened with.
const BEGIN_IN_A_HURRY: &str = "begin isolation level read committed; set local lock_timeout = 50";

/// What all writers share.
#[derive(Clone)]
pub(super) struct WriterContext {
    pub hub: i32,
    pub hub_name: Arc<str>,
    pub schema: Arc<str>,
    pub hints: Arc<Hints>,
}

pub(super) struct Writer {
    context: WriterContext,
    connector: Connector,
    connection: Option<Connection>,
    lane: i32,
    /// Whether it waits for row locks.
    wait: bool,
    /// The number of the last flush of each node.
    flushes: HashMap<NodeId, i64>,
    trouble: Arc<Trouble>,
}

/// What a flush leaves to be done.
#[derive(Default)]
pub(super) struct Left {
    /// Their rows were not free: next time.
    pub busy: Vec<Item>,
    /// Somebody else is just creating an id that one of them wants: alone, and patiently.
    pub contested: Vec<Item>,
}

struct Connection {
    client: Client,
    open: Statement,
    create: Statement,
    send: Statement,
    checkpoint: Statement,
    complete: Statement,
    demote: Statement,
    close: Statement,
    resolve: Statement,
}

/// Why an attempt failed, and whether its transaction may have been committed all the same.
struct Failed {
    error: Error,
    unknown: bool,
}

impl Connection {
    async fn open(connector: &Connector, schema: &str) -> Result<Self, Error> {
        let client = connector.connect().await?;
        let prepare = async |function: &str, count: usize| {
            let numbers: Vec<_> = (1..=count).map(|number| format!("${number}")).collect();
            client.prepare(&format!("select {schema}.{function}({})", numbers.join(", "))).await
        };
        Ok(Self {
            open: prepare("_open_flush", 2).await?,
            create: prepare("_create_instances", 14).await?,
            send: prepare("_send_messages", 7).await?,
            checkpoint: prepare("_checkpoint", 18).await?,
            complete: prepare("_complete_activities", 8).await?,
            demote: prepare("_demote", 4).await?,
            close: prepare("_close_flush", 3).await?,
            resolve: prepare("_resolve_flush", 3).await?,
            client,
        })
    }
}

impl Writer {
    pub fn new(context: WriterContext, connector: Connector, lane: i32, wait: bool) -> Self {
        let trouble = Arc::new(Trouble::new(format!("writer {lane} of task hub '{}'", context.hub_name)));
        Self { context, connector, connection: None, lane, wait, flushes: HashMap::new(), trouble }
    }

    /// What keeps it from writing.
    pub fn trouble(&self) -> Arc<Trouble> {
        Arc::clone(&self.trouble)
    }

    /// Closes the connection; the next flush opens another.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Writes a batch whose items are of one node or of none, and answers all but those it gives back.
    pub async fn flush(&mut self, mut batch: Vec<Item>) -> Left {
        let mut pause = Pause::default();
        loop {
            if batch.is_empty() {
                return Left::default();
            }
            let node = batch.iter().find_map(|item| item.operation.node());
            let failed = match self.attempt(&batch, node).await {
                Ok(text) => {
                    self.trouble.over();
                    return self.answer(&text, batch);
                }
                Err(failed) => failed,
            };
            match blame(&failed.error) {
                Blame::NodeGone => batch = without_node(batch),
                Blame::Operator | Blame::HubGone => {
                    refuse(batch, failed.error);
                    return Left::default();
                }
                Blame::Item if batch.len() == 1 => {
                    batch.into_iter().for_each(|item| item.reject(&describe(&failed.error)));
                    return Left::default();
                }
                Blame::Item => return self.one_by_one(batch).await,
                Blame::Passing => {
                    self.trouble.met(&explain("writing", &failed.error), is_contention(&failed.error));
                    if failed.unknown {
                        match self.resolve(node, &mut pause, &batch).await {
                            Ok(Some(text)) => {
                                self.trouble.over();
                                return self.answer(&text, batch);
                            }
                            Ok(None) => {}
                            Err(BackendError::NodeGone) => {
                                batch = without_node(batch);
                                continue;
                            }
                            // Nobody knows yet; the deadline below ends it.
                            Err(error) => {
                                tracing::warn!(error = &error as &dyn std::error::Error, "a commit is uncertain");
                            }
                        }
                    }
                    if is_contested(&failed.error) && !self.wait {
                        let (contested, rest): (Vec<_>, Vec<_>) =
                            batch.into_iter().partition(|item| item.operation.creates());
                        if rest.is_empty() && contested.len() == 1 {
                            return Left { contested, ..Left::default() };
                        }
                        let mut left = Box::pin(self.flush(rest)).await;
                        // Only one of them may be contested; its neighbours must not wait with it.
                        let creations = self.one_by_one(contested).await;
                        left.busy.extend(creations.busy);
                        left.contested.extend(creations.contested);
                        return left;
                    }
                    batch = drop_expired(batch, &failed.error);
                    pause.wait().await;
                }
            }
        }
    }

    /// The culprit fails by itself.
    async fn one_by_one(&mut self, batch: Vec<Item>) -> Left {
        let mut left = Left::default();
        for item in batch {
            let one = Box::pin(self.flush(vec![item])).await;
            left.busy.extend(one.busy);
            left.contested.extend(one.contested);
        }
        left
    }

    async fn connection(&mut self) -> Result<&Connection, Error> {
        if self.connection.as_ref().is_none_or(|connection| connection.client.is_closed()) {
            self.connection = None;
            let opened = Connection::open(&self.connector, &self.context.schema).await?;
            self.connection = Some(opened);
        }
        // Unwrap safety: it was put there above.
        Ok(self.connection.as_ref().expect("there is a connection"))
    }

    /// One transaction, measured.
    async fn attempt(&mut self, batch: &[Item], node: Option<NodeId>) -> Result<String, Failed> {
        let begun = Instant::now();
        let attempted = self.try_once(batch, node).await;
        match &attempted {
            Ok(_) => {
                metrics::histogram!("everdure_commit_seconds").record(begun.elapsed());
                // Far fewer than where doubles have gaps.
                metrics::histogram!("everdure_commit_operations").record(batch.len() as f64);
            }
            Err(_) => metrics::counter!("everdure_commit_retries_total").increment(1),
        }
        attempted
    }

    /// One transaction. What it did is in the text that it returns.
    async fn try_once(&mut self, batch: &[Item], node: Option<NodeId>) -> Result<String, Failed> {
        let number = node.map_or(0, |node| {
            let number = self.flushes.entry(node).or_insert(0);
            *number += 1;
            *number
        });
        let (lane, wait, hub) = (self.lane, self.wait, self.context.hub);
        let connection = self.connection().await.map_err(|error| Failed { error, unknown: false })?;
        let client = &connection.client;
        let node = node.map(|node| node.0);
        let all = Parameters::new(batch);
        let creations = all.creations.as_ref().map(|creations| creations.borrow(&hub, &node, &wait));
        let sends = all.sends.as_ref().map(|sends| sends.borrow(&hub, &wait));
        let checkpoints = all.checkpoints.as_ref().map(|checkpoints| checkpoints.borrow(&hub, &node, &wait));
        let completions = all.completions.as_ref().map(|completions| completions.borrow(&node, &wait));
        let demotions = all.demotions.as_ref().map(|demotions| demotions.borrow(&node, &wait));
        let opening: Borrowed<'_> = vec![&node, &lane];
        let closing: Borrowed<'_> = vec![&node, &lane, &number];
        // Each is sent when first polled: in this order, without waiting for the one before.
        let (begin, open, create, send, checkpoint, complete, demote, close, commit) = futures::join!(
            client.batch_execute(if wait { BEGIN } else { BEGIN_IN_A_HURRY }),
            run(client, &connection.open, Some(opening)),
            run(client, &connection.create, creations),
            run(client, &connection.send, sends),
            run(client, &connection.checkpoint, checkpoints),
            run(client, &connection.complete, completions),
            run(client, &connection.demote, demotions),
            client.query_one(&connection.close, &closing),
            client.batch_execute("commit"),
        );
        // The first error is the cause; what follows only says that the transaction is broken. Only an error that the
        // server told is certain: when the connection broke, all was sent, and the commit may have been executed.
        let failed = |error: Error| Failed { unknown: error.code().is_none(), error };
        let mut steps = [Some(begin), open, create, send, checkpoint, complete, demote].into_iter().flatten();
        if let Some(error) = steps.find_map(Result::err) {
            return Err(failed(error));
        }
        let row = close.map_err(failed)?;
        commit.map_err(|error| Failed { error, unknown: true })?;
        row.try_get(0).map_err(|error| Failed { error, unknown: true })
    }

    /// After a lost reply: the outcomes if the flush was committed, `None` if it was not. Clients have no lane; their
    /// requests carry ids, so that sending them again does no harm.
    async fn resolve(
        &mut self,
        node: Option<NodeId>,
        pause: &mut Pause,
        batch: &[Item],
    ) -> BackendResult<Option<String>> {
        let Some(node) = node else { return Ok(None) };
        let number = self.flushes.get(&node).copied().unwrap_or(0);
        let lane = self.lane;
        loop {
            let found = match self.connection().await {
                Ok(connection) => connection.client.query_one(&connection.resolve, &[&node.0, &lane, &number]).await,
                Err(error) => Err(error),
            };
            let error = match found.and_then(|row| row.try_get(0)) {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            let expired = batch.iter().all(|item| item.deadline <= Instant::now());
            if expired || blame(&error) != Blame::Passing {
                return Err(fault("finding out whether a transaction was committed", error));
            }
            pause.wait().await;
        }
    }

    fn answer(&self, text: &str, batch: Vec<Item>) -> Left {
        let mut left = Left::default();
        let outcomes = match outcomes::read(text, &batch) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let context = error.to_string();
                batch.into_iter().for_each(|item| {
                    item.answer(Err(BackendError::corrupt(context.clone(), "see the log")));
                });
                tracing::error!(error = &error as &dyn std::error::Error, "a flush is written, its outcomes unread");
                return left;
            }
        };
        let mut news = News::default();
        for (mut item, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                None => {
                    item.carried += 1;
                    left.busy.push(item);
                }
                Some(outcome) => {
                    news.add(&item, &outcome);
                    item.answer(Ok(outcome));
                }
            }
        }
        news.tell(&self.context.hints);
        left
    }
}

/// What others may want to look at after a flush.
#[derive(Default)]
struct News {
    orchestrations: bool,
    activities: bool,
    started: Vec<InstanceId>,
    ended: Vec<InstanceId>,
}

impl News {
    fn add(&mut self, item: &Item, outcome: &Outcome) {
        match (&item.operation, outcome) {
            (_, Outcome::Create(CreateOutcome::Created { born_claimed: false, .. })) => self.orchestrations = true,
            (_, Outcome::Send(SendOutcome::Sent { .. })) => self.orchestrations = true,
            (_, Outcome::Send(SendOutcome::Terminated)) => {
                self.orchestrations = true;
                self.ended.push(item.id.clone());
            }
            (Operation::Checkpoint(row), Outcome::Checkpoint(CheckpointOutcome::Landed(_))) => {
                self.orchestrations |= row.wakes;
                self.activities |= row.writes_activities;
                if row.status.is_terminal() {
                    self.ended.push(item.id.clone());
                } else if row.turn == 0 {
                    self.started.push(item.id.clone());
                }
            }
            // Without a row the outcome itself reaches the instance, which is held by whoever asked.
            (Operation::Complete(row), Outcome::Complete(_)) => self.orchestrations |= row.request.id.is_some(),
            (_, Outcome::Demote(_)) => {
                self.orchestrations = true;
                self.activities = true;
            }
            _ => {}
        }
    }

    fn tell(self, hints: &Hints) {
        if self.orchestrations {
            hints.orchestrations();
        }
        if self.activities {
            hints.activities();
        }
        if !self.started.is_empty() {
            hints.started(self.started);
        }
        if !self.ended.is_empty() {
            hints.ended(self.ended);
        }
    }
}

/// Calls a function of the flush; `None` when it has nothing to do.
async fn run(client: &Client, statement: &Statement, parameters: Option<Borrowed<'_>>) -> Option<Result<(), Error>> {
    Some(client.query(statement, &parameters?).await.map(drop))
}

fn is_contested(error: &Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE)
}

/// What was written in the name of a node that is gone fails; creations go on without a home.
fn without_node(batch: Vec<Item>) -> Vec<Item> {
    let mut kept = Vec::new();
    for mut item in batch {
        match &mut item.operation {
            Operation::Create(request) => request.born_claimed = None,
            Operation::Send(_) => {}
            _ => {
                item.answer(Err(BackendError::NodeGone));
                continue;
            }
        }
        kept.push(item);
    }
    kept
}

fn refuse(batch: Vec<Item>, error: Error) {
    let error = fault("writing", error);
    let context = error.to_string();
    let each = || match error {
        BackendError::HubGone { .. } => BackendError::HubGone { context: context.clone(), source: None },
        _ => BackendError::refused(context.clone()),
    };
    batch.into_iter().for_each(|item| item.answer(Err(each())));
}

fn drop_expired(batch: Vec<Item>, error: &Error) -> Vec<Item> {
    let now = Instant::now();
    let (expired, kept): (Vec<_>, Vec<_>) = batch.into_iter().partition(|item| item.deadline <= now);
    for item in expired {
        let what = format!("writing: {}; tried until the deadline", describe(error));
        item.answer(Err(BackendError::unavailable(what)));
    }
    kept
}
