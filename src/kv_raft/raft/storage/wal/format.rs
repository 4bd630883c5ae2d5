//! The bytes of a segment's header and of a frame's; their layout is in the module above.

use super::super::Identity;
use super::super::log_state::Tip;

/// What this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// Begins every segment, of every version.
const SEGMENT_MAGIC: [u8; 8] = *b"TWLOG\0\r\n";

/// Begins every frame. The first byte is in no UTF-8 text and the last one in no JSON text, so no command contains it.
pub(super) const FRAME_MAGIC: [u8; 4] = [0xF5, b'T', b'W', 0];

/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

/// The bytes of a frame before its body.
pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// The bytes of a frame without a body.
pub(super) const FRAME_BYTES_MIN: usize = frame_bytes(0);

/// The bytes of a segment's header before the name of the cluster.
const SEGMENT_HEADER_FIXED: usize = 100;

/// The bytes of a frame with so many bytes of records.
pub(super) const fn frame_bytes(body: usize) -> usize {
    aligned(FRAME_HEADER_BYTES + body + 4)
}

const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Which frame comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number in the stream, from 1.
    pub(super) sequence: u64,
    /// The checksum of the frame before it.
    pub(super) chain: u32,
}

impl Link {
    /// Before the first frame.
    pub(super) const START: Self = Self { sequence: 1, chain: 0 };
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    pub(super) identity: Identity,
    /// Its first frame.
    pub(super) link: Link,
    /// Where the stream stands before its first frame.
    pub(super) tip: Tip,
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It was never written, or not completely, or it is damaged.
    Invalid,
    /// It is of another version of this program.
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let cluster = self.identity.cluster.as_bytes();
        let bytes = aligned(SEGMENT_HEADER_FIXED + cluster.len());
        let mut out = Vec::with_capacity(bytes);
        out.extend(SEGMENT_MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out.extend(length(bytes).to_le_bytes());
        out.extend([0; 4]);
        let Tip { term, voted_for, base_index, base_term, last_index } = self.tip;
        out.extend(self.number.to_le_bytes());
        out.extend(self.link.sequence.to_le_bytes());
        out.extend(self.link.chain.to_le_bytes());
        out.extend(u32::from(voted_for.is_some()).to_le_bytes());
        for value in [term, voted_for.unwrap_or(0), base_index, base_term, last_index, self.identity.node] {
            out.extend(value.to_le_bytes());
        }
        out.extend(length(cluster.len()).to_le_bytes());
        out.extend(cluster);
        out.resize(bytes, 0);
        let crc = segment_crc(&out);
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the begin of a segment, and its length.
    pub(super) fn decode(segment: &[u8]) -> Result<(Self, usize), NoHeader> {
        if segment.len() < SEGMENT_HEADER_FIXED || segment[..8] != SEGMENT_MAGIC {
            return Err(NoHeader::Invalid);
        }
        if u32_at(segment, 12) != crc32fast::hash(&segment[..12]) {
            return Err(NoHeader::Invalid);
        }
        match u32_at(segment, 8) {
            VERSION => {}
            version => return Err(NoHeader::Version(version)),
        }
        let bytes = u32_at(segment, 16) as usize;
        let header = segment.get(..bytes).ok_or(NoHeader::Invalid)?;
        if bytes < SEGMENT_HEADER_FIXED || u32_at(header, 20) != segment_crc(header) {
            return Err(NoHeader::Invalid);
        }
        let cluster = header[SEGMENT_HEADER_FIXED..].get(..u32_at(header, 96) as usize);
        let cluster = cluster.and_then(|name| std::str::from_utf8(name).ok()).ok_or(NoHeader::Invalid)?;
        let header = Self {
            number: u64_at(header, 24),
            identity: Identity { cluster: cluster.to_owned(), node: u64_at(header, 88) },
            link: Link { sequence: u64_at(header, 32), chain: u32_at(header, 40) },
            tip: Tip {
                term: u64_at(header, 48),
                voted_for: (u32_at(header, 44) != 0).then(|| u64_at(header, 56)),
                base_index: u64_at(header, 64),
                base_term: u64_at(header, 72),
                last_index: u64_at(header, 80),
            },
        };
        Ok((header, bytes))
    }
}

/// Over all of it but the checksum itself.
fn segment_crc(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..20]);
    crc.update(&header[24..]);
    crc.finalize()
}

/// The first bytes of a frame. They can be trusted by themselves, and so prove that the frame before was synced also when
/// this one's body is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) body_bytes: usize,
    pub(super) link: Link,
    crc: u32,
}

