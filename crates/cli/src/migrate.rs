//! `everdure migrate`: brings the schema up to date.

use std::process::ExitCode;

use clap::Args;
use everdure::PostgresBackend;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure migrate --database-url postgresql://owner@host/db
  everdure migrate --schema orders --json";

/// Create Everdure's schema and the task hub, or bring the schema up to date.
///
/// Does nothing when everything is current, and may run while workers work. A program that is older than the schema is
/// told so, and nothing is changed. Workers migrate by themselves when they connect, unless told not to; the other
/// commands never do.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Migrate {
    #[command(flatten)]
    connection: Connection,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Migrate) -> Outcome {
    let options = arguments.connection.builder()?.build()?;
    let done = block_on(async {
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
