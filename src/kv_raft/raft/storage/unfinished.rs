//! The mark of a folder that is being restored or recovered, and does not open until that is done.

use std::io;

use super::{Disk, StorageError};

/// The name of the mark. It is made before anything else in the folder is, and removed at the end.
pub(super) const FILE_NAME: &str = "unfinished";
/// What the mark is called until it says what the folder is being made by.
pub(super) const TEMPORARY_NAME: &str = "unfinished.tmp";

/// What a folder is being made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kv_raft) enum Unfinished {
    /// Restoring a backup into it.
    Restore,
    /// Making a cluster of its own out of what it has.
    Recovery,
}

impl Unfinished {
    fn text(self) -> &'static str {
        match self {
            Self::Restore => "restore\n",
            Self::Recovery => "recover\n",
        }
    }

    /// What a folder says that it is being made by, if anything.
    pub(in crate::kv_raft) fn read(disk: &dyn Disk) -> Result<Option<Self>, StorageError> {
        let file = match disk.open(FILE_NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(StorageError::io(disk, FILE_NAME))?,
        };
        let mut text = [0; 16];
        let read = file.read_at(&mut text, 0).map_err(StorageError::io(disk, FILE_NAME))?;
        let is_recovery = text[..read] == *Self::Recovery.text().as_bytes();
        Ok(Some(if is_recovery { Self::Recovery } else { Self::Restore }))
    }

    /// Whether a file stays while a folder is made empty: the mark, and the lock that is held.
    pub(in crate::kv_raft) fn is_needed(name: &str) -> bool {
        name == FILE_NAME || name == super::disk::LOCK_NAME
    }

    /// Whether a file may be in a folder that nothing has been made of: what a restore has left that has not come to its mark.
    pub(in crate::kv_raft) fn is_before_mark(name: &str) -> bool {
        name == TEMPORARY_NAME || name == super::disk::LOCK_NAME
    }

    /// Marks a folder.
    pub(in crate::kv_raft) fn mark(self, disk: &dyn Disk) -> Result<(), StorageError> {
        let write = || {
            // A mark that a crash leaves empty would not say whether the folder has data.
            let file = disk.create(TEMPORARY_NAME)?;
            file.write_at(self.text().as_bytes(), 0)?;
            file.sync()?;
            drop(file);
            disk.rename(TEMPORARY_NAME, FILE_NAME)?;
            disk.sync_names()
        };
        write().map_err(StorageError::io(disk, FILE_NAME))
    }

    /// Removes the mark: the folder is whole.
    pub(in crate::kv_raft) fn done(disk: &dyn Disk) -> Result<(), StorageError> {
        let remove = || {
            // Everything else has its name for certain before the mark goes.
            disk.sync_names()?;
            disk.remove(FILE_NAME)?;
            disk.sync_names()
        };
        remove().map_err(StorageError::io(disk, FILE_NAME))
    }
}

/// Refuses a folder that is not whole.
pub(super) fn refuse(disk: &dyn Disk) -> Result<(), StorageError> {
    let what = match Unfinished::read(disk)? {
        None => return Ok(()),
        Some(Unfinished::Restore) => {
            "a restore into this folder has not finished: run `traitwire restore` again, with the same folder"
        }
        Some(Unfinished::Recovery) => {
            "a recovery of this folder has not finished: run `traitwire debug recover` again"
        }
    };
    Err(StorageError::Foreign { path: disk.path(""), what: what.to_owned() })
}
