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
    /// `attempts.turn`, `attempts.activity`: how often it may fail before it is set aside, or `unlimited`; see
    /// [`crate::DEFAULT_ATTEMPTS`].
    Attempts {
        /// Of activities that have a row; otherwise of turns.
        activity: bool,
    },
    /// `retention.executions`: how long the executions that ended by continue-as-new are kept; not at all by default.
    Executions,
}

/// A setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is about.
    pub name: SettingName,
    /// What was decided.
    pub value: SettingValue,
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// For so long.
    Span(Duration),
    /// So often; `None`: as often as it takes.
    Attempts(Option<u32>),
}

impl Setting {
    /// Reads a setting and its value, a span such as `90s`, `15m`, `12h`, `30d`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when there is no such setting, or the value is not a span.
    pub fn read(name: &str, value: &str) -> BackendResult<Self> {
        let setting = SettingName::read(name)?;
        let (found, expected) = match setting {
            SettingName::Attempts { .. } => (attempts(value), "a number of attempts: write 1 to 999999, or unlimited"),
            _ => (span(value).map(SettingValue::Span), "a span of time: write 90s, 15m, 12h or 30d"),
        };
        let wrong = || BackendError::invalid(format!("the value '{value}' of {name} is not {expected}"));
        let value = found.ok_or_else(wrong)?;
        Ok(Self { name: setting, value })
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
            "attempts.turn" if orchestration.is_none() => Ok(Self::Attempts { activity: false }),
            "attempts.activity" if orchestration.is_none() => Ok(Self::Attempts { activity: true }),
            "retention.executions" if orchestration.is_none() => Ok(Self::Executions),
            _ => Err(BackendError::invalid(format!(
                "there is no setting '{name}': there are retention.completed, retention.failed and \
                 retention.terminated, each also with /NAME of an orchestration, retention.executions, attempts.turn and \
                 attempts.activity"
            ))),
        }
    }
}

fn attempts(text: &str) -> Option<SettingValue> {
    if text == "unlimited" {
        return Some(SettingValue::Attempts(None));
    }
    let number = text.parse().ok().filter(|number| (1..=999_999).contains(number) && !text.starts_with(['+', '0']))?;
    Some(SettingValue::Attempts(Some(number)))
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
