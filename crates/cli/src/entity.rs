//! `everdure entity`: looks at entities, signals them, tidies up.

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use everdure::{CleanEntities, EntityQuery, EntityRecord, InstanceId, InvalidId};
use serde_json::{Value, json};

use crate::arguments::{self, When};
use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  everdure entity get @account@Ada
  everdure entity list --prefix @account@ --json | jq -r '.[].state | fromjson'
  everdure entity signal @account@Ada deposit --input 100
  everdure entity signal @account@Ada close --delay 2h
  everdure entity clean";

/// Entities on a page, or looked at in one query; the store gives no more at once.
const PAGE: u32 = 500;
/// Characters of a state that fit beside the rest.
const STATE: usize = 60;

/// Look at entities, signal them, tidy up what is left of them.
///
/// An entity is a little state under a name and a key; its id is @name@key. Upper and lower case are alike in names.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EntityCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Get(Get),
    List(List),
    Signal(Signal),
    Clean(Clean),
}

/// Show an entity.
///
/// It is shown as it was last recorded: operations that wait are counted, not applied.
#[derive(Args)]
#[command(after_help = "Example:\n  everdure entity get @account@Ada --json | jq '.state | fromjson'")]
struct Get {
    #[command(flatten)]
    connection: Connection,

    /// The entity: @name@key
    #[arg(value_parser = entity_id)]
    id: InstanceId,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// List entities, in the order of their ids.
#[derive(Args)]
#[command(after_help = "Example:\n  everdure entity list --prefix @account@ --updated-from 24h")]
struct List {
    #[command(flatten)]
    connection: Connection,

    /// Only those whose id begins so: @name@ for all of that name
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Changed at that time or later: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    updated_from: Option<When>,

    /// Changed at that time or earlier
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    updated_to: Option<When>,

    /// Also those without a state, for which operations wait or which are locked
    #[arg(long)]
    transient: bool,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Print one JSON array, with whole states, instead of a table
    #[arg(long)]
    json: bool,
}

/// Signal an entity: have it run an operation, for which nobody waits.
///
/// The signal is durable when the command ends; a worker that knows the entity runs it. The entity needs no making.
#[derive(Args)]
#[command(after_help = "Examples:\n  everdure entity signal @account@Ada deposit --input 100\n  \
    everdure entity signal @account@Ada remind --at 2026-01-31T08:00:00Z")]
struct Signal {
    #[command(flatten)]
    connection: Connection,

    /// The entity: @name@key
    #[arg(value_parser = entity_id)]
    id: InstanceId,

    /// The operation's name
    operation: String,

    /// The input as JSON; '@FILE' reads a file, '-' standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,

    /// Not before this time: 2026-01-31T12:00:00Z, 2026-01-31
    #[arg(long, value_name = "TIME", value_parser = arguments::when)]
    at: Option<When>,

    /// So long from now: 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = arguments::when, conflicts_with = "at")]
    delay: Option<When>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Remove what is left of entities without a state, and locks whose owner does not run any more.
///
/// Both normally go by themselves. Without --empty and --orphaned-locks, both are done.
#[derive(Args)]
#[command(after_help = "Example:\n  everdure entity clean --orphaned-locks")]
struct Clean {
    #[command(flatten)]
    connection: Connection,

    /// Remove entities that have no state, no lock and nothing waiting
    #[arg(long)]
    empty: bool,

