//! The files of the log: their names, the one that is written, and the one that is prepared to be the next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::{Disk, DiskFile, StorageError, read_all};
use super::format::{FRAME_BYTES_MIN, SegmentHeader};
use super::read::written_end;
use crate::services::raft::Index;

/// What a folder that is damaged needs.
const ADVICE: &str = "Bring back the bytes that were written here, or leave this node out: the cluster goes on while most \
    of its nodes do. An older copy of the folder, or an empty one, may break what this node has promised to the others. \
    `traitwire debug wal` shows what is there";

/// In how many steps a new segment is prepared.
const STEPS: u64 = 8;

/// How many segments that nobody needs any more wait to be used again: as many as the log has between two snapshots of a small state,
/// with the usual settings. Until then they are read at each start as all others are.
pub(super) const SPARES_MAX: usize = 8;

/// The name of a segment's file.
pub(super) fn file_name(number: u64) -> String {
    format!("wal-{number:016}.log")
}

/// The segments that are there, in order.
pub(super) fn numbers(disk: &dyn Disk) -> Result<Vec<u64>, StorageError> {
    let names = disk.list().map_err(StorageError::io(disk, ""))?;
    let number = |name: &String| {
        let number = name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok()?;
        (file_name(number) == *name).then_some(number)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        Some(pair) => {
            Err(damaged(disk, pair[0] + 1, 0, "this segment is missing, and a later one is there".to_owned()))
        }
        None => Ok(numbers),
    }
}

pub(super) fn damaged(disk: &dyn Disk, number: u64, offset: usize, what: String) -> StorageError {
    let path = disk.path(&file_name(number));
    StorageError::Damaged { path, offset: offset as u64, what, advice: ADVICE }
}

/// Which segments hold what is still needed.
#[derive(Debug, Default)]
pub(super) struct Extents(VecDeque<Extent>);

#[derive(Debug)]
struct Extent {
    number: u64,
    /// The last entry of the segments before this one.
    before: Index,
}

impl Extents {
    /// A new segment begins after the entry `last_index`.
    pub(super) fn begin(&mut self, number: u64, last_index: Index) {
        self.0.push_back(Extent { number, before: last_index });
    }

    /// The oldest segment, if it and so many after it hold nothing but entries up to `base`, so that nobody needs them.
    pub(super) fn spare(&self, base: Index, others: usize) -> Option<u64> {
        let spares = self.0.iter().skip(1).take_while(|next| next.before <= base).count();
        (spares > others).then(|| self.0[0].number)
    }

    /// The oldest segment is gone.
    pub(super) fn forget_oldest(&mut self) {
        self.0.pop_front();
    }
}

/// The segment that is written.
pub(super) struct Current {
    pub(super) number: u64,
    pub(super) file: Box<dyn DiskFile>,
    /// Where the next bytes go.
    pub(super) offset: u64,
    /// How many bytes are prepared.
    pub(super) capacity: u64,
    /// The header, as long as no frame was written.
    pub(super) header: Option<Vec<u8>>,
}

impl Current {
    /// Takes a prepared segment into use.
    pub(super) fn new(reserve: Reserve, header: &SegmentHeader) -> Self {
        let Reserve { number, file, prepared } = reserve;
        Self { number, file, offset: 0, capacity: prepared, header: Some(header.encode()) }
    }

    /// How many bytes of records the next frame can hold, with space left for a frame that proves it.
    pub(super) fn room(&self) -> usize {
        let header = self.header.as_ref().map_or(0, Vec::len);
        // A frame's parts and its padding are below the length of an empty one and 8 bytes.
        let taken = self.offset + (header + 2 * FRAME_BYTES_MIN + 8) as u64;
        usize::try_from(self.capacity.saturating_sub(taken)).unwrap_or(usize::MAX)
    }
}

/// The segment that will be the next: a file of zeros, or of what was written when it was an earlier segment.
pub(super) struct Reserve {
    pub(super) number: u64,
    pub(super) file: Box<dyn DiskFile>,
    /// How many bytes of it were written and synced.
    pub(super) prepared: u64,
}

/// Prepares segments.
pub(super) struct Preparer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segment_bytes: u64,
}

impl Preparer {
    /// Makes the file, and its name durable.
    pub(super) fn create(&self, number: u64) -> Result<Reserve, StorageError> {
        let name = file_name(number);
        let create = || {
            let file = self.disk.create(&name)?;
            self.disk.sync_names()?;
            Ok(file)
        };
        let file = create().map_err(StorageError::io(&*self.disk, &name))?;
        Ok(Reserve { number, file, prepared: 0 })
    }

    /// Gives a segment that nobody needs the next number. Its bytes stay: the sequence numbers in them say that they are old.
    pub(super) fn recycle(&self, spare: u64, number: u64) -> Result<Reserve, StorageError> {
        let name = file_name(number);
        let recycle = || {
            self.disk.rename(&file_name(spare), &name)?;
            // Whether the old name is gone must be certain before the next one goes, so a disk that is full is no excuse here.
            self.disk.sync_names().map_err(std::io::Error::other)?;
            let file = self.disk.open(&name)?;
            let prepared = file.bytes()?;
            Ok(Reserve { number, file, prepared })
        };
        recycle().map_err(StorageError::io(&*self.disk, &name))
    }

    /// Takes a file that is there and was not used, and removes what torn writes have left in it.
    pub(super) fn reuse(&self, number: u64) -> Result<Reserve, StorageError> {
        let name = file_name(number);
        let bytes = read_all(&*self.disk, &name)?;
        let reuse = || {
            let file = self.disk.open(&name)?;
            scrub(&*file, &bytes, 0)?;
            file.sync()?;
            Ok(file)
        };
        let file = reuse().map_err(StorageError::io(&*self.disk, &name))?;
        Ok(Reserve { number, file, prepared: bytes.len() as u64 })
    }

    /// Writes zeros until so many bytes of the reserve are prepared, or all of them. Overwriting them later changes nothing
    /// but bytes, so that a sync then has no metadata to write, and finds space.
    pub(super) fn prepare(&self, reserve: &mut Reserve, bytes: u64) -> Result<(), StorageError> {
        let step = self.segment_bytes.div_ceil(STEPS);
        let mut write = || {
            while reserve.prepared < bytes.min(self.segment_bytes) {
                let count = step.min(self.segment_bytes - reserve.prepared);
                let zeros = vec![0; usize::try_from(count).map_err(|_| std::io::ErrorKind::OutOfMemory)?];
                reserve.file.write_at(&zeros, reserve.prepared)?;
                reserve.file.sync()?;
                reserve.prepared += count;
            }
            Ok(())
        };
        write().map_err(StorageError::io(&*self.disk, &file_name(reserve.number)))
    }
}

/// Writes zeros over what is not zero from `from` on.
pub(super) fn scrub(file: &dyn DiskFile, bytes: &[u8], from: usize) -> std::io::Result<()> {
    let end = written_end(bytes, from);
    if end > from { file.write_at(&vec![0; end - from], from as u64) } else { Ok(()) }
}
