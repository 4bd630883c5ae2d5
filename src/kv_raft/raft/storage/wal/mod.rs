//! A segmented write-ahead log: what is synced costs what was added, however long the log is.
//!
//! # Files
//!
//! Segment n is the file `wal-<n, 16 digits>.log`. The stream of operations goes through the segments in order of their
//! numbers, which have no gaps. A segment is prepared before it is used: its bytes were written and synced, and its name
//! too. So a sync of the log later writes bytes and nothing else, and finds space on a full disk. The segment after the
//! last used one is prepared while that one is filled: the oldest segment takes its number where nobody needs it any more, and
//! until it is used has what was written when it had the old one; otherwise it is a new file, full of zeros. Up to eight segments
//! that nobody needs wait for that.
//!
//! # Layout
//!
//! Integers are little-endian. A segment is a header and frames, without gaps, each padded with zeros to a multiple of 8
//! bytes. Behind the last one are zeros, or remains of an earlier use, with lower numbers. Checksums are CRC-32 (IEEE).
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | 0 | 8 | `TWLOG`, 0, CR, LF |
//! | 8 | 4 | version of the format, 1; this and the next field stay in all versions |
//! | 12 | 4 | checksum of the bytes before |
//! | 16 | 4 | length of the header with its padding |
//! | 20 | 4 | checksum of the header without this field |
//! | 24 | 8 | number of the segment |
//! | 32 | 8 | sequence number of its first frame |
//! | 40 | 4 | chain: the checksum of the frame before that one |
//! | 44 | 4 | 1 if a vote was given in the term, or 0 |
//! | 48 | 8 | term |
//! | 56 | 8 | the node that has got the vote |
//! | 64 | 8 | index of the last compacted entry |
//! | 72 | 8 | its term |
//! | 80 | 8 | index of the last entry |
//! | 88 | 8 | the node that the log belongs to |
//! | 96 | 4 | length of the name of its cluster |
//! | 100 | | that name, in UTF-8 |
//!
//! | frame | bytes | |
//! |---|---|---|
//! | 0 | 4 | 0xF5, `TW`, 0 |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | sequence number, from 1, one more than that of the frame before |
//! | 16 | 4 | chain: the checksum at the end of the frame before, 0 for the first one |
//! | 20 | 4 | checksum of the bytes before |
//! | 24 | | body: records |
//! | | 4 | checksum of the bytes 0 to 19 and the body; with the chain it covers all frames before too |
//!
//! | record | bytes | |
//! |---|---|---|
//! | 0 | 1 | 1 vote, 2 truncate, 3 blank entry, 4 command, 5 membership entry, 6 install, 7 compact |
//! | 1 | 1 | for a vote: 1 if one was given; for install: 1 if the entries after the snapshot are kept |
//! | 2 | 2 | 0 |
//! | 4 | 4 | length of the payload |
//! | 8 | 8 | index; for a vote the node that has got it |
//! | 16 | 8 | term |
//! | 24 | | payload: a command's JSON text as it came; membership or snapshot as JSON |
//!
//! # Why recovery is right
//!
//! 1. One sync writes one frame, and the next frame is written only when that sync has returned. So whatever of frame n+1
//!    is on the disk, or of a segment's header that comes after frame n, proves that frame n was synced. A header of a frame
//!    has a checksum of its own to be such a proof even if its body is lost.
//! 2. Recovery reads frames while they are whole and each continues the one before. Where that ends, the next frame was
//!    never written, or its sync did not return, and nothing that anybody was told depends on it: the rest is cut. Unless a
//!    proof lies behind: then something that was synced is gone, perhaps a vote, and the log does not open
//!    ([`StorageError::Damaged`]).
//! 3. Damage to the very last frame looks like a torn write. So [`Storage::idle`] writes a frame without records as a
//!    proof: only under load is there a last frame that is not proven.
//! 4. What is cut is overwritten with zeros and synced before anything new is written, so that whatever stands behind the
//!    end of the stream is of one try to write, and not the remains of many.
//! 5. What was read last may have come from the system's memory and not from the disk: its sync may have failed, or never
//!    have been called. So it is written once more, as it is, and synced, before the log is said to be open. After a failed
//!    write or sync the log takes nothing more; only opening it again, with this rule, tells what holds.
//! 6. A segment's header says where the stream stood, with the vote, so the segments before are needed for their entries
//!    alone, and are removed or used again when those are compacted: the oldest first, and each for certain before the next. If
//!    the entries before the oldest segment are not compacted by the end of the stream, segments are missing.
//! 7. A received snapshot is durable before the record of its installation is written, and everything before the snapshot
//!    in the stream before that. After a crash in between, the snapshot is ahead of the log; then the log begins anew after
//!    the snapshot, whose state contains all it had.
//! 8. Sequence numbers only grow, so what a segment still has of an earlier use is nothing and proves nothing: the number in
//!    its header is below that in its name, and those of its frames are below that of the frame which is looked for. By rule 4
//!    no torn write is among it. But a whole older file in place of the last segment looks like one that was not begun.

