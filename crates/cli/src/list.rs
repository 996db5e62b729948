//! `everdure list`: instances, newest first.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use everdure::{CustomStatusIs, InstanceId, InstanceQuery, InstanceRecord, OrchestrationStatus};
use serde_json::json;

use crate::arguments::{self, When};
use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
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

    /// Only in these states: Pending, Running, Suspended, Completed, Failed, Terminated
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<OrchestrationStatus>,

    /// Only of this orchestration
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Only those whose id begins so
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,

    /// Only those whose id contains this
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    id_contains: Option<String>,

    /// Only of this version
    #[arg(long = "version", value_name = "VERSION")]
    wanted: Option<String>,

    /// Only sub-orchestrations of this instance
    #[arg(long, value_name = "INSTANCE")]
    parent: Option<InstanceId>,

    /// Only instances that are nobody's sub-orchestration
    #[arg(long, conflicts_with = "parent")]
    roots: bool,

    /// Only those that failed with this type of error
    #[arg(long, value_name = "TYPE")]
    failure_type: Option<String>,

    /// Only those whose custom status says this: stage=copying, parts.0.left=3
    #[arg(long, value_name = "PATH=TEXT", value_parser = custom_status)]
    custom_status: Option<CustomStatusIs>,

    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = arguments::tag)]
    tags: Vec<(String, String)>,

    /// Only created at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    created_from: Option<When>,

    /// Only created at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    created_to: Option<When>,

    /// Only ended at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    completed_from: Option<When>,

    /// Only ended at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    completed_to: Option<When>,

    /// Only changed at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    updated_from: Option<When>,

    /// Only changed at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    updated_to: Option<When>,

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

fn custom_status(text: &str) -> Result<CustomStatusIs, String> {
    let (path, text) = text.split_once('=').ok_or("use path=text, such as stage=copying")?;
    let path: Vec<_> = path.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err("a step of the path is empty: use names and places with dots between, such as parts.0.left".into());
    }
    Ok(CustomStatusIs { path, text: text.to_owned() })
}

async fn count(hub: &Hub, arguments: &List) -> Outcome {
    let cap = match (arguments.all, arguments.limit) {
        (true, _) => u64::MAX,
        (false, DEFAULT_LIMIT) => MOST_COUNTED,
        (false, limit) => limit,
    };
    let count = hub.client.count(query(hub, arguments), cap).await?;
    if arguments.json {
        output::json(&json!({ "count": count, "capped": count == cap }))?;
    } else {
        output::line(if count == cap { format!("{count} or more") } else { count.to_string() })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn query(hub: &Hub, arguments: &List) -> InstanceQuery {
    let now = hub.backend.now();
    let time = |when: Option<When>| when.map(|when| when.back_from(now));
    InstanceQuery {
        statuses: arguments.status.clone(),
        created_from: time(arguments.created_from),
        created_to: time(arguments.created_to),
        completed_from: time(arguments.completed_from),
        completed_to: time(arguments.completed_to),
        updated_from: time(arguments.updated_from),
        updated_to: time(arguments.updated_to),
        id_prefix: arguments.id_prefix.clone(),
        id_contains: arguments.id_contains.clone(),
        name: arguments.name.clone(),
        version: arguments.wanted.clone(),
        parent: arguments.parent.clone(),
        roots_only: arguments.roots,
        failure_type: arguments.failure_type.clone(),
        custom_status: arguments.custom_status.clone(),
        tags: arguments.tags.iter().cloned().collect(),
        payloads: arguments.json,
        page_size: 0,
        after: None,
    }
}

/// Reads page by page; each begins where the last one ended. Tells whether there are more.
async fn read(hub: &Hub, arguments: &List) -> Result<(Vec<InstanceRecord>, bool), Box<dyn Error>> {
    let limit = if arguments.all { u64::MAX } else { arguments.limit };
    let mut query = query(hub, arguments);
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
