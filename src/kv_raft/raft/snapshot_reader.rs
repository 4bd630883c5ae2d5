//! Reading the state that a snapshot holds, and telling a newer snapshot from a failure.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::storage::Snapshots;
use crate::services::raft::SnapshotMeta;

/// The bytes that are read at once.
const SNAPSHOT_READ_BYTES: usize = 1 << 20;

/// Reads the state that a snapshot holds; see [`Raft::read_snapshot`](super::Raft::read_snapshot).
pub struct SnapshotReader {
    snapshots: Arc<dyn Snapshots>,
    meta: SnapshotMeta,
    offset: u64,
    piece: bytes::Bytes,
    is_last: bool,
    superseded: Superseded,
}

/// Whether reading a snapshot has failed because there is a newer one.
#[derive(Clone, Debug, Default)]
pub struct Superseded(Arc<AtomicBool>);

impl Superseded {
    /// Whether it has. [`Applies`](super::Applies) brings the newer snapshot.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl SnapshotReader {
    pub(super) fn new(snapshots: Arc<dyn Snapshots>, meta: SnapshotMeta) -> Self {
        let (piece, superseded) = (bytes::Bytes::new(), Superseded::default());
        Self { snapshots, meta, offset: 0, piece, is_last: false, superseded }
    }

    /// Tells, also when the reader is gone, whether reading has failed because there is a newer snapshot.
    pub fn superseded(&self) -> Superseded {
        self.superseded.clone()
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.is_last {
            let piece = self.snapshots.read(&self.meta, self.offset, SNAPSHOT_READ_BYTES);
            let Some((piece, is_last)) = piece.map_err(io::Error::other)? else {
                self.superseded.0.store(true, Ordering::Release);
                return Err(io::Error::other("there is a newer snapshot"));
            };
            self.offset += piece.0.len() as u64;
            (self.piece, self.is_last) = (piece.0, is_last);
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
