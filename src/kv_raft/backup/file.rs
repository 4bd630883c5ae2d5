//! The file of a backup: written and read in order, so that it can go through a pipe, and every byte of it checked.
//!
//! Integers are little-endian, checksums are CRC-32 (IEEE).
//!
//! | header | bytes | |
//! |---|---|---|
//! | 0 | 8 | `TWBKUP`, CR, LF |
//! | 8 | 4 | version of the format, 1; this and the next field stay in all versions |
//! | 12 | 4 | checksum of the bytes before |
//! | 16 | 4 | length of the text |
//! | 20 | 4 | checksum of bytes 0 to 19 and the text |
//! | 24 | | the text: a [`BackupHeader`] as JSON |
//!
//! | block | bytes | |
//! |---|---|---|
//! | 0 | 4 | length of the data, 1 to 65,536 |
//! | 4 | 4 | checksum of the header's checksum, the number of the block (8 bytes, from 0), bytes 0 to 3 and the data |
//! | 8 | | the data: the next bytes of the state |
//!
//! | trailer | bytes | |
//! |---|---|---|
//! | 0 | 4 | 0 |
//! | 4 | 4 | checksum of the header's checksum, the number of blocks (8 bytes), bytes 0 to 3 and bytes 8 to 19 |
//! | 8 | 8 | bytes of the state |
//! | 16 | 4 | checksum of the state |
//!
//! The state is that of a snapshot. All blocks but the last are full. The trailer ends the file: a file without it was cut off.

use std::io::{self, ErrorKind, Write};

use crate::services::backup::BackupHeader;

/// What the file begins with.
pub(super) const MAGIC: [u8; 8] = *b"TWBKUP\r\n";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_FIXED: usize = 24;
/// How long the text of a header may be: that of a cluster of tens of thousands of nodes.
pub(super) const HEADER_TEXT_MAX: usize = 1 << 20;
/// The bytes of the state in a block.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// The bytes of a block before its data.
pub(super) const BLOCK_HEAD: usize = 8;
pub(super) const TRAILER_BYTES: usize = 20;

/// Why a file cannot be read as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFileError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// It is something else.
    #[error("not a backup: it does not begin with the signature of a backup file")]
    NotABackup,
    /// It was written by a newer program.
    #[error("written in format {version} of backups, which this program does not know: use a newer one")]
    NewerFormat {
        /// The version of its format.
        version: u32,
    },
    /// It has other bytes than were written.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// Where what is damaged begins.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// It ends too early.
    #[error("cut off at byte {offset}: {what}")]
    CutOff {
        /// Where it ends.
        offset: u64,
        /// What is missing there.
        what: String,
    },
}

/// What a whole backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The bytes of the file.
    pub file_bytes: u64,
    /// The bytes of the state.
    pub state_bytes: u64,
    /// The checksum of the state.
    pub state_crc: u32,
}

/// The checksum of a block or of the trailer.
pub(super) fn checksum(seed: u32, number: u64, length: [u8; 4], data: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&seed.to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(&length);
    crc.update(data);
    crc.finalize()
}

/// Writes a backup. What was written without [`Writer::finish`] is not a backup.
pub struct Writer<W> {
    out: W,
    seed: u32,
    block: Vec<u8>,
    blocks: u64,
    file_bytes: u64,
    state_bytes: u64,
    state_crc: crc32fast::Hasher,
}

