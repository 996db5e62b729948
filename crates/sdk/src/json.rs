//! Values to payloads and back. Nothing (`()`, `None`) is an absent payload.

use everdure_core::FailureDetails;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) const SERIALIZATION: &str = "Serialization";

pub(crate) fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Option<String>, FailureDetails> {
    match serde_json::to_string(value) {
        Ok(text) if text == "null" => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(FailureDetails::new(
            SERIALIZATION,
            format!("{what} cannot be written as JSON: {error}; check the Serialize implementation of its type"),
        )
        .non_retriable()),
    }
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, payload: Option<&str>) -> Result<T, FailureDetails> {
    serde_json::from_str(payload.unwrap_or("null")).map_err(|error| {
        FailureDetails::new(
            SERIALIZATION,
            format!(
                "{what} cannot be read as {}: {error}; both sides must agree on the type",
                std::any::type_name::<T>()
            ),
        )
        .non_retriable()
    })
}
