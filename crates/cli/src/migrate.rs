//! `everdure migrate`: brings the schema up to date.

use std::process::ExitCode;

use clap::Args;
use everdure::PostgresBackend;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::{confirm, output};

const EXAMPLES: &str = "\
Examples:
  everdure migrate --database-url postgresql://owner@host/db
  everdure migrate --create-database
  everdure migrate --schema orders --json";

/// Create Everdure's schema and the task hub, or bring the schema up to date.
///
/// Does nothing when everything is current, and may run while workers work. A program that is older than the schema is
/// told so, and nothing is changed. Workers migrate by themselves when they connect, unless told not to; the other
/// commands never do.
///
/// --recreate removes the schema first, with every task hub, instance and history in it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Migrate {
    #[command(flatten)]
    connection: Connection,

    /// Create the database first, if there is none of that name
    #[arg(long)]
    create_database: bool,

    /// Remove the schema first, with all that is in it
    #[arg(long)]
    recreate: bool,

    /// Remove the schema even while nodes work in it
    #[arg(long, requires = "recreate")]
    force: bool,

    /// Do not ask before removing
    #[arg(long)]
    yes: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Migrate) -> Outcome {
    let options = arguments.connection.builder()?.create_database(arguments.create_database).build()?;
    if arguments.recreate && !arguments.yes {
        let what = format!("the schema '{}' at {}", arguments.connection.schema(), arguments.connection.database());
        confirm::ask(&format!("Remove {what} with all its task hubs?"), "nothing was removed")?;
    }
    let done = block_on(async {
        if arguments.recreate && !(arguments.create_database && PostgresBackend::create_database(&options).await?) {
            PostgresBackend::drop_schema(&options, arguments.force).await?;
        }
        let done = PostgresBackend::migrate(&options).await;
        let done = done.map_err(|error| arguments.connection.unusable(error))?;
        // So that the commands that only look find a hub, and an empty one.
        arguments.connection.open_to_write(true).await?;
        Ok(done)
    })?;
    let schema = arguments.connection.schema();
    if arguments.json {
        output::json(&json!({ "schema": schema, "from": done.from, "to": done.to, "changed": done.changed }))?;
    } else {
        output::line(match (done.changed, done.from) {
            (false, _) => format!("schema '{schema}' is current, at version {}", done.to),
            (true, None) => format!("schema '{schema}' is new, at version {}", done.to),
            (true, Some(from)) => format!("schema '{schema}' is brought from version {from} to {}", done.to),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
