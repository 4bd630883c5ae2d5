//! The arguments that `cargo test` passes on to every target, meant for the standard harness of tests.

/// What of the standard harness means something where there is one test, and what is taken without effect: what a user
/// passes to all targets must not fail this one.
#[derive(clap::Args)]
pub(crate) struct HarnessArguments {
    /// Run only if one of these is a part of this test's name.
    #[arg(value_name = "FILTER", hide = true)]
    filters: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    /// Say what there is, and run nothing.
    #[arg(long, hide = true)]
    pub(crate) list: bool,
    // Output is never captured, there is one test, and none is ignored.
    #[arg(long, hide = true, alias = "no-capture")]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
}

impl HarnessArguments {
    /// Whether a test of this name, which is not an ignored one, is to run.
    pub(crate) fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { filter == name } else { name.contains(filter.as_str()) };
        let is_wanted = self.filters.is_empty() || self.filters.iter().any(matches);
        is_wanted && !self.skip.iter().any(matches) && !self.ignored
    }
}
