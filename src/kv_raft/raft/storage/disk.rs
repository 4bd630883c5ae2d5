//! What the files of a node ask of a disk, and the disk of the operating system.

use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{identity_file, unfinished};

/// One folder, without folders in it.
///
/// What is durable when, so that an implementation may lose everything else in a crash:
/// - The bytes of a file, and its length: once [`DiskFile::sync`] has returned without an error after they were written.
///   Of bytes that were written since, any subset of sectors may survive, in any order.
/// - Which names there are: once [`Disk::sync_names`] has returned after they were made, changed or removed. Of changes
///   since, any may survive; each is atomic.
/// - After an error of a sync, nothing is known about what it should have saved, and a later sync that succeeds says
///   nothing about it either.
pub trait Disk: Send + Sync {
    /// The names of the files, in any order.
    ///
    /// # Errors
    /// What the system says, as in all methods here.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file. One that exists loses its bytes.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that exists; [`io::ErrorKind::NotFound`] when it does not.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of the file that has that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open can go on reading.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which names there are.
    fn sync_names(&self) -> io::Result<()>;

    /// Takes the folder for this process until the guard is dropped; [`io::ErrorKind::WouldBlock`] when it is taken.
    fn lock(&self) -> io::Result<DiskLock>;

    /// What to call a file when speaking to people.
    fn path(&self, name: &str) -> PathBuf;
}

/// Keeps a folder for this process until it is dropped.
pub type DiskLock = Box<dyn Any + Send>;

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says, as in all methods here.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads from a place until the buffer is full or the file ends, and says how many bytes that are.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of this at a place, beyond the end too. A disk without space gives [`io::ErrorKind::StorageFull`], and only
    /// where the file grows.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes durable what was written, and the length.
    fn sync(&self) -> io::Result<()>;
}

/// The file that a process holds locked while it uses the folder.
pub(super) const LOCK_NAME: &str = "lock";

/// Who may use a folder of data, and a file in it: its owner.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What everybody but the owner may do.
const OTHERS: u32 = 0o077;

/// A folder of the operating system. Its files are regular files: a symbolic link, a pipe, a device or a folder under the
/// name of one of them is an error, and is neither followed nor replaced.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
    writable: bool,
}

impl RealDisk {
    /// A folder to work in; it is made where there is none. Nobody but its owner can use what is made. A folder of data
    /// that is there and that others can use is closed to them.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let made: Vec<&Path> = folder.ancestors().take_while(missing).collect();
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        for folder in made {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let disk = Self { folder: folder.to_owned(), writable: true };
        disk.close_to_others()?;
        Ok(disk)
    }

    /// Takes from everybody but the owner what they may do with the folder and the files in it.
    fn close_to_others(&self) -> io::Result<()> {
        let mut is_shared = false;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_own = entry.file_name().to_str().is_some_and(is_data);
            is_shared |= !is_own;
            let metadata = entry.metadata()?;
            if is_own && metadata.is_file() && metadata.permissions().mode() & OTHERS != 0 {
                fs::set_permissions(entry.path(), Permissions::from_mode(FILE_MODE))?;
            }
        }
        if fs::metadata(&self.folder)?.permissions().mode() & OTHERS == 0 {
            return Ok(());
        }
        if is_shared {
            let folder = self.folder.display();
            tracing::warn!(
                "{folder} can be used by others and has files of others, so it stays open to them: give the node a folder of its own"
            );
            return Ok(());
        }
        fs::set_permissions(&self.folder, Permissions::from_mode(FOLDER_MODE))
    }

    /// The path of a file. An error if there is something else under its name.
    fn regular(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => regular(name, metadata.file_type())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    /// A folder to look at: nothing is made or changed.
    pub fn view(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), writable: false }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // A name that is not UTF-8 is not one of ours, and a folder or a link under another name is not either.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if is_data(&name) {
                regular(&name, kind)?;
            }
            if kind.is_file() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = writable().truncate(true).open(self.regular(name)?)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(self.writable).open(self.regular(name)?)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.regular(from)?, self.regular(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self) -> io::Result<DiskLock> {
        let file = writable().truncate(false).open(self.regular(LOCK_NAME)?)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Makes a file, or opens it.
fn writable() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true).mode(FILE_MODE);
    options
}

/// Whether a file with this name is one of a node's.
fn is_data(name: &str) -> bool {
    let is = |begin, end| name.starts_with(begin) && name.ends_with(end);
    name == LOCK_NAME
        || name == "state.json"
        || name == identity_file::FILE_NAME
        || name == unfinished::FILE_NAME
        || name == unfinished::TEMPORARY_NAME
        || name == identity_file::TEMPORARY_NAME
        || name.starts_with(".saving-")
        || is("wal-", ".log")
        || is("snapshot-", ".snap")
        || is("snapshot-", ".tmp")
}

fn regular(name: &str, kind: fs::FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else {
        "a pipe, a socket or a device"
    };
    let message =
        format!("`{name}` is {what} and not a regular file: put the file itself there, or remove it");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.0.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
