//! What happened in a run: a number for comparing runs, and lines for reading.

use std::collections::VecDeque;

use crate::machine::mix;

/// How many lines are kept.
const LINES_MAX: usize = 4_000;

/// The trace of a run.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// A trace that is only a number.
    pub(crate) fn brief() -> Self {
        Self { hash: 0, lines: None }
    }

    /// A trace that can be read.
    pub(crate) fn readable() -> Self {
        Self { hash: 0, lines: Some(VecDeque::new()) }
    }

    /// Notes numbers that must be the same in another run of the same seed.
    pub(crate) fn note(&mut self, numbers: &[u64]) {
        self.hash = numbers.iter().fold(self.hash, |hash, number| mix(hash, *number));
    }

    /// Adds a line for readers, if there are any.
    pub(crate) fn line(&mut self, now: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!(
                "{:>12.6} {}",
                std::time::Duration::from_micros(now).as_secs_f64(),
                line()
            ));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.map(Vec::from).unwrap_or_default()
    }
}
