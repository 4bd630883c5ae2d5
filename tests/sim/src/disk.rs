//! A disk that loses in a crash what it may lose: what was not synced, by sectors, in any combination.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use traitwire_kv::kv_raft::raft::storage::disk::{Disk, DiskFile, DiskLock};

/// What survives a crash survives by so many bytes.
const SECTOR_BYTES: usize = 512;

/// A simulated disk of one node, shared by whoever has it open.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

/// What makes a disk worse than it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lies {
    /// A sync of a file does nothing.
    pub(crate) files: bool,
    /// A sync of the names does nothing.
    pub(crate) names: bool,
}

struct Inner {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<Rename>,
    files_made: u64,
    locked: bool,
    lies: Lies,
    /// No file may grow.
    full: bool,
    /// The next sync of a file fails.
    fail_sync: bool,
    /// Decides what a failed sync has saved.
    random: fastrand::Rng,
    /// How many changes still happen before the power is gone.
    changes_left: Option<u32>,
}

/// A change of the names that is not durable.
struct Rename {
    removed: Option<String>,
    made: Option<(String, u64)>,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

impl SimDisk {
    pub(crate) fn new(lies: Lies, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            files_made: 0,
            locked: false,
            lies,
            full: false,
            fail_sync: false,
            random: fastrand::Rng::with_seed(seed),
            changes_left: None,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics while it is held")
    }

    /// From now on no file may grow, or may again.
    pub(crate) fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.inner().full
    }

    /// The next sync of a file fails.
    pub(crate) fn fail_next_sync(&self) {
        self.inner().fail_sync = true;
    }

    /// Syncs do not fail any more.
    pub(crate) fn mend(&self) {
        self.inner().fail_sync = false;
    }

    /// The power will be gone after so many changes: the rest of what is asked for fails.
    pub(crate) fn cut_power_after(&self, changes: u32) {
        self.inner().changes_left = Some(changes);
    }

    /// The process is gone: what it wrote is there, synced or not.
    pub(crate) fn kill(&self) {
        let mut inner = self.inner();
        inner.fail_sync = false;
        inner.changes_left = None;
        inner.locked = false;
    }

    /// The power is gone, and comes back: what was not synced survives in parts.
    pub(crate) fn crash(&self, random: &mut fastrand::Rng) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        for change in std::mem::take(&mut inner.pending_names) {
            if random.bool() {
                change.apply(&mut inner.durable_names);
            }
        }
        inner.names = inner.durable_names.clone();
        let named: std::collections::BTreeSet<u64> = inner.names.values().copied().collect();
        inner.files.retain(|id, _| named.contains(id));
        for file in inner.files.values_mut() {
            file.crash(random);
        }
        drop(guard);
        self.kill();
    }
}

impl Inner {
    /// Counts a change, unless the power is gone.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn rename(&mut self, change: Rename) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn file(&mut self, id: u64) -> io::Result<&mut File> {
        self.files.get_mut(&id).ok_or_else(|| io::Error::other("the file was lost in a crash"))
    }
}

impl Rename {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, id)) = &self.made {
            names.insert(name.clone(), *id);
        }
    }
}

impl File {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        write_into(&mut self.bytes, bytes, offset);
        self.pending.push((offset, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, bytes) in self.pending.drain(..) {
            write_into(&mut self.durable, &bytes, offset);
        }
    }

    /// The power is gone.
    fn crash(&mut self, random: &mut fastrand::Rng) {
        self.fail_sync(random);
        self.bytes.clone_from(&self.durable);
    }

    /// Each sector that was written since the last sync is durable or will never be. Readers see it all the same.
    fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        // Now and then all of it or nothing, which independent sectors seldom give.
        let chance = *random.choice([0, 1, 2, 3, 4].iter()).expect("there are some");
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let mut done = 0;
            while done < bytes.len() {
                let sector_end = (offset + done) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                let end = (sector_end - offset).min(bytes.len());
                if random.u8(0..4) < chance {
                    write_into(&mut self.durable, &bytes[done..end], offset + done);
                }
                done = end;
            }
        }
    }
}

