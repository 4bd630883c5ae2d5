//! Opening a log: reading it, repairing its end, and going on from there.

use std::io;
use std::sync::Arc;

use super::super::super::core::Op;
use super::super::log_state::{LogState, Tip};
use super::super::snapshots::SnapshotFiles;
use super::super::{Disk, DiskFile, Identity, Opened, StorageError, lock, unfinished};
use super::format::{Link, SegmentHeader};
use super::read::{End, Frame, Tail, Visit, walk};
use super::segments::{Current, Extents, Preparer, Reserve, damaged, file_name, scrub};
use super::{Space, Wal, WalOptions, record};
use crate::services::raft::SnapshotMeta;

impl Wal {
    /// Opens the log in a folder, or begins one in a folder without.
    ///
    /// # Errors
    /// - [`StorageError::InUse`] when another process has it open.
    /// - [`StorageError::Foreign`] when it belongs to another identity, or is of a newer format.
    /// - [`StorageError::Damaged`] when something is missing that was synced.
    /// - [`StorageError::Io`] when the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: WalOptions,
    ) -> Result<Opened, StorageError> {
        unfinished::refuse(&*disk)?;
        Self::open_unfinished(disk, identity, options)
    }

    /// The same for a folder that may be marked as unfinished, by whoever finishes it.
    pub(in crate::kv_raft) fn open_unfinished(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: WalOptions,
    ) -> Result<Opened, StorageError> {
        let guard = lock(&*disk)?;
        let mut recovery = Recovery::default();
        let end = walk(&*disk, Some(&identity), &mut recovery)?;
        let Recovery { mut state, extents, .. } = recovery.checked(&*disk)?;
        let tip = state.tip.clone();
        let snapshots = SnapshotFiles::open(disk.clone())?;
        let newest = snapshots.newest_meta();
        let told = reconcile(&*disk, &mut state, &end, newest.as_ref())?;
        // Names that an earlier process has made and not synced.
        disk.sync_names().map_err(StorageError::io(&*disk, ""))?;

        let preparer = Preparer { disk: disk.clone(), segment_bytes: options.segment_bytes };
        let (link, unproven) =
            end.tail.as_ref().map_or((Link::START, false), |tail| (tail.link, tail.unproven));
        let (current, reserve) = files(&preparer, &identity, end)?;
        let mut wal = Self {
            disk,
            identity,
            preparer,
            current,
            reserve,
            extents,
            tip,
            link,
            pending: Vec::new(),
            frame: Vec::new(),
            unproven,
            space: Space::Free,
            snapshots,
            poisoned: false,
            _lock: guard,
        };
        wal.start(told)?;
        Ok(Opened { storage: Box::new(wal), restored: state.restored(newest) })
    }

    /// Brings the stream up to what was found, and proves it.
    fn start(&mut self, told: Option<Op>) -> Result<(), StorageError> {
        if self.current.header.is_some() {
            self.extents.begin(self.current.number, self.tip.last_index);
            // From here on a segment is found whose header was synced: a vote that is lost will be missed.
            self.write_frame(&[])?;
        }
        told.iter().try_for_each(|op| self.add(op))?;
        self.flush()?;
        self.prove()?;
        self.remove_superfluous()?;
        self.prepare_in_step()
    }
}

/// Builds up what the stream says.
#[derive(Default)]
pub(super) struct Recovery {
    first: Option<u64>,
    pub(super) state: LogState,
    extents: Extents,
}

impl Visit for Recovery {
    fn segment(&mut self, header: &SegmentHeader, _: usize) -> Result<(), String> {
        if self.first.is_none() {
            self.first = Some(header.number);
            self.state = LogState::at(header.tip.clone());
        } else if self.state.tip != header.tip {
            return Err(format!("the header says {:?}, and the stream {:?}", header.tip, self.state.tip));
        }
        self.extents.begin(header.number, header.tip.last_index);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for op in record::decode(frame.body)? {
            self.state.apply(op)?;
        }
        Ok(())
    }
}

impl Recovery {
    /// That no segments are missing before the first one.
    pub(super) fn checked(self, disk: &dyn Disk) -> Result<Self, StorageError> {
        match (self.first, self.state.gap()) {
            (Some(first), Some((from, to))) => {
                let what = format!("the segments before this one are missing, with entries {from} to {to}");
                Err(damaged(disk, first, 0, what))
            }
            _ => Ok(self),
        }
    }
}

/// Lets go of a log that a snapshot has overtaken, and says what the stream must be told.
pub(super) fn reconcile(
    disk: &dyn Disk,
    state: &mut LogState,
    end: &End,
    newest: Option<&SnapshotMeta>,
) -> Result<Option<Op>, StorageError> {
    let (number, what) = match (&end.tail, newest) {
        (None, Some(_)) => (1, "there is a snapshot, and no log".to_owned()),
        (None, None) => return Ok(None),
        (Some(tail), newest) => match state.reconcile(newest) {
            Ok(told) => return Ok(told),
            Err(index) => {
                (tail.number, format!("the entries up to {index} are compacted, and no snapshot has them"))
            }
        },
    };
    Err(damaged(disk, number, 0, what))
}

/// Makes the files ready: the segment to go on in, and the next one if there is one.
fn files(
    preparer: &Preparer,
    identity: &Identity,
    end: End,
) -> Result<(Current, Option<Reserve>), StorageError> {
    let End { tail, mut unused } = end;
    let disk = &*preparer.disk;
    // There is more than one only where a whole segment was lost that had nothing proven in it.
    while let [_, .., last] = unused[..] {
        let name = file_name(last);
        let remove = || {
            disk.remove(&name)?;
            disk.sync_names()
        };
        remove().map_err(StorageError::io(disk, &name))?;
        unused.pop();
    }
    let reserve = unused.first().map(|number| preparer.reuse(*number)).transpose()?;
    if let Some(tail) = tail {
        let file = repaired(disk, &tail).map_err(StorageError::io(disk, &file_name(tail.number)))?;
        let current = Current {
            number: tail.number,
            file,
            offset: tail.offset as u64,
            capacity: tail.bytes.len() as u64,
            header: None,
        };
        return Ok((current, reserve));
    }
    let mut first = reserve.map_or_else(|| preparer.create(1), Ok)?;
    preparer.prepare(&mut first, preparer.segment_bytes)?;
    let header = SegmentHeader {
        number: first.number,
        identity: identity.clone(),
        link: Link::START,
        tip: Tip::default(),
    };
    Ok((Current::new(first, &header), None))
}

/// Writes once more what was written last, removes what is behind it, and syncs both.
fn repaired(disk: &dyn Disk, tail: &Tail) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(&file_name(tail.number))?;
    file.write_at(&tail.bytes[tail.last.clone()], tail.last.start as u64)?;
    scrub(&*file, &tail.bytes, tail.offset)?;
    file.sync()?;
    Ok(file)
}
