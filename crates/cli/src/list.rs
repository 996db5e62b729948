//! `everdure list`: instances, newest first.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use everdure::{InstanceQuery, InstanceRecord};
use serde_json::json;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::filter::Filter;
use crate::{output, record};

const EXAMPLES: &str = "\
Examples:
  everdure list --status Failed --created-from 24h
  everdure list --name process_order --tag region=eu --limit 20
  everdure list --failure-type TimeoutError --completed-from 7d --count
  everdure list --custom-status stage=copying
  everdure list --all --json | jq -r '.[].instanceId'";

const DEFAULT_LIMIT: u64 = 50;
/// Counting more takes time, and nobody reads the difference.
const MOST_COUNTED: u64 = 10_000;
/// Instances on a page; the backend gives no more at once.
const PAGE: u32 = 1000;

/// List instances, newest first.
///
/// Conditions are combined with "and". Times are 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90s, 15m, 2h, 7d.
#[derive(Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub struct List {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    filter: Filter,

    /// Print how many there are, instead of them; counted up to 10,000, or up to --limit, or, with --all, to the end
    #[arg(long)]
    count: bool,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Print one JSON array, with inputs and results, instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &List) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open().await?;
        if arguments.count {
            return count(&hub, arguments).await;
        }
        let (instances, more) = read(&hub, arguments).await?;
        if arguments.json {
            output::json(&instances.iter().map(record::to_json).collect())?;
        } else if instances.is_empty() {
            eprintln!("no instance matches");
        } else {
            output::print_table(&table(&instances))?;
        }
        if more {
            eprintln!("there are more than {}: use --all, or a higher --limit", instances.len());
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn count(hub: &Hub, arguments: &List) -> Outcome {
    let cap = match (arguments.all, arguments.limit) {
        (true, _) => u64::MAX,
        (false, DEFAULT_LIMIT) => MOST_COUNTED,
        (false, limit) => limit,
    };
    let count = hub.client.count(arguments.filter.query(hub.backend.now()), cap).await?;
    if arguments.json {
        output::json(&json!({ "count": count, "capped": count == cap }))?;
    } else {
        output::line(if count == cap { format!("{count} or more") } else { count.to_string() })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads page by page; each begins where the last one ended. Tells whether there are more.
async fn read(hub: &Hub, arguments: &List) -> Result<(Vec<InstanceRecord>, bool), Box<dyn Error>> {
    let limit = if arguments.all { u64::MAX } else { arguments.limit };
    let mut query = InstanceQuery { payloads: arguments.json, ..arguments.filter.query(hub.backend.now()) };
    let mut instances = Vec::new();
    let spinner = indicatif::ProgressBar::new_spinner();
    loop {
        let wanted = limit - instances.len() as u64;
        query.page_size = u32::try_from(wanted).unwrap_or(PAGE).min(PAGE);
        let page = hub.client.query(query.clone()).await?;
        instances.extend(page.instances);
        query.after = page.next;
        if page.next.is_none() || instances.len() as u64 >= limit {
            spinner.finish_and_clear();
            return Ok((instances, page.next.is_some()));
        }
        spinner.set_message(format!("{} instances read", instances.len()));
        spinner.tick();
    }
}

fn table(instances: &[InstanceRecord]) -> comfy_table::Table {
    let mut table = output::table(&["INSTANCE", "ORCHESTRATION", "STATUS", "CREATED", "UPDATED", "TAGS"]);
    for record in instances {
        let tags: Vec<_> = record.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        table.add_row([
            record.instance_id.as_str().into(),
            output::shorten(&record.name, 40).into(),
            output::status_cell(record.status),
            output::time(record.created_at).into(),
            output::time(record.updated_at).into(),
            output::shorten(&tags.join(","), 40).into(),
        ]);
    }
    table
}
