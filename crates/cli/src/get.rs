//! `everdure get`: one instance.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use comfy_table::Cell;
use everdure::{ClientError, InstanceId, InstanceRecord, Timestamp};

use crate::connection::{Connection, Hub, block_on};
use crate::exit::{self, Outcome};
use crate::{output, record};

const EXAMPLES: &str = "\
Examples:
  everdure get order-1001
  everdure get order-1001 --wait 60 --json | jq -r .status";

/// Show an instance, at once or when it has ended.
///
/// With --json, payloads are the stored JSON text, byte for byte: `jq '.output | fromjson'` reads them.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Get {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    id: InstanceId,

    /// Wait so long for the end; exit code 3 if it failed, 4 if it has not ended
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Get) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open().await?;
        let id = &arguments.id;
        let (record, code) = match arguments.wait {
            Some(seconds) => {
                let record = wait(&hub, id, Duration::from_secs(seconds)).await?;
                let code = exit::of_ended(&record);
                (record, code)
            }
            None => (find(&hub, id).await?, ExitCode::SUCCESS),
        };
        print(&record, arguments.json)?;
        Ok(code)
    })
}

/// The instance, which has to exist.
pub async fn find(hub: &Hub, id: &InstanceId) -> Result<InstanceRecord, ClientError> {
    hub.client.get(id).await?.ok_or_else(|| ClientError::NotFound(id.clone()))
}

/// Waits for the end, with a spinner on a terminal.
pub async fn wait(hub: &Hub, id: &InstanceId, patience: Duration) -> Result<InstanceRecord, Box<dyn Error>> {
    let spinner = indicatif::ProgressBar::new_spinner().with_message(format!("waiting for the end of {id}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let ended = hub.client.wait_for_end(id, patience).await;
    spinner.finish_and_clear();
    Ok(ended?)
}

pub fn print(record: &InstanceRecord, json: bool) -> io::Result<()> {
    if json {
        return output::json(&record::to_json(record));
    }
    let version = record.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    let tags: Vec<_> = record.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let text = |value: &Option<String>| value.as_ref().map(Cell::new);
    let time = |value: Option<Timestamp>| value.map(|time| Cell::new(output::time(time)));
    let facts = [
        ("instance", Some(record.instance_id.as_str().into())),
        ("orchestration", Some(format!("{}{version}", record.name).into())),
        ("status", Some(output::status_cell(record.status))),
        ("custom status", text(&record.custom_status)),
        ("input", text(&record.input)),
        ("output", text(&record.output)),
        ("failure", record.failure.as_ref().map(|failure| failure.to_string().into())),
        ("parent", record.parent_instance_id.as_ref().map(|id| id.as_str().into())),
        ("tags", (!tags.is_empty()).then(|| tags.join(", ").into())),
        ("created", time(Some(record.created_at))),
        ("not before", time(record.scheduled_start)),
        ("updated", time(Some(record.updated_at))),
        ("completed", time(record.completed_at)),
        ("execution", Some(format!("{} (no. {}, turn {})", record.execution_id, record.execution, record.turn).into())),
    ];
    output::print_table(&output::facts(facts.into_iter().filter_map(|(name, value)| Some((name, value?)))))
}
