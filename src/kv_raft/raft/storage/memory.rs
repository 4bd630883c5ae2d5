//! A storage in memory, for tests and benchmarks.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::super::core::{DiskSpace, Op};
use super::log_state::LogState;
use super::readable::Readable;
use super::{Completed, Opened, SnapshotCheck, Snapshots, Storage, StorageError};
use crate::services::raft::{SnapshotBytes, SnapshotMeta};

/// What outlives the storages that were opened from it: clones are the same, so opening once more is a restart.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Synced>>);

#[derive(Default)]
struct Synced {
    log: LogState,
    snapshots: Readable<Bytes>,
    /// What was received of a snapshot; it does not outlive the storage.
    received: Option<(SnapshotMeta, Vec<u8>)>,
}

impl Memory {
    /// Opens a storage with what the ones before have synced. There should be one at a time.
    pub fn open(&self) -> Opened {
        let mut synced = self.locked();
        synced.received = None;
        let snapshot = synced.snapshots.newest_meta().cloned();
        synced.log.reconcile(snapshot.as_ref()).expect("a snapshot is there before entries are compacted");
        let restored = synced.log.clone().restored(snapshot);
        drop(synced);
        let storage = MemoryStorage { memory: self.clone(), unsynced: Vec::new() };
        Opened { storage: Box::new(storage), restored }
    }

    fn locked(&self) -> MutexGuard<'_, Synced> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, meta: SnapshotMeta, state: Bytes) {
        let mut synced = self.locked();
        if synced.snapshots.newest_meta().is_none_or(|newest| newest.last_index < meta.last_index) {
            synced.snapshots.publish(meta, state);
        }
    }
}

struct MemoryStorage {
    memory: Memory,
    unsynced: Vec<Op>,
}

impl MemoryStorage {
    fn receive(&mut self, snapshot: SnapshotMeta, offset: u64, data: &[u8], last: bool) {
        let mut synced = self.memory.locked();
        let mut received = match synced.received.take() {
            _ if offset == 0 => (snapshot, Vec::new()),
            Some((meta, bytes)) if meta == snapshot && bytes.len() as u64 == offset => (meta, bytes),
            _ => return,
        };
        received.1.extend(data);
        if last {
            drop(synced);
            self.memory.publish(received.0, received.1.into());
        } else {
            synced.received = Some(received);
        }
    }
}

impl Storage for MemoryStorage {
    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError> {
        self.unsynced.extend_from_slice(ops);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        for op in std::mem::take(&mut self.unsynced) {
            if let Op::SnapshotPiece { snapshot, offset, data, last } = op {
                self.receive(snapshot, offset, &data.0, last);
            } else if let Err(what) = self.memory.locked().log.apply(op) {
                panic!("the log was given what cannot follow: {what}");
            }
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), StorageError> {
        self.sync()
    }

    fn space(&mut self) -> DiskSpace {
        DiskSpace::Free
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        Arc::new(self.memory.clone())
    }
}

impl Snapshots for Memory {
    fn save(&self, meta: &SnapshotMeta, state: &mut dyn Read) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        let path = || "memory".into();
        state.read_to_end(&mut bytes).map_err(|error| StorageError::Io { path: path(), error })?;
        self.publish(meta.clone(), bytes.into());
        Ok(())
    }

    fn read(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<(SnapshotBytes, bool)>, StorageError> {
        let state = self.locked().snapshots.read(meta);
        Ok(state.map(|state| {
            let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(state.len());
            let end = begin.saturating_add(bytes_max).min(state.len());
            (SnapshotBytes(state.slice(begin..end)), end == state.len())
        }))
    }

    fn release(&self) {
        self.locked().snapshots.release();
    }

    fn newest(&self) -> Option<SnapshotMeta> {
        self.locked().snapshots.newest_meta().cloned()
    }

    fn complete(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        data: &[u8],
        check: SnapshotCheck<'_>,
    ) -> Result<Completed, StorageError> {
        if self.newest().is_some_and(|newest| newest.last_index >= meta.last_index) {
            return Ok(Completed::Published);
        }
        let received =
            self.locked().received.take_if(|(it, bytes)| it == meta && bytes.len() as u64 == offset);
        let Some((_, mut bytes)) = received else { return Ok(Completed::Incomplete) };
        bytes.extend(data);
        Ok(match check(&mut bytes.as_slice()) {
            Ok(()) => {
                self.publish(meta.clone(), bytes.into());
                Completed::Published
            }
            Err(error) => Completed::Refused(error),
        })
    }
}
