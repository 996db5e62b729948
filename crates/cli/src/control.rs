//! `everdure raise-event`, `suspend`, `resume` and `terminate`: messages to an instance.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use everdure::InstanceId;
use serde_json::json;

use crate::connection::{Connection, Hub, block_on};
use crate::exit::Outcome;
use crate::{arguments, get, output};

const RAISE_EVENT_EXAMPLES: &str = "\
Examples:
  everdure raise-event order-1001 customer-confirmed --input '{\"confirmedBy\":\"Ada\"}'
  everdure raise-event order-1001 approved --input true";

const SUSPEND_EXAMPLES: &str = "\
Example:
  everdure suspend order-1001 --reason 'payment under review'";

const RESUME_EXAMPLES: &str = "\
Example:
  everdure resume order-1001";

const TERMINATE_EXAMPLES: &str = "\
Example:
  everdure terminate order-1001 --reason 'ordered twice' --recurse";

/// To whom.
#[derive(Args)]
pub struct Target {
    #[command(flatten)]
    connection: Connection,

    /// The instance
    #[arg(value_parser = arguments::orchestration)]
    id: InstanceId,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Raise an event in an instance.
///
/// Events that the orchestration does not wait for yet are kept for it. Upper and lower case in names are alike.
#[derive(Args)]
#[command(after_help = RAISE_EVENT_EXAMPLES)]
pub struct RaiseEvent {
    #[command(flatten)]
    target: Target,

    /// The event's name
    name: String,

    /// The payload as JSON; '@FILE' reads a file, '-' standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,
}

/// Hold an instance still until it is resumed.
///
/// What runs goes on to its end; the orchestration sees the results after it is resumed.
#[derive(Args)]
#[command(after_help = SUSPEND_EXAMPLES)]
pub struct Suspend {
    #[command(flatten)]
    target: Target,

    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let a suspended instance go on.
#[derive(Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub struct Resume {
    #[command(flatten)]
    target: Target,

    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// End an instance from outside.
#[derive(Args)]
#[command(after_help = TERMINATE_EXAMPLES)]
pub struct Terminate {
    #[command(flatten)]
    target: Target,

    /// Why; it becomes the output of the instance
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// End its sub-orchestrations, too
    #[arg(long)]
    recurse: bool,
}

pub fn raise_event(arguments: &RaiseEvent) -> Outcome {
    let payload = arguments::payload(arguments.input.as_deref())?;
    let (id, name) = (&arguments.target.id, &arguments.name);
    send(&arguments.target, "event raised in", async |hub| Ok(hub.client.raise_event(id, name, &payload).await?))
}

pub fn suspend(arguments: &Suspend) -> Outcome {
    let (id, reason) = (&arguments.target.id, arguments.reason.as_deref());
    send(&arguments.target, "asked to hold still:", async |hub| Ok(hub.client.suspend(id, reason).await?))
}

pub fn resume(arguments: &Resume) -> Outcome {
    let (id, reason) = (&arguments.target.id, arguments.reason.as_deref());
    send(&arguments.target, "asked to go on:", async |hub| Ok(hub.client.resume(id, reason).await?))
}

pub fn terminate(arguments: &Terminate) -> Outcome {
    let (id, reason, recurse) = (&arguments.target.id, arguments.reason.as_deref(), arguments.recurse);
    send(&arguments.target, "asked to end:", async |hub| Ok(hub.client.terminate(id, reason, recurse).await?))
}

/// Sends a message to an instance that exists and has not ended. Should it end in this moment, the message is dropped.
fn send(target: &Target, done: &str, message: impl AsyncFnOnce(&Hub) -> Result<(), Box<dyn Error>>) -> Outcome {
    block_on(async {
        let hub = target.connection.open_to_write(false).await?;
        let record = get::find(&hub, &target.id).await?;
        if record.status.is_terminal() {
            let (id, status) = (&target.id, record.status);
            return Err(format!("instance '{id}' is {status} and takes no messages: start it anew").into());
        }
        message(&hub).await?;
        hub.linger().await;
        if target.json {
            output::json(&json!({ "instanceId": target.id, "sent": true }))?;
        } else {
            output::line(format_args!("{done} {}", target.id))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
