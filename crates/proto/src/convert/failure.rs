//! Failures pass unchanged, however deep and with whatever properties.

use std::collections::BTreeMap;

use crate::{pb, prost_types};
use everdure_core::FailureDetails;
use prost_types::value::Kind;
use serde_json::Value;

/// Causes and values are cut off below this depth: nobody reads them, and recursion must end.
const DEPTH: usize = 64;

/// The property that carries [`FailureDetails::data`], for which the protocol has no field.
const DATA: &str = "everdure.data";

/// A failure as a worker told it.
pub fn failure_from_wire(failure: pb::TaskFailureDetails) -> FailureDetails {
    from_wire(failure, 0)
}

fn from_wire(failure: pb::TaskFailureDetails, depth: usize) -> FailureDetails {
    let mut properties: BTreeMap<_, _> =
        failure.properties.into_iter().map(|(name, value)| (clean(name), json(value, 0))).collect();
    let data = match properties.remove(DATA) {
        Some(Value::String(data)) => Some(data),
        Some(other) => {
            properties.insert(DATA.to_owned(), other);
            None
        }
        None => None,
    };
    let mut details = FailureDetails::new(clean(failure.error_type), clean(failure.error_message));
    details.stack_trace = failure.stack_trace.map(clean);
    details.is_non_retriable = failure.is_non_retriable;
    details.data = data;
    details.properties = (!properties.is_empty()).then(|| Box::new(properties));
    details.inner_failure =
        failure.inner_failure.filter(|_| depth < DEPTH).map(|inner| Box::new(from_wire(*inner, depth + 1)));
    details
}

/// PostgreSQL text cannot hold U+0000; in a message it says nothing that its replacement does not.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

/// A failure as workers and clients are told it.
pub fn failure_to_wire(failure: &FailureDetails) -> pb::TaskFailureDetails {
    let properties = failure.properties.iter().flat_map(|properties| properties.iter());
    let mut properties: BTreeMap<_, _> = properties.map(|(name, value)| (name.clone(), wire(value))).collect();
    if let Some(data) = &failure.data {
        properties.insert(DATA.to_owned(), wire(&Value::String(data.clone())));
    }
    pb::TaskFailureDetails {
        error_type: failure.error_type.clone(),
        error_message: failure.error_message.clone(),
        stack_trace: failure.stack_trace.clone(),
        inner_failure: failure.inner_failure.as_deref().map(|inner| Box::new(failure_to_wire(inner))),
        is_non_retriable: failure.is_non_retriable,
        properties,
    }
}

fn json(value: prost_types::Value, depth: usize) -> Value {
    match value.kind {
        _ if depth > DEPTH => Value::Null,
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::NumberValue(number)) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(clean(text)),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(|value| json(value, depth + 1)).collect(),
        Some(Kind::StructValue(members)) => {
            let members = members.fields.into_iter().map(|(name, value)| (clean(name), json(value, depth + 1)));
            Value::Object(members.collect())
        }
    }
}

fn wire(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(prost_types::ListValue { values: values.iter().map(wire).collect() }),
        Value::Object(members) => {
            let fields = members.iter().map(|(name, value)| (name.clone(), wire(value))).collect();
            Kind::StructValue(prost_types::Struct { fields })
        }
    };
    prost_types::Value { kind: Some(kind) }
}