mod format;
mod inspect;
mod open;
mod read;
mod record;
mod segments;

use std::io;
use std::sync::Arc;

use super::super::core::{DiskSpace, Op};
use super::log_state::{Change, Tip};
use super::snapshots::SnapshotFiles;
use super::{Disk, DiskLock, Identity, Snapshots, Storage, StorageError};
use format::{Link, SegmentHeader, encode_frame};
use segments::{Current, Extents, Preparer, Reserve, SPARES_MAX, file_name};

pub(in crate::kv_raft) use inspect::owner;
pub use inspect::{Inspection, Line, Verdict, inspect};

/// The settings of a [`Wal`].
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// How long a segment is. A longer entry gets a longer segment.
    pub segment_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20 }
    }
}

/// A segmented write-ahead log on a [`Disk`]; see the [module](self).
pub struct Wal {
    disk: Arc<dyn Disk>,
    identity: Identity,
    preparer: Preparer,
    current: Current,
    reserve: Option<Reserve>,
    extents: Extents,
    /// Where the stream stands, without what is pending.
    tip: Tip,
    link: Link,
    /// Records that are in no frame yet.
    pending: Vec<u8>,
    frame: Vec<u8>,
    /// Whether the last frame has records and nothing follows it.
    unproven: bool,
    space: Space,
    snapshots: Arc<SnapshotFiles>,
    poisoned: bool,
    _lock: DiskLock,
}

/// Whether there was space when it was last needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Free,
    /// There was none, and nobody has been told.
    RanOut,
    /// There was none when it was last looked for.
    Full,
}

impl Storage for Wal {
    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError> {
        self.guarded(|wal| ops.iter().try_for_each(|op| wal.add(op)))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.guarded(|wal| {
            wal.flush()?;
            wal.remove_superfluous()?;
            wal.prepare_in_step()
        })
    }

    fn idle(&mut self) -> Result<(), StorageError> {
        self.guarded(|wal| {
            wal.flush()?;
            wal.prove()
        })
    }

    /// A full disk is told of once at least, and then looked at again with each call.
    fn space(&mut self) -> DiskSpace {
        match self.space {
            Space::Free => {}
            Space::RanOut => self.space = Space::Full,
            Space::Full => {
                self.space = Space::Free;
                // An error other than a full disk poisons the log, which the next call will say.
                let prepared = self.guarded(|wal| wal.prepare(wal.preparer.segment_bytes));
                if prepared.is_err() || self.space == Space::RanOut {
                    self.space = Space::Full;
                }
            }
        }
        if self.space == Space::Free { DiskSpace::Free } else { DiskSpace::Full }
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        self.snapshots.clone()
    }
}

impl Wal {
    /// Does something, unless something has failed before.
    fn guarded(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.poisoned {
            return Err(StorageError::Poisoned { path: self.disk.path("") });
        }
        let result = action(self);
        self.poisoned = result.is_err();
        result
    }

    fn add(&mut self, op: &Op) -> Result<(), StorageError> {
        match op {
            Op::SnapshotPiece { .. } => self.receive(op)?,
            Op::Install { snapshot, .. } => self.snapshots.require(snapshot)?,
            Op::Vote { .. } | Op::Truncate(_) | Op::Append { .. } | Op::Compact { .. } => {}
        }
        record::encode(&mut self.pending, op);
        Ok(())
    }

    /// Keeps a piece of a snapshot. If the disk is full the snapshot is given up: it can be sent again.
    fn receive(&mut self, piece: &Op) -> Result<(), StorageError> {
        // The last piece makes the snapshot durable; what came before it in the stream must be so by then.
        if matches!(piece, Op::SnapshotPiece { last: true, .. }) {
            self.flush()?;
        }
        match self.snapshots.receive(piece) {
            Err(error) if error.is_full() => {
                self.space = Space::RanOut;
                Ok(())
            }
            other => other,
        }
    }

