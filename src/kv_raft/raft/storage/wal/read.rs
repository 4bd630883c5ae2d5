//! Reading the segments in order, and telling a torn tail from damage.

use std::ops::Range;

use super::super::{Disk, Identity, StorageError, read_all};
use super::format::{ALIGNMENT, FrameHeader, Link, NoHeader, SegmentHeader, frame_bytes};
use super::segments::{damaged, file_name, numbers};

/// Is shown the stream as it is read. An error says what does not fit, and makes it [`StorageError::Damaged`].
pub(super) trait Visit {
    fn segment(&mut self, header: &SegmentHeader, bytes: usize) -> Result<(), String>;
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), String>;
}

/// A whole frame, where it belongs.
pub(super) struct Frame<'a> {
    pub(super) segment: u64,
    pub(super) offset: usize,
    pub(super) sequence: u64,
    pub(super) body: &'a [u8],
}

/// Where the stream ends.
pub(super) struct End {
    /// The segment of the last whole frame; nothing in a folder that was never used.
    pub(super) tail: Option<Tail>,
    /// The segments after it. They hold nothing that was ever synced, but for what they have of an earlier use.
    pub(super) unused: Vec<u64>,
}

/// The last segment of the stream.
pub(super) struct Tail {
    pub(super) number: u64,
    /// All of it.
    pub(super) bytes: Vec<u8>,
    /// Where the next frame goes.
    pub(super) offset: usize,
    /// What was written last: a frame, or the segment's header.
    pub(super) last: Range<usize>,
    /// Whether what was written last holds records, so that a later frame must prove that it was synced.
    pub(super) unproven: bool,
    /// The next frame.
    pub(super) link: Link,
}

/// Reads all segments of a folder, which must be the owner's if one is given, and shows them in order.
pub(super) fn walk(
    disk: &dyn Disk,
    owner: Option<&Identity>,
    visit: &mut dyn Visit,
) -> Result<End, StorageError> {
    let mut unread = numbers(disk)?;
    let first = unread.first().copied().unwrap_or(1);
    let mut tail: Option<Tail> = None;
    while let Some(&number) = unread.first() {
        let bytes = read_all(disk, &file_name(number))?;
        let Some((header, header_bytes)) = header(disk, owner, number, &bytes)? else { break };
        if tail.as_ref().is_some_and(|tail| tail.link != header.link) {
            break;
        }
        visit.segment(&header, header_bytes).map_err(|what| damaged(disk, number, 0, what))?;
        tail = Some(frames(disk, &header, header_bytes, bytes, visit)?);
        unread.remove(0);
    }
    let (number, offset, link) =
        tail.as_ref().map_or((first, 0, Link::START), |tail| (tail.number, tail.offset, tail.link));
    if let Some((segment, place)) = proof(disk, tail.as_ref(), &unread, link)? {
        let path = disk.path(&file_name(segment));
        let what = format!(
            "frame {} is not whole, and what is in {} at byte {place} was written after it had been synced",
            link.sequence,
            path.display()
        );
        return Err(damaged(disk, number, offset, what));
    }
    if tail.is_none() && first > 1 {
        return Err(damaged(disk, first, 0, "the header is not whole".to_owned()));
    }
    Ok(End { tail, unused: unread })
}

/// The header of a segment, if it has got one.
fn header(
    disk: &dyn Disk,
    owner: Option<&Identity>,
    number: u64,
    bytes: &[u8],
) -> Result<Option<(SegmentHeader, usize)>, StorageError> {
    let foreign = |what| Err(StorageError::Foreign { path: disk.path(&file_name(number)), what });
    let (header, header_bytes) = match SegmentHeader::decode(bytes) {
        Ok(decoded) => decoded,
        Err(NoHeader::Invalid) => return Ok(None),
        Err(NoHeader::Version(version)) => {
            return foreign(format!("written in format {version}, which this version does not know"));
        }
    };
    if let Some(owner) = owner.filter(|owner| **owner != header.identity) {
        let Identity { cluster, node } = &header.identity;
        return foreign(format!(
            "belongs to node {node} of cluster `{cluster}`, not to node {} of cluster `{}`",
            owner.node, owner.cluster
        ));
    }
    if header.number < number {
        // What the file has of an earlier use.
        return Ok(None);
    }
    if header.number > number {
        let what = format!("this is segment {} under another name", header.number);
        return Err(damaged(disk, number, 0, what));
    }
    Ok(Some((header, header_bytes)))
}

