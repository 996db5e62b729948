//! `everdure bulk`: one thing done to many instances, each by itself, without a worker.
//!
//! A dry run counts. What became of each instance can be written to a file; a repeated call goes on with what is left,
//! because what is done no longer matches, or is told to be done already.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use everdure::{InstanceId, InstanceQuery, OrchestrationStatus, PurgeFilter};
use everdure_core::Timestamp;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::filter::Filter;
use crate::{arguments, confirm, output};

const EXAMPLES: &str = "\
Examples:
  everdure bulk terminate --name import --created-from 2h --dry-run
  everdure bulk terminate --name import --created-from 2h --reason 'wrong file' --yes
  everdure bulk purge --completed-to 30d --recurse --time-limit 10m --yes
  everdure bulk restart --status Failed --failure-type TimeoutError --results restarted.jsonl --yes";

const ENDED: [OrchestrationStatus; 3] =
    [OrchestrationStatus::Completed, OrchestrationStatus::Failed, OrchestrationStatus::Terminated];

/// Instances at once.
const AT_ONCE: usize = 50;
const PAGE: u32 = 500;

/// Terminate, purge, rewind, fork or restart all instances that match.
///
/// No worker is needed: what no worker holds is changed directly. Many at once
/// need --yes, or a yes on the terminal.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Bulk {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// End those that have not ended
    #[command(disable_version_flag = true)]
    Terminate {
        #[command(flatten)]
        common: Common,

        /// Why; it becomes the output of each
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,

        /// End their sub-orchestrations, too
        #[arg(long)]
        recurse: bool,
    },
    /// Take the failure of those that have failed back
    #[command(disable_version_flag = true)]
    Rewind {
        #[command(flatten)]
        common: Common,

        /// Why; history notes it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Make an instance with the past of each up to a turn, which it takes anew
    #[command(disable_version_flag = true)]
    Fork {
        #[command(flatten)]
        common: Common,

        /// The turn that is taken anew
        #[arg(long, value_name = "N")]
        turn: i64,
    },
    /// Remove those that have ended, with their histories
    #[command(disable_version_flag = true)]
    Purge {
        #[command(flatten)]
        common: Common,

        /// Remove their sub-orchestrations, too
        #[arg(long)]
        recurse: bool,
    },
    /// Start those that have ended anew, with the same name, version, input and tags
    #[command(disable_version_flag = true)]
    Restart {
        #[command(flatten)]
        common: Common,

        /// Keep the old ones, and start each under a new id
        #[arg(long)]
        new_ids: bool,
    },
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    filter: Filter,

    /// All of the hub, without any condition
    #[arg(long)]
    all: bool,

    /// Count those that match, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Begin no more after so long: 90s, 15m, 2h; what is left is told
    #[arg(long, value_name = "TIME", value_parser = arguments::span)]
    time_limit: Option<Duration>,

    /// Write what became of each as a line of JSON
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Bulk) -> Outcome {
    match &arguments.what {
        What::Terminate { common, reason, recurse } => {
            let live = [OrchestrationStatus::Pending, OrchestrationStatus::Running, OrchestrationStatus::Suspended];
            common.run("terminate", &live, async |hub: &Hub, id: InstanceId| {
                hub.client.terminate(&id, reason.as_deref(), *recurse).await?;
                Ok("ended, or asked to end by its worker".to_owned())
            })
        }
        What::Rewind { common, reason } => {
            common.run("rewind", &[OrchestrationStatus::Failed], async |hub: &Hub, id: InstanceId| {
                Ok(format!("{} rewound", hub.client.rewind(&id, reason.as_deref()).await?))
            })
        }
        What::Fork { common, turn } => {
            common.run("fork", &OrchestrationStatus::ALL, async |hub: &Hub, id: InstanceId| {
                Ok(format!("forked as {}", hub.client.fork(&id, *turn).await?))
            })
        }
        What::Purge { common, recurse } => common.run("purge", &ENDED, async |hub: &Hub, id: InstanceId| {
            let which = PurgeFilter::Instances { ids: vec![id], force: false, recurse: *recurse };
            Ok(format!("{} purged", hub.client.purge(which).await?.purged))
        }),
        What::Restart { common, new_ids } => common.run("restart", &ENDED, async |hub: &Hub, id: InstanceId| {
            let new = if *new_ids { hub.client.restart_with_new_id(&id).await } else { hub.client.restart(&id).await };
            Ok(format!("started as {}", new?))
        }),
    }
}

