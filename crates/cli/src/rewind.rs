//! `everdure rewind`: takes a failure back.

use std::process::ExitCode;

use clap::Args;
use everdure::InstanceId;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::{arguments, output};

const EXAMPLES: &str = "\
Examples:
  everdure rewind order-1001 --reason 'the bank is back'
  everdure bulk rewind --failure-type TimeoutError --created-from 1d --dry-run";

/// Take the failure of an instance back: it goes on from before it failed.
///
/// Its failed activities run again, its failed sub-orchestrations are rewound with it, and those that were purged are created
/// again. What the orchestration has answered, by a retry or a compensation, stays. Many at once: everdure bulk rewind.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Rewind {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    #[arg(value_parser = arguments::orchestration)]
    id: InstanceId,

    /// Why; history notes it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Rewind) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open_to_write(false).await?;
        let instances = hub.client.rewind(&arguments.id, arguments.reason.as_deref()).await?;
        hub.linger().await;
        if arguments.json {
            output::json(&json!({ "instanceId": arguments.id, "rewound": instances }))?;
        } else {
            output::line(format_args!("{} goes on, {instances} instances rewound", arguments.id))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
