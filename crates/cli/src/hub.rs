//! `everdure hub`: the task hubs of a schema.

use std::error::Error;
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use everdure::{PostgresBackend, PostgresOptions};
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::{confirm, output};

const EXAMPLES: &str = "\
Examples:
  everdure hub list
  everdure hub create orders
  everdure hub delete orders --yes";

/// Instances removed in one transaction.
const BATCH: u32 = 1000;

/// Create, list and delete task hubs.
///
/// A hub is also made when the first worker opens it. Deleting one removes its instances with their histories, a thousand
/// at a time; what was begun goes on when the command is run again.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct HubCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the hubs, with the nodes that work in them
    List {
        #[command(flatten)]
        connection: Connection,

        /// Print one JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Make a hub
    Create {
        #[command(flatten)]
        connection: Connection,

        /// Its name
        name: String,
    },
    /// Remove a hub with all that is in it
    Delete {
        #[command(flatten)]
        connection: Connection,

        /// Its name
        name: String,

        /// Even while nodes work in it
        #[arg(long)]
        force: bool,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub fn run(arguments: &HubCommand) -> Outcome {
    match &arguments.what {
        What::List { connection, json } => block_on(list(connection, *json))?,
        What::Create { connection, name } => block_on(async {
            let options = connection.builder()?.hub(name.as_str()).migrate(false).listen(false).build()?;
            PostgresBackend::connect(options).await.map_err(|error| connection.unusable(error))?;
            Ok(output::line(format_args!("the task hub '{name}' is there"))?)
        })?,
        What::Delete { connection, name, force, yes } => {
            if !yes {
                let question =
                    format!("Delete the task hub '{name}' at {} with all its instances?", connection.database());
                confirm::ask(&question, "nothing was deleted")?;
            }
            let options = connection.builder()?.build()?;
            let purged = block_on(delete(&options, name, *force))?;
            output::line(format_args!("the task hub '{name}' is deleted, with {purged} instances"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(connection: &Connection, json: bool) -> Result<(), Box<dyn Error>> {
    let hubs = PostgresBackend::list_hubs(&connection.builder()?.build()?).await?;
    if json {
        let hub = |hub: &everdure::TaskHub| {
            let created = hub.created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
            json!({ "name": hub.name, "createdAt": created, "nodes": hub.nodes })
        };
        return Ok(output::json(&json!(hubs.iter().map(hub).collect::<Vec<_>>()))?);
    }
    let mut table = output::table(&["HUB", "CREATED", "NODES"]);
    for hub in hubs {
        let created = hub.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        table.add_row([hub.name, created, hub.nodes.to_string()]);
    }
    Ok(output::print_table(&table)?)
}

async fn delete(options: &PostgresOptions, name: &str, force: bool) -> Result<u64, Box<dyn Error>> {
    let spinner = indicatif::ProgressBar::new_spinner();
    let mut purged = 0;
    loop {
        let outcome = PostgresBackend::delete_hub(options, name, force, BATCH).await?;
        purged += outcome.purged;
        spinner.set_message(format!("{purged} purged"));
        spinner.tick();
        if outcome.complete {
            spinner.finish_and_clear();
            return Ok(purged);
        }
    }
}
