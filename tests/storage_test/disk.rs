//! A disk in memory that loses, tears and breaks what a real one may, when a test says so.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use traitwire_kv::kv_raft::raft::storage::{Disk, DiskFile, DiskLock};

const SECTOR_BYTES: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// What was done to the names since they were synced.
    changes: Vec<Change>,
    plan: Plan,
    counts: Counts,
    locked: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plan {
    /// The number of the operation that fails, once.
    pub(crate) fails_at: Option<u64>,
    /// The number of the operation from which on no file can grow.
    pub(crate) full_at: Option<u64>,
}

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) written_bytes: u64,
    pub(crate) syncs: u64,
}

#[derive(Default)]
struct Contents {
    /// What a reader sees.
    cached: Vec<u8>,
    /// What is there after a loss of power.
    durable: Vec<u8>,
    /// The sectors that the system would write at the next sync.
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn plan(&self, plan: Plan) {
        self.state().plan = plan;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The power fails: of what was not synced, sectors and names survive by lot.
    pub(crate) fn lose_power(&self, lot: &mut fastrand::Rng) {
        let state = &mut *self.state();
        for change in std::mem::take(&mut state.changes) {
            if lot.bool() {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            let dirty = std::mem::take(&mut file.dirty);
            dirty.into_iter().filter(|_| lot.bool()).for_each(|sector| file.persist(sector));
            file.cached = file.durable.clone();
        }
    }

    /// Another disk with the same durable files.
    pub(crate) fn copy(&self) -> Self {
        let disk = Self::default();
        for (name, bytes) in self.files() {
            disk.put(&name, bytes);
        }
        disk
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[*file].cached.clone())).collect()
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Contents { cached: bytes.clone(), durable: bytes, dirty: BTreeSet::new() });
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
    }

    /// Takes a file away, durably.
    pub(crate) fn take(&self, name: &str) -> Vec<u8> {
        let mut state = self.state();
        state.durable_names.remove(name);
        let file = state.names.remove(name).unwrap();
        state.files[file].cached.clone()
    }
}

impl Contents {
    fn persist(&mut self, sector: usize) {
        let begin = sector * SECTOR_BYTES;
        let end = (begin + SECTOR_BYTES).min(self.cached.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[begin..end].copy_from_slice(&self.cached[begin..end]);
    }
}

impl State {
    /// Counts an operation, which may be the one to fail.
    fn operation(&mut self) -> io::Result<()> {
        self.counts.operations += 1;
        if self.plan.fails_at == Some(self.counts.operations) { Err(failure()) } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.plan.full_at.is_some_and(|full_at| self.counts.operations >= full_at)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn failure() -> io::Error {
    io::Error::other("the disk is broken")
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.operation()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        if state.is_full() {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = state.files.len();
        state.files.push(Contents::default());
        state.change(Change::Create(name.to_owned(), file));
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        let file = state.file(name)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.file(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.file(name)?;
        state.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn lock(&self) -> io::Result<DiskLock> {
        struct Guard(FaultyDisk);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.state().locked = false;
            }
        }
        if std::mem::replace(&mut self.state().locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let guard: Box<dyn Any + Send> = Box::new(Guard(self.clone()));
        Ok(guard)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("disk").join(name)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: usize,
}

impl DiskFile for FaultyFile {
    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.operation()?;
        Ok(state.files[self.file].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.operation()?;
        let cached = &state.files[self.file].cached;
        let from = &cached[usize::try_from(offset).unwrap().min(cached.len())..];
        let bytes = from.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&from[..bytes]);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let mut result = state.operation();
        let begin = usize::try_from(offset).unwrap();
        // A failed write has written a part.
        let mut end = if result.is_ok() { begin + bytes.len() } else { begin + bytes.len() / 2 };
        let full = state.is_full();
        let length = state.files[self.file].cached.len();
        if full && end > length {
            end = length.max(begin);
            result = Err(ErrorKind::StorageFull.into());
        }
        if end > begin {
            state.counts.written_bytes += (end - begin) as u64;
            let file = &mut state.files[self.file];
            if length < end {
                file.cached.resize(end, 0);
            }
            file.cached[begin..end].copy_from_slice(&bytes[..end - begin]);
            file.dirty.extend(begin.min(length) / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
        result
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.counts.syncs += 1;
        let result = state.operation();
        let file = &mut state.files[self.file];
        // After a failure the system takes what it could not write for written.
        let dirty = std::mem::take(&mut file.dirty);
        if result.is_ok() {
            dirty.into_iter().for_each(|sector| file.persist(sector));
        }
        result
    }
}
