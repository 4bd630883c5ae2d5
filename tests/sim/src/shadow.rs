//! What a disk truly holds: followed operation by operation as syncs end, without asking the code under test.

use std::collections::VecDeque;
use std::fmt;

use traitwire_kv::kv_raft::raft::core::{Op, Restored};
use traitwire_kv::services::raft::{Index, NodeId, SnapshotMeta, Term};

/// The log, the term and the vote as they are on a disk. Of entries it knows their terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shadow {
    pub(crate) term: Term,
    pub(crate) voted_for: Option<NodeId>,
    pub(crate) base_index: Index,
    base_term: Term,
    terms: VecDeque<Term>,
}

impl Shadow {
    pub(crate) fn of(restored: &Restored) -> Self {
        Self {
            term: restored.term,
            voted_for: restored.voted_for,
            base_index: restored.base_index,
            base_term: restored.base_term,
            terms: restored.entries.iter().map(|entry| entry.term).collect(),
        }
    }

    /// Follows an operation in the steps that a crash may part, and calls `between` after each.
    pub(crate) fn apply_in_steps(&mut self, op: &Op, mut between: impl FnMut(&Self)) {
        match op {
            Op::Append { entries, .. } => {
                for entry in entries {
                    self.terms.push_back(entry.term);
                    between(self);
                }
            }
            Op::Vote { .. }
            | Op::Truncate(_)
            | Op::SnapshotPiece { .. }
            | Op::Install { .. }
            | Op::Compact { .. } => {
                self.apply(op);
                between(self);
            }
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Vote { term, voted_for } => (self.term, self.voted_for) = (*term, *voted_for),
            Op::Truncate(first) => self.truncate(*first),
            Op::Append { first, entries } => {
                self.truncate(*first);
                self.terms.extend(entries.iter().map(|entry| entry.term));
            }
            Op::SnapshotPiece { .. } => {}
            Op::Install { snapshot, keep_suffix } => {
                if !keep_suffix {
                    self.terms.clear();
                }
                self.begin_after(snapshot.last_index, snapshot.last_term);
            }
            Op::Compact { index, term } => self.begin_after(*index, *term),
        }
    }

    /// A snapshot that a crash has left ahead of the log takes the log's place.
    pub(crate) fn reconcile(&mut self, newest: Option<&SnapshotMeta>) {
        if let Some(snapshot) = newest
            && snapshot.last_index >= self.base_index
            && self.term_at(snapshot.last_index) != Some(snapshot.last_term)
        {
            self.terms.clear();
            (self.base_index, self.base_term) = (snapshot.last_index, snapshot.last_term);
        }
    }

    pub(crate) fn last_index(&self) -> Index {
        self.base_index + self.terms.len() as u64
    }

    /// Whether the entry is there; what is compacted counts as there.
    pub(crate) fn has(&self, index: Index, term: Term) -> bool {
        index < self.base_index || self.term_at(index) == Some(term)
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        let place = index.checked_sub(self.base_index + 1)?;
        self.terms.get(usize::try_from(place).ok()?).copied()
    }

    fn truncate(&mut self, first: Index) {
        let kept = first.saturating_sub(self.base_index + 1);
        self.terms.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    fn begin_after(&mut self, index: Index, term: Term) {
        let gone = usize::try_from(index.saturating_sub(self.base_index)).unwrap_or(usize::MAX);
        self.terms.drain(..gone.min(self.terms.len()));
        (self.base_index, self.base_term) = (index, term);
    }
}

impl fmt::Display for Shadow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { term, voted_for, base_index, base_term, .. } = self;
        write!(
            formatter,
            "term {term} with the vote {voted_for:?} and a log after {base_index}@{base_term} up to {}",
            self.last_index()
        )
    }
}
