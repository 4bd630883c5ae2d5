//! What a check found, for a reader.

use std::fmt;

use crate::Steps;
use crate::history::{History, Operation};
use crate::model::{Call, Effect, KeyCalls, NEVER};
use crate::version_order::{Conflict, Stop, decide};

/// How many operations before the one that made the history wrong a report shows.
const CONTEXT_OPERATIONS: usize = 12;

/// What a check found.
#[derive(Clone, Debug)]
#[must_use]
pub enum Verdict {
    /// Every key's calls can be put in a legal order.
    Legal,
    /// A key's calls cannot.
    Illegal(Violation),
    /// The budget ended before an answer was found. Treat it as a failure: a check that gave up has shown nothing.
    Unknown {
        /// The key whose check was given up.
        key: String,
        /// The budget that did not suffice.
        steps_max: u64,
    },
}

/// Why a history is not linearizable.
#[derive(Clone, Debug)]
pub struct Violation {
    key: String,
    reason: String,
    culprits: Vec<Operation>,
    context: Vec<Operation>,
}

impl Verdict {
    /// Whether the history was shown to be linearizable.
    pub fn is_legal(&self) -> bool {
        matches!(self, Verdict::Legal)
    }
}

impl Violation {
    /// The key whose calls have no legal order.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// One sentence on what is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The calls that cannot all be true.
    pub fn culprits(&self) -> &[Operation] {
        &self.culprits
    }

    /// Explains a conflict by the shortest part of the history that shows one.
    pub(crate) fn explain(history: &History, key: &str, calls: &KeyCalls, conflict: Conflict) -> Self {
        let (prefix, conflict) = smallest_prefix(calls).unwrap_or_else(|| (calls.clone(), conflict));
        Self::new(history, key, &prefix, conflict)
    }

    /// A conflict among `calls`, as found.
    pub(crate) fn new(history: &History, key: &str, calls: &KeyCalls, conflict: Conflict) -> Self {
        let operation = |call: &Call| history.operations()[call.operation].clone();
        let mut by_end: Vec<_> = calls.calls.iter().collect();
        by_end.sort_by_key(|call| call.end);
        let returned = by_end.partition_point(|call| call.end < NEVER);
        let shown = by_end[..returned].iter().rev().take(CONTEXT_OPERATIONS).rev();
        Self {
            key: key.to_owned(),
            reason: conflict.reason,
            culprits: conflict.calls.iter().map(|position| operation(&calls.calls[*position])).collect(),
            context: shown.map(|call| operation(call)).collect(),
        }
    }
}

/// The calls as they stood at the earliest moment at which they already had no legal order, and what was wrong then.
/// Every beginning of a legal history is legal, so that moment can be found by halving.
fn smallest_prefix(key: &KeyCalls) -> Option<(KeyCalls, Conflict)> {
    let mut ends: Vec<_> = key.calls.iter().map(|call| call.end).collect();
    ends.sort_unstable();
    let wrong = |cut: &KeyCalls| match decide(cut, &mut Steps::new(u64::MAX)) {
        Ok(_) | Err(Stop::OutOfSteps) => None,
        Err(Stop::Illegal(conflict)) => Some(conflict),
    };
    let first = ends.partition_point(|end| wrong(&prefix(key, *end)).is_none());
    let cut = prefix(key, *ends.get(first)?);
    let conflict = wrong(&cut)?;
    Some((cut, conflict))
}

/// What was known at one moment: later calls are gone and calls under way have no answer yet.
fn prefix(key: &KeyCalls, until: u64) -> KeyCalls {
    let calls = key.calls.iter().filter(|call| call.begin <= until).filter_map(|call| {
        if call.end <= until {
            return Some(*call);
        }
        match call.effect {
            Effect::Write { at, value } | Effect::Optional { at, value } => {
                Some(Call { end: NEVER, effect: Effect::Optional { at, value }, ..*call })
            }
            Effect::Read(_) | Effect::Absent | Effect::Refused { .. } | Effect::Impossible => None,
        }
    });
    KeyCalls { initial: key.initial, calls: calls.collect() }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key {:?} is not linearizable: {}", self.key, self.reason)?;
        for operation in &self.culprits {
            writeln!(f, "  ! {operation}")?;
        }
        writeln!(f, "the last calls to return before this showed:")?;
        for operation in &self.context {
            writeln!(f, "    {operation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Legal => write!(f, "linearizable"),
            Verdict::Illegal(violation) => write!(f, "{violation}"),
            Verdict::Unknown { key, steps_max } => {
                write!(f, "not decided: {steps_max} steps were not enough for key {key:?}")
            }
        }
    }
}