    /// Release locks whose owner does not run any more
    #[arg(long)]
    orphaned_locks: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Reads `@name@key`.
fn entity_id(text: &str) -> Result<InstanceId, String> {
    let id = InstanceId::new(text).map_err(|error| error.to_string())?;
    let (name, key) = id.entity_parts().ok_or_else(|| InvalidId::NotEntity(text.to_owned()).to_string())?;
    InstanceId::entity(&name[1..], key).map_err(|error| error.to_string())
}

pub fn run(arguments: &EntityCommand) -> Outcome {
    match &arguments.what {
        What::Get(arguments) => block_on(get(arguments))?,
        What::List(arguments) => block_on(list(arguments))?,
        What::Signal(arguments) => block_on(signal(arguments))?,
        What::Clean(arguments) => block_on(clean(arguments))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(arguments: &Get) -> Result<(), Box<dyn Error>> {
    let hub = arguments.connection.open().await?;
    let id = &arguments.id;
    let found = hub.client.entity_record(id).await?;
    let entity =
        found.ok_or_else(|| format!("there is no entity '{id}' in this task hub: nothing signalled it yet"))?;
    if arguments.json {
        return Ok(output::json(&to_json(&entity))?);
    }
    let state = entity.state.as_deref().unwrap_or("none: operations wait for it, or it is locked");
    let facts = [
        ("entity", Some(Cell::new(&entity.instance_id))),
        ("state", Some(Cell::new(state))),
        ("locked by", entity.locked_by.as_ref().map(Cell::new)),
        ("waiting operations", Some(Cell::new(entity.backlog))),
        ("updated", Some(Cell::new(output::time(entity.updated_at)))),
    ];
    Ok(output::print_table(&output::facts(facts.into_iter().filter_map(|(name, value)| Some((name, value?)))))?)
}

async fn list(arguments: &List) -> Result<(), Box<dyn Error>> {
    let hub = arguments.connection.open().await?;
    let (entities, more) = read(&hub, arguments).await?;
    if arguments.json {
        output::json(&entities.iter().map(to_json).collect())?;
    } else if entities.is_empty() {
        eprintln!("no entity matches");
    } else {
        let mut table = output::table(&["ENTITY", "STATE", "WAITING", "LOCKED BY", "UPDATED"]);
        for entity in &entities {
            table.add_row([
                entity.instance_id.to_string(),
                output::shorten(entity.state.as_deref().unwrap_or(""), STATE),
                entity.backlog.to_string(),
                entity.locked_by.as_ref().map(ToString::to_string).unwrap_or_default(),
                output::time(entity.updated_at),
            ]);
        }
        output::print_table(&table)?;
    }
    if more {
        eprintln!("there are more than {}: use --all, or a higher --limit", entities.len());
    }
    Ok(())
}

/// Reads page by page; each begins where the last one ended. Tells whether there are more.
async fn read(hub: &Hub, arguments: &List) -> Result<(Vec<EntityRecord>, bool), Box<dyn Error>> {
    let limit = if arguments.all { u64::MAX } else { arguments.limit };
    let now = hub.backend.now();
    let mut query = EntityQuery {
        id_prefix: arguments.prefix.clone(),
        updated_from: arguments.updated_from.map(|when| when.back_from(now)),
        updated_to: arguments.updated_to.map(|when| when.back_from(now)),
        include_state: true,
        include_transient: arguments.transient,
        ..EntityQuery::default()
    };
    let mut entities = Vec::new();
    loop {
        let wanted = limit - entities.len() as u64;
        query.page_size = u32::try_from(wanted).unwrap_or(PAGE).min(PAGE);
        let page = hub.client.query_entities(query.clone()).await?;
        entities.extend(page.entities);
        query.after = page.next;
        if query.after.is_none() || entities.len() as u64 >= limit {
            return Ok((entities, query.after.is_some()));
        }
    }
}

async fn signal(arguments: &Signal) -> Result<(), Box<dyn Error>> {
    let input = arguments::payload(arguments.input.as_deref())?;
    let hub = arguments.connection.open_to_write(false).await?;
    let (id, operation) = (&arguments.id, &arguments.operation);
    let input = input.map(|input| input.get().to_owned());
    let mut signal = hub.client.signal_entity_by_name(id, operation, input);
    if let Some(when) = arguments.at.or(arguments.delay) {
        signal = signal.scheduled_at(when.ahead_of(hub.backend.now()));
    }
    signal.await?;
    hub.linger().await;
    if arguments.json {
        output::json(&json!({ "instanceId": id, "operation": operation, "sent": true }))?;
    } else {
        output::line(format_args!("signalled {operation} to {id}"))?;
    }
    Ok(())
}

async fn clean(arguments: &Clean) -> Result<(), Box<dyn Error>> {
    let hub = arguments.connection.open_to_write(false).await?;
    let both = !arguments.empty && !arguments.orphaned_locks;
    let mut request = CleanEntities {
        remove_empty: both || arguments.empty,
        release_orphaned_locks: both || arguments.orphaned_locks,
        limit: PAGE,
        after: None,
    };
    let (mut removed, mut released) = (0, 0);
    loop {
        let cleaned = hub.client.clean_entities(request.clone()).await?;
        removed += cleaned.removed;
        released += cleaned.released;
        request.after = cleaned.next;
        if request.after.is_none() {
            break;
        }
    }
    hub.linger().await;
    if arguments.json {
        output::json(&json!({ "removed": removed, "released": released }))?;
    } else {
        output::line(format_args!("removed {removed} empty entities, released {released} orphaned locks"))?;
    }
    Ok(())
}

fn to_json(entity: &EntityRecord) -> Value {
    json!({
        "instanceId": entity.instance_id,
        "exists": entity.exists,
        "state": entity.state,
        "lockedBy": entity.locked_by,
        "backlog": entity.backlog,
        "updatedAt": output::rfc3339(entity.updated_at),
    })
}
