//! What the operations of a stream add up to.

use std::collections::VecDeque;

use super::super::core::{Op, Restored};
use crate::services::raft::{Entry, Index, NodeId, SnapshotMeta, Term};

/// Where a stream stands: everything about it but its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    /// The last entry that was compacted.
    pub(super) base_index: Index,
    pub(super) base_term: Term,
    /// The last entry; `base_index` when there is none.
    pub(super) last_index: Index,
}

/// What an operation does to the [`Tip`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Vote { term: Term, voted_for: Option<NodeId> },
    Truncate(Index),
    Append { first: Index, count: u64 },
    Install { index: Index, term: Term, keep_suffix: bool },
    Compact { index: Index, term: Term },
}

impl Change {
    /// A piece of a snapshot changes nothing.
    fn of(op: &Op) -> Option<Self> {
        Some(match op {
            Op::Vote { term, voted_for } => Self::Vote { term: *term, voted_for: *voted_for },
            Op::Truncate(index) => Self::Truncate(*index),
            Op::Append { first, entries } => Self::Append { first: *first, count: entries.len() as u64 },
            Op::SnapshotPiece { .. } => return None,
            Op::Install { snapshot: SnapshotMeta { last_index, last_term, .. }, keep_suffix } => {
                Self::Install { index: *last_index, term: *last_term, keep_suffix: *keep_suffix }
            }
            Op::Compact { index, term } => Self::Compact { index: *index, term: *term },
        })
    }
}

