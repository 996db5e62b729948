//! An instance as JSON for programs.
//!
//! Payloads are the JSON text that is stored, byte for byte, as strings: `jq '.output | fromjson'` reads them.

use everdure::InstanceRecord;
use serde_json::{Value, json};

use crate::output::rfc3339;

/// The instance. What it does not have is null.
pub fn to_json(record: &InstanceRecord) -> Value {
    json!({
        "instanceId": record.instance_id,
        "executionId": record.execution_id,
        "execution": record.execution,
        "name": record.name,
        "version": record.version,
        "status": record.status,
        "parentInstanceId": record.parent_instance_id,
        "tags": record.tags,
        "createdAt": rfc3339(record.created_at),
        "scheduledStart": record.scheduled_start.map(rfc3339),
        "updatedAt": rfc3339(record.updated_at),
        "completedAt": record.completed_at.map(rfc3339),
        "turn": record.turn,
        "input": record.input,
        "output": record.output,
        "customStatus": record.custom_status,
        "failure": record.failure,
    })
}