impl Common {
    /// `fitting`: the states in which the thing can be done; the filter may name fewer of them.
    fn run(
        &self,
        verb: &str,
        fitting: &[OrchestrationStatus],
        one: impl AsyncFn(&Hub, InstanceId) -> Result<String, Box<dyn Error>>,
    ) -> Outcome {
        if let Some(status) = self.filter.status.iter().find(|status| !fitting.contains(status)) {
            return Err(format!("{status} instances cannot be the object of `{verb}`: leave the status out").into());
        }
        if !self.all && self.filter.query(Timestamp::UNIX_EPOCH) == InstanceQuery::default() {
            return Err(format!("no condition given: say which instances to {verb}, or --all").into());
        }
        block_on(async {
            let hub = self.connection.open_to_write(false).await?;
            let mut query = self.filter.query(hub.backend.now());
            if query.statuses.is_empty() {
                query.statuses = fitting.to_vec();
            }
            let matching = hub.client.count(query.clone(), u64::MAX).await?;
            if self.dry_run {
                return self.say(verb, matching, 0, 0);
            }
            if !self.yes {
                let place = self.connection.place();
                confirm::ask(&format!("{verb} {matching} instances in {place}?"), "nothing was changed")?;
            }
            let (done, failed) = self.each(&hub, query, matching, one).await?;
            hub.linger().await;
            self.say(verb, matching, done, failed)
        })
    }

    async fn each(
        &self,
        hub: &Hub,
        mut query: InstanceQuery,
        matching: u64,
        one: impl AsyncFn(&Hub, InstanceId) -> Result<String, Box<dyn Error>>,
    ) -> Result<(u64, u64), Box<dyn Error>> {
        let mut results = self.results.as_ref().map(File::create).transpose()?.map(BufWriter::new);
        let bar = ProgressBar::new(matching);
        // Unwrap safety: the template is a constant, and every run of the command reads it.
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}").expect("it is well formed"));
        let (mut done, mut failed) = (0, 0);
        query.page_size = PAGE;
        let began = Instant::now();
        let in_time = || self.time_limit.is_none_or(|limit| began.elapsed() < limit);
        loop {
            let page = hub.client.query(query.clone()).await?;
            let all = page.instances.into_iter().take_while(|_| in_time()).map(|record| {
                let (one, id) = (&one, record.instance_id);
                async move { (id.clone(), one(hub, id).await) }
            });
            let mut ended = futures::stream::iter(all).buffer_unordered(AT_ONCE);
            while let Some((id, outcome)) = ended.next().await {
                bar.inc(1);
                let line = match &outcome {
                    Ok(outcome) => json!({ "instanceId": id, "outcome": outcome }),
                    Err(error) => json!({ "instanceId": id, "error": error.to_string() }),
                };
                done += u64::from(outcome.is_ok());
                failed += u64::from(outcome.is_err());
                match &mut results {
                    Some(results) => writeln!(results, "{line}")?,
                    None if outcome.is_err() => bar.suspend(|| eprintln!("{line}")),
                    None => {}
                }
            }
            query.after = page.next.filter(|_| in_time());
            if query.after.is_none() {
                results.as_mut().map(Write::flush).transpose()?;
                bar.finish_and_clear();
                return Ok((done, failed));
            }
        }
    }

    fn say(&self, verb: &str, matching: u64, done: u64, failed: u64) -> Outcome {
        if self.json {
            let dry_run = self.dry_run;
            output::json(&json!({ "matching": matching, "done": done, "failed": failed, "dryRun": dry_run }))?;
        } else if self.dry_run {
            output::line(format_args!("{verb} would concern {matching} instances"))?;
        } else {
            let left = matching.saturating_sub(done + failed);
            let left = if left > 0 { format!(", {left} left") } else { String::new() };
            output::line(format_args!("{verb}: {done} done, {failed} failed{left}"))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
