//! Settings of a task hub: what an operator decides once for all its nodes.

use std::time::Duration;

use crate::{BackendError, BackendResult, OrchestrationStatus};

/// What a setting is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingName {
    /// `retention.completed`, `retention.failed`, `retention.terminated`: how long instances that ended so are kept; for
    /// ever by default.
    Retention {
        /// Those that ended so.
        status: OrchestrationStatus,
        /// Only those of this orchestration (`/NAME` behind the setting); goes before the setting for all.
        name: Option<String>,
    },
    /// `retention.executions`: how long the executions that ended by continue-as-new are kept; not at all by default.
    Executions,
}

/// A setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is about.
    pub name: SettingName,
    /// For so long.
    pub kept: Duration,
}

impl Setting {
    /// Reads a setting and its value, a span such as `90s`, `15m`, `12h`, `30d`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such setting, or the value is not a span.
    pub fn read(name: &str, value: &str) -> BackendResult<Self> {
        let setting = SettingName::read(name)?;
        let kept = span(value).ok_or_else(|| {
            BackendError::invalid(format!("'{value}' is not a span of time for {name}: write 90s, 15m, 12h or 30d"))
        })?;
        Ok(Self { name: setting, kept })
    }
}

impl SettingName {
    /// Reads the name of a setting.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such setting.
    pub fn read(name: &str) -> BackendResult<Self> {
        let (first, orchestration) = match name.split_once('/') {
            Some((first, orchestration)) if !orchestration.is_empty() => (first, Some(orchestration.to_owned())),
            _ => (name, None),
        };
        let retention = |status| Ok(Self::Retention { status, name: orchestration.clone() });
        match first {
            "retention.completed" => retention(OrchestrationStatus::Completed),
            "retention.failed" => retention(OrchestrationStatus::Failed),
            "retention.terminated" => retention(OrchestrationStatus::Terminated),
            "retention.executions" if orchestration.is_none() => Ok(Self::Executions),
            _ => Err(BackendError::invalid(format!(
                "there is no setting '{name}': there are retention.completed, retention.failed and \
                 retention.terminated, each also with /NAME of an orchestration, and retention.executions"
            ))),
        }
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
