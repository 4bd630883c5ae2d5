//! Which snapshots can be read: the newest one, and older ones that somebody is in the midst of reading.

use super::OLDER_MAX;
use crate::services::raft::SnapshotMeta;

/// The newest snapshot, and older ones that are still being read. An older one goes when nobody has read a piece of it between
/// one newer snapshot and the next.
///
/// Invariants:
/// - There are at most [`OLDER_MAX`] older ones, the oldest first, and none without a newest one.
pub(super) struct Readable<T> {
    newest: Option<Kept<T>>,
    older: Vec<Kept<T>>,
}

struct Kept<T> {
    meta: SnapshotMeta,
    state: T,
    /// Whether it was read since the newest one is the newest.
    is_read: bool,
}

impl<T> Default for Readable<T> {
    fn default() -> Self {
        Self { newest: None, older: Vec::new() }
    }
}

impl<T: Clone> Readable<T> {
    /// A newer snapshot is there.
    pub(super) fn publish(&mut self, meta: SnapshotMeta, state: T) {
        let before = self.newest.replace(Kept { meta, state, is_read: false });
        self.older.extend(before);
        self.older.retain(|older| older.is_read);
        self.older.iter_mut().for_each(|older| older.is_read = false);
        let surplus = self.older.len().saturating_sub(OLDER_MAX);
        self.older.drain(..surplus);
    }

    /// Which snapshot is the newest.
    pub(super) fn newest_meta(&self) -> Option<&SnapshotMeta> {
        self.newest.as_ref().map(|newest| &newest.meta)
    }

    /// A snapshot, to read a piece of it.
    pub(super) fn read(&mut self, meta: &SnapshotMeta) -> Option<T> {
        let kept = self.newest.iter_mut().chain(&mut self.older).find(|kept| kept.meta == *meta)?;
        kept.is_read = true;
        Some(kept.state.clone())
    }

    /// Nobody reads older ones any more.
    pub(super) fn release(&mut self) {
        self.older.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::Membership;

    fn meta(last_index: u64) -> SnapshotMeta {
        SnapshotMeta { last_index, last_term: 1, membership: Box::new(Membership::of([1])) }
    }

    fn readable(snapshots: &mut Readable<u64>, of: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        of.filter_map(|index| snapshots.read(&meta(index))).collect()
    }

    #[test]
    fn what_is_being_read_stays_while_newer_ones_come() {
        let mut snapshots = Readable::default();
        for index in 1..=9 {
            snapshots.publish(meta(index), index);
            assert_eq!(snapshots.read(&meta(1)), Some(1), "after snapshot {index}");
        }
        assert_eq!(readable(&mut snapshots, 1..=9), [1, 9]);
    }

    #[test]
    fn what_nobody_reads_goes_with_the_next_one() {
        let mut snapshots = Readable::default();
        snapshots.publish(meta(1), 1);
        snapshots.publish(meta(2), 2);
        assert_eq!(readable(&mut snapshots, 1..=2), [2]);
        snapshots.publish(meta(3), 3);
        assert_eq!(snapshots.read(&meta(2)), Some(2));
        snapshots.publish(meta(4), 4);
        snapshots.publish(meta(5), 5);
        assert_eq!(readable(&mut snapshots, 1..=5), [5]);
    }

    #[test]
    fn older_ones_are_few_and_can_be_released() {
        let mut snapshots = Readable::default();
        for index in 1..=6 {
            snapshots.publish(meta(index), index);
            readable(&mut snapshots, 1..=6);
        }
        assert_eq!(readable(&mut snapshots, 1..=6), [4, 5, 6]);
        snapshots.release();
        assert_eq!(readable(&mut snapshots, 1..=6), [6]);
        assert_eq!(snapshots.newest_meta(), Some(&meta(6)));
    }
}
