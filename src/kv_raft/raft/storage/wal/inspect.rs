//! Looking at a log without opening it: nothing is changed, and nobody is kept from it.

use super::super::{Disk, Identity, StorageError, snapshots, unfinished};
use super::format::{FRAME_HEADER_BYTES, SegmentHeader};
use super::open::{Recovery, reconcile};
use super::read::{Frame, Visit, torn_bytes, walk};
use super::record::{self, Kind};

/// Something in a log, as a line about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of its segment.
    pub segment: u64,
    /// Where it begins in the segment.
    pub offset: u64,
    /// How many bytes it takes.
    pub bytes: u64,
    /// What it is: `segment` for a header, `proof` for a frame without records, or the kind of a record.
    pub kind: &'static str,
    /// The frame that it is in, by its sequence number; for a header, the first one of the segment.
    pub frame: u64,
    /// The index of an entry, of the first one to be removed, or of the last one of a snapshot or a header; for a vote,
    /// the node that has got it.
    pub index: Option<u64>,
    /// The term.
    pub term: Option<u64>,
}

/// What opening the log would do.
#[derive(Debug)]
pub enum Verdict {
    /// Everything would be kept. A torn write whose header has not come cannot be told from old bytes, and would be overwritten as
    /// they are.
    Sound,
    /// A frame that is not whole, and so was never synced, would be cut off.
    Cut {
        /// The segment in which the stream ends.
        segment: u64,
        /// Where it ends.
        offset: u64,
        /// How many bytes the frame was to have.
        bytes: u64,
    },
    /// It would not open.
    Refused(StorageError),
}

/// What became of looking at a log.
#[derive(Debug)]
pub struct Inspection {
    /// What opening it would do.
    pub verdict: Verdict,
    /// Whether the last frame is not proven yet by one after it: damage to it would look like a torn write.
    pub unproven: bool,
}

/// Shows all of a log that can be read, in order. What is shown has checksums that are right. Of a
/// snapshot, only the header is read. A log that is written meanwhile may look torn or damaged at its end.
///
/// # Errors
/// When the disk cannot be read.
pub fn inspect(disk: &dyn Disk, show: &mut dyn FnMut(Line)) -> Result<Inspection, StorageError> {
    let mut shown = Shown { show, recovery: Recovery::default() };
    let read = walk(disk, None, &mut shown).and_then(|end| {
        unfinished::refuse(disk)?;
        let mut recovery = shown.recovery.checked(disk)?;
        let newest = snapshots::newest_in(disk)?;
        reconcile(disk, &mut recovery.state, &end, newest.as_ref().map(|newest| &newest.meta))?;
        Ok(end)
    });
    let end = match read {
        Ok(end) => end,
        Err(error @ StorageError::Io { .. }) => return Err(error),
        Err(error) => return Ok(Inspection { verdict: Verdict::Refused(error), unproven: false }),
    };
    // A torn write that began a segment is seen if the segment's header has come.
    let torn = end.tail.as_ref().and_then(|tail| {
        let bytes = torn_bytes(&tail.bytes, tail.offset, tail.link)?;
        Some(Verdict::Cut { segment: tail.number, offset: tail.offset as u64, bytes: bytes as u64 })
    });
    let verdict = torn.unwrap_or(Verdict::Sound);
    Ok(Inspection { verdict, unproven: end.tail.is_some_and(|tail| tail.unproven) })
}

/// Whose log is in a folder; nothing where there is none.
///
/// # Errors
/// When the disk cannot be read, or the log is damaged.
pub(in crate::kv_raft) fn owner(disk: &dyn Disk) -> Result<Option<Identity>, StorageError> {
    let mut owner = Owner(None);
    walk(disk, None, &mut owner)?;
    Ok(owner.0)
}

struct Owner(Option<Identity>);

impl Visit for Owner {
    fn segment(&mut self, header: &SegmentHeader, _: usize) -> Result<(), String> {
        self.0.get_or_insert_with(|| header.identity.clone());
        Ok(())
    }

    fn frame(&mut self, _: &Frame<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Reads as opening does, and shows what it reads.
struct Shown<'a> {
    show: &'a mut dyn FnMut(Line),
    recovery: Recovery,
}

impl Visit for Shown<'_> {
    fn segment(&mut self, header: &SegmentHeader, bytes: usize) -> Result<(), String> {
        self.recovery.segment(header, bytes)?;
        (self.show)(Line {
            segment: header.number,
            offset: 0,
            bytes: bytes as u64,
            kind: "segment",
            frame: header.link.sequence,
            index: Some(header.tip.last_index),
            term: Some(header.tip.term),
        });
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        self.recovery.frame(frame)?;
        let mut body = frame.body;
        let mut offset = (frame.offset + FRAME_HEADER_BYTES) as u64;
        let mut line = Line {
            segment: frame.segment,
            offset: frame.offset as u64,
            bytes: FRAME_HEADER_BYTES as u64,
            kind: "proof",
            frame: frame.sequence,
            index: None,
            term: None,
        };
        if body.is_empty() {
            (self.show)(line.clone());
        }
        while !body.is_empty() {
            let record = record::first(body).ok_or("a record that this version does not know")?;
            line.kind = record.kind.as_str();
            (line.offset, line.bytes) = (offset, record.bytes() as u64);
            line.index = (record.kind != Kind::Vote || record.flag).then_some(record.index);
            line.term = (record.kind != Kind::Truncate).then_some(record.term);
            (self.show)(line.clone());
            offset += line.bytes;
            body = &body[record.bytes()..];
        }
        Ok(())
    }
}
