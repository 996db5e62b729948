//! `everdure settings`: what is decided for a task hub, once for all its nodes.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure settings set retention.completed 30d
  everdure settings set retention.completed/nightly_report 2d
  everdure settings reset retention.completed
  everdure settings list";

/// Decide for how long finished instances are kept.
///
/// retention.completed, retention.failed and retention.terminated say how long instances that ended so are kept: 90s, 15m,
/// 12h, 30d. With /NAME behind it, a setting is for the instances of that orchestration only, and goes before the one for
/// all. What is not set is kept for ever. retention.executions says how long executions that ended by continue-as-new are
/// kept; without it, not at all. attempts.turn and attempts.activity say how often a turn or an activity may fail before it is
/// set aside: 20 by default, or unlimited. Workers look once a minute, and remove a little at a time.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Settings {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show what is set
    List {
        #[command(flatten)]
        connection: Connection,

        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Set a setting
    Set {
        #[command(flatten)]
        connection: Connection,

        /// Which
        name: String,
        /// To what
        value: String,
    },
    /// Give a setting its default back
    Reset {
        #[command(flatten)]
        connection: Connection,

        /// Which
        name: String,
    },
}

pub fn run(arguments: &Settings) -> Outcome {
    let (What::List { connection, .. } | What::Set { connection, .. } | What::Reset { connection, .. }) =
        &arguments.what;
    block_on(async {
        let hub = connection.open().await?;
        match &arguments.what {
            What::Set { name, value, .. } => {
                hub.backend.set_hub_setting(name, Some(value)).await?;
                output::line(format_args!("{name} is {value}"))?;
            }
            What::Reset { name, .. } => {
                hub.backend.set_hub_setting(name, None).await?;
                output::line(format_args!("{name} has its default"))?;
            }
            What::List { json, .. } => {
                let settings = hub.backend.get_hub_settings().await?;
                if *json {
                    output::json(&json!(settings))?;
                } else if settings.is_empty() {
                    eprintln!("nothing is set");
                } else {
                    let mut table = output::table(&["SETTING", "VALUE"]);
                    settings.iter().for_each(|(name, value)| _ = table.add_row([name, value]));
                    output::print_table(&table)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
