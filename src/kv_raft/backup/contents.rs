//! What is in the file of a backup or of a snapshot.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::file::{self, BackupFileError};
use super::reader::Reader;
use crate::kv_raft::machine::KvMachine;
use crate::kv_raft::raft::storage::{SnapshotView, StorageError};
use crate::kv_raft::rsm;
use crate::services::backup::BackupHeader;
use crate::services::raft::SnapshotMeta;

/// What a file is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A backup.
    Backup(BackupHeader),
    /// A snapshot of a node.
    Snapshot(SnapshotMeta),
}

/// What is in the file of a backup or of a snapshot, all of which was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What the file is.
    pub kind: Kind,
    /// The bytes of the state.
    pub state_bytes: u64,
    /// How many keys it has.
    pub keys: u64,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// It is neither a backup nor a snapshot.
    #[error("neither a backup nor a snapshot: it does not begin with the signature of either")]
    NeitherKind,
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// As a backup.
    #[error(transparent)]
    Backup(BackupFileError),
    /// As a snapshot.
    #[error(transparent)]
    Snapshot(StorageError),
    /// All checksums are right, and the state is not that of a key-value store.
    #[error("its checksums are right, but its state cannot be understood: {0}")]
    State(io::Error),
}

impl Contents {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// See [`ContentsError`].
    pub fn read(path: &Path) -> Result<Self, ContentsError> {
        let file = File::open(path).map_err(ContentsError::Io)?;
        if !file.metadata().map_err(ContentsError::Io)?.is_file() {
            return Err(ContentsError::Io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let mut magic = Vec::new();
        (&file).take(file::MAGIC.len() as u64).read_to_end(&mut magic).map_err(ContentsError::Io)?;
        if magic.starts_with(b"TWSNAP") {
            let mut view = SnapshotView::open(path).map_err(ContentsError::Snapshot)?;
            let keys = count(&mut view);
            if let Some(error) = view.failure() {
                return Err(ContentsError::Snapshot(error));
            }
            let (kind, keys) = (Kind::Snapshot(view.meta().clone()), keys.map_err(ContentsError::State)?);
            return Ok(Self { kind, state_bytes: view.offset(), keys });
        }
        if magic.is_empty() || !file::MAGIC.starts_with(&magic) {
            return Err(ContentsError::NeitherKind);
        }
        let whole = io::Cursor::new(magic).chain(io::BufReader::new(file));
        let mut reader = Reader::open(whole).map_err(ContentsError::Backup)?;
        let keys = count(&mut reader);
        let kind = Kind::Backup(reader.header().clone());
        let summary = reader.finish().map_err(ContentsError::Backup)?;
        Ok(Self { kind, state_bytes: summary.state_bytes, keys: keys.map_err(ContentsError::State)? })
    }
}

/// Counts the keys of a state, and reads it to its end in any case.
fn count(mut state: &mut dyn Read) -> io::Result<u64> {
    let counted = rsm::skip_head(&mut state).and_then(|()| KvMachine::count_keys(&mut state));
    io::copy(&mut state, &mut io::sink())?;
    counted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::file::Writer;
    use super::*;
    use crate::services::raft::Membership;

    /// A backup whose checksums are right, of any bytes.
    fn read(state: &[u8]) -> Result<Contents, ContentsError> {
        let membership = Membership::of([1]);
        let header =
            BackupHeader { cluster: "c".into(), revision: 7, term: 2, membership, node: 1, time_ms: 5 };
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(&file, &header).unwrap();
        writer.write(state).unwrap();
        writer.finish().unwrap();
        Contents::read(file.path())
    }

    fn state(head: &str, keys: &str) -> Vec<u8> {
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), keys.as_bytes()].concat()
    }

    fn good_head() -> String {
        let mut state = Vec::new();
        let replay = rsm::replay(KvMachine::default(), &Default::default(), &no_snapshots());
        replay.unwrap_or_else(|error| panic!("{error}")).read_to_end(&mut state).unwrap();
        String::from_utf8(state.split_off(8)).unwrap()
    }

    fn no_snapshots() -> std::sync::Arc<dyn crate::kv_raft::raft::storage::Snapshots> {
        std::sync::Arc::new(crate::kv_raft::raft::storage::Memory::default())
    }

    #[test]
    fn keys_are_counted_and_what_is_not_a_state_is_refused_within_bounds() {
        let head = good_head();
        let keys = "[\"a\",\"1\",1]\n[\"b\",\"\",9]\n";
        let contents = read(&state(&head, keys)).unwrap();
        assert_eq!((contents.keys, contents.state_bytes), (2, (8 + head.len() + keys.len()) as u64));
        assert!(matches!(contents.kind, Kind::Backup(header) if header.revision == 7));
        let longest = format!("[\"{}\",\"\",1]\n", "k".repeat(4 << 20));
        for bad in [
            Vec::new(),
            b"short".to_vec(),
            [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
            [&(1_u64 << 20).to_le_bytes()[..], b"{}"].concat(),
            state("{}", ""),
            state(&"[".repeat(10_000), ""),
            state(&head, "[\"a\",\"1\"]\n"),
            state(&head, "[\"a\",\"1\",-1]\n"),
            state(&head, &"[".repeat(10_000)),
            state(&head, "\n"),
            state(&head, &longest),
        ] {
            let result = read(&bad);
            assert!(matches!(result, Err(ContentsError::State(_))), "{} bytes: {result:?}", bad.len());
        }
    }

    #[test]
    fn files_of_other_kinds_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Contents::read(folder.path()), Err(ContentsError::Io(_))));
        assert!(matches!(Contents::read(&folder.path().join("none")), Err(ContentsError::Io(_))));
        let file = folder.path().join("file");
        for bytes in [&b""[..], b"T", b"TWLOG\0\r\n", b"other bytes than those of a backup"] {
            std::fs::write(&file, bytes).unwrap();
            let refused = Contents::read(&file).unwrap_err();
            let is_cut_off =
                matches!(refused, ContentsError::Backup(BackupFileError::CutOff { offset: 1, .. }));
            assert!(
                matches!(refused, ContentsError::NeitherKind) || bytes == b"T" && is_cut_off,
                "{refused}"
            );
        }
        std::fs::write(&file, b"TWSNAP\r\nnot a whole header").unwrap();
        assert!(matches!(Contents::read(&file), Err(ContentsError::Snapshot(StorageError::Damaged { .. }))));
    }
}
