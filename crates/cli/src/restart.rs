//! `everdure restart`: starts anew what an instance was started with.

use std::process::ExitCode;

use clap::Args;
use everdure::InstanceId;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::{arguments, output};

const EXAMPLES: &str = "\
Examples:
  everdure restart order-1001
  everdure restart order-1001 --new-id
  everdure bulk restart --status Failed --dry-run";

/// Start the orchestration of an instance anew, with the same version, input and tags.
///
/// Under its own id the instance must have ended; it is replaced, with its history. With --new-id it is left alone, whatever its
/// state. Many at once: everdure bulk restart.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Restart {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    #[arg(value_parser = arguments::orchestration)]
    id: InstanceId,

    /// Under a new id
    #[arg(long)]
    new_id: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Restart) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open_to_write(false).await?;
        let id = &arguments.id;
        let new = match arguments.new_id {
            true => hub.client.restart_with_new_id(id).await?,
            false => hub.client.restart(id).await?,
        };
        hub.linger().await;
        if arguments.json {
            output::json(&json!({ "instanceId": new }))?;
        } else {
            output::line(format_args!("restarted {id} as {new}"))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