/// Shows the frames of a segment, up to the first place where there is none.
fn frames(
    disk: &dyn Disk,
    header: &SegmentHeader,
    header_bytes: usize,
    bytes: Vec<u8>,
    visit: &mut dyn Visit,
) -> Result<Tail, StorageError> {
    let segment = header.number;
    let mut tail = Tail {
        number: segment,
        bytes: Vec::new(),
        offset: header_bytes,
        last: 0..header_bytes,
        unproven: false,
        link: header.link,
    };
    while let Some((body, next)) = frame(bytes.get(tail.offset..).unwrap_or_default(), tail.link) {
        let offset = tail.offset;
        visit
            .frame(&Frame { segment, offset, sequence: tail.link.sequence, body })
            .map_err(|what| damaged(disk, segment, offset, what))?;
        tail.offset += frame_bytes(body.len());
        // The first frame of a segment is written together with the header.
        let begin = if offset == header_bytes { 0 } else { offset };
        tail.last = begin..tail.offset.min(bytes.len());
        tail.unproven = !body.is_empty();
        tail.link = next;
    }
    tail.bytes = bytes;
    Ok(tail)
}

fn frame(bytes: &[u8], link: Link) -> Option<(&[u8], Link)> {
    FrameHeader::decode(bytes).filter(|header| header.link == link)?.body(bytes)
}

/// Looks behind the end of the stream for what can only have been written after the frame that is missing there had been
/// synced, and says where it is.
fn proof(
    disk: &dyn Disk,
    tail: Option<&Tail>,
    unread: &[u64],
    missing: Link,
) -> Result<Option<(u64, usize)>, StorageError> {
    if let Some(tail) = tail
        && let Some(place) = later_frame(&tail.bytes, tail.offset, missing)
    {
        return Ok(Some((tail.number, place)));
    }
    for &number in unread {
        let bytes = read_all(disk, &file_name(number))?;
        // A segment's header is written when everything before is synced.
        let proves = match SegmentHeader::decode(&bytes) {
            Ok((header, _)) => header.number >= number,
            Err(NoHeader::Version(_)) => true,
            Err(NoHeader::Invalid) => false,
        };
        if proves {
            return Ok(Some((number, 0)));
        }
        if let Some(place) = later_frame(&bytes, 0, missing) {
            return Ok(Some((number, place)));
        }
    }
    Ok(None)
}

/// A frame after the missing one; or one that would be it, but follows another one than what is there.
fn later_frame(bytes: &[u8], from: usize, missing: Link) -> Option<usize> {
    let end = written_end(bytes, from);
    (from..end).step_by(ALIGNMENT).find(|&place| {
        FrameHeader::decode(&bytes[place..]).is_some_and(|header| {
            header.link.sequence > missing.sequence
                || header.link.sequence == missing.sequence && header.link.chain != missing.chain
        })
    })
}

/// The bytes of the frame that is missing, if it was begun at this place and is not whole. Without its header it cannot be told from
/// what is left of an earlier use.
pub(super) fn torn_bytes(bytes: &[u8], from: usize, missing: Link) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let header = FrameHeader::decode(rest).filter(|header| header.link == missing)?;
    Some(frame_bytes(header.body_bytes).min(rest.len()))
}

/// The end of what is not zero; `from` when everything from there on is.
pub(super) fn written_end(bytes: &[u8], from: usize) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut rest = bytes.get(from..).unwrap_or_default();
    // Whole blocks first: comparing memory is fast also where loops are not optimised.
    while let Some(before) = rest.strip_suffix(&ZEROS) {
        rest = before;
    }
    from + rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
