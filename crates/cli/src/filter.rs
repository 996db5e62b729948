//! Which instances a command is about: the same conditions for all commands.

use clap::Args;
use everdure::{CustomStatusIs, InstanceId, InstanceQuery, OrchestrationStatus};
use everdure_core::Timestamp;

use crate::arguments::{self, When};

/// Conditions on instances, combined with "and". A command that takes them has a `--version` of its own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which instances")]
pub struct Filter {
    /// Only in these states: Pending, Running, Suspended, Completed, Failed, Terminated
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub status: Vec<OrchestrationStatus>,

    /// Only of this orchestration
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only those whose id begins so
    #[arg(long, value_name = "TEXT")]
    pub id_prefix: Option<String>,

    /// Only those whose id contains this
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub id_contains: Option<String>,

    /// Only of this version
    #[arg(long = "version", value_name = "VERSION")]
    pub wanted: Option<String>,

    /// Only sub-orchestrations of this instance
    #[arg(long, value_name = "INSTANCE")]
    pub parent: Option<InstanceId>,

    /// Only instances that are nobody's sub-orchestration
    #[arg(long, conflicts_with = "parent")]
    pub roots: bool,

    /// Only those that failed with this type of error
    #[arg(long, value_name = "TYPE")]
    pub failure_type: Option<String>,

    /// Only those whose custom status says this: stage=copying, parts.0.left=3
    #[arg(long, value_name = "PATH=TEXT", value_parser = custom_status)]
    pub custom_status: Option<CustomStatusIs>,

    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = arguments::tag)]
    pub tags: Vec<(String, String)>,

    /// Only created at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub created_from: Option<When>,

    /// Only created at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub created_to: Option<When>,

    /// Only ended at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub completed_from: Option<When>,

    /// Only ended at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub completed_to: Option<When>,

    /// Only changed at or after this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub updated_from: Option<When>,

    /// Only changed at or before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    pub updated_to: Option<When>,
}

fn custom_status(text: &str) -> Result<CustomStatusIs, String> {
    let (path, text) = text.split_once('=').ok_or("use path=text, such as stage=copying")?;
    let path: Vec<_> = path.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err("a step of the path is empty: use names and places with dots between, such as parts.0.left".into());
    }
    Ok(CustomStatusIs { path, text: text.to_owned() })
}

impl Filter {
    /// Without payloads and page. `now` is the database's time.
    pub fn query(&self, now: Timestamp) -> InstanceQuery {
        let time = |when: Option<When>| when.map(|when| when.back_from(now));
        InstanceQuery {
            statuses: self.status.clone(),
            created_from: time(self.created_from),
            created_to: time(self.created_to),
            completed_from: time(self.completed_from),
            completed_to: time(self.completed_to),
            updated_from: time(self.updated_from),
            updated_to: time(self.updated_to),
            id_prefix: self.id_prefix.clone(),
            id_contains: self.id_contains.clone(),
            name: self.name.clone(),
            version: self.wanted.clone(),
            parent: self.parent.clone(),
            roots_only: self.roots,
            failure_type: self.failure_type.clone(),
            custom_status: self.custom_status.clone(),
            tags: self.tags.iter().cloned().collect(),
            ..InstanceQuery::default()
        }
    }
}
