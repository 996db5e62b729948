//! `everdure scale`: what waits and what runs, and for how many workers that is.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use everdure::NodeOptions;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure scale
  everdure scale --orchestrations-per-worker 100 --activities-per-worker 20
  everdure scale --json | jq .workers";

/// Show what waits and what runs, and how many workers there is work for.
///
/// An orchestration waits when it has something to do now and no worker has it: timers of the future, scheduled starts and
/// suspended instances do not wait. Activities that a worker runs without writing them down first count with their
/// orchestration. Numbers above 100,000 are not counted on.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Scale {
    #[command(flatten)]
    connection: Connection,

    /// How many orchestrations a worker takes at once (NodeOptions::max_orchestrations)
    #[arg(long, value_name = "NUMBER", default_value_t = number(NodeOptions::default().max_orchestrations))]
    orchestrations_per_worker: NonZeroU32,

    /// How many activities a worker takes at once (NodeOptions::max_activities)
    #[arg(long, value_name = "NUMBER", default_value_t = number(NodeOptions::default().max_activities))]
    activities_per_worker: NonZeroU32,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

fn number(option: usize) -> NonZeroU32 {
    u32::try_from(option).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

pub fn run(arguments: &Scale) -> Outcome {
    block_on(async {
        let backend = arguments.connection.open_postgres().await?;
        let metric = backend.scale_metric().await?;
        let (orchestrations, activities) = (arguments.orchestrations_per_worker, arguments.activities_per_worker);
        let workers = backend.scale_recommendation(orchestrations, activities).await?;
        let loads = [("orchestrations", metric.orchestrations), ("activities", metric.activities)];
        if arguments.json {
            let mut value = json!({ "nodes": metric.nodes, "workers": workers });
            for (kind, load) in loads {
                value[kind] = json!({
                    "waiting": load.waiting,
                    "running": load.running,
                    "oldestSeconds": load.oldest.as_secs_f64(),
                });
            }
            output::json(&value)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = output::table(&["", "WAITING", "RUNNING", "OLDEST"]);
        for (kind, load) in loads {
            let (waiting, running) = (load.waiting.to_string(), load.running.to_string());
            table.add_row([kind.to_owned(), waiting, running, age(load.oldest)]);
        }
        output::print_table(&table)?;
        let facts = [("nodes live", metric.nodes.into()), ("workers needed", workers.into())];
        output::print_table(&output::facts(facts))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// In whole units, the largest that fits: for a glance.
fn age(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{}ms", span.as_millis()),
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, age};

    #[test]
    fn ages_are_told_in_one_unit() {
        let told: Vec<_> = [0, 59, 119, 120, 7200, 172_800].map(Duration::from_secs).map(age).into();
        assert_eq!(told, ["0ms", "59s", "119s", "2m", "2h", "2d"]);
        assert_eq!(age(Duration::from_millis(20)), "20ms");
    }
}
