//! Values that several commands take: times, tags, payloads.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use everdure::InstanceId;
use everdure_core::Timestamp;
use serde_json::value::RawValue;

/// The id of an instance that is an orchestration: what is meant for these means nothing to an entity.
pub fn orchestration(text: &str) -> Result<InstanceId, String> {
    match text.parse::<InstanceId>() {
        Ok(id) if id.is_entity() => {
            Err("it is an entity: see `everdure entity --help` for what can be done".to_owned())
        }
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// A time as people give it: absolute, or so far from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    FromNow(TimeDelta),
}

impl When {
    /// `2h` means two hours ago. `now` is the database's time.
    pub fn back_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::FromNow(delta) => now.checked_sub_signed(delta).unwrap_or(Timestamp::MIN_UTC),
        }
    }

    /// `2h` means in two hours.
    pub fn ahead_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::FromNow(delta) => now.checked_add_signed(delta).unwrap_or(Timestamp::MAX_UTC),
        }
    }
}

/// Reads a time: RFC 3339, a date (its first moment, UTC), or a span such as `90s`, `15m`, `2h`, `7d`.
pub fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(When::At(time.to_utc()));
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(When::At(date.and_time(chrono::NaiveTime::MIN).and_utc()));
    }
    delta(text).map(When::FromNow).ok_or_else(|| {
        format!("'{text}' is no time: use 2026-01-31T12:00:00Z, 2026-01-31, or a span such as 90s, 15m, 2h, 7d")
    })
}

/// A span of time: 90s, 15m, 2h, 7d.
pub fn span(text: &str) -> Result<Duration, String> {
    let span = delta(text).and_then(|delta| delta.to_std().ok());
    span.ok_or_else(|| format!("'{text}' is not a span of time: write 90s, 15m, 2h or 7d"))
}

fn delta(text: &str) -> Option<TimeDelta> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    match unit {
        "s" => TimeDelta::try_seconds(number),
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    }
}

/// Reads `key=value`.
pub fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is no tag: use key=value")),
    }
}

/// The JSON text given as an argument, in a file (`@FILE`), or on standard input (`-`), byte for byte.
pub fn payload(given: Option<&str>) -> Result<Option<Box<RawValue>>, Box<dyn Error>> {
    let Some(given) = given else { return Ok(None) };
    let (from, text) = match given.strip_prefix('@') {
        _ if given == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            ("standard input", text)
        }
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read the input in {path}: {error}; check the path after '@'"))?;
            (path, text)
        }
        None => ("the input", given.to_owned()),
    };
    let value: Box<RawValue> = serde_json::from_str(text.trim()).map_err(|error| {
        format!("{from} is not valid JSON ({error}): quote texts, as in --input '\"Ada\"', and names of fields")
    })?;
    Ok((value.get() != "null").then_some(value))
}

#[cfg(test)]
mod tests {
    use super::{When, payload, tag, when};
    use everdure_core::Timestamp;

    #[test]
    fn times_are_absolute_or_relative() {
        let now = Timestamp::from_timestamp(1_000_000, 0).expect("in range");
        let hours = when("2h").expect("a span");
        assert_eq!(hours.back_from(now).timestamp(), 1_000_000 - 7200);
        assert_eq!(hours.ahead_of(now).timestamp(), 1_000_000 + 7200);
        let date = when("2026-01-31").expect("a date");
        assert_eq!(date, when("2026-01-31T01:00:00+01:00").expect("a time"));
        assert!(matches!(date, When::At(_)));
        for wrong in ["", "h", "-1h", "5 weeks", "99999999999999999d", "tomorrow", "1é"] {
            assert!(when(wrong).is_err(), "'{wrong}'");
        }
    }

    #[test]
    fn tags_are_pairs() {
        assert_eq!(tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(tag("a").is_err() && tag("=b").is_err());
    }

    #[test]
    fn payloads_keep_their_bytes() {
        let text = |given| payload(Some(given)).map(|value| value.map(|value| value.get().to_owned()));
        assert_eq!(text(r#" {"b":1.0, "a":2} "#).expect("JSON"), Some(r#"{"b":1.0, "a":2}"#.to_owned()));
        assert_eq!(text("null").expect("JSON"), None);
        assert!(text("Ada").expect_err("no JSON").to_string().contains("the input is not valid JSON"));
        assert!(text("@/no/such/file").expect_err("no file").to_string().contains("/no/such/file"));
    }
}
