//! What the files of a node ask of a disk, and the disk of the operating system.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
const LOCK_NAME: &str = "lock";

/// A folder of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
    writable: bool,
}

impl RealDisk {
    /// A folder to work in; it is made where there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let made: Vec<&Path> = folder.ancestors().take_while(missing).collect();
        fs::create_dir_all(folder)?;
        for folder in made {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self { folder: folder.to_owned(), writable: true })
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
            // A name that is no UTF-8, or a folder, is nothing of ours.
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_file()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(RealFile(options.open(self.folder.join(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(self.writable).open(self.folder.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self) -> io::Result<DiskLock> {
        let path = self.folder.join(LOCK_NAME);
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
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