impl FrameHeader {
    /// The header at the begin of these bytes of a segment, if there is one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..FRAME_HEADER_BYTES)?;
        let crc = u32_at(header, 20);
        let valid = header[..4] == FRAME_MAGIC && crc == crc32fast::hash(&header[..20]);
        valid.then(|| Self {
            body_bytes: u32_at(header, 4) as usize,
            link: Link { sequence: u64_at(header, 8), chain: u32_at(header, 16) },
            crc,
        })
    }

    /// The body of the frame at the begin of these bytes, and the link to the next frame; nothing when it is not whole.
    pub(super) fn body<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], Link)> {
        let body = bytes.get(FRAME_HEADER_BYTES..)?.get(..self.body_bytes)?;
        let end = FRAME_HEADER_BYTES + self.body_bytes;
        let chain = u32_at(bytes.get(..end + 4)?, end);
        (chain == body_crc(self.crc, body))
            .then_some((body, Link { sequence: self.link.sequence + 1, chain }))
    }
}

/// Writes a frame after what is in `out`, and gives the link to the next one.
pub(super) fn encode_frame(out: &mut Vec<u8>, link: Link, body: &[u8]) -> Link {
    let begin = out.len();
    out.extend(FRAME_MAGIC);
    out.extend(length(body.len()).to_le_bytes());
    out.extend(link.sequence.to_le_bytes());
    out.extend(link.chain.to_le_bytes());
    let crc = crc32fast::hash(&out[begin..]);
    out.extend(crc.to_le_bytes());
    out.extend(body);
    let chain = body_crc(crc, body);
    out.extend(chain.to_le_bytes());
    out.resize(begin + frame_bytes(body.len()), 0);
    Link { sequence: link.sequence + 1, chain }
}

/// With the checksum of the header, which covers that of the frame before: so each covers all before it.
fn body_crc(header_crc: u32, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(header_crc);
    crc.update(body);
    crc.finalize()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a frame is far below 4 GiB")
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("the slice has 4 bytes"))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("the slice has 8 bytes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// CRC-32 (IEEE) bit by bit, so that the format does not depend on what a library does.
    fn crc(bytes: &[u8]) -> [u8; 4] {
        let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        });
        (!crc).to_le_bytes()
    }

    #[test]
    fn the_header_of_a_segment_is_as_documented() {
        let tip = Tip { term: 5, voted_for: Some(6), base_index: 7, base_term: 8, last_index: 9 };
        let identity = Identity { cluster: "name".to_owned(), node: 10 };
        let header = SegmentHeader { number: 2, identity, link: Link { sequence: 3, chain: 4 }, tip };
        let mut expected = b"TWLOG\0\r\n\x01\0\0\0".to_vec();
        expected.extend(crc(&expected));
        expected.extend(104_u32.to_le_bytes());
        let mut rest = Vec::new();
        rest.extend([2_u64, 3].map(u64::to_le_bytes).concat());
        rest.extend([4_u32, 1].map(u32::to_le_bytes).concat());
        rest.extend([5_u64, 6, 7, 8, 9, 10].map(u64::to_le_bytes).concat());
        rest.extend(4_u32.to_le_bytes());
        rest.extend(b"name");
        expected.extend(crc(&[expected.clone(), rest.clone()].concat()));
        expected.extend(rest);
        let encoded = header.encode();
        assert_eq!(encoded, expected);
        assert_eq!(SegmentHeader::decode(&encoded), Ok((header, 104)));
    }

    #[test]
    fn a_frame_is_as_documented() {
        let link = Link { sequence: 3, chain: 4 };
        let mut encoded = b"before".to_vec();
        let next = encode_frame(&mut encoded, link, b"body!");
        let frame = encoded.split_off(6);
        let mut expected = b"\xF5TW\0\x05\0\0\0".to_vec();
        expected.extend(3_u64.to_le_bytes());
        expected.extend(4_u32.to_le_bytes());
        let covered = expected.clone();
        expected.extend(crc(&covered));
        expected.extend(b"body!");
        let chain = crc(&[&covered[..], b"body!"].concat());
        expected.extend(chain);
        expected.resize(40, 0);
        assert_eq!(frame, expected);
        assert_eq!(next, Link { sequence: 4, chain: u32::from_le_bytes(chain) });
        let header = FrameHeader::decode(&frame).unwrap();
        assert_eq!(header.body(&frame), Some((&b"body!"[..], next)));
        assert_eq!(header.body(&frame[..33]), Some((&b"body!"[..], next)), "the padding does not matter");
        assert_eq!(header.body(&frame[..32]), None);
    }
}
