//! What is in the file of a backup or of a snapshot.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::file::{self, BackupFileError, Reader};
use crate::kv_raft::machine::KvMachine;
use crate::kv_raft::raft::storage::{SnapshotView, StorageError};
use crate::kv_raft::rsm;
use crate::services::backup::BackupHeader;
use crate::services::raft::SnapshotMeta;

/// What a file is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A backup.
    Backup(BackupHeader),
    /// A snapshot of a node.
    Snapshot(SnapshotMeta),
}

/// What is in the file of a backup or of a snapshot, all of which was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What the file is.
    pub kind: Kind,
    /// The bytes of the state.
    pub state_bytes: u64,
    /// How many keys it has.
    pub keys: u64,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// It is neither a backup nor a snapshot.
    #[error("neither a backup nor a snapshot: it does not begin with the signature of either")]
    NeitherKind,
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// As a backup.
    #[error(transparent)]
    Backup(BackupFileError),
    /// As a snapshot.
    #[error(transparent)]
    Snapshot(StorageError),
    /// All checksums are right, and the state is not that of a key-value store.
    #[error("its checksums are right, but its state cannot be understood: {0}")]
    State(io::Error),
}

impl Contents {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// See [`ContentsError`].
    pub fn read(path: &Path) -> Result<Self, ContentsError> {
        let file = File::open(path).map_err(ContentsError::Io)?;
        if !file.metadata().map_err(ContentsError::Io)?.is_file() {
            return Err(ContentsError::Io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let mut magic = Vec::new();
        (&file).take(file::MAGIC.len() as u64).read_to_end(&mut magic).map_err(ContentsError::Io)?;
        if magic.starts_with(b"TWSNAP") {
            let mut view = SnapshotView::open(path).map_err(ContentsError::Snapshot)?;
            let keys = count(&mut view);
            if let Some(error) = view.failure() {
                return Err(ContentsError::Snapshot(error));
            }
            let (kind, keys) = (Kind::Snapshot(view.meta().clone()), keys.map_err(ContentsError::State)?);
            return Ok(Self { kind, state_bytes: view.offset(), keys });
        }
        if magic.is_empty() || !file::MAGIC.starts_with(&magic) {
            return Err(ContentsError::NeitherKind);
        }
        let whole = io::Cursor::new(magic).chain(io::BufReader::new(file));
        let mut reader = Reader::open(whole).map_err(ContentsError::Backup)?;
        let keys = count(&mut reader);
        let kind = Kind::Backup(reader.header().clone());
        let summary = reader.finish().map_err(ContentsError::Backup)?;
        Ok(Self { kind, state_bytes: summary.state_bytes, keys: keys.map_err(ContentsError::State)? })
    }
}

/// Counts the keys of a state, and reads it to its end in any case.
fn count(mut state: &mut dyn Read) -> io::Result<u64> {
    let counted = rsm::skip_head(&mut state).and_then(|()| KvMachine::count_keys(&mut state));
    io::copy(&mut state, &mut io::sink())?;
    counted
}
