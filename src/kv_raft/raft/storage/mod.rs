//! What a node keeps on disk: a trait, and its implementations.
//!
//! - [`wal`]: the one for service, a segmented log that costs what is appended; over a [`Disk`].
//! - [`PersisterStorage`]: one small file that is written whole each time.
//! - [`Memory`]: for tests and benchmarks.

pub mod disk;
mod identity_file;
mod log_state;
mod memory;
mod paced;
mod persister;
mod readable;
mod snapshot_file;
mod snapshot_view;
mod snapshots;
mod unfinished;
pub mod wal;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinError;

use super::core::{DiskSpace, Op, Restored};
use crate::services::raft::{NodeId, SnapshotBytes, SnapshotMeta};

use paced::Paced;

pub use disk::{Disk, DiskFile, DiskLock, RealDisk};
pub use identity_file::{IdentityFile, NodeIdentity, Standing};
pub use memory::Memory;
pub use persister::PersisterStorage;
pub use snapshot_view::SnapshotView;
pub(in crate::kv_raft) use unfinished::Unfinished;
pub use wal::Wal;

/// The log, the term and the vote of one node, as one ordered stream of [`Op`]s. One thread owns it.
///
/// What [`Storage::sync`] has returned for is on the disk whatever happens. Of what came after, a crash leaves a prefix of
/// the stream.
pub trait Storage: Send {
    /// Adds to the stream. Nothing of it need be on the disk yet.
    ///
    /// A piece of a snapshot that finds no space is no error: the snapshot is given up, and [`Storage::space`] says that the
    /// disk is full. Its later pieces are ignored, so it must be received from its begin once more.
    ///
    /// # Errors
    /// After an error nothing is known about the disk, and every later call fails as well. Installing a snapshot that was not
    /// received as a whole is one.
    ///
    /// # Panics
    /// When an operation does not fit what came before: entries that leave a gap, a second vote in a term, and so on. To write
    /// it would make the disk unreadable. It may be noticed by [`Storage::sync`] only.
    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError>;

    /// Brings to the disk what was added.
    ///
    /// # Errors
    /// As [`Storage::append`]. A failed sync is never tried again, since the system may have dropped what it could not write.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Says that nothing more will come for a while: time to prove that the last batch was synced. It costs a sync, and
    /// nothing when that is proven. What was added and not synced is synced too.
    ///
    /// # Errors
    /// As [`Storage::append`].
    fn idle(&mut self) -> Result<(), StorageError>;

    /// Whether entries can be added. The term, the vote and what was promised always find space.
    ///
    /// To ask costs nothing while there is space. A disk that has run full is looked at again with each call but the first,
    /// which can take as long as writing some megabytes: ask after each sync, and now and then while it is full.
    fn space(&mut self) -> DiskSpace;

    /// Whether nothing here ever waits, not even for a full disk, so that no thread is needed to write.
    fn is_immediate(&self) -> bool {
        false
    }

    /// The snapshots, which other threads may save and read meanwhile.
    fn snapshots(&self) -> Arc<dyn Snapshots>;
}

/// The snapshots of one node. It keeps the newest complete one, and what was received of another.
pub trait Snapshots: Send + Sync {
    /// Saves the state as of `meta`. When it returns, the snapshot is on the disk and the newest one is this or a newer one.
    ///
    /// # Errors
    /// Nothing is lost by an error here: the snapshot of before stays.
    fn save(&self, meta: &SnapshotMeta, state: &mut dyn io::Read) -> Result<(), StorageError>;

    /// A piece of a snapshot, of at most `bytes_max` bytes, and whether it is the last one; nothing when that snapshot is not
    /// there any more. A snapshot that is being read stays readable when there is a newer one, as long as pieces of it
    /// are read between one newer snapshot and the next; [`OLDER_MAX`] of them at most.
    ///
    /// # Errors
    /// When the disk does not give what it was given.
    fn read(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<(SnapshotBytes, bool)>, StorageError>;

    /// Says that snapshots older than the newest are not wanted any more.
    fn release(&self);

    /// Which snapshot is the newest.
    fn newest(&self) -> Option<SnapshotMeta>;

    /// Adds the last piece to a snapshot whose earlier pieces were received up to `offset`, lets `check` read the whole
    /// state, and makes it the newest snapshot if `check` accepts it. Otherwise what was received is removed, and the
    /// snapshot of before stays.
    ///
    /// The term in which the snapshot was received must be on the disk before.
    ///
    /// # Errors
    /// When the disk does not take it, or has no space. What was received is removed, and the snapshot of before stays.
    fn complete(
        &self,
        meta: &SnapshotMeta,
        offset: u64,
        data: &[u8],
        check: SnapshotCheck<'_>,
    ) -> Result<Completed, StorageError>;
}

/// Says whether a state can be restored, without restoring it.
pub type SnapshotCheck<'a> = &'a dyn Fn(&mut dyn io::Read) -> io::Result<()>;

/// What became of a received snapshot; see [`Snapshots::complete`].
#[derive(Debug)]
pub enum Completed {
    /// This snapshot, or a newer one, is the newest one.
    Published,
    /// A received snapshot is being checked.
    Busy,
    /// The pieces before `offset` are not there.
    Incomplete,
    /// The check has refused the state.
    Refused(io::Error),
}

/// How many snapshots beside the newest one stay readable for those who are reading them.
pub const OLDER_MAX: usize = 2;

/// The snapshots of a node, for its tasks.
#[derive(Clone)]
pub(in crate::kv_raft) struct SnapshotAccess {
    pub(in crate::kv_raft) snapshots: Arc<dyn Snapshots>,
    is_immediate: bool,
}

impl SnapshotAccess {
    pub(in crate::kv_raft) fn of(storage: &dyn Storage) -> Self {
        Self { snapshots: storage.snapshots(), is_immediate: storage.is_immediate() }
    }

