//! What a benchmark says.

use std::io::Write;

use serde::Serialize;

use super::Bench;
use super::load::Counts;

#[derive(Serialize)]
pub struct Report {
    workload: &'static str,
    /// Whether worker and client were connected to a server.
    remote: bool,
    orchestrations: u64,
    seconds: f64,
    orchestrations_per_second: f64,
    activities_per_second: f64,
    latency_ms: Latency,
    /// Reading ones included.
    transactions_per_second: Option<f64>,
    commits_per_activity: Option<f64>,
    commits_per_orchestration: Option<f64>,
    wal_bytes_per_orchestration: Option<f64>,
    cpu_seconds: Cpu,
    floor_rows_per_second: f64,
    turns_per_second: Option<f64>,
    /// Turns a second, divided by the floor.
    share_of_floor: Option<f64>,
    postgres_version: String,
    concurrency: usize,
    nodes: usize,
    lanes: usize,
    payload_bytes: usize,
}

/// What the server says of itself and of what ran on it.
pub struct ServerFacts {
    pub version: String,
    /// Rows a second, appended and nothing else.
    pub floor: f64,
    /// Turns that an orchestration of this workload took, on average.
    pub turns_each: Option<f64>,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
}

#[derive(Serialize)]
struct Cpu {
    postgres: Option<f64>,
    /// The server in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<f64>,
    /// Worker and load.
    everdure: f64,
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    // An index into a vector in memory is exact in a float.
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().map_or(0.0, rounded)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

impl Report {
    pub fn new(arguments: &Bench, counts: &Counts, server: &ServerFacts) -> Self {
        let workload = arguments.workload;
        let number = counts.orchestrations as f64;
        let each = |sum: f64, count: f64| (count > 0.0).then(|| rounded(sum / count));
        let per_second = number / counts.seconds;
        let activities = workload.activities() as f64;
        let turns_per_second = server.turns_each.map(|turns| rounded(per_second * turns));
        Self {
            workload: workload.name(),
            remote: arguments.remote,
            orchestrations: counts.orchestrations,
            seconds: rounded(counts.seconds),
            orchestrations_per_second: rounded(per_second),
            activities_per_second: rounded(per_second * activities),
            latency_ms: Latency {
                p50: percentile(&counts.latencies_ms, 0.5),
                p95: percentile(&counts.latencies_ms, 0.95),
                p99: percentile(&counts.latencies_ms, 0.99),
            },
            transactions_per_second: each(counts.database.commits, counts.seconds),
            commits_per_activity: each(counts.database.commits, number * activities),
            commits_per_orchestration: each(counts.database.commits, number),
            wal_bytes_per_orchestration: each(counts.database.wal_bytes, number),
            cpu_seconds: Cpu {
                postgres: counts.database.cpu_seconds.map(rounded),
                server: counts.database.server_cpu_seconds.map(rounded),
                everdure: rounded(counts.cpu_seconds),
            },
            floor_rows_per_second: rounded(server.floor),
            turns_per_second,
            share_of_floor: turns_per_second.map(|turns| rounded(turns / server.floor)),
            postgres_version: server.version.clone(),
            concurrency: arguments.concurrency(),
            nodes: arguments.nodes,
            lanes: arguments.lanes,
            payload_bytes: arguments.payload_bytes,
        }
    }

    pub fn floor_only(arguments: &Bench, server: &ServerFacts) -> Self {
        Self::new(arguments, &Counts { seconds: arguments.seconds, ..Counts::default() }, server)
    }

    pub fn print(&self, json: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        let or_dash = |number: Option<f64>| number.map_or("-".to_owned(), |number| number.to_string());
        writeln!(out, "{} orchestrations in {} s, every output right", self.orchestrations, self.seconds)?;
        writeln!(out, "  orchestrations/s      {}", self.orchestrations_per_second)?;
        writeln!(out, "  activities/s          {}", self.activities_per_second)?;
        let Latency { p50, p95, p99 } = self.latency_ms;
        writeln!(out, "  latency ms            p50 {p50}  p95 {p95}  p99 {p99}")?;
        writeln!(out, "  transactions/s        {}", or_dash(self.transactions_per_second))?;
        writeln!(out, "  commits/activity      {}", or_dash(self.commits_per_activity))?;
        writeln!(out, "  WAL bytes each        {}", or_dash(self.wal_bytes_per_orchestration))?;
        let (postgres, own) = (or_dash(self.cpu_seconds.postgres), self.cpu_seconds.everdure);
        match self.cpu_seconds.server {
            Some(server) => {
                writeln!(out, "  remote                worker and client connected to a server, over gRPC")?;
                writeln!(
                    out,
                    "  processor seconds     PostgreSQL {postgres}, server {server}, worker and client {own}"
                )?;
            }
            None => writeln!(out, "  processor seconds     PostgreSQL {postgres}, Everdure {own}")?,
        }
        writeln!(out, "  floor rows/s          {}", self.floor_rows_per_second)?;
        writeln!(out, "  turns/s               {}", or_dash(self.turns_per_second))?;
        writeln!(out, "  share of the floor    {}", or_dash(self.share_of_floor))?;
        writeln!(out, "  PostgreSQL            {}", self.postgres_version)
    }
}
