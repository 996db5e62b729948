//! `everdure demo`: an order is processed twice; the second time the worker is killed half way.
//!
//! The demo checks what it shows: it compares the history in the database with a journal in which every activity
//! notes that it begins, and fails when a promise was not kept.

mod checks;
mod follow;
mod functions;
mod journal;
mod orders;
mod stage;
mod worker;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use everdure::{InstanceId, NodeOptions, Worker};
use everdure_core::EventData;
use everdure_embedded::Server;
use serde_json::{Value, json};

use checks::{Check, Evidence};
use follow::{Run, Seen};
use functions::{PROCESS_ORDER, SLOW, functions};
use journal::Journal;
use orders::Order;
use stage::Stage;
use worker::WorkerProcess;
pub use worker::{DemoWorker, run as run_worker};

use crate::connection::{Connection, Hub, block_on};
use crate::dev::stop_signal;
use crate::output::{self, BOLD, DIM, GREEN, RED};
use crate::{events, record};

const EXAMPLES: &str = "\
Examples:
  everdure demo
  everdure demo --print-sample > orders.json && everdure demo --input orders.json
  everdure demo --json | jq .checks
  everdure demo --database-url postgresql://me@host/db    what it made stays, to be looked at";

/// How long the second worker of the second run waits for signs of life of the first.
const LEASE: Duration = Duration::from_secs(2);
/// How the directories of journals begin.
const SCRATCH: &str = "everdure-demo-";
/// Characters of an event's detail in the tables.
const DETAIL: usize = 60;

/// Process an order on a private PostgreSQL, then again with a worker that is killed half way.
///
/// Starts a temporary PostgreSQL and runs an orchestration to its end: five activities one after the other, a durable
/// timer, an event from outside, a payment that fails and is retried, a fan-out, a sub-orchestration. Prints its
/// history. Then runs it again with the worker in a process of its own, which is killed with SIGKILL in the middle of
/// an activity; a second worker process takes over. At the end it checks that no recorded step ran again. Takes about
/// 15 seconds.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// Process the orders in this JSON file ('-': standard input), one orchestration instance each
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Print a file of orders to begin with, and do nothing else
    #[arg(long)]
    print_sample: bool,

    /// Use this database instead of a private PostgreSQL; EVERDURE_DATABASE_URL is not looked at
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,

    /// The task hub to make and use [default: a new one, demo-…]
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,

    /// Run this major version of PostgreSQL, 15 to 18
    #[arg(long, value_name = "MAJOR", conflicts_with = "database_url")]
    postgres: Option<u32>,

    /// Print one JSON object; what happens meanwhile is told on standard error
    #[arg(long)]
    json: bool,
}

/// Runs the demo; an error when a promise was not kept.
pub fn run(arguments: &Demo) -> Result<(), Box<dyn Error>> {
    if arguments.print_sample {
        return Ok(output::line(orders::SAMPLE.trim_end())?);
    }
    let mut stage = Stage::new(arguments.json);
    stage.line(format_args!(
        "{BOLD}Everdure demo{BOLD:#}: an order is processed; then again, by a worker that is killed half way."
    ))?;
    let orders = match &arguments.input {
        Some(path) => orders::read(path)?,
        None => orders::built_in(),
    };
    stage.step("The database")?;
    let (server, connection) = database(arguments, &stage)?;
    let report = block_on(async {
        let stop = stop_signal()?;
        tokio::select! {
            report = show(&mut stage, &connection, &orders) => report,
            () = stop => Err("interrupted".into()),
        }
    })?;
    conclude(&stage, arguments, &connection, &report)?;
    server.map_or(Ok(()), Server::stop)?;
    match report.checks.iter().filter(|check| !check.kept).count() {
        0 => Ok(()),
        broken => Err(format!("{broken} of {} checks failed: see above", report.checks.len()).into()),
    }
}