impl<W: Write> Writer<W> {
    /// Begins a backup by writing its header.
    ///
    /// # Errors
    /// When `out` does not take it, or the header is too long.
    pub fn new(mut out: W, header: &BackupHeader) -> io::Result<Self> {
        let text = serde_json::to_vec(header)?;
        if text.len() > HEADER_TEXT_MAX {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the membership is too long for a backup"));
        }
        let mut bytes = Vec::with_capacity(HEADER_FIXED + text.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend(length(text.len()));
        let seed = header_crc(&bytes, &text);
        bytes.extend(seed.to_le_bytes());
        bytes.extend(text);
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            seed,
            block: Vec::with_capacity(BLOCK_BYTES),
            blocks: 0,
            file_bytes: bytes.len() as u64,
            state_bytes: 0,
            state_crc: crc32fast::Hasher::new(),
        })
    }

    /// Adds to the state.
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.state_crc.update(data);
        self.state_bytes += data.len() as u64;
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend(now);
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
            }
            data = later;
        }
        Ok(())
    }

    /// The bytes of the state so far, and their checksum.
    pub fn progress(&self) -> (u64, u32) {
        (self.state_bytes, self.state_crc.clone().finalize())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let length = length(self.block.len());
        let crc = checksum(self.seed, self.blocks, length, &self.block);
        self.out.write_all(&length)?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.file_bytes += (BLOCK_HEAD + self.block.len()) as u64;
        self.blocks += 1;
        self.block.clear();
        Ok(())
    }

    /// Ends the backup. Gives what it was written to, which may still have to be flushed and synced.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub fn finish(mut self) -> io::Result<(W, Summary)> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let (state_bytes, state_crc) = self.progress();
        let mut sums = [0; 12];
        sums[..8].copy_from_slice(&state_bytes.to_le_bytes());
        sums[8..].copy_from_slice(&state_crc.to_le_bytes());
        let crc = checksum(self.seed, self.blocks, [0; 4], &sums);
        self.out.write_all(&[0; 4])?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&sums)?;
        let file_bytes = self.file_bytes + TRAILER_BYTES as u64;
        Ok((self.out, Summary { file_bytes, state_bytes, state_crc }))
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("headers and blocks are shorter than 4 GiB").to_le_bytes()
}

