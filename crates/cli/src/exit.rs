//! How commands end, for scripts. Documented in `everdure --help` and docs/cli.md.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use everdure::{ClientError, InstanceRecord, OrchestrationStatus};

/// What a command gives: its exit code, or why it failed.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The instance that was waited for failed or was terminated.
const INSTANCE_FAILED: u8 = 3;
/// The instance that was waited for had not ended when the time was over.
const NOT_ENDED: u8 = 4;

/// The exit code of a command that waited for this instance.
pub fn of_ended(record: &InstanceRecord) -> ExitCode {
    match record.status {
        OrchestrationStatus::Failed | OrchestrationStatus::Terminated => ExitCode::from(INSTANCE_FAILED),
        _ => ExitCode::SUCCESS,
    }
}

/// Says on standard error what went wrong, as a line of the log if that is `json`, and gives the exit code for it.
pub fn failed(error: &(dyn Error + 'static), json: bool) -> ExitCode {
    // Whoever read our output has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    if json {
        tracing::error!("{}", with_causes(error));
    } else {
        anstream::eprintln!("{}everdure:{:#} {}", crate::output::RED, crate::output::RED, with_causes(error));
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::TimedOut { .. }) => ExitCode::from(NOT_ENDED),
        _ => ExitCode::FAILURE,
    }
}

/// The message and, after colons, those of its causes, unless they are in it already.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    for cause in causes.skip(1).map(ToString::to_string) {
        if !is_told(&text, &cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Of an error of the database, the client says only that it is one, and what it holds has its severity before it.
fn is_told(text: &str, cause: &str) -> bool {
    let first = cause.lines().next().unwrap_or_default();
    let bare = ["ERROR: ", "FATAL: ", "PANIC: "].iter().find_map(|severity| first.strip_prefix(severity));
    cause == "db error" || text.contains(bare.unwrap_or(cause))
}

#[cfg(test)]
mod tests {
    use everdure_core::BackendError;

    #[test]
    fn a_cause_is_told_once() {
        let source = Some("no route".into());
        let told = BackendError::Unavailable { context: "connecting: no route; look there".into(), source };
        assert_eq!(super::with_causes(&told), "connecting: no route; look there");
        let source = Some("FATAL: no such role".into());
        let told = BackendError::Refused { context: "connecting: no such role, SQLSTATE 28000".into(), source };
        assert_eq!(super::with_causes(&told), "connecting: no such role, SQLSTATE 28000");
        let untold = BackendError::Unavailable { context: "connecting".into(), source: Some("no route".into()) };
        assert_eq!(super::with_causes(&untold), "connecting: no route");
    }
}
