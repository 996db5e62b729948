//! `everdure history`: what happened to an instance.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use everdure::InstanceId;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::{arguments, events, output};

const EXAMPLES: &str = "\
Examples:
  everdure history order-1001
  everdure history order-1001 --json | jq -c '.[] | select(.type == \"TaskFailed\")'";

/// Characters of an event's detail that fit beside the rest.
const DETAIL: usize = 80;

/// Show what happened to an instance: the events of its current execution, in order, or of a former one.
///
/// Each turn opens with OrchestratorStarted, the execution with ExecutionStarted. ID is the id of the step that an
/// event schedules or answers.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct History {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    #[arg(value_parser = arguments::orchestration)]
    id: InstanceId,

    /// A former execution, by its number from 0, if the hub keeps them (setting retention.executions)
    #[arg(long, value_name = "N")]
    execution: Option<i32>,

    /// Print details whole, however long
    #[arg(long)]
    full: bool,

    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &History) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open().await?;
        let id = &arguments.id;
        let found = hub.backend.get_history(id.clone(), arguments.execution).await?;
        let Some((record, turns)) = found else { return Err(missing(&hub, id).await?) };
        let events = events::flatten(&record, &turns);
        if arguments.json {
            output::json(&events.iter().map(events::to_json).collect())?;
        } else if events.is_empty() {
            let why = if record.status.is_terminal() { "it ended before it began" } else { "nothing has happened yet" };
            eprintln!("{id} is {}: {why}", record.status);
        } else {
            let detail = if arguments.full { usize::MAX } else { DETAIL };
            output::print_table(&events::table(&events, detail))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn missing(hub: &Hub, id: &InstanceId) -> Result<Box<dyn Error>, Box<dyn Error>> {
    let there = hub.client.executions(id).await?;
    let numbers: Vec<_> = there.iter().map(|execution| execution.execution.to_string()).collect();
    Ok(format!("instance '{id}' has no such execution, only: {}", numbers.join(", ")).into())
}