    /// Saves a state, at a pace that holds up nobody.
    ///
    /// # Errors
    /// As [`SnapshotAccess::run`] and [`Snapshots::save`].
    pub(in crate::kv_raft) async fn save(
        &self,
        meta: SnapshotMeta,
        mut state: impl io::Read + Send + 'static,
    ) -> Result<Result<SnapshotMeta, StorageError>, JoinError> {
        let is_immediate = self.is_immediate;
        self.run(move |snapshots| {
            let saved = if is_immediate {
                snapshots.save(&meta, &mut state)
            } else {
                snapshots.save(&meta, &mut Paced::new(state))
            };
            saved.map(|()| meta)
        })
        .await
    }

    /// Runs what may wait for the disk in a thread where that holds up nobody; in place where nothing ever waits.
    ///
    /// # Errors
    /// When it has panicked in its thread, or the runtime is shutting down.
    pub(in crate::kv_raft) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<dyn Snapshots>) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let snapshots = self.snapshots.clone();
        if self.is_immediate {
            Ok(work(&snapshots))
        } else {
            tokio::task::spawn_blocking(move || work(&snapshots)).await
        }
    }
}

/// Why a disk cannot be used (any longer).
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds something else than what was written and synced.
    #[error("{path}: damaged at byte {offset}: {what}. {advice}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The folder belongs to another node or cluster, or to another version of this program.
    #[error("{path}: {what}")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        what: String,
    },
    /// Another process uses the folder.
    #[error("{path}: in use by another process")]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// The thread that writes has panicked. What it has written is known only once the folder is opened again.
    #[error("the thread that writes to the disk has panicked; its message is on standard error")]
    Panicked,
    /// An earlier call has failed.
    #[error("{path}: not usable since an earlier error")]
    Poisoned {
        /// Which folder.
        path: PathBuf,
    },
}

/// Whose folder it is. A folder says so itself, and opens for nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
}

/// What an opened disk gives: the storage, and what was found.
pub struct Opened {
    /// The storage, at the end of its stream.
    pub storage: Box<dyn Storage>,
    /// What the stream says.
    pub restored: Restored,
}

impl StorageError {
    /// For a result of a [`Disk`]: adds which file it was.
    fn io(disk: &dyn Disk, name: &str) -> impl FnOnce(io::Error) -> Self {
        let path = disk.path(name);
        move |error| Self::Io { path, error }
    }

    /// Whether the disk has no space, and is otherwise well.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { error, .. } if matches!(error.kind(), StorageFull | QuotaExceeded))
    }
}

/// Takes a folder for this process.
pub(in crate::kv_raft) fn lock(disk: &dyn Disk) -> Result<DiskLock, StorageError> {
    disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StorageError::InUse { path: disk.path("") },
        _ => StorageError::Io { path: disk.path(""), error },
    })
}

/// How long a file may be that is read as a whole: far longer than any that a node writes, and short enough to be read.
const WHOLE_FILE_BYTES_MAX: u64 = 1 << 30;

/// Everything that is in a file.
fn read_all(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, StorageError> {
    let read = || {
        let file = disk.open(name)?;
        let bytes = file.bytes()?;
        if bytes > WHOLE_FILE_BYTES_MAX {
            let message =
                format!("{bytes} bytes are more than a node writes, {WHOLE_FILE_BYTES_MAX} at most");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut buffer = vec![0; bytes];
        let read = file.read_at(&mut buffer, 0)?;
        buffer.truncate(read);
        Ok(buffer)
    };
    read().map_err(StorageError::io(disk, name))
}
