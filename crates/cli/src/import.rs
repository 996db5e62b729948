//! `everdure import`: instances from JSON lines.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use everdure_core::{ExportedInstance, ImportOutcome};
use indicatif::ProgressBar;
use serde_json::json;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure import archive.jsonl
  gunzip -c orders.jsonl.gz | everdure import - --hub restored --results imported.jsonl";

/// Add instances from what everdure export wrote.
///
/// Nothing is overwritten: an instance whose id is in use is left out, so that a file may be imported again. Live ones go on here;
/// activities that had not ended run again.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    #[command(flatten)]
    connection: Connection,

    /// The file; - for standard input
    file: PathBuf,

    /// Write what became of each line as a line of JSON
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Tally {
    imported: u64,
    orphaned: u64,
    there: u64,
    refused: u64,
}

pub fn run(arguments: &Import) -> Outcome {
    let lines = open(&arguments.file)?;
    block_on(async {
        let hub = arguments.connection.open_to_write(true).await?;
        let mut results = arguments.results.as_ref().map(File::create).transpose()?.map(BufWriter::new);
        let bar = ProgressBar::new_spinner();
        let mut tally = Tally::default();
        for (line, number) in lines.lines().zip(1_u64..) {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let said = match one(&hub, &line).await {
                Ok((id, outcome)) => json!({ "line": number, "instanceId": id, "outcome": tally.note(outcome) }),
                Err(error) => {
                    tally.refused += 1;
                    bar.suspend(|| eprintln!("line {number}: {error}"));
                    json!({ "line": number, "error": error.to_string() })
                }
            };
            if let Some(results) = &mut results {
                writeln!(results, "{said}")?;
            }
            bar.set_message(format!("{number} lines"));
            bar.tick();
        }
        results.as_mut().map(Write::flush).transpose()?;
        bar.finish_and_clear();
        hub.linger().await;
        tally.say(arguments.json)
    })
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Box<dyn Error>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

async fn one(hub: &Hub, line: &str) -> Result<(String, ImportOutcome), Box<dyn Error>> {
    let instance: ExportedInstance =
        serde_json::from_str(line).map_err(|error| format!("not an exported instance: {error}"))?;
    let id = instance.instance_id.to_string();
    Ok((id, hub.backend.import_instance(instance).await?))
}

impl Tally {
    fn note(&mut self, outcome: ImportOutcome) -> String {
        match outcome {
            ImportOutcome::Imported { orphaned, .. } => {
                self.imported += 1;
                self.orphaned += u64::from(orphaned);
                if orphaned { "imported, its parent is not here".into() } else { "imported".into() }
            }
            ImportOutcome::AlreadyExists(status) => {
                self.there += 1;
                format!("left out, an instance that is {status} has its id")
            }
        }
    }

    fn say(&self, json: bool) -> Outcome {
        let Self { imported, orphaned, there, refused } = self;
        if json {
            let told = json!({ "imported": imported, "orphaned": orphaned, "alreadyThere": there, "refused": refused });
            output::json(&told)?;
        } else {
            output::line(format_args!("{imported} imported, {there} already there, {refused} refused"))?;
        }
        Ok(if *refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
