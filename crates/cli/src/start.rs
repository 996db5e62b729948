//! `everdure start`: starts an instance.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use everdure::{InstanceId, ReusePolicy};
use serde_json::json;

use crate::arguments::{self, When};
use crate::connection::{Connection, block_on};
use crate::exit::{self, Outcome};
use crate::{get, output};

const EXAMPLES: &str = "\
Examples:
  everdure start process_order --input '{\"id\":\"1001\"}'
  everdure start process_order --id order-1001 --input @order.json --tag region=eu --wait 30
  everdure start nightly_report --at 2026-01-31T02:00:00Z
  echo '[\"Tokyo\"]' | everdure start hello --input - --json";

/// Start an orchestration instance.
///
/// The instance is durable when the command ends; a worker that knows the orchestration runs it. A finished instance
/// of the same id is replaced, a live one is an error.
#[derive(Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub struct Start {
    #[command(flatten)]
    connection: Connection,

    /// The orchestration's name, as workers register it
    name: String,

    /// The input as JSON; '@FILE' reads a file, '-' standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,

    /// The id of the new instance [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<InstanceId>,

    /// The version of the orchestration
    #[arg(long = "version", value_name = "VERSION")]
    wanted: Option<String>,

    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = arguments::tag)]
    tags: Vec<(String, String)>,

    /// Not before this time: 2026-01-31T12:00:00Z, 2026-01-31, or in 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    at: Option<When>,

    /// Refuse an id that a finished instance has, instead of replacing that one
    #[arg(long)]
    never_replace: bool,

    /// Wait so long for the end, then print the instance; exit code 3 if it failed, 4 if it has not ended
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Start) -> Outcome {
    let input = arguments::payload(arguments.input.as_deref())?;
    block_on(async {
        let hub = arguments.connection.open_to_write(true).await?;
        let input = input.map(|input| input.get().to_owned());
        let mut start = hub.client.start_by_name(&arguments.name, input);
        if let Some(id) = &arguments.id {
            start = start.id(id.clone());
        }
        if let Some(version) = &arguments.wanted {
            start = start.version(version);
        }
        for (key, value) in &arguments.tags {
            start = start.tag(key, value);
        }
        if let Some(at) = arguments.at {
            start = start.scheduled_at(at.ahead_of(hub.backend.now()));
        }
        if arguments.never_replace {
            start = start.reuse(ReusePolicy::Never);
        }
        let id = start.await?;
        let Some(seconds) = arguments.wait else {
            if arguments.json {
                output::json(&json!({ "instanceId": id }))?;
            } else {
                output::line(format_args!("started {} as {id}", arguments.name))?;
            }
            hub.linger().await;
            return Ok(ExitCode::SUCCESS);
        };
        let record = get::wait(&hub, &id, Duration::from_secs(seconds)).await?;
        get::print(&record, arguments.json)?;
        Ok(exit::of_ended(&record))
    })
}
