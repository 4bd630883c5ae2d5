//! One file with a snapshot: written in order, read from anywhere, and every byte of it checked.
//!
//! Integers are little-endian, checksums are CRC-32 (IEEE).
//!
//! | header | bytes | |
//! |---|---|---|
//! | 0 | 8 | `TWSNAP`, CR, LF |
//! | 8 | 4 | version of the format, 1; this and the next field stay in all versions |
//! | 12 | 4 | checksum of the bytes before |
//! | 16 | 4 | length of the header |
//! | 20 | 4 | checksum of the header without this field |
//! | 24 | 8 | bytes of the state |
//! | 32 | | which snapshot it is, as JSON |
//!
//! After it come blocks of 64 KiB of the state, the last one shorter, each followed by the checksum of the JSON text, the
//! number of the block (8 bytes, from 0) and the block. The header is written last, so that a file with a header is whole.

use std::path::PathBuf;

use super::{Disk, DiskFile, StorageError};
use crate::services::raft::SnapshotMeta;

const MAGIC: [u8; 8] = *b"TWSNAP\r\n";
const VERSION: u32 = 1;
const HEADER_FIXED: usize = 32;
/// How long a header may be: that of a cluster of tens of thousands of nodes.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// The bytes of the state in a block.
const BLOCK_BYTES: usize = 64 << 10;
/// The bytes of a block's checksum.
const CRC_BYTES: usize = 4;
/// So many bytes are synced together, so that the last sync of a large snapshot does not hold up the log behind it.
const UNSYNCED_MAX: usize = 4 << 20;

const ADVICE: &str = "Bring back the bytes that were written here, or leave this node out: the cluster goes on while most \
    of its nodes do. Without its snapshot the log is not the whole state";

/// Where the blocks of a file are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    header_bytes: usize,
    /// The checksum of the JSON text, which each block's checksum continues.
    seed: u32,
}

impl Layout {
    fn new(json: &[u8]) -> Self {
        Self { header_bytes: HEADER_FIXED + json.len(), seed: crc32fast::hash(json) }
    }

    fn offset(&self, block: u64) -> u64 {
        self.header_bytes as u64 + block * (BLOCK_BYTES + CRC_BYTES) as u64
    }

    fn crc(&self, block: u64, bytes: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new_with_initial(self.seed);
        crc.update(&block.to_le_bytes());
        crc.update(bytes);
        crc.finalize()
    }
}

/// A snapshot that is being written, under a temporary name.
pub(super) struct Writer {
    pub(super) name: String,
    pub(super) meta: SnapshotMeta,
    path: PathBuf,
    json: Vec<u8>,
    layout: Layout,
    file: Box<dyn DiskFile>,
    /// The bytes of the block that is not full yet.
    block: Vec<u8>,
    blocks: u64,
    unsynced: usize,
}

impl Writer {
    pub(super) fn create(disk: &dyn Disk, name: String, meta: &SnapshotMeta) -> Result<Self, StorageError> {
        let json = serde_json::to_vec(meta).expect("numbers and lists of them have a JSON form");
        let file = disk.create(&name).map_err(StorageError::io(disk, &name))?;
        Ok(Self {
            path: disk.path(&name),
            name,
            meta: meta.clone(),
            layout: Layout::new(&json),
            json,
            file,
            block: Vec::with_capacity(BLOCK_BYTES + CRC_BYTES),
            blocks: 0,
            unsynced: 0,
        })
    }

    /// How many bytes of the state it has.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks * BLOCK_BYTES as u64 + self.block.len() as u64
    }

    /// Adds to the state.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend(now);
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
                self.blocks += 1;
            }
            bytes = later;
        }
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), StorageError> {
        let crc = self.layout.crc(self.blocks, &self.block);
        self.block.extend(crc.to_le_bytes());
        self.unsynced += self.block.len();
        let mut write = || {
            self.file.write_at(&self.block, self.layout.offset(self.blocks))?;
            if self.unsynced >= UNSYNCED_MAX {
                self.file.sync()?;
                self.unsynced = 0;
            }
            Ok(())
        };
        write().map_err(|error| StorageError::Io { path: self.path.clone(), error })?;
        self.block.clear();
        Ok(())
    }

    /// Makes it whole and durable, but for its name.
    pub(super) fn finish(&mut self) -> Result<(), StorageError> {
        let state_bytes = self.bytes();
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let header = header(state_bytes, &self.json);
        let write = || {
            self.file.write_at(&header, 0)?;
            self.file.sync()
        };
        write().map_err(|error| StorageError::Io { path: self.path.clone(), error })
    }
}

