//! The log in memory, and how much of it is safe on the disk.

use std::collections::VecDeque;

use super::io::Position;
use crate::services::raft::{Entry, Index, Membership, Payload, Term};

/// The entries after a base.
///
/// Invariants:
/// - `durable` is at most the last index: what was removed is not durable, even if the disk still holds it.
/// - The terms of the entries never fall from one to the next.
#[derive(Clone, Debug)]
pub(super) struct Log {
    base_index: Index,
    base_term: Term,
    entries: VecDeque<Entry>,
    /// Up to where the log is safe on the disk.
    durable: Index,
    /// For what the disk was given and has not confirmed: up to where the log is safe once it has.
    unconfirmed: VecDeque<(Position, Index)>,
}

impl Log {
    /// A log as it was found on the disk.
    pub(super) fn restored(base_index: Index, base_term: Term, entries: Vec<Entry>) -> Self {
        let mut log =
            Self { base_index, base_term, entries: entries.into(), durable: 0, unconfirmed: VecDeque::new() };
        log.durable = log.last_index();
        log
    }

    /// The index before the first entry.
    pub(super) fn base_index(&self) -> Index {
        self.base_index
    }

    /// The index of the last entry.
    pub(super) fn last_index(&self) -> Index {
        self.base_index + self.entries.len() as u64
    }

    /// The term of the last entry.
    pub(super) fn last_term(&self) -> Term {
        self.entries.back().map_or(self.base_term, |entry| entry.term)
    }

    /// Up to where the log is safe on the disk.
    pub(super) fn durable_index(&self) -> Index {
        self.durable
    }

    /// The term of the entry at `index`, if the log reaches there; also of the base.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The entry at `index`.
    pub(super) fn get(&self, index: Index) -> Option<&Entry> {
        let offset = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The entries from `first` on, as many as fit, but at least one if there is one.
    pub(super) fn slice(&self, first: Index, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        let Some(offset) = first.checked_sub(self.base_index + 1) else { return Vec::new() };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.entries.len());
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += entry_bytes(entry);
            first || bytes <= bytes_max
        };
        self.entries.range(offset..).take(entries_max).take_while(fits).cloned().collect()
    }

    /// The first index of the run of entries with the term that the entry at `index` has.
    pub(super) fn first_index_of_run(&self, index: Index) -> Index {
        let term = self.term_at(index);
        let mut first = index;
        // Terms never fall, so the run is found by halving.
        let (mut low, mut high) = (self.base_index, index);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.term_at(middle) == term {
                high = middle;
            } else {
                low = middle + 1;
            }
            first = high;
        }
        first
    }

    /// The last index whose entry has at most this term; nothing below the base.
    pub(super) fn last_index_up_to_term(&self, term: Term) -> Option<Index> {
        let count = self.entries.partition_point(|entry| entry.term <= term) as u64;
        (count > 0 || self.base_term <= term).then_some(self.base_index + count)
    }

    /// Adds entries at the end; the disk gets them at `position`.
    pub(super) fn append(&mut self, entries: impl IntoIterator<Item = Entry>, position: Position) {
        for entry in entries {
            assert!(entry.term >= self.last_term(), "the terms of the log fell");
            self.entries.push_back(entry);
        }
        self.unconfirmed.push_back((position, self.last_index()));
    }

    /// Removes the entries from `first` on.
    pub(super) fn truncate(&mut self, first: Index) {
        assert!(first > self.base_index, "a compacted entry was removed");
        self.entries.truncate(usize::try_from(first - self.base_index - 1).unwrap_or(usize::MAX));
        self.durable = self.durable.min(first - 1);
        for (_, safe) in &mut self.unconfirmed {
            *safe = (*safe).min(first - 1);
        }
    }

    /// Forgets the entries up to `index`.
    pub(super) fn compact(&mut self, index: Index) {
        let Some(term) = self.term_at(index) else { return };
        let count = usize::try_from(index - self.base_index).unwrap_or(usize::MAX);
        self.entries.drain(..count);
        (self.base_index, self.base_term) = (index, term);
    }

    /// Begins anew after a snapshot that takes the place of all entries; the disk gets it at `position`.
    pub(super) fn reset(&mut self, index: Index, term: Term, position: Position) {
        self.entries.clear();
        self.unconfirmed.clear();
        (self.base_index, self.base_term, self.durable) = (index, term, 0);
        self.unconfirmed.push_back((position, index));
    }

    /// The disk has everything up to `position`.
    pub(super) fn confirm(&mut self, position: Position) {
        while let Some((_, safe)) = self.unconfirmed.pop_front_if(|(at, _)| *at <= position) {
            self.durable = self.durable.max(safe);
        }
    }

    /// The index before the last entries up to `last`, as many as fit into both bounds.
    pub(super) fn before_trailing(&self, last: Index, entries_max: u64, bytes_max: usize) -> Index {
        let (mut index, mut bytes) = (last, 0);
        while last - index < entries_max
            && let Some(entry) = self.get(index)
        {
            bytes += entry_bytes(entry);
            if bytes > bytes_max {
                break;
            }
            index -= 1;
        }
        index
    }

    /// The bytes of the entries after `after`, up to and with `last`.
    pub(super) fn bytes(&self, after: Index, last: Index) -> usize {
        let offset = |index: Index| {
            let offset = index.clamp(self.base_index, self.last_index()) - self.base_index;
            usize::try_from(offset).expect("it is at most the number of entries in memory")
        };
        self.entries.range(offset(after)..offset(last)).map(entry_bytes).sum()
    }
}

