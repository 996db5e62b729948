//! What goes to standard error while a command runs.

use std::io::IsTerminal;

use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Says how much is logged.
pub const VARIABLE: &str = "EVERDURE_LOG";

/// The pool tells each connection that failed, and not why; what uses the pool tells both, less often.
const NOISE: &str = "deadpool.postgres";

/// Begins to log, from `level` on unless the environment says otherwise.
pub fn begin(level: &str, json: bool) {
    let (filter, problem) = filter(std::env::var(VARIABLE).ok().as_deref(), level);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_coloured());
    let layer = if json { log.json().flatten_event(true).boxed() } else { log.boxed() };
    let wanted = filter.and(filter_fn(|event| event.target() != NOISE));
    tracing_subscriber::registry().with(layer.with_filter(wanted)).init();
    if let Some(problem) = problem {
        tracing::error!("{problem}");
    }
}

/// Colours are for people who look at a terminal and have not said that they want none.
fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The filter, and what is wrong with the wish.
fn filter(wish: Option<&str>, level: &str) -> (EnvFilter, Option<String>) {
    let usual = || EnvFilter::new(level);
    let Some(wish) = wish.map(str::trim).filter(|wish| !wish.is_empty()) else { return (usual(), None) };
    // A word that is no level would be taken for the name of a module, and silence all others.
    let strange = wish.split(',').map(str::trim).find(|part| {
        !part.contains(['=', '[', ']', '{', '}']) && part.parse::<LevelFilter>().is_err() && !part.is_empty()
    });
    let cause = match (strange, EnvFilter::try_new(wish)) {
        (None, Ok(filter)) => return (filter, None),
        (Some(strange), _) => format!("'{strange}' is no level"),
        (None, Err(error)) => error.to_string(),
    };
    let told = format!(
        "{VARIABLE} cannot be used: {cause}; use error, warn, info, debug, trace or off, or a module with one of them, such \
         as warn,everdure_engine=debug; it is '{level}' until then"
    );
    (usual(), Some(told))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn only_what_can_be_meant_is_taken() {
        for good in ["warn", "INFO", "off", "warn,everdure_engine=debug", "everdure_server::hubs=trace, info"] {
            assert_eq!(filter(Some(good), "info").1, None, "{good}");
        }
        for bad in ["nonsense", "warn,nonsense", "everdure_engine=loud"] {
            let (filter, problem) = filter(Some(bad), "info");
            assert!(problem.is_some_and(|problem| problem.contains("warn")), "{bad}");
            assert_eq!(filter.to_string(), "info");
        }
        assert_eq!(filter(None, "warn").0.to_string(), "warn");
        assert_eq!(filter(Some(" "), "warn").0.to_string(), "warn");
    }
}