fn write_into(file: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.change()?;
        inner.files_made += 1;
        let id = inner.files_made;
        inner.files.insert(id, File::default());
        inner.rename(Rename { removed: None, made: Some((name.to_owned(), id)) });
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.inner().find(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change()?;
        let id = inner.find(from)?;
        inner.rename(Rename { removed: Some(from.to_owned()), made: Some((to.to_owned(), id)) });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change()?;
        inner.find(name)?;
        inner.rename(Rename { removed: Some(name.to_owned()), made: None });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change()?;
        if !inner.lies.names {
            inner.pending_names.clear();
            inner.durable_names = inner.names.clone();
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<DiskLock> {
        let mut inner = self.inner();
        if inner.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inner.locked = true;
        Ok(Box::new(Guard(self.clone())))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("simulated").join(name)
    }
}

/// Has the folder for itself.
struct Guard(SimDisk);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.inner().locked = false;
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.inner().file(self.id)?.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        let bytes = &inner.file(self.id)?.bytes;
        let begin = usize_of(offset).min(bytes.len());
        let count = buffer.len().min(bytes.len() - begin);
        buffer[..count].copy_from_slice(&bytes[begin..begin + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.change()?;
        let grows = usize_of(offset) + bytes.len() > inner.file(self.id)?.bytes.len();
        if grows && inner.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.file(self.id)?.write(bytes, usize_of(offset));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.change()?;
        if std::mem::take(&mut inner.fail_sync) {
            let mut random = inner.random.fork();
            inner.file(self.id)?.fail_sync(&mut random);
            return Err(io::Error::other("the sync failed"));
        }
        if !inner.lies.files {
            inner.file(self.id)?.sync();
        }
        Ok(())
    }
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("simulated files are small")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn contents(disk: &SimDisk, name: &str) -> io::Result<Vec<u8>> {
        let file = disk.open(name)?;
        let mut buffer = vec![0; usize_of(file.bytes()?)];
        file.read_at(&mut buffer, 0)?;
        Ok(buffer)
    }

    #[test]
    fn what_is_synced_survives_and_the_rest_by_sectors() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = SimDisk::new(Lies::default(), 1);
            let file = disk.create("a").unwrap();
            disk.sync_names().unwrap();
            file.write_at(&[1; 1_024], 0).unwrap();
            file.sync().unwrap();
            file.write_at(&[2; 512], 256).unwrap();
            disk.crash(&mut fastrand::Rng::with_seed(seed));
            let bytes = contents(&disk, "a").unwrap();
            assert_eq!((bytes[0], bytes[1_023], bytes.len()), (1, 1, 1_024));
            assert!(bytes[256..512].iter().all(|byte| *byte == bytes[256]), "a sector was torn");
            outcomes.insert((bytes[256], bytes[512]));
        }
        assert_eq!(outcomes.len(), 4, "both, either and none of two sectors");
    }

    #[test]
    fn names_are_durable_only_when_they_are_synced() {
        let mut found = [0; 2];
        for seed in 0..50 {
            let disk = SimDisk::new(Lies::default(), 1);
            disk.create("old").unwrap();
            disk.sync_names().unwrap();
            disk.rename("old", "new").unwrap();
            disk.crash(&mut fastrand::Rng::with_seed(seed));
            let names = disk.list().unwrap();
            assert_eq!(names.len(), 1);
            found[usize::from(names[0] == "new")] += 1;
        }
        assert!(found[0] > 0 && found[1] > 0);
    }

    #[test]
    fn a_disk_can_be_full_fail_and_lose_power() {
        let disk = SimDisk::new(Lies::default(), 1);
        let file = disk.create("a").unwrap();
        file.write_at(&[1; 8], 0).unwrap();
        disk.set_full(true);
        assert_eq!(file.write_at(&[1; 8], 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        file.write_at(&[2; 8], 0).unwrap();
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        disk.cut_power_after(1);
        file.write_at(&[3; 8], 0).unwrap();
        assert!(file.sync().is_err() && disk.sync_names().is_err());
        let guard = disk.lock().unwrap();
        assert!(disk.lock().is_err());
        drop(guard);
        assert!(disk.lock().is_ok());
    }
}
