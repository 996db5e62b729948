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

/// Says on standard error what went wrong, and gives the exit code for it.
pub fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    // Whoever read our output has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    anstream::eprintln!("{}everdure:{:#} {}", crate::output::RED, crate::output::RED, with_causes(error));
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
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use everdure_core::BackendError;

    #[test]
    fn a_cause_is_told_once() {
        let source = Some("no route".into());
        let told = BackendError::Unavailable { context: "connecting: no route; look there".into(), source };
        assert_eq!(super::with_causes(&told), "connecting: no route; look there");
        let untold = BackendError::Unavailable { context: "connecting".into(), source: Some("no route".into()) };
        assert_eq!(super::with_causes(&untold), "connecting: no route");
    }
}