/// The database: the one named, or a private one that goes with the demo.
fn database(arguments: &Demo, stage: &Stage) -> Result<(Option<Server>, Connection), Box<dyn Error>> {
    let hub = arguments.hub.clone().unwrap_or_else(new_hub);
    let schema = "everdure".to_owned();
    if let Some(url) = &arguments.database_url {
        let connection = Connection::new(url.clone(), hub, schema);
        stage.line(format_args!("     using {}", connection.place()))?;
        return Ok((None, connection));
    }
    stage.line("     starting a private PostgreSQL")?;
    let began = Instant::now();
    let mut builder = Server::builder();
    if let Some(major) = arguments.postgres {
        builder = builder.version(major);
    }
    let spinner = indicatif::ProgressBar::new_spinner().with_message("initdb and start");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let server = builder.start();
    spinner.finish_and_clear();
    let server = server?;
    let took = began.elapsed().as_secs_f64();
    stage.line(format_args!("     PostgreSQL {} is ready after {took:.1} s", server.version()))?;
    let connection = Connection::new(server.url(), hub, schema);
    Ok((Some(server), connection))
}

/// Two demos on one database must not take each other's work.
fn new_hub() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("demo-{:x}-{:x}", now.as_millis(), std::process::id())
}

/// What the two runs came to.
struct Report {
    first: Vec<Seen>,
    second: Vec<Seen>,
    killed: u32,
    heir: u32,
    checks: Vec<Check>,
}

async fn show(stage: &mut Stage, connection: &Connection, orders: &[Order]) -> Result<Report, Box<dyn Error>> {
    let hub = connection.connect(connection.builder()?).await?;
    sweep();
    let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir()?;
    let journal = Journal::at(scratch.path().join("journal"));
    let first = first_run(stage, &hub, &journal, orders).await?;
    // The customers of the second run are in no process that has a worker.
    let customers = connection.connect(connection.builder()?).await?;
    let (at_kill, second, killed, heir) = second_run(stage, connection, &customers, &journal, orders).await?;
    let mut children = follow::children(&hub, &first).await?;
    children.extend(follow::children(&hub, &second).await?);
    let journal = journal.read()?;
    let evidence = Evidence {
        first: &first,
        at_kill: &at_kill,
        second: &second,
        children: &children,
        journal: &journal,
        killed,
        heir,
    };
    let checks = evidence.check();
    Ok(Report { first, second, killed, heir, checks })
}

/// Removes the journals of demos that were killed before they could. None takes as long as an hour.
fn sweep() {
    let hour = Duration::from_secs(3600);
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(SCRATCH);
        let modified = entry.metadata().and_then(|data| data.modified());
        if ours && modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > hour)) {
            // Somebody else's is left to them.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn named<'a>(orders: &'a [Order], run: &str) -> Result<Vec<(InstanceId, &'a Order)>, Box<dyn Error>> {
    orders.iter().map(|order| Ok((InstanceId::new(format!("order-{}-{run}", order.id))?, order))).collect()
}

async fn first_run(
    stage: &mut Stage,
    hub: &Hub,
    journal: &Journal,
    orders: &[Order],
) -> Result<Vec<Seen>, Box<dyn Error>> {
    stage.step("First run: the worker is in this process")?;
    let worker = Worker::start(hub.backend.clone(), functions(journal), NodeOptions::default()).await?;
    let hub = Hub { backend: hub.backend.clone(), client: worker.client() };
    let named = named(orders, "first")?;
    for (id, order) in &named {
        hub.client.start(&PROCESS_ORDER, (*order).clone()).id(id.clone()).await?;
    }
    let seen = Run::new(stage, &hub, named).finish(None).await?;
    worker.drain(Duration::from_secs(5)).await?;
    tell_end(stage, &seen)?;
    if let Some(first) = seen.first() {
        tell_history(stage, first)?;
    }
    Ok(seen)
}

/// The orders as they stood at the kill, as they ended, and the two worker processes.
type SecondRun = (Vec<Seen>, Vec<Seen>, u32, u32);