/// What an entry counts for in limits of bytes.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    /// The term and the names of the fields.
    const AROUND: usize = 40;
    AROUND
        + match &entry.payload {
            Payload::Blank => 0,
            Payload::Command(command) => command.json().len(),
            Payload::Membership(membership) => membership_bytes(membership),
        }
}

fn membership_bytes(membership: &Membership) -> usize {
    /// The fields of a member but for its URL.
    const AROUND: usize = 90;
    let members = membership.members.iter().chain(membership.incoming.as_deref());
    let ids = membership.voters.len() + membership.outgoing.len() + membership.learners.len();
    20 * ids + members.map(|member| AROUND + member.url.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log whose entries have these terms, after a base.
    fn log(base: (Index, Term), terms: &[Term]) -> Log {
        let entries = terms.iter().map(|term| Entry { term: *term, payload: Payload::Blank }).collect();
        Log::restored(base.0, base.1, entries)
    }

    #[test]
    fn runs_of_terms_are_found() {
        let log = log((3, 2), &[2, 2, 4, 4, 4, 7]);
        let first: Vec<_> = (3..=9).map(|index| log.first_index_of_run(index)).collect();
        assert_eq!(first, [3, 3, 3, 6, 6, 6, 9]);
        let last: Vec<_> = (1..=8).map(|term| log.last_index_up_to_term(term)).collect();
        assert_eq!(last, [None, Some(5), Some(5), Some(8), Some(8), Some(8), Some(9), Some(9)]);
    }

    #[test]
    fn what_was_removed_is_not_durable_when_the_disk_confirms_it_late() {
        let mut log = log((0, 0), &[1]);
        let blank = |term| Entry { term, payload: Payload::Blank };
        log.append([blank(1), blank(1)], 1);
        assert_eq!((log.last_index(), log.durable_index()), (3, 1));
        log.truncate(2);
        log.append([blank(2)], 2);
        log.confirm(1);
        assert_eq!(log.durable_index(), 1);
        log.confirm(2);
        assert_eq!(log.durable_index(), 2);
    }

    #[test]
    fn a_slice_has_what_fits_but_at_least_one_entry() {
        let log = log((2, 1), &[1, 1, 1]);
        let count = |first, entries_max, bytes_max| log.slice(first, entries_max, bytes_max).len();
        assert_eq!(count(3, 9, 1_000), 3);
        assert_eq!(count(3, 2, 1_000), 2);
        assert_eq!(count(4, 9, 1), 1);
        assert_eq!((count(6, 9, 9), count(2, 9, 9)), (0, 0));
    }

    #[test]
    fn what_trails_a_snapshot_is_bounded_in_entries_and_bytes() {
        let log = log((2, 1), &[1, 1, 1, 1]);
        let before = |last, entries_max, bytes_max| log.before_trailing(last, entries_max, bytes_max);
        assert_eq!((before(5, 2, 1_000), before(5, 0, 1_000), before(5, 9, 1_000)), (3, 5, 2));
        assert_eq!((before(6, 9, 80), before(6, 9, 79), before(6, 9, 39)), (4, 5, 6));
    }

    #[test]
    fn compaction_keeps_the_term_of_the_base() {
        let mut log = log((0, 0), &[1, 1, 3]);
        log.compact(2);
        assert_eq!((log.base_index(), log.term_at(2), log.term_at(1)), (2, Some(1), None));
        assert_eq!((log.last_index(), log.last_term()), (3, 3));
        log.compact(3);
        assert_eq!((log.last_index(), log.last_term()), (3, 3));
    }
}
