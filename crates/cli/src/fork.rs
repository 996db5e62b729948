//! `everdure fork`: a second instance with the past of the first.

use std::process::ExitCode;

use clap::Args;
use everdure::InstanceId;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::{arguments, output};

const EXAMPLES: &str = "\
Examples:
  everdure history order-1001
  everdure fork order-1001 --turn 4
  everdure fork order-1001 --turn 1 --input '{\"express\":true}' --id order-1001-again";

/// Make an instance with the past of another up to a turn of its history, which it takes anew.
///
/// What that turn saw comes again, or only the first --events of it; its decisions are taken anew, by the code of today. The source
/// is left alone. With another input, code that decided by it in the turns before no longer fits its history.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Fork {
    #[command(flatten)]
    connection: Connection,

    /// The source
    #[arg(value_parser = arguments::orchestration)]
    id: InstanceId,

    /// The turn that is taken anew, as everdure history shows it
    #[arg(long, value_name = "N")]
    turn: i64,

    /// Of what the turn saw, only the first so many events
    #[arg(long, value_name = "N")]
    events: Option<usize>,

    /// Another input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,

    /// The id of the fork; a new one by default
    #[arg(long = "id", value_name = "ID")]
    new_id: Option<InstanceId>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Fork) -> Outcome {
    let input = arguments::payload(arguments.input.as_deref())?;
    block_on(async {
        let hub = arguments.connection.open_to_write(false).await?;
        let mut fork = hub.client.fork(&arguments.id, arguments.turn);
        if let Some(id) = &arguments.new_id {
            fork = fork.id(id.clone());
        }
        if let Some(events) = arguments.events {
            fork = fork.events(events);
        }
        if let Some(input) = input {
            fork = fork.input(Some(input.get().to_owned()));
        }
        let id = fork.await?;
        hub.linger().await;
        if arguments.json {
            output::json(&json!({ "instanceId": id }))?;
        } else {
            output::line(format_args!("forked {} as {id}", arguments.id))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
