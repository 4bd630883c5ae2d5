//! What clients asked, what they were told, and what happened meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use traitwire_checker::{CallId, History, Input, Outcome, check};

use crate::machine::hash_text;
use crate::trace::Trace;
use crate::violation::{Rule, Violation, ensure};

/// The steps that the checker of histories may take for each key.
const CHECK_STEPS: u64 = 10_000_000;

/// The book that everybody writes into.
pub(super) struct Book {
    began: Instant,
    pages: Mutex<Pages>,
}

struct Pages {
    history: History,
    /// Moments of the history: each is later than the one before.
    moment: u64,
    /// The values of puts of which a client was told that they have not been executed and never will be.
    never: BTreeSet<String>,
    /// How often a client was told `Maybe`, and how often nothing definite.
    maybes: u64,
    unknown: u64,
    broken: Option<Violation>,
    trace: Trace,
}

impl Book {
    pub(super) fn new(trace: Trace) -> Arc<Self> {
        let pages = Pages {
            history: History::new(),
            moment: 0,
            never: BTreeSet::new(),
            maybes: 0,
            unknown: 0,
            broken: None,
            trace,
        };
        Arc::new(Self { began: Instant::now(), pages: Mutex::new(pages) })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("nobody panics while it is held")
    }

    /// The time since the begin, in microseconds.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("runs are short")
    }

    /// Notes what happens, for comparing runs and for readers.
    pub(super) fn line(&self, line: impl FnOnce() -> String) {
        let now = self.now_us();
        let line = line();
        let mut pages = self.pages();
        pages.trace.note(&[now, hash_text(&line)]);
        pages.trace.line(now, || line);
    }

    pub(super) fn invoke(&self, client: u64, key: &str, input: Input) -> CallId {
        self.line(|| format!("c{client} {key} {input:?}"));
        let mut pages = self.pages();
        pages.moment += 1;
        let moment = pages.moment;
        pages.history.invoke(client, key, input, moment)
    }

    pub(super) fn complete(&self, client: u64, call: CallId, outcome: Outcome) {
        self.line(|| format!("c{client} is told {outcome:?}"));
        let mut pages = self.pages();
        pages.maybes += u64::from(outcome == Outcome::Maybe);
        pages.moment += 1;
        let moment = pages.moment;
        pages.history.complete(call, outcome, moment);
    }

    /// A client was told nothing definite: its call may have been executed, or may still be.
    pub(super) fn unknown(&self, client: u64, why: &str) {
        self.line(|| format!("c{client} does not know: {why}"));
        self.pages().unknown += 1;
    }

    /// A client was told that its put has not been executed and never will be.
    pub(super) fn never(&self, client: u64, value: String, why: &str) {
        self.line(|| format!("c{client} knows that {value} was not written: {why}"));
        self.pages().never.insert(value);
    }

    /// A rule was broken; the first one counts.
    pub(super) fn broken(&self, violation: Violation) {
        self.line(|| violation.to_string());
        self.pages().broken.get_or_insert(violation);
    }

    /// How many calls there were, how many were told `Maybe`, and how many nothing definite.
    pub(super) fn counts(&self) -> [u64; 3] {
        let pages = self.pages();
        [pages.history.operations().len() as u64, pages.maybes, pages.unknown]
    }

    /// Whether what the clients were told fits one copy of the store.
    pub(super) fn check(&self, promises_hold: bool) -> Result<(), Violation> {
        let pages = self.pages();
        if let Some(violation) = &pages.broken {
            return Err(violation.clone());
        }
        let verdict = check(&pages.history, CHECK_STEPS);
        ensure(verdict.is_legal(), Rule::Linearizable, || verdict.to_string())?;
        for operation in pages.history.operations() {
            if let Some((_, Outcome::Value { value, .. })) = &operation.completion
                && promises_hold
                && pages.never.contains(value)
            {
                let what = format!("{value} was read, and its writer was told that it is never written");
                return Err(Violation::new(Rule::AppliedOnce, what));
            }
        }
        Ok(())
    }

    /// The number of the trace, and its lines.
    pub(super) fn trace(&self) -> (u64, Vec<String>) {
        let mut pages = self.pages();
        let trace = std::mem::replace(&mut pages.trace, Trace::brief());
        (trace.hash(), trace.into_lines())
    }
}
