//! The disk of a node in a story: what a node finds on it when it starts again.

use super::super::{Op, Persist, Restored};
use std::collections::VecDeque;

/// The state that every snapshot holds.
pub(in super::super) const SNAPSHOT: &[u8] = b"snapshot";

/// What is written, and what waits to be.
#[derive(Default)]
pub(in super::super) struct Disk {
    pub(in super::super) written: Restored,
    pub(in super::super) waiting: VecDeque<Persist>,
    /// The snapshot that is being received.
    received: Vec<u8>,
}

impl Disk {
    /// Writes the next step that waits, and gives its position.
    pub(in super::super) fn write_one(&mut self) -> Option<u64> {
        let Persist { position, ops } = self.waiting.pop_front()?;
        for op in ops {
            self.write(op);
        }
        Some(position)
    }

    /// The power goes.
    pub(in super::super) fn crash(&mut self) {
        self.waiting.clear();
        self.received.clear();
    }

    fn write(&mut self, op: Op) {
        let Restored { base_index, entries, .. } = &mut self.written;
        let count = |index: u64| usize::try_from(index - *base_index).unwrap();
        match op {
            Op::Vote { term, voted_for } => (self.written.term, self.written.voted_for) = (term, voted_for),
            Op::Truncate(first) => entries.truncate(count(first - 1)),
            Op::Append { first, entries: new } => {
                assert_eq!(entries.len(), count(first - 1), "entries are appended at the end of the log");
                entries.extend(new);
            }
            Op::SnapshotPiece { offset, data, last, .. } => {
                self.received.truncate(usize::try_from(offset).unwrap());
                assert_eq!(self.received.len() as u64, offset, "a piece is missing");
                self.received.extend_from_slice(&data.0);
                assert!(!last || self.received == SNAPSHOT, "the snapshot is damaged: {:?}", self.received);
            }
            Op::Install { snapshot, keep_suffix } => {
                if keep_suffix {
                    entries.drain(..count(snapshot.last_index));
                } else {
                    entries.clear();
                }
                (self.written.base_index, self.written.base_term) = (snapshot.last_index, snapshot.last_term);
                self.written.snapshot = Some(snapshot);
            }
            Op::Compact { index, term } => {
                entries.drain(..count(index));
                (self.written.base_index, self.written.base_term) = (index, term);
            }
        }
    }
}
