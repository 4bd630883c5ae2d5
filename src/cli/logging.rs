//! Where log lines go, and which of them.

use tracing_subscriber::EnvFilter;
use traitwire::log::Excerpt;

/// What is logged if `RUST_LOG` does not say otherwise: the lines about changes that an operator wants to know.
const DEFAULT_FILTER: &str = "warn,traitwire=info,traitwire_kv=info,traitwire_schema=info";

/// The crates whose lines `RUST_LOG` can select; each name also stands for those that begin with it.
const TARGETS: [&str; 8] = ["traitwire", "hyper", "axum", "reqwest", "tokio", "tower", "mio", "h2"];

/// The levels of `RUST_LOG`, beside the numbers 0 to 5.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Sends log lines to standard error, filtered by `RUST_LOG`.
pub(super) fn start() {
    let (filter, problem) = filter(std::env::var_os("RUST_LOG").as_deref());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // They would be reported by a macro that panics, since standard error is what cannot be written.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .init();
    if let Some(problem) = problem {
        tracing::warn!("{problem}");
    }
}

/// The filter, and what is wrong with the variable: another program's setting must not keep this one from starting.
fn filter(variable: Option<&std::ffi::OsStr>) -> (EnvFilter, Option<String>) {
    let default = || EnvFilter::new(DEFAULT_FILTER);
    let Some(variable) = variable.filter(|it| !it.is_empty()) else { return (default(), None) };
    let Some(text) = variable.to_str() else {
        return (default(), Some("RUST_LOG is not valid UTF-8 and is ignored".to_owned()));
    };
    // Quoted in what follows.
    let shown = Excerpt(text);
    if let Some(word) = text.split(',').map(str::trim).find(|word| is_unknown(word)) {
        let problem = format!(
            "RUST_LOG=`{shown}` is ignored: `{}` is neither a level ({}) nor a part of this program, such as \
             traitwire_kv=debug",
            Excerpt(word),
            LEVELS.join(", "),
        );
        return (default(), Some(problem));
    }
    match EnvFilter::try_new(text) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let example = "write a level, such as info, or TARGET=LEVEL, such as traitwire_kv=debug";
            (default(), Some(format!("RUST_LOG=`{shown}` is ignored: {error}; {example}")))
        }
    }
}

/// Whether a directive without a level names nothing here. `EnvFilter` takes a misspelled level for a target, and then logs
/// nothing at all.
fn is_unknown(word: &str) -> bool {
    let is_bare = !word.is_empty() && !word.contains(['=', ':', '[']);
    let is_level =
        LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level)) || matches!(word.parse(), Ok(0..=5));
    is_bare && !is_level && !TARGETS.iter().any(|target| word.starts_with(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(variable: &str) -> Option<String> {
        filter(Some(variable.as_ref())).1
    }

    #[test]
    fn valid_filters_are_used() {
        for text in
            ["", "info", "WARN", "5", "off", "traitwire_kv", "warn,traitwire=debug", "other=trace,hyper"]
        {
            assert_eq!(problem(text), None, "{text}");
        }
        assert_eq!(filter(Some("hyper=trace".as_ref())).0.to_string(), "hyper=trace");
        assert_eq!(filter(None).0.to_string().split(',').count(), 4);
    }

    #[test]
    fn invalid_filters_are_reported_and_replaced() {
        for text in ["inof", "verbose", "traitwire=loud", "info,debgu", "a=b=c", "warn, nonsense", "x[{"] {
            let (used, problem) = filter(Some(text.as_ref()));
            let problem = problem.unwrap_or_else(|| panic!("{text}"));
            assert!(problem.starts_with(&format!("RUST_LOG=`{text}` is ignored: ")), "{problem}");
            assert_eq!(used.to_string(), filter(None).0.to_string());
        }
    }
}
