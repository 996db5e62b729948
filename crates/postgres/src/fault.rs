//! What a database error means, by its SQLSTATE: who is to blame and whether to try again.

use std::time::Duration;

use everdure_core::BackendError;
use tokio_postgres::Error;

/// Raised by our functions when the node's rows are gone.
const NODE_GONE: &str = "ED001";

/// Raised by our functions when there is no such hub.
const HUB_GONE: &str = "ED404";

/// Raised by our functions for an argument that nobody could store.
const UNUSABLE: &str = "ED422";

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The node was reaped.
    NodeGone,
    /// Whoever deleted the hub, or misspelt its name.
    HubGone,
    /// Nobody: the same again may succeed.
    Passing,
    /// One item of a batch; its neighbours are innocent.
    Item,
    /// Whoever runs the database or this program.
    Operator,
}

/// Sorts an error. Without a SQLSTATE it comes from the connection.
pub(crate) fn blame(error: &Error) -> Blame {
    match error.code() {
        None => Blame::Passing,
        Some(code) => blame_code(code.code()),
    }
}

fn blame_code(code: &str) -> Blame {
    match code {
        NODE_GONE => Blame::NodeGone,
        HUB_GONE => Blame::HubGone,
        UNUSABLE => Blame::Item,
        // lock_not_available, read_only_sql_transaction, idle_in_transaction_session_timeout
        "55P03" | "25006" | "25P03" => Blame::Passing,
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57") => Blame::Passing,
            Some("21" | "22" | "23" | "54") => Blame::Item,
            _ => Blame::Operator,
        },
    }
}

/// The message of the server or the connection, with its SQLSTATE.
pub(crate) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let hint = db.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}{hint}, SQLSTATE {}", db.message(), db.code().code())
        }
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

/// What failed while `doing` something, and what helps.
pub(crate) fn explain(doing: &str, error: &Error) -> String {
    let advice = match error.code().map(|code| code.code()) {
        Some("28P01" | "28000") => "; check user and password in the URL, and pg_hba.conf",
        Some("3D000") => "; create the database, or correct its name in the URL",
        Some("3F000") => "; run `everdure migrate`, or correct the name of the schema",
        Some("42501") => "; grant the right, or run `everdure migrate` as the owner",
        Some("25006") => "; connect to the primary server",
        Some("53300") => "; raise max_connections or the limit of the role, or lower the pool size",
        Some(code) if code.starts_with("42") => "; the schema may be damaged: run `everdure migrate`",
        None => "; check that the server runs and that the URL names it",
        Some(_) => "",
    };
    format!("{doing}: {}{advice}", describe(error))
}

/// Whether an error is usual where many write at once: the next attempt ends it.
pub(crate) fn is_contention(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("40") || code.code() == "55P03")
}

/// The error of an operation that failed for good, or for as long as it was tried. `doing` says what was tried.
pub(crate) fn fault(doing: &str, error: Error) -> BackendError {
    let context = explain(doing, &error);
    match blame(&error) {
        Blame::NodeGone => BackendError::NodeGone,
        Blame::HubGone => BackendError::HubGone { context, source: Some(error.into()) },
        Blame::Passing => BackendError::Unavailable { context, source: Some(error.into()) },
        Blame::Item => BackendError::Invalid { context, source: Some(error.into()) },
        Blame::Operator => BackendError::Refused { context, source: Some(error.into()) },
    }
}

/// The pause after a passing fault: it doubles, with jitter, from 10 ms to 2 s.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl Pause {
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(2));
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame, blame_code};

    #[test]
    fn each_class_has_its_culprit() {
        for (code, blame) in [
            ("ED001", Blame::NodeGone),
            ("ED404", Blame::HubGone),
            ("08006", Blame::Passing),
            ("40001", Blame::Passing),
            ("40P01", Blame::Passing),
            ("53300", Blame::Passing),
            ("57P01", Blame::Passing),
            ("57014", Blame::Passing),
            ("55P03", Blame::Passing),
            ("25006", Blame::Passing),
            ("21000", Blame::Item),
            ("22P05", Blame::Item),
            ("23505", Blame::Item),
            ("54000", Blame::Item),
            ("ED422", Blame::Item),
            ("42P01", Blame::Operator),
            ("28P01", Blame::Operator),
            ("XX000", Blame::Operator),
        ] {
            assert_eq!(blame_code(code), blame, "{code}");
        }
    }
}