    /// Writes what is pending and syncs it: as one frame, unless it does not fit into the segment.
    fn flush(&mut self) -> Result<(), StorageError> {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while !rest.is_empty() {
            let mut bytes = records_within(rest, self.current.room());
            if bytes == 0 && self.current.header.is_none() {
                self.begin_segment()?;
                bytes = records_within(rest, self.current.room());
            }
            // A record that is longer than a segment makes its segment longer.
            let bytes = bytes.max(record::first(rest).expect("the log has encoded it").bytes());
            let (records, behind) = rest.split_at(bytes);
            self.follow(records);
            self.write_frame(records)?;
            rest = behind;
        }
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    /// Keeps account of what is about to be written.
    fn follow(&mut self, mut records: &[u8]) {
        while let Some(record) = record::first(records) {
            if let Err(what) = self.tip.apply(Change::from(&record)) {
                // It would be refused when it is read, and then all is lost that comes after it.
                panic!("the log was given what cannot follow: {what}");
            }
            records = &records[record.bytes()..];
        }
    }

    fn write_frame(&mut self, records: &[u8]) -> Result<(), StorageError> {
        self.frame.clear();
        self.frame.extend(self.current.header.take().unwrap_or_default());
        self.link = encode_frame(&mut self.frame, self.link, records);
        let write = || {
            self.current.file.write_at(&self.frame, self.current.offset)?;
            self.current.file.sync()
        };
        write().map_err(StorageError::io(&*self.disk, &file_name(self.current.number)))?;
        self.current.offset += self.frame.len() as u64;
        self.unproven = !records.is_empty();
        Ok(())
    }

    fn prove(&mut self) -> Result<(), StorageError> {
        // Each segment keeps room for a last proof, but for one that an overlong record has made longer: that one grows.
        if self.unproven { self.write_frame(&[]) } else { Ok(()) }
    }

    /// Goes on in the next segment.
    fn begin_segment(&mut self) -> Result<(), StorageError> {
        self.prepare(self.preparer.segment_bytes)?;
        let no_reserve = || io::Error::new(io::ErrorKind::StorageFull, "there is no next segment");
        let reserve = self
            .reserve
            .take()
            .ok_or_else(no_reserve)
            .map_err(StorageError::io(&*self.disk, &file_name(self.current.number + 1)))?;
        let header = SegmentHeader {
            number: reserve.number,
            identity: self.identity.clone(),
            link: self.link,
            tip: self.tip.clone(),
        };
        self.extents.begin(reserve.number, self.tip.last_index);
        self.current = Current::new(reserve, &header);
        Ok(())
    }

    /// Prepares the next segment as fast as this one is filled twice, so that it is ready when this one is half full and no
    /// sync waits for all of it.
    fn prepare_in_step(&mut self) -> Result<(), StorageError> {
        if self.space == Space::Free { self.prepare(2 * self.current.offset) } else { Ok(()) }
    }

    /// Prepares so many bytes of the next segment. A full disk is noted, and no error.
    fn prepare(&mut self, bytes: u64) -> Result<(), StorageError> {
        match self.try_to_prepare(bytes) {
            Err(error) if error.is_full() => {
                self.space = Space::RanOut;
                Ok(())
            }
            other => other,
        }
    }

    fn try_to_prepare(&mut self, bytes: u64) -> Result<(), StorageError> {
        let number = self.current.number + 1;
        let whole = self.preparer.segment_bytes;
        // A segment that nobody needs takes neither time nor space, also where a new file was begun and the disk is full.
        if self.reserve.as_ref().is_none_or(|reserve| reserve.prepared < whole)
            && let Some(spare) = self.extents.spare(self.tip.base_index, 0)
        {
            self.reserve = Some(self.preparer.recycle(spare, number)?);
            self.extents.forget_oldest();
        }
        let reserve = match &mut self.reserve {
            Some(reserve) => reserve,
            none => none.insert(self.preparer.create(number)?),
        };
        self.preparer.prepare(reserve, bytes)
    }

    /// Removes segments that nobody needs, but for some to be used again; on a full disk others need the space.
    fn remove_superfluous(&mut self) -> Result<(), StorageError> {
        let kept = if self.space == Space::Free { SPARES_MAX } else { 1 };
        while let Some(number) = self.extents.spare(self.tip.base_index, kept) {
            let name = file_name(number);
            let remove = || {
                self.disk.remove(&name)?;
                self.disk.sync_names()
            };
            remove().map_err(StorageError::io(&*self.disk, &name))?;
            self.extents.forget_oldest();
        }
        Ok(())
    }
}

/// The bytes of as many whole records as fit.
fn records_within(records: &[u8], room: usize) -> usize {
    if records.len() <= room {
        return records.len();
    }
    let mut bytes = 0;
    while let Some(record) = record::first(&records[bytes..]) {
        if bytes + record.bytes() > room {
            break;
        }
        bytes += record.bytes();
    }
    bytes
}
