//! `everdure purge`: removes instances with all that belongs to them.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use everdure::{InstanceId, OrchestrationStatus, PurgeFilter};
use serde_json::json;

use crate::arguments::{self, When};
use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::{confirm, get, output};

const EXAMPLES: &str = "\
Examples:
  everdure purge order-1001
  everdure purge --status Completed --completed-before 30d --yes";

/// Instances removed in one transaction.
const BATCH: u32 = 1000;

/// Remove instances with their histories: one by its id, or finished ones by status and age.
///
/// Nothing brings them back. More conditions, a dry run and a limit of time: everdure bulk purge. Many at once need --yes, or a yes on the terminal. Times are 2026-01-31T12:00:00Z,
/// 2026-01-31, or so long ago: 90s, 15m, 2h, 7d.
#[derive(Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("which").required(true).multiple(true).args(["id", "status", "completed_before"]))]
pub struct Purge {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    #[arg(conflicts_with_all = ["status", "completed_before"])]
    id: Option<InstanceId>,

    /// Remove the instance even if it has not ended
    #[arg(long, requires = "id")]
    force: bool,

    /// Remove their sub-orchestrations, and those of these, as well
    #[arg(long)]
    recurse: bool,

    /// Those in these states: Completed, Failed, Terminated
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = ended)]
    status: Vec<OrchestrationStatus>,

    /// Those that had ended at this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    completed_before: Option<When>,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn ended(text: &str) -> Result<OrchestrationStatus, String> {
    match text.parse::<OrchestrationStatus>() {
        Ok(status) if status.is_terminal() => Ok(status),
        Ok(status) => Err(format!("{status} instances have not ended: use Completed, Failed or Terminated")),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(arguments: &Purge) -> Outcome {
    if arguments.id.is_none() && !arguments.yes {
        confirm(arguments)?;
    }
    block_on(async {
        let hub = arguments.connection.open().await?;
        let purged = match &arguments.id {
            Some(id) => one(&hub, id, arguments.force, arguments.recurse).await?,
            None => many(&hub, arguments).await?,
        };
        if arguments.json {
            output::json(&json!({ "purged": purged }))?;
        } else {
            output::line(format_args!("{purged} purged"))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn one(hub: &Hub, id: &InstanceId, force: bool, recurse: bool) -> Result<u64, Box<dyn Error>> {
    let record = get::find(hub, id).await?;
    let outcome = hub.client.purge(PurgeFilter::Instances { ids: vec![id.clone()], force, recurse }).await?;
    if outcome.purged == 0 {
        if id.is_entity() {
            return Err(format!("'{id}' has operations that wait, or a lock: purge it with --force").into());
        }
        let status = record.status;
        return Err(format!("instance '{id}' is {status}: terminate it first, or purge it with --force").into());
    }
    Ok(outcome.purged)
}

async fn many(hub: &Hub, arguments: &Purge) -> Result<u64, Box<dyn Error>> {
    let completed_to = arguments.completed_before.map(|when| when.back_from(hub.backend.now()));
    let spinner = indicatif::ProgressBar::new_spinner();
    let mut purged = 0;
    loop {
        let filter = PurgeFilter::Finished {
            statuses: arguments.status.clone(),
            created_from: None,
            created_to: None,
            completed_to,
            limit: BATCH,
            recurse: arguments.recurse,
        };
        let outcome = hub.client.purge(filter).await?;
        purged += outcome.purged;
        spinner.set_message(format!("{purged} purged"));
        spinner.tick();
        if outcome.complete {
            spinner.finish_and_clear();
            return Ok(purged);
        }
    }
}

fn confirm(arguments: &Purge) -> Result<(), Box<dyn Error>> {
    let statuses: Vec<_> = arguments.status.iter().map(ToString::to_string).collect();
    let which = if statuses.is_empty() { "finished".to_owned() } else { statuses.join(" or ") };
    let question = format!("Purge all matching {which} instances in {}?", arguments.connection.place());
    confirm::ask(&question, "nothing was purged")
}
