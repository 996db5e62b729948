//! `everdure bench`: how much one machine does, measured as a user would see it.
//!
//! Every orchestration is started by a client, waited for by that client, and its output is compared with what it
//! must be; only then does it count. The floor, what this server can append at all, is measured in the same run.

mod children;
mod floor;
mod load;
mod progress;
mod remote;
mod report;
mod server;
mod workload;

use std::error::Error;
use std::time::Duration;

use clap::{Args, ValueEnum};
use everdure::{NodeOptions, PostgresOptions};

use remote::RemoteServer;
use report::{Report, ServerFacts};
use server::{Database, Measured};

const HUB: &str = "bench";

/// Measure throughput and latency, with durability on.
///
/// Each orchestration is started, awaited and its output checked by a client in the worker's process. Warm-up is not
/// counted. The floor is what the same server appends in batches and nothing else: the limit of this design.
///
/// Examples:
///   everdure bench sequence --seconds 20
///   everdure bench fanout --concurrency 50 --json
///   everdure bench sequence --concurrency 1           (latency on an idle system)
///   everdure bench sequence --remote                  (worker and client connected to a server)
///   everdure bench single --nodes 2 --database-url postgresql://me@host/db
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct Bench {
    /// What to run
    #[arg(value_enum)]
    workload: Workload,

    /// How long to measure
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,

    /// How long to run before measuring
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,

    /// Stop after so many orchestrations, if that is sooner
    #[arg(long)]
    count: Option<u64>,

    /// Orchestrations in flight in each process [default: 1000; fanout 50]
    #[arg(long)]
    concurrency: Option<usize>,

    /// Bytes of the input of each orchestration and activity, and of its result
    #[arg(long, default_value_t = 100)]
    payload_bytes: usize,

    /// Node processes; with 1 the worker is in this process
    #[arg(long, default_value_t = 1)]
    nodes: usize,

    /// Put a server in between, in a process of its own; worker and client are connected to it
    #[arg(long)]
    remote: bool,

    /// Use this database instead of an embedded one
    #[arg(long, env = "EVERDURE_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Run this major version of PostgreSQL, 15 to 18, when embedded
    #[arg(long, value_name = "MAJOR")]
    postgres: Option<u32>,

    /// Writers of each process
    #[arg(long, default_value_t = 2)]
    lanes: usize,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// This process is one of several: run the load, print the counts
    #[arg(long, hide = true)]
    child: bool,

    /// Where the server is
    #[arg(long, hide = true)]
    server: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Five activities, one after the other
    Sequence,
    /// No activity
    Single,
    /// 100 activities at once
    Fanout,
    /// One activity
    One,
    /// Nothing: what a node costs that has nothing to do
    Idle,
    /// Append rows in batches, without orchestrations
    Floor,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Single => "single",
            Self::Fanout => "fanout",
            Self::One => "one",
            Self::Idle => "idle",
            Self::Floor => "floor",
        }
    }

    fn activities(self) -> u64 {
        match self {
            Self::Sequence => 5,
            Self::Fanout => 100,
            Self::One => 1,
            Self::Single | Self::Idle | Self::Floor => 0,
        }
    }
}

impl Bench {
    fn concurrency(&self) -> usize {
        match self.workload {
            Workload::Idle => 0,
            Workload::Fanout => self.concurrency.unwrap_or(50).max(1),
            _ => self.concurrency.unwrap_or(1000).max(1),
        }
    }

    fn options(&self, url: &str) -> Result<PostgresOptions, Box<dyn Error>> {
        Ok(PostgresOptions::builder(url)?.hub(HUB).lanes(self.lanes).build()?)
    }

    fn node_options(&self) -> NodeOptions {
        NodeOptions { max_orchestrations: self.concurrency() * 2 + 100, ..NodeOptions::default() }
    }

    fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.1, 86_400.0))
    }

    fn warming(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up.clamp(0.0, 3600.0))
    }
}

/// Runs the benchmark and prints what came out.
pub fn run(arguments: &Bench) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments.child {
        return runtime.block_on(children::serve(arguments));
    }
    let database = Database::open(arguments)?;
    let report = runtime.block_on(measure(arguments, &database));
    runtime.shutdown_timeout(Duration::from_secs(5));
    let report = report?;
    database.close()?;
    report.print(arguments.json)?;
    Ok(())
}

async fn measure(arguments: &Bench, database: &Database) -> Result<Report, Box<dyn Error>> {
    let say = |what: &str| {
        if !arguments.json {
            eprintln!("{what}");
        }
    };
    if arguments.workload == Workload::Floor {
        say("appending rows");
        let floor = floor::measure(database.url(), arguments.measured()).await?;
        let facts = ServerFacts { version: database.version().await?, floor, turns_each: None };
        return Ok(Report::floor_only(arguments, &facts));
    }
    let server = match arguments.remote {
        true => Some(RemoteServer::start(database.url()).await?),
        false => None,
    };
    let arguments = &Bench { server: server.as_ref().map(|server| server.address().to_owned()), ..arguments.clone() };
    let measured = Measured { database, server: server.as_ref() };
    say(&format!(
        "{}: {} in flight, {:?} warm-up, {:?} measured",
        arguments.workload.name(),
        arguments.concurrency() * arguments.nodes,
        arguments.warming(),
        arguments.measured()
    ));
    let load = async {
        if arguments.nodes > 1 {
            children::spread(arguments, &measured).await
        } else {
            load::run(arguments, database.url(), Some(&measured)).await
        }
    };
    let counts = progress::beside(arguments, load).await?;
    if let Some(server) = server {
        server.stop().await?;
    }
    say("appending rows: the floor");
    let floor = floor::measure(database.url(), Duration::from_secs(3)).await?;
    let orchestration = workload::orchestration(arguments.workload);
    let turns_each = database.turns_each(orchestration.name()).await?;
    Ok(Report::new(arguments, &counts, &ServerFacts { version: database.version().await?, floor, turns_each }))
}
