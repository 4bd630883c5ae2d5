//! Saving snapshots, reading the state that one holds, and telling a newer snapshot from a failure.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Raft;
use super::driver::Inbound;
use super::storage::{Snapshots, StorageError};
use crate::services::raft::{Index, SnapshotMeta};

/// The bytes that are read at once.
const SNAPSHOT_READ_BYTES: usize = 1 << 20;

/// Reads the state that a snapshot holds; see [`Raft::read_snapshot`].
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
    pub(in crate::kv_raft) fn new(snapshots: Arc<dyn Snapshots>, meta: SnapshotMeta) -> Self {
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

impl Raft {
    /// Lets `check` decide about each snapshot that a leader sends, before it takes the place of this node's state:
    /// a state that `check` cannot read is refused and removed. The first check that is set stays.
    pub fn check_snapshots(&self, check: impl Fn(&mut dyn Read) -> io::Result<()> + Send + Sync + 'static) {
        let _set_before = self.snapshot_check.set(Box::new(check));
    }

    /// Saves the state after the entry at `index` as a snapshot and lets the entries go that it covers.
    ///
    /// # Errors
    /// When the disk does not take it. The snapshot of before stays, and the node goes on.
    pub async fn save_snapshot(
        &self,
        index: Index,
        state: impl Read + Send + 'static,
    ) -> Result<(), StorageError> {
        // The others may have committed what this node's own disk does not have yet.
        let mut status = self.status.clone();
        let _stopped = status.wait_for(|status| status.durable_index >= index).await.is_err();
        let meta = self.inspect(move |core| core.snapshot_meta(index)).await.flatten();
        // A newer snapshot was installed meanwhile, or the node has stopped.
        let Some(meta) = meta else { return Ok(()) };
        match self.snapshots.save(meta, state).await {
            Ok(saved) => {
                let _stopped = self.inbox.send(Inbound::SnapshotSaved(saved?)).await;
            }
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            // The runtime is shutting down.
            Err(_) => {}
        }
        Ok(())
    }

    /// The state that a snapshot holds. Reading it blocks. It fails when there is a newer snapshot by now, which
    /// [`Applies`](super::Applies) brings next; [`SnapshotReader::superseded`] tells that from other failures.
    pub fn read_snapshot(&self, meta: SnapshotMeta) -> SnapshotReader {
        SnapshotReader::new(self.snapshots.snapshots.clone(), meta)
    }
}
