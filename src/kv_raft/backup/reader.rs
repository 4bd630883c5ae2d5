//! Reading the file of a backup, whose format is in `file.rs`.

use std::io::{self, ErrorKind, Read};

use super::file::{
    BLOCK_BYTES, BLOCK_HEAD, BackupFileError, HEADER_FIXED, HEADER_TEXT_MAX, MAGIC, Summary, TRAILER_BYTES,
    VERSION, checksum, header_crc,
};
use crate::services::backup::BackupHeader;

/// Reads a backup in order. As a [`Read`] it gives the state, each block once its checksum is checked, and ends once the trailer
/// is checked too.
pub struct Reader<R> {
    file: R,
    header: BackupHeader,
    seed: u32,
    /// The bytes of the file that were read.
    offset: u64,
    block: Vec<u8>,
    /// How many bytes of `block` were given.
    given: usize,
    blocks: u64,
    state_bytes: u64,
    state_crc: crc32fast::Hasher,
    /// Set at the end of a whole backup.
    summary: Option<Summary>,
    failed: Option<BackupFileError>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`BackupFileError`].
    pub fn open(mut file: R) -> Result<Self, BackupFileError> {
        let mut fixed = [0; HEADER_FIXED];
        let read = read_up_to(&mut file, &mut fixed).map_err(BackupFileError::Io)?;
        let cut_off = |offset| BackupFileError::CutOff { offset, what: "the header is not whole".into() };
        let common = read.min(MAGIC.len());
        if fixed[..common] != MAGIC[..common] || read == 0 {
            return Err(BackupFileError::NotABackup);
        }
        if read < HEADER_FIXED {
            return Err(cut_off(read as u64));
        }
        let damaged = |offset, what: &str| Err(BackupFileError::Damaged { offset, what: what.to_owned() });
        if u32_at(&fixed, 12) != crc32fast::hash(&fixed[..12]) {
            return damaged(0, "the checksum of the first bytes is another one");
        }
        let version = u32_at(&fixed, 8);
        if version != VERSION {
            return Err(BackupFileError::NewerFormat { version });
        }
        let text_bytes = u32_at(&fixed, 16) as usize;
        if text_bytes > HEADER_TEXT_MAX {
            return damaged(16, "the header is longer than any header");
        }
        let mut text = vec![0; text_bytes];
        let read = read_up_to(&mut file, &mut text).map_err(BackupFileError::Io)?;
        if read < text_bytes {
            return Err(cut_off((HEADER_FIXED + read) as u64));
        }
        let seed = header_crc(&fixed[..20], &text);
        if seed != u32_at(&fixed, 20) {
            return damaged(16, "the checksum of the header is another one");
        }
        let header = serde_json::from_slice(&text).map_err(|error| BackupFileError::Damaged {
            offset: HEADER_FIXED as u64,
            what: format!("the header cannot be understood: {error}"),
        })?;
        Ok(Self {
            file,
            header,
            seed,
            offset: (HEADER_FIXED + text_bytes) as u64,
            block: Vec::new(),
            given: 0,
            blocks: 0,
            state_bytes: 0,
            state_crc: crc32fast::Hasher::new(),
            summary: None,
            failed: None,
        })
    }

    /// What it is a backup of.
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// How far the file was read, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what is left of the state, and checks all of it.
    ///
    /// # Errors
    /// See [`BackupFileError`].
    pub fn finish(mut self) -> Result<Summary, BackupFileError> {
        loop {
            if let Some(failed) = self.failed {
                return Err(failed);
            }
            if let Some(summary) = self.summary {
                return Ok(summary);
            }
            if let Err(error) = self.next_block() {
                self.failed = Some(error);
            }
        }
    }

    /// Why reading has failed, where it has.
    pub fn failure(&mut self) -> Option<BackupFileError> {
        self.failed.take()
    }

    /// Reads the next block, or the trailer.
    fn next_block(&mut self) -> Result<(), BackupFileError> {
        let at = self.offset;
        let mut head = [0; BLOCK_HEAD];
        self.fill(&mut head, "the end of the backup is missing")?;
        let (length, crc) = (u32_at(&head, 0) as usize, u32_at(&head, 4));
        if length == 0 {
            return self.trailer(at, crc);
        }
        let damaged = |what: &str| Err(BackupFileError::Damaged { offset: at, what: what.to_owned() });
        if length > BLOCK_BYTES {
            return damaged("the block is longer than any block");
        }
        if self.blocks > 0 && self.block.len() < BLOCK_BYTES {
            return damaged("a block comes after the last one");
        }
        let mut block = std::mem::take(&mut self.block);
        self.given = 0;
        block.resize(length, 0);
        self.fill(&mut block, &format!("the block that begins at byte {at} is not whole"))?;
        if crc != checksum(self.seed, self.blocks, head[..4].try_into().expect("4 bytes"), &block) {
            return damaged("the checksum of this block is another one");
        }
        self.state_crc.update(&block);
        self.state_bytes += block.len() as u64;
        self.blocks += 1;
        self.block = block;
        Ok(())
    }

    fn trailer(&mut self, at: u64, crc: u32) -> Result<(), BackupFileError> {
        let mut sums = [0; TRAILER_BYTES - BLOCK_HEAD];
        self.fill(&mut sums, "the end of the backup is not whole")?;
        let state_crc = self.state_crc.clone().finalize();
        let state_bytes = u64::from_le_bytes(sums[..8].try_into().expect("8 bytes"));
        let damaged = |offset, what: &str| Err(BackupFileError::Damaged { offset, what: what.to_owned() });
        if crc != checksum(self.seed, self.blocks, [0; 4], &sums) {
            return damaged(at, "the checksum of the end of the backup is another one");
        }
        if (state_bytes, u32_at(&sums, 8)) != (self.state_bytes, state_crc) {
            return damaged(at, "the state is not the one that was saved");
        }
        let end = self.offset;
        if read_up_to(&mut self.file, &mut [0]).map_err(BackupFileError::Io)? > 0 {
            return damaged(end, "the backup has ended, and more bytes follow");
        }
        self.summary = Some(Summary { file_bytes: end, state_bytes, state_crc });
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8], missing: &str) -> Result<(), BackupFileError> {
        let read = read_up_to(&mut self.file, buffer).map_err(BackupFileError::Io)?;
        self.offset += read as u64;
        if read == buffer.len() {
            return Ok(());
        }
        Err(BackupFileError::CutOff { offset: self.offset, what: missing.to_owned() })
    }
}

impl<R: Read> Read for Reader<R> {
    /// An error here is shown for people; [`Reader::failure`] says what it was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() && self.summary.is_none() {
            if self.failed.is_some() {
                return Err(io::Error::other("an earlier block was not whole"));
            }
            if let Err(error) = self.next_block() {
                let shown = io::Error::other(error.to_string());
                self.failed = Some(error);
                return Err(shown);
            }
        }
        let left = &self.block[self.given..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.given += count;
        Ok(count)
    }
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}
