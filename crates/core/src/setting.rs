//! Settings of a task hub: what an operator decides once for all its nodes.

use std::time::Duration;

use crate::{BackendError, BackendResult, OrchestrationStatus};

/// How long instances are kept after their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended so.
    pub status: OrchestrationStatus,
    /// Only those of this orchestration; goes before the setting for all.
    pub name: Option<String>,
    /// For so long.
    pub kept: Duration,
}

impl Retention {
    /// Reads a setting: `retention.completed`, `retention.failed`, `retention.terminated`, each also with `/NAME` of an
    /// orchestration behind it, and a span such as `90s`, `15m`, `12h`, `30d`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such setting, or the value is not a span.
    pub fn read(name: &str, value: &str) -> BackendResult<Self> {
        let (status, orchestration) = Self::read_name(name)?;
        let kept = span(value).ok_or_else(|| {
            BackendError::invalid(format!("'{value}' is not a span of time for {name}: write 90s, 15m, 12h or 30d"))
        })?;
        Ok(Self { status, name: orchestration, kept })
    }

    /// Reads the name of such a setting: of which end, and of which orchestration.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such setting.
    pub fn read_name(name: &str) -> BackendResult<(OrchestrationStatus, Option<String>)> {
        let (first, orchestration) = match name.split_once('/') {
            Some((first, orchestration)) if !orchestration.is_empty() => (first, Some(orchestration.to_owned())),
            _ => (name, None),
        };
        let status = match first {
            "retention.completed" => OrchestrationStatus::Completed,
            "retention.failed" => OrchestrationStatus::Failed,
            "retention.terminated" => OrchestrationStatus::Terminated,
            _ => {
                return Err(BackendError::invalid(format!(
                    "there is no setting '{name}': there are retention.completed, retention.failed and \
                     retention.terminated, each also with /NAME of an orchestration"
                )));
            }
        };
        Ok((status, orchestration))
    }
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number * seconds))
}
