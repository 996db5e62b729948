//! Several node processes: each runs worker and load, and tells its counts.

use std::error::Error;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::Bench;
use super::load::{self, Counts};
use super::server::Measured;

/// What a child process does.
pub async fn serve(arguments: &Bench) -> Result<(), Box<dyn Error>> {
    let url = arguments.database_url.as_deref().ok_or("a child process needs --database-url")?;
    let counts = load::run(arguments, url, None).await?;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
}

/// Runs the load in child processes and adds up what they counted.
pub async fn spread(arguments: &Bench, measured: &Measured<'_>) -> Result<Counts, Box<dyn Error>> {
    let before = measured.usage().await?;
    let children =
        (0..arguments.nodes).map(|_| spawn(arguments, measured.database.url())).collect::<Result<Vec<_>, _>>()?;
    let counted = futures::future::try_join_all(children.into_iter().map(finish)).await?;
    let mut sum = Counts { database: measured.usage().await? - before, ..Counts::default() };
    for counts in counted {
        sum.orchestrations += counts.orchestrations;
        sum.seconds = sum.seconds.max(counts.seconds);
        sum.cpu_seconds += counts.cpu_seconds;
        sum.latencies_ms.extend(counts.latencies_ms);
    }
    sum.latencies_ms.sort_by(f64::total_cmp);
    // The server was watched from before the warm-up until after the end.
    let share = arguments.measured().as_secs_f64() / (arguments.measured() + arguments.warming()).as_secs_f64();
    sum.database.commits *= share;
    sum.database.wal_bytes *= share;
    sum.database.cpu_seconds = sum.database.cpu_seconds.map(|seconds| seconds * share);
    sum.database.server_cpu_seconds = sum.database.server_cpu_seconds.map(|seconds| seconds * share);
    Ok(sum)
}

fn spawn(arguments: &Bench, database_url: &str) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", arguments.workload.name(), "--child"]);
    command.arg("--seconds").arg(arguments.seconds.to_string());
    command.arg("--warm-up").arg(arguments.warm_up.to_string());
    command.arg("--concurrency").arg(arguments.concurrency().to_string());
    command.arg("--payload-bytes").arg(arguments.payload_bytes.to_string());
    command.arg("--lanes").arg(arguments.lanes.to_string());
    if let Some(count) = arguments.count {
        command.arg("--count").arg(count.to_string());
    }
    if let Some(server) = &arguments.server {
        command.args(["--server", server]);
    }
    command.env("EVERDURE_DATABASE_URL", database_url);
    Ok(command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?)
}

async fn finish(mut child: Child) -> Result<Counts, Box<dyn Error>> {
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut text).await?;
    }
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("a node process ended with {status}; its messages are above").into());
    }
    Ok(serde_json::from_str(&text)?)
}