pub(super) fn header_crc(fixed: &[u8], text: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fixed);
    crc.update(text);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use proptest::prelude::*;

    use super::super::reader::Reader;
    use super::*;
    use crate::services::raft::Membership;

    fn header() -> BackupHeader {
        let membership = Membership::of([1, 2, 3]);
        BackupHeader { cluster: "c".into(), revision: 7, term: 2, membership, node: 3, time_ms: 5 }
    }

    fn backup(state: &[u8], piece_bytes: usize) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        state.chunks(piece_bytes.max(1)).for_each(|piece| writer.write(piece).unwrap());
        let (bytes, summary) = writer.finish().unwrap();
        assert_eq!((summary.file_bytes, summary.state_bytes), (bytes.len() as u64, state.len() as u64));
        bytes
    }

    fn read(file: &[u8]) -> Result<Vec<u8>, BackupFileError> {
        let mut reader = Reader::open(file)?;
        let mut state = Vec::new();
        match reader.read_to_end(&mut state) {
            Ok(_) => Ok(state),
            Err(_) => {
                assert!(reader.read(&mut [0; 9]).is_err(), "what has failed goes on failing");
                Err(reader.failure().unwrap())
            }
        }
    }

    fn check(file: &[u8]) -> Result<Summary, BackupFileError> {
        Reader::open(file)?.finish()
    }

    /// The two ways to read say the same.
    fn rejected(file: &[u8]) -> BackupFileError {
        let error = read(file).unwrap_err();
        assert_eq!(error.to_string(), check(file).unwrap_err().to_string());
        error
    }

    fn state(bytes: usize) -> Vec<u8> {
        fastrand::Rng::with_seed(bytes as u64)
            .choose_multiple(0..bytes, bytes)
            .iter()
            .map(|it| *it as u8)
            .collect()
    }

    #[test]
    fn what_was_written_is_read_whatever_its_length() {
        for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 200_001] {
            let state = state(bytes);
            for piece_bytes in [1 << 10, BLOCK_BYTES, usize::MAX] {
                let file = backup(&state, piece_bytes);
                assert!(read(&file).unwrap() == state, "{bytes} bytes in pieces of {piece_bytes}");
                let summary = check(&file).unwrap();
                assert_eq!(summary.state_crc, crc32fast::hash(&state));
                assert_eq!(Reader::open(&*file).unwrap().header(), &header());
            }
        }
    }

    #[test]
    fn every_truncation_is_rejected_with_where_the_file_ends() {
        let file = backup(&state(200), 200);
        for end in 0..file.len() {
            match rejected(&file[..end]) {
                BackupFileError::NotABackup if end == 0 => {}
                BackupFileError::CutOff { offset, .. } if offset == end as u64 => {}
                other => panic!("cut at {end}: {other}"),
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_rejected_with_where_the_damaged_part_begins() {
        let file = backup(&state(200), 200);
        let text_end = file.len() - TRAILER_BYTES - BLOCK_HEAD - 200;
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                match rejected(&damaged) {
                    BackupFileError::NotABackup => assert!(at < MAGIC.len()),
                    BackupFileError::Damaged { offset, .. } => {
                        let parts = [0, 16, text_end as u64, (file.len() - TRAILER_BYTES) as u64];
                        let begin = parts.iter().rev().find(|begin| **begin <= at as u64).unwrap();
                        assert_eq!(offset, *begin, "bit {bit} of byte {at}");
                    }
                    // A damaged length reaches beyond the end of the file.
                    BackupFileError::CutOff { offset, .. } => {
                        let is_length = (16..20).contains(&at)
                            || (text_end..text_end + 4).contains(&at)
                            || (file.len() - TRAILER_BYTES..file.len() - TRAILER_BYTES + 4).contains(&at);
                        assert!(is_length && offset == file.len() as u64, "bit {bit} of byte {at}");
                    }
                    other => panic!("bit {bit} of byte {at}: {other}"),
                }
            }
        }
    }

    #[test]
    fn blocks_cannot_be_left_out_swapped_repeated_or_taken_from_another_backup() {
        let file = backup(&state(3 * BLOCK_BYTES), BLOCK_BYTES);
        let block = BLOCK_BYTES + BLOCK_HEAD;
        let begin = file.len() - TRAILER_BYTES - 3 * block;
        let (head, blocks, tail) =
            (&file[..begin], &file[begin..begin + 3 * block], &file[begin + 3 * block..]);
        let blocks: Vec<_> = blocks.chunks(block).collect();
        let built = |order: &[usize]| {
            let blocks = order.iter().flat_map(|number| blocks[*number].iter().copied());
            head.iter().copied().chain(blocks).chain(tail.iter().copied()).collect::<Vec<u8>>()
        };
        assert!(read(&built(&[0, 1, 2])).is_ok());
        for order in [&[0, 1][..], &[1, 2], &[0, 2, 1], &[0, 1, 1, 2], &[0, 1, 2, 2], &[]] {
            let BackupFileError::Damaged { offset, .. } = rejected(&built(order)) else {
                panic!("{order:?}")
            };
            let right = order.iter().enumerate().take_while(|(place, number)| place == *number).count();
            assert_eq!(offset, (begin + right * block) as u64, "{order:?}");
        }
        let other =
            Writer::new(Vec::new(), &BackupHeader { node: 2, ..header() }).unwrap().finish().unwrap().0;
        let mixed = [&other[..other.len() - TRAILER_BYTES], blocks[0], tail].concat();
        assert!(matches!(rejected(&mixed), BackupFileError::Damaged { .. }));
        let BackupFileError::Damaged { offset, .. } = rejected(&[&file[..], b"x"].concat()) else { panic!() };
        assert_eq!(offset, file.len() as u64);
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut file = backup(b"state", 5);
        file[8] = 2;
        let crc = crc32fast::hash(&file[..12]);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(rejected(&file), BackupFileError::NewerFormat { version: 2 }));
    }

    proptest! {
        /// Whatever bytes are changed, cut or added: what was not saved is not read.
        #[test]
        fn damaged_backups_are_rejected(
            bytes in 0..100_000_usize,
            at in any::<prop::sample::Index>(),
            cut in 0..40_usize,
            put in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let file = backup(&state(bytes), 10_000);
            let at = at.index(file.len());
            let mut damaged = file[..at].to_vec();
            damaged.extend(&put);
            damaged.extend(&file[(at + cut).min(file.len())..]);
            prop_assume!(damaged != file);
            rejected(&damaged);
        }

        /// Bytes that somebody has made up are rejected, and take no more memory than a header and a block.
        #[test]
        fn bytes_of_any_kind_are_rejected(mut file in prop::collection::vec(any::<u8>(), 0..400), forged: bool) {
            if forged && file.len() >= HEADER_FIXED {
                file[..8].copy_from_slice(&MAGIC);
                file[8..12].copy_from_slice(&VERSION.to_le_bytes());
                let crc = crc32fast::hash(&file[..12]);
                file[12..16].copy_from_slice(&crc.to_le_bytes());
            }
            rejected(&file);
        }
    }
}
