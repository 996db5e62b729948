//! `everdure poison`: what failed too often, and letting it go on.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use everdure::{InstanceId, Poisoned};
use serde_json::{Value, json};

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure poison list
  everdure poison release order-1001
  everdure poison release order-1001 --fail-activities
  everdure settings set attempts.turn 50";

/// Characters of a reason that fit beside the rest.
const REASON: usize = 80;

/// See and release what was set aside because it failed too often.
///
/// A turn or an activity that takes its node down, or cannot be run or stored, is tried again after a second, then two, four, up
/// to five minutes; after 20 attempts (settings attempts.turn and attempts.activity) it is set aside. What was set aside keeps
/// receiving messages, and can be terminated and purged.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Poison {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List what was set aside, longest ago first
    List {
        #[command(flatten)]
        connection: Connection,

        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,

        /// Print reasons whole, however long
        #[arg(long)]
        full: bool,

        /// Print one JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Let an instance go on, with its activities that were set aside; attempts are counted anew
    Release {
        #[command(flatten)]
        connection: Connection,

        /// The instance
        id: InstanceId,

        /// Fail the activities instead, with the type ActivityPoisoned; the orchestration sees that
        #[arg(long)]
        fail_activities: bool,
    },
}

pub fn run(arguments: &Poison) -> Outcome {
    match &arguments.what {
        What::List { connection, limit, full, json } => block_on(async {
            let found = connection.open().await?.client.poisoned(*limit).await?;
            if *json {
                output::json(&json!(found.iter().map(to_json).collect::<Vec<_>>()))?;
            } else if found.is_empty() {
                eprintln!("nothing was set aside");
            } else {
                let mut table = output::table(&["INSTANCE", "WHAT", "ATTEMPTS", "SINCE", "REASON"]);
                for poisoned in found {
                    let what = poisoned.activity.map_or_else(|| format!("turn of {}", poisoned.name), |it| it.name);
                    let reason = output::shorten(&poisoned.reason, if *full { usize::MAX } else { REASON });
                    let since = output::time(poisoned.since);
                    let id = poisoned.instance_id.to_string();
                    table.add_row([id, what, poisoned.attempts.to_string(), since, reason]);
                }
                output::print_table(&table)?;
            }
            Ok(())
        })?,
        What::Release { connection, id, fail_activities } => block_on(async {
            let hub = connection.open_to_write(false).await?;
            let released = hub.client.release_poisoned(id, *fail_activities).await?;
            if released == 0 {
                return Err(format!("nothing of instance '{id}' was set aside: see everdure poison list").into());
            }
            hub.linger().await;
            Ok(output::line(format_args!("{id} goes on"))?)
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(poisoned: &Poisoned) -> Value {
    json!({
        "instanceId": poisoned.instance_id,
        "name": poisoned.name,
        "activity": poisoned.activity.as_ref().map(|activity| &activity.name),
        "dispatch": poisoned.activity.as_ref().map(|activity| activity.dispatch),
        "attempts": poisoned.attempts,
        "reason": poisoned.reason,
        "since": output::rfc3339(poisoned.since),
    })
}
