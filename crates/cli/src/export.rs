//! `everdure export`: instances as JSON lines.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use everdure::{InstanceId, InstanceQuery};
use indicatif::ProgressBar;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::filter::Filter;

const EXAMPLES: &str = "\
Examples:
  everdure export --status Completed --completed-to 30d --output archive.jsonl
  everdure export --id-prefix order- | gzip > orders.jsonl.gz";

/// Instances read at once: documents may be large.
const BATCH: usize = 50;
const PAGE: u32 = 500;

/// Write instances as lines of JSON, oldest first, for everdure import.
///
/// Each is as it stood at its last durable turn: what it was started with, its history, and what waits to be delivered. Former
/// executions are left out. An instance that still lives here and is imported elsewhere lives twice: end it here.
#[derive(Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub struct Export {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    filter: Filter,

    /// Where to; standard output by default
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(arguments: &Export) -> Outcome {
    block_on(async {
        let hub = arguments.connection.open().await?;
        let ids = matching(&hub, arguments.filter.query(hub.backend.now())).await?;
        let mut to: Box<dyn Write> = match &arguments.output {
            Some(path) => {
                Box::new(BufWriter::new(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?))
            }
            None => Box::new(BufWriter::new(io::stdout().lock())),
        };
        let bar = ProgressBar::new(u64::try_from(ids.len()).unwrap_or(u64::MAX));
        let mut written = 0;
        for some in ids.chunks(BATCH) {
            for instance in hub.backend.export_instances(some.to_vec()).await? {
                serde_json::to_writer(&mut to, &instance)?;
                writeln!(to)?;
                written += 1;
            }
            bar.inc(u64::try_from(some.len()).unwrap_or(0));
        }
        to.flush()?;
        bar.finish_and_clear();
        eprintln!("{written} instances exported");
        Ok(ExitCode::SUCCESS)
    })
}

/// Oldest first: a parent before its children, who find it when they are imported.
async fn matching(hub: &Hub, mut query: InstanceQuery) -> Result<Vec<InstanceId>, Box<dyn Error>> {
    query.page_size = PAGE;
    let mut ids = Vec::new();
    loop {
        let page = hub.client.query(query.clone()).await?;
        ids.extend(page.instances.into_iter().map(|record| record.instance_id));
        query.after = page.next;
        if query.after.is_none() {
            ids.reverse();
            return Ok(ids);
        }
    }
}
