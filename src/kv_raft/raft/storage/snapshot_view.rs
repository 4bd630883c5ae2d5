//! One snapshot file, to look at outside of a node.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::snapshot_file::Reader;
use super::snapshots::Stream;
use super::{RealDisk, StorageError};
use crate::services::raft::SnapshotMeta;

/// A snapshot file. As a [`Read`] it gives the state, each part once its checksum is checked.
pub struct SnapshotView(Stream);

impl SnapshotView {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a whole snapshot.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let not_a_file = || StorageError::Io { path: path.to_owned(), error: ErrorKind::InvalidInput.into() };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(not_a_file)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let disk = RealDisk::view(folder.unwrap_or(Path::new(".")));
        Reader::open(&disk, name).map(|reader| Self(Stream::new(reader)))
    }

    /// Which state it holds.
    pub fn meta(&self) -> &SnapshotMeta {
        self.0.meta()
    }

    /// How many bytes of the state were read.
    pub fn offset(&self) -> u64 {
        self.0.offset()
    }

    /// Why reading has failed, where it has.
    pub fn failure(&mut self) -> Option<StorageError> {
        self.0.take_failure()
    }
}

impl Read for SnapshotView {
    /// An error here is shown for people; [`SnapshotView::failure`] says what it was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