async fn second_run(
    stage: &mut Stage,
    connection: &Connection,
    hub: &Hub,
    journal: &Journal,
    orders: &[Order],
) -> Result<SecondRun, Box<dyn Error>> {
    stage.step("Second run: the worker is another process, and is killed")?;
    let mut doomed = WorkerProcess::start(connection, journal, LEASE).await?;
    let killed = doomed.pid();
    stage.line(format_args!("     worker process {killed} is ready"))?;
    let named = named(orders, "second")?;
    for (id, order) in &named {
        hub.client.start(&PROCESS_ORDER, (*order).clone()).id(id.clone()).await?;
    }
    let mut run = Run::new(stage, hub, named);
    run.follow(Some(&mut doomed), |seen| in_the_middle(seen, journal, killed)).await?;
    doomed.kill().await?;
    let at_kill = run.look().await?;
    let recorded: usize = at_kill.iter().map(Seen::answers).sum();
    run.say(format_args!(
        "     {RED}worker process {killed} is killed (SIGKILL) in the middle of '{SLOW}'{RED:#}, after {recorded} recorded steps"
    ))?;
    let mut heir = WorkerProcess::start(connection, journal, LEASE).await?;
    let heir_pid = heir.pid();
    run.say(format_args!("     worker process {heir_pid} takes over when the lease of {LEASE:?} has run out"))?;
    let second = run.finish(Some(&mut heir)).await?;
    drop(run);
    heir.stop().await?;
    tell_end(stage, &second)?;
    Ok((at_kill, second, killed, heir_pid))
}

/// Whether the first order is in the middle of the slow activity: it has begun, and has no result in history.
fn in_the_middle(seen: &[Seen], journal: &Journal, pid: u32) -> Result<bool, Box<dyn Error>> {
    let Some(first) = seen.first() else { return Ok(false) };
    let mut open = Vec::new();
    for event in first.events() {
        match &event.data {
            EventData::TaskScheduled { dispatch, name, .. } if name == SLOW => open.push(*dispatch),
            data => open.retain(|dispatch| data.answers() != Some(*dispatch)),
        }
    }
    let entries = journal.read()?;
    Ok(open.iter().any(|dispatch| {
        let key = first.record.execution_id.idempotency_key(*dispatch);
        entries.iter().any(|entry| entry.key == key && entry.pid == pid)
    }))
}

fn tell_end(stage: &Stage, seen: &[Seen]) -> std::io::Result<()> {
    for Seen { record, .. } in seen {
        let took = record.completed_at.map(|end| (end - record.created_at).as_seconds_f64()).unwrap_or_default();
        let said = record.failure.as_ref().map(ToString::to_string).or_else(|| record.output.clone());
        let said = said.unwrap_or_default();
        stage.line(format_args!("     {} is {} after {took:.1} s: {said}", record.instance_id, record.status))?;
    }
    Ok(())
}

fn tell_history(stage: &Stage, seen: &Seen) -> std::io::Result<()> {
    let events = events::flatten(&seen.record, &seen.turns);
    stage.line(format_args!("\n     {BOLD}The history of {}{BOLD:#}\n", seen.record.instance_id))?;
    stage.line(events::table(&events, DETAIL).trim_fmt())
}

fn conclude(stage: &Stage, arguments: &Demo, connection: &Connection, report: &Report) -> std::io::Result<()> {
    stage.line(format_args!("\n{BOLD}4/4  What was promised, checked{BOLD:#}"))?;
    for Check { promise, kept, detail } in &report.checks {
        let mark = if *kept { format!("{GREEN}ok{GREEN:#}    ") } else { format!("{RED}FAILED{RED:#}") };
        stage.line(format_args!("     {mark} {promise} {DIM}({detail}){DIM:#}"))?;
    }
    if arguments.database_url.is_some() {
        let hub = connection.hub();
        stage.line(format_args!("\n     Look at it: everdure list --hub {hub} --database-url …"))?;
    }
    if arguments.json {
        output::json(&to_json(connection, report))?;
    }
    Ok(())
}

fn to_json(connection: &Connection, report: &Report) -> Value {
    let run = |seen: &[Seen]| -> Vec<Value> {
        let one = |seen: &Seen| {
            let events = events::flatten(&seen.record, &seen.turns);
            let history: Vec<_> = events.iter().map(events::to_json).collect();
            json!({ "instance": record::to_json(&seen.record), "history": history })
        };
        seen.iter().map(one).collect()
    };
    let checks: Vec<_> = report.checks.iter().map(Check::to_json).collect();
    json!({
        "ok": report.checks.iter().all(|check| check.kept),
        "hub": connection.hub(),
        "firstRun": run(&report.first),
        "secondRun": run(&report.second),
        "killedWorker": report.killed,
        "secondWorker": report.heir,
        "checks": checks,
    })
}