impl Tip {
    /// Follows the stream by one operation; otherwise says why that one cannot follow.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Vote { term, voted_for } => self.vote(term, voted_for)?,
            Change::Truncate(index) => {
                let range = self.base_index + 1..=self.last_index + 1;
                ensure(range.contains(&index), || {
                    format!("entries from {index} on, of {range:?}, cannot go")
                })?;
                self.last_index = index - 1;
            }
            Change::Append { first, count } => {
                let next = self.last_index + 1;
                ensure(first == next, || format!("entry {first} comes where {next} belongs"))?;
                self.last_index += count;
            }
            Change::Install { index, term, keep_suffix } => {
                let base = self.base_index;
                ensure(index >= base, || {
                    format!("snapshot {index} is older than what was compacted, {base}")
                })?;
                (self.base_index, self.base_term) = (index, term);
                self.last_index = if keep_suffix { self.last_index.max(index) } else { index };
            }
            Change::Compact { index, term } => {
                let range = self.base_index..=self.last_index;
                ensure(range.contains(&index), || {
                    format!("entry {index}, of {range:?}, cannot be compacted")
                })?;
                (self.base_index, self.base_term) = (index, term);
            }
        }
        Ok(())
    }

    fn vote(&mut self, term: Term, voted_for: Option<NodeId>) -> Result<(), String> {
        ensure(term >= self.term, || format!("term {term} comes after term {}", self.term))?;
        let changed = term == self.term && self.voted_for.is_some() && self.voted_for != voted_for;
        ensure(!changed, || {
            format!("a second vote in term {term}: {:?}, then {voted_for:?}", self.voted_for)
        })?;
        (self.term, self.voted_for) = (term, voted_for);
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Where a stream stands, and its entries.
///
/// Invariant: `entries` ends with the one at `tip.last_index`. It may begin before the first one that counts, so that
/// compaction costs little, and after it, when the stream is read from its middle; see [`LogState::gap`].
#[derive(Clone, Debug, Default)]
pub(super) struct LogState {
    pub(super) tip: Tip,
    entries: VecDeque<Entry>,
}

impl LogState {
    /// The state in the middle of a stream, without the entries of before.
    pub(super) fn at(tip: Tip) -> Self {
        Self { tip, entries: VecDeque::new() }
    }

    /// Follows the stream by one operation; otherwise says why that one cannot follow.
    pub(super) fn apply(&mut self, op: Op) -> Result<(), String> {
        let last_before = self.tip.last_index;
        if let Some(change) = Change::of(&op) {
            self.tip.apply(change)?;
        }
        match op {
            Op::Truncate(_) => {
                let removed = usize_of(last_before - self.tip.last_index);
                self.entries.truncate(self.entries.len().saturating_sub(removed));
            }
            Op::Append { entries, .. } => self.entries.extend(entries),
            Op::Install { keep_suffix, .. } => {
                if !keep_suffix || self.tip.last_index != last_before {
                    self.entries.clear();
                }
                self.drop_compacted();
            }
            Op::Compact { .. } => self.drop_compacted(),
            Op::Vote { .. } | Op::SnapshotPiece { .. } => {}
        }
        Ok(())
    }

    /// The entries between the compacted ones and the first one here: they are missing.
    pub(super) fn gap(&self) -> Option<(Index, Index)> {
        let before_first = self.before_first();
        (before_first > self.tip.base_index).then(|| (self.tip.base_index + 1, before_first))
    }

    /// Lets go of a log that a snapshot has overtaken: one that ends before it, or that has another entry at its last
    /// index. That happens when a crash comes between the saving of a snapshot and the record of it.
    ///
    /// Says what the stream must be told, and otherwise, when the entries before the log are in no snapshot, how far they go.
    pub(super) fn reconcile(&mut self, newest: Option<&SnapshotMeta>) -> Result<Option<Op>, Index> {
        let Some(snapshot) = newest.filter(|snapshot| snapshot.last_index >= self.tip.base_index) else {
            return if self.tip.base_index == 0 { Ok(None) } else { Err(self.tip.base_index) };
        };
        if self.term_at(snapshot.last_index) == Some(snapshot.last_term) {
            return Ok(None);
        }
        let op = Op::Install { snapshot: snapshot.clone(), keep_suffix: false };
        self.apply(op.clone()).expect("the snapshot is not older than the base");
        Ok(Some(op))
    }

    /// What the core is given.
    pub(super) fn restored(mut self, snapshot: Option<SnapshotMeta>) -> Restored {
        self.entries.drain(..self.compacted());
        Restored {
            term: self.tip.term,
            voted_for: self.tip.voted_for,
            snapshot,
            base_index: self.tip.base_index,
            base_term: self.tip.base_term,
            entries: self.entries.into(),
        }
    }

    /// The entries that count.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(self.compacted())
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.tip.base_index {
            return Some(self.tip.base_term);
        }
        let place = index.checked_sub(self.before_first() + 1)?;
        self.entries.get(usize_of(place)).map(|entry| entry.term)
    }

    fn before_first(&self) -> Index {
        self.tip.last_index - self.entries.len() as u64
    }

    fn compacted(&self) -> usize {
        usize_of(self.tip.base_index.saturating_sub(self.before_first())).min(self.entries.len())
    }

    /// Waits until half of the entries can go, so that each is moved at most twice on the whole.
    fn drop_compacted(&mut self) {
        let compacted = self.compacted();
        if compacted * 2 > self.entries.len() {
            self.entries.drain(..compacted);
        }
    }
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).expect("what counts entries in memory fits in a usize")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::services::raft::Payload;

    fn check_gap(ops: &[Op], expected: Option<(Index, Index)>) {
        let mut state = LogState::at(Tip { base_index: 4, last_index: 9, ..Tip::default() });
        for op in ops {
            state.apply(op.clone()).unwrap();
        }
        assert_eq!(state.gap(), expected, "{ops:?}");
    }

    /// A stream that is read from its middle: entries 5 to 9 are missing, unless it turns out that nobody needs them.
    #[test]
    fn missing_entries_are_known() {
        let append = |first| Op::Append { first, entries: vec![Entry { term: 1, payload: Payload::Blank }] };
        let compact = |index| Op::Compact { index, term: 1 };
        let snapshot = |last_index| SnapshotMeta { last_index, last_term: 1, membership: Default::default() };
        let install = |index, keep_suffix| Op::Install { snapshot: snapshot(index), keep_suffix };
        check_gap(&[], Some((5, 9)));
        check_gap(&[append(10)], Some((5, 9)));
        check_gap(&[append(10), compact(8)], Some((9, 9)));
        check_gap(&[append(10), compact(9)], None);
        check_gap(&[append(10), compact(10)], None);
        check_gap(&[append(10), Op::Truncate(8), append(8)], Some((5, 7)));
        check_gap(&[Op::Truncate(8), append(8), compact(7)], None);
        check_gap(&[append(10), install(8, true)], Some((9, 9)));
        check_gap(&[append(10), install(9, true)], None);
        check_gap(&[append(10), install(6, false), append(7)], None);
        check_gap(&[append(10), install(20, true), append(21)], None);
    }

    #[test]
    fn what_cannot_follow_is_refused() {
        let refused = |change| {
            let mut tip = Tip { term: 3, voted_for: Some(1), base_index: 4, base_term: 2, last_index: 9 };
            let before = tip.clone();
            assert!(tip.apply(change).is_err(), "{change:?}");
            assert_eq!(tip, before, "after {change:?}");
        };
        refused(Change::Vote { term: 2, voted_for: None });
        refused(Change::Vote { term: 3, voted_for: Some(2) });
        refused(Change::Vote { term: 3, voted_for: None });
        refused(Change::Truncate(4));
        refused(Change::Truncate(11));
        refused(Change::Append { first: 9, count: 1 });
        refused(Change::Append { first: 11, count: 1 });
        refused(Change::Install { index: 3, term: 2, keep_suffix: true });
        refused(Change::Compact { index: 3, term: 2 });
        refused(Change::Compact { index: 10, term: 2 });
    }
}
