//! `everdure list`: instances, newest first.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use everdure::{InstanceQuery, InstanceRecord, OrchestrationStatus};

use crate::arguments::{self, When};
use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::{output, record};

const EXAMPLES: &str = "\
Examples:
  everdure list --status Failed --created-from 24h
  everdure list --name process_order --tag region=eu --limit 20
  everdure list --all --json | jq -r '.[].instanceId'";

/// Instances on a page; the backend gives no more at once.
const PAGE: u32 = 1000;

/// List instances, newest first.
///
/// Conditions are combined with "and". Times are 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90s, 15m, 2h, 7d.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    #[command(flatten)]
    connection: Connection,

    /// Only in these states: Pending, Running, Suspended, Completed, Failed, Terminated
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<OrchestrationStatus>,

    /// Only of this orchestration
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Only those whose id begins so
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,

    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = arguments::tag)]
    tags: Vec<(String, String)>,

    /// Only created at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    created_from: Option<When>,

    /// Only created at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    created_to: Option<When>,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
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

/// Reads page by page; each begins where the last one ended. Tells whether there are more.
async fn read(hub: &Hub, arguments: &List) -> Result<(Vec<InstanceRecord>, bool), Box<dyn Error>> {
    let now = hub.backend.now();
    let limit = if arguments.all { u64::MAX } else { arguments.limit };
    let mut query = InstanceQuery {
        statuses: arguments.status.clone(),
        created_from: arguments.created_from.map(|when| when.back_from(now)),
        created_to: arguments.created_to.map(|when| when.back_from(now)),
        id_prefix: arguments.id_prefix.clone(),
        name: arguments.name.clone(),
        tags: arguments.tags.iter().cloned().collect(),
        payloads: arguments.json,
        page_size: 0,
        after: None,
    };
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
