//! The snapshots of a node, as files of a [`Disk`]: the newest one, older ones that are still being read, and those that
//! are being written.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::core::Op;
use super::readable::Readable;
use super::snapshot_file::{Reader, Writer};
use super::{Completed, Disk, SnapshotCheck, Snapshots, StorageError};
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
    receiving: Mutex<Receiving>,
}

/// What is being received from a leader.
#[derive(Default)]
struct Receiving {
    /// The snapshot that more pieces are expected of.
    writer: Option<Writer>,
    /// The snapshot whose last piece has come, while it is being checked.
    completing: Option<SnapshotMeta>,
}

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
        let files = Self {
            disk,
            publishing: Mutex::default(),
            readable: Mutex::default(),
            begun: AtomicU64::new(0),
            receiving: Mutex::default(),
        };
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
        if self.covers(meta) {
            return Ok(());
        }
        let error = io::Error::other("this snapshot was not received as a whole");
        Err(StorageError::Io { path: self.disk.path(&file_name(meta)), error })
    }

    /// Whether the newest snapshot is this one or a newer one.
    fn covers(&self, meta: &SnapshotMeta) -> bool {
        self.newest_meta().is_some_and(|newest| newest.last_index >= meta.last_index)
    }

    /// Takes a piece, an [`Op::SnapshotPiece`], and makes the snapshot the newest one if it is the last piece and
    /// [`Snapshots::complete`] has not done so before. A piece that does not continue what was received is ignored.
    pub(super) fn receive(&self, piece: &Op) -> Result<(), StorageError> {
        let Op::SnapshotPiece { snapshot, offset, data, last } = piece else { return Ok(()) };
        if self.covers(snapshot) {
            return Ok(());
        }
        let mut receiving = locked(&self.receiving);
        let continued = match receiving.writer.take() {
            Some(writer) if *offset == 0 || writer.meta != *snapshot || writer.bytes() != *offset => {
                self.give_up(&writer);
                None
            }
            other => other,
        };
        let mut writer = match continued {
            Some(writer) => writer,
            None if *offset == 0 => self.begin(snapshot)?,
            None => return Ok(()),
        };
        let mut taken = writer.write(&data.0);
        if *last {
            taken = taken.and_then(|()| writer.finish()).and_then(|()| self.publish(&writer));
        }
        match taken {
            Err(_) => self.give_up(&writer),
            Ok(()) if !last => receiving.writer = Some(writer),
            Ok(()) => {}
        }
        taken
    }

    /// Takes what was received of a snapshot, if it goes on at `offset`.
    fn take_received(&self, meta: &SnapshotMeta, offset: u64) -> Result<Writer, Completed> {
        let mut receiving = locked(&self.receiving);
        if receiving.completing.is_some() {
            return Err(Completed::Busy);
        }
        let writer = receiving.writer.take_if(|writer| writer.meta == *meta && writer.bytes() == offset);
        let writer = writer.ok_or(Completed::Incomplete)?;
        receiving.completing = Some(meta.clone());
        Ok(writer)
    }

    /// Writes the last piece, checks the whole and makes it the newest snapshot.
    fn complete_received(
        &self,
        writer: &mut Writer,
        data: &[u8],
        check: SnapshotCheck<'_>,
    ) -> Result<Completed, StorageError> {
        writer.write(data)?;
        writer.finish()?;
        // Read back from the file, so that its checksums are checked as well.
        let mut state = Stream::new(Reader::open(&*self.disk, &writer.name)?);
        let checked = check(&mut state).and_then(|()| io::copy(&mut state, &mut io::sink()));
        if let Some(error) = state.failed {
            return Err(error);
        }
        match checked {
            Ok(_) => self.publish(writer).map(|()| Completed::Published),
            Err(error) => Ok(Completed::Refused(error)),
        }
    }

    fn begin(&self, meta: &SnapshotMeta) -> Result<Writer, StorageError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        Writer::create(&*self.disk, format!("snapshot-{number}{UNFINISHED}"), meta)
    }

    /// Makes a finished snapshot the newest one, unless there is a newer one by now.
    fn publish(&self, writer: &Writer) -> Result<(), StorageError> {
        let _publishing = locked(&self.publishing);
        if self.covers(&writer.meta) {
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
            .and_then(|()| writer.finish())
            .and_then(|()| self.publish(&writer));
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

    fn complete(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        data: &[u8],
        check: SnapshotCheck<'_>,
    ) -> Result<Completed, StorageError> {
        if self.covers(meta) {
            return Ok(Completed::Published);
        }
        let mut writer = match self.take_received(meta, offset) {
            Ok(writer) => writer,
            Err(completed) => return Ok(completed),
        };
        let completing = Completing(&self.receiving);
        let completed = self.complete_received(&mut writer, data, check);
        drop(completing);
        if !matches!(completed, Ok(Completed::Published)) {
            self.give_up(&writer);
        }
        completed
    }
}

/// Ends the state of completing, also when the check panics.
struct Completing<'a>(&'a Mutex<Receiving>);

impl Drop for Completing<'_> {
    fn drop(&mut self) {
        locked(self.0).completing = None;
    }
}

/// The state in a file, from its begin to its end.
pub(super) struct Stream {
    reader: Reader,
    offset: u64,
    /// The error that reading has met; what is read afterwards fails as well.
    failed: Option<StorageError>,
}

impl Stream {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, offset: 0, failed: None }
    }

    pub(super) fn meta(&self) -> &SnapshotMeta {
        &self.reader.meta
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn take_failure(&mut self) -> Option<StorageError> {
        self.failed.take()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(self.offset, buffer.len()) {
            Ok((bytes, _)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                self.offset += bytes.len() as u64;
                Ok(bytes.len())
            }
            Err(error) => {
                let shown = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(shown)
            }
        }
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
