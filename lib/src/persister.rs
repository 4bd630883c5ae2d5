//! One small file that is always whole: the last state saved, or the one before it, never a mixture.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Keeps a string in a file so that a crash at any moment, of the process or of the machine, leaves a state that was
/// current.
///
/// A save writes a temporary file under a name of its own, syncs it, renames it over the file and syncs the directory:
/// when [`Persister::save`] returns, the state survives a loss of power. Saves of one persister happen in the order in
/// which they take its lock, so a later one is never overwritten by an earlier one.
#[derive(Debug)]
pub struct Persister {
    path: PathBuf,
    // Held over the whole of a save: of two concurrent saves the one that renames last must be the one that began last.
    saving: Mutex<()>,
}

impl Persister {
    /// A persister over the file at `path`, which need not exist; its directory is created by the first save.
    pub fn new(path: PathBuf) -> Self {
        Self { path, saving: Mutex::new(()) }
    }

    /// Replaces the state with `data`, durably.
    ///
    /// # Panics
    /// When the disk refuses: a state that must be durable and is not may not be built upon. [`Persister::try_save`]
    /// gives the error instead.
    pub fn save(&self, data: &str) {
        if let Err(error) = self.try_save(data) {
            panic!("cannot save {}: {error}", self.path.display());
        }
    }

    /// Replaces the state with `data`, durably; on an error the file still holds the state before, unless the error
    /// came from the last step, the sync of the directory, after which it may hold either.
    pub fn try_save(&self, data: &str) -> io::Result<()> {
        // A panic in another save left no half state in memory that could be seen here.
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = self.directory();
        fs::create_dir_all(directory)?;
        let mut temporary = tempfile::Builder::new().prefix(".saving-").tempfile_in(directory)?;
        temporary.write_all(data.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    }

    /// The last state saved; empty when there is none.
    ///
    /// # Panics
    /// When the file exists and cannot be read, or is not UTF-8. [`Persister::try_read`] gives the error instead.
    pub fn read(&self) -> String {
        match self.try_read() {
            Ok(data) => data,
            Err(error) => panic!("cannot read {}: {error}", self.path.display()),
        }
    }

    /// The last state saved; empty when there is none.
    ///
    /// # Errors
    /// When the file exists and cannot be read, is not UTF-8, or is not a file: a link to nothing is not an empty state,
    /// and a pipe would never end.
    pub fn try_read(&self) -> io::Result<String> {
        if let Err(error) = fs::symlink_metadata(&self.path) {
            return if error.kind() == io::ErrorKind::NotFound { Ok(String::new()) } else { Err(error) };
        }
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
        }
        fs::read_to_string(&self.path)
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}
