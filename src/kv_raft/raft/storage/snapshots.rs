//! The snapshots of a node, as files of a [`Disk`]: the newest one, older ones that are still being read, and those that
//! are being written.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::core::Op;
use super::readable::Readable;
use super::snapshot_file::{Reader, Writer};
use super::{Disk, Snapshots, StorageError};
use crate::services::raft::{SnapshotBytes, SnapshotMeta};

/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".tmp";

/// The snapshots on a [`Disk`].
///
/// A snapshot is written and synced under a temporary name, then gets its own name, durably, and only then the older ones
/// are removed. What has a snapshot's name is whole. An older one that is being read stays open, so the system keeps its
/// bytes until nobody reads it any more.
pub(super) struct SnapshotFiles {
    disk: Arc<dyn Disk>,
    /// Held while a snapshot takes the place of the newest one, so that no older one ever does.
    publishing: Mutex<()>,
    readable: Mutex<Readable<Arc<Reader>>>,
    /// Makes temporary names.
    begun: AtomicU64,
}

/// A snapshot that is being received.
pub(super) struct Receiving(Writer);

impl SnapshotFiles {
    /// Finds the newest snapshot of a folder, and removes older ones and those that were not finished.
    ///
    /// # Errors
    /// When the newest one is damaged, or of a newer format, or the disk fails.
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Arc<Self>, StorageError> {
        let names = disk.list().map_err(StorageError::io(&*disk, ""))?;
        for name in names.iter().filter(|name| name.starts_with("snapshot-") && name.ends_with(UNFINISHED)) {
            disk.remove(name).map_err(StorageError::io(&*disk, name))?;
        }
        let newest = newest_in(&*disk)?.map(Arc::new);
        let files =
            Self { disk, publishing: Mutex::default(), readable: Mutex::default(), begun: AtomicU64::new(0) };
        if let Some(newest) = newest {
            // Its name may have been given by a process that did not come to sync it.
            files.disk.sync_names().map_err(StorageError::io(&*files.disk, ""))?;
            files.remove_older(&file_name(&newest.meta))?;
            files.readable().publish(newest.meta.clone(), newest);
        }
        Ok(Arc::new(files))
    }

    /// Which snapshot is the newest.
    pub(super) fn newest_meta(&self) -> Option<SnapshotMeta> {
        self.readable().newest_meta().cloned()
    }

    /// That the state of a snapshot is on the disk, in this or a newer one.
    pub(super) fn require(&self, meta: &SnapshotMeta) -> Result<(), StorageError> {
        if self.newest_meta().is_some_and(|newest| newest.last_index >= meta.last_index) {
            return Ok(());
        }
        let error = io::Error::other("this snapshot was not received as a whole");
        Err(StorageError::Io { path: self.disk.path(&file_name(meta)), error })
    }

    /// Takes a piece, an [`Op::SnapshotPiece`], and makes the snapshot the newest one if it is the last piece. A piece that
    /// does not continue what was received is ignored.
    pub(super) fn receive(&self, receiving: &mut Option<Receiving>, piece: &Op) -> Result<(), StorageError> {
        let Op::SnapshotPiece { snapshot, offset, data, last } = piece else { return Ok(()) };
        let continued = match receiving.take() {
            Some(Receiving(writer))
                if *offset == 0 || writer.meta != *snapshot || writer.bytes() != *offset =>
            {
                self.give_up(&writer);
                None
            }
            other => other.map(|Receiving(writer)| writer),
        };
        let mut writer = match continued {
            Some(writer) => writer,
            None if *offset == 0 => self.begin(snapshot)?,
            None => return Ok(()),
        };
        let written = writer.write(&data.0);
        let published = if *last { written.and_then(|()| self.publish(&mut writer)) } else { written };
        match published {
            Err(_) => self.give_up(&writer),
            Ok(()) if !last => *receiving = Some(Receiving(writer)),
            Ok(()) => {}
        }
        published
    }

    fn begin(&self, meta: &SnapshotMeta) -> Result<Writer, StorageError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        Writer::create(&*self.disk, format!("snapshot-{number}{UNFINISHED}"), meta)
    }

    /// Finishes a snapshot and makes it the newest one, unless there is a newer one by now.
    fn publish(&self, writer: &mut Writer) -> Result<(), StorageError> {
        writer.finish()?;
        let _publishing = locked(&self.publishing);
        if self.newest_meta().is_some_and(|newest| newest.last_index >= writer.meta.last_index) {
            self.give_up(writer);
            return Ok(());
        }
        let name = file_name(&writer.meta);
        let rename = || {
            self.disk.rename(&writer.name, &name)?;
            self.disk.sync_names()
        };
        rename().map_err(StorageError::io(&*self.disk, &name))?;
        let reader = Reader::open(&*self.disk, &name)?;
        self.readable().publish(reader.meta.clone(), Arc::new(reader));
        self.remove_older(&name)
    }

    /// Removes a file that will not become a snapshot. If that fails, the next start does it.
    fn give_up(&self, writer: &Writer) {
        let _ = self.disk.remove(&writer.name);
    }

    fn remove_older(&self, newest: &str) -> Result<(), StorageError> {
        let names = self.disk.list().map_err(StorageError::io(&*self.disk, ""))?;
        for name in names.iter().filter(|name| is_snapshot(name) && name.as_str() < newest) {
            self.disk.remove(name).map_err(StorageError::io(&*self.disk, name))?;
        }
        Ok(())
    }

    fn readable(&self) -> MutexGuard<'_, Readable<Arc<Reader>>> {
        locked(&self.readable)
    }
}

impl Snapshots for SnapshotFiles {
    fn save(&self, meta: &SnapshotMeta, state: &mut dyn Read) -> Result<(), StorageError> {
        let mut writer = self.begin(meta)?;
        let saved = copy(state, &mut writer)
            .map_err(|error| StorageError::Io { path: self.disk.path(&writer.name), error })
            .and_then(|written| written)
            .and_then(|()| self.publish(&mut writer));
        if saved.is_err() {
            self.give_up(&writer);
        }
        saved
    }

    fn read(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<(SnapshotBytes, bool)>, StorageError> {
        let Some(reader) = self.readable().read(meta) else { return Ok(None) };
        let (bytes, last) = reader.read(offset, bytes_max)?;
        Ok(Some((SnapshotBytes(bytes.into()), last)))
    }

    fn release(&self) {
        self.readable().release();
    }

    fn newest(&self) -> Option<SnapshotMeta> {
        self.newest_meta()
    }
}

/// The newest snapshot in a folder.
pub(super) fn newest_in(disk: &dyn Disk) -> Result<Option<Reader>, StorageError> {
    let names = disk.list().map_err(StorageError::io(disk, ""))?;
    names.iter().filter(|name| is_snapshot(name)).max().map(|name| Reader::open(disk, name)).transpose()
}

/// Copies a state; the outer error is one of reading it.
fn copy(state: &mut dyn Read, writer: &mut Writer) -> io::Result<Result<(), StorageError>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match state.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(bytes) => {
                if let Err(error) = writer.write(&buffer[..bytes]) {
                    return Ok(Err(error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A name whose order is the order of the snapshots.
fn file_name(meta: &SnapshotMeta) -> String {
    format!("snapshot-{:020}-{:020}.snap", meta.last_index, meta.last_term)
}

fn is_snapshot(name: &str) -> bool {
    name.starts_with("snapshot-") && name.ends_with(".snap")
}

/// Nothing is left half done by a panic under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