fn header(state_bytes: u64, json: &[u8]) -> Vec<u8> {
    let bytes = HEADER_FIXED + json.len();
    let mut out = Vec::with_capacity(bytes);
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out.extend(u32::try_from(bytes).expect("a description of a snapshot is far below 4 GiB").to_le_bytes());
    out.extend([0; 4]);
    out.extend(state_bytes.to_le_bytes());
    out.extend(json);
    let crc = header_crc(&out);
    out[20..24].copy_from_slice(&crc.to_le_bytes());
    out
}

fn header_crc(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..20]);
    crc.update(&header[24..]);
    crc.finalize()
}

/// A snapshot that is whole.
pub(super) struct Reader {
    pub(super) meta: SnapshotMeta,
    path: PathBuf,
    layout: Layout,
    file: Box<dyn DiskFile>,
    state_bytes: u64,
}

impl Reader {
    pub(super) fn open(disk: &dyn Disk, name: &str) -> Result<Self, StorageError> {
        let path = disk.path(name);
        let file = disk.open(name).map_err(StorageError::io(disk, name))?;
        let no_header = || damaged(&path, 0, "the header is not whole");
        let mut fixed = [0; HEADER_FIXED];
        let read = |buffer: &mut [u8]| match file.read_at(buffer, 0) {
            Ok(bytes) if bytes == buffer.len() => Ok(()),
            Ok(_) => Err(no_header()),
            Err(error) => Err(StorageError::Io { path: path.clone(), error }),
        };
        read(&mut fixed)?;
        let u32_at = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
        };
        if fixed[..8] != MAGIC || u32_at(&fixed, 12) != crc32fast::hash(&fixed[..12]) {
            return Err(no_header());
        }
        if u32_at(&fixed, 8) != VERSION {
            let what = format!("written in format {}, which this version does not know", u32_at(&fixed, 8));
            return Err(StorageError::Foreign { path, what });
        }
        let file_bytes = file.bytes().map_err(StorageError::io(disk, name))?;
        let header_bytes = u32_at(&fixed, 16) as usize;
        if !(HEADER_FIXED..=HEADER_BYTES_MAX).contains(&header_bytes) || header_bytes as u64 > file_bytes {
            return Err(no_header());
        }
        let mut header = vec![0; header_bytes];
        read(&mut header)?;
        if u32_at(&header, 20) != header_crc(&header) {
            return Err(no_header());
        }
        let json = &header[HEADER_FIXED..];
        let meta = serde_json::from_slice(json).map_err(|_| no_header())?;
        let state_bytes = u64::from_le_bytes(header[24..32].try_into().expect("the slice has 8 bytes"));
        Ok(Self { meta, path, layout: Layout::new(json), file, state_bytes })
    }

    /// At most so many bytes of the state from a place on, and whether they are the last ones.
    pub(super) fn read(&self, offset: u64, bytes_max: usize) -> Result<(Vec<u8>, bool), StorageError> {
        let begin = offset.min(self.state_bytes);
        let end = begin.saturating_add(bytes_max as u64).min(self.state_bytes);
        let block_bytes = BLOCK_BYTES as u64;
        let mut out = Vec::new();
        for block in begin / block_bytes..end.div_ceil(block_bytes) {
            let block_begin = block * block_bytes;
            let bytes = self.read_block(block, block_bytes.min(self.state_bytes - block_begin))?;
            let from = begin.saturating_sub(block_begin);
            let to = (end - block_begin).min(bytes.len() as u64);
            let within = |place| usize::try_from(place).expect("a place in a block is below 64 KiB");
            out.extend(&bytes[within(from)..within(to)]);
        }
        Ok((out, end == self.state_bytes))
    }

    fn read_block(&self, block: u64, bytes: u64) -> Result<Vec<u8>, StorageError> {
        let bytes = usize::try_from(bytes).expect("a block is at most 64 KiB");
        let offset = self.layout.offset(block);
        let mut buffer = vec![0; bytes + CRC_BYTES];
        let read = self.file.read_at(&mut buffer, offset);
        let read = read.map_err(|error| StorageError::Io { path: self.path.clone(), error })?;
        let crc = buffer.split_off(bytes);
        if read < bytes + CRC_BYTES || crc != self.layout.crc(block, &buffer).to_le_bytes() {
            return Err(damaged(&self.path, offset, "the checksum of this block is another one"));
        }
        Ok(buffer)
    }
}

fn damaged(path: &std::path::Path, offset: u64, what: &str) -> StorageError {
    StorageError::Damaged { path: path.to_owned(), offset, what: what.to_owned(), advice: ADVICE }
}
