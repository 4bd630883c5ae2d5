//! Whose folder it is, what is in it, and what goes away.

use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::{Identity, Opened, PersisterStorage, StorageError, Wal};
use traitwire_kv::services::raft::{Entry, Payload};

use super::disk::FaultyDisk;
use super::model::meta;
use super::{OPTIONS, Place, Run, opened};

fn refusal(result: Result<Opened, StorageError>) -> StorageError {
    result.err().expect("it should have been refused")
}

#[test]
fn a_folder_opens_for_its_owner_alone() {
    let disk = FaultyDisk::default();
    drop(opened(&Place::Wal(disk.clone())));
    let folder = tempfile::tempdir().unwrap();
    let persister = Place::Persister(folder);
    drop(opened(&persister));
    let Place::Persister(folder) = &persister else { unreachable!() };
    for (cluster, node) in [("test", 2), ("other", 1), ("", 0)] {
        let identity = Identity { cluster: cluster.to_owned(), node };
        for refused in [
            Wal::open(Arc::new(disk.clone()), identity.clone(), OPTIONS),
            PersisterStorage::open(folder.path(), identity.clone()),
        ] {
            let error = refusal(refused);
            assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains("node 1 of cluster `test`"), "{error}");
        }
    }
}

#[test]
fn a_folder_opens_once_at_a_time() {
    for place in Place::all() {
        if matches!(place, Place::Memory(_)) {
            continue;
        }
        let first = opened(&place);
        assert!(matches!(refusal(place.open()), StorageError::InUse { .. }));
        drop(first);
        opened(&place);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let disk = FaultyDisk::default();
    drop(opened(&Place::Wal(disk.clone())));
    let (name, mut bytes) = disk.files().into_iter().find(|(name, _)| name.starts_with("wal-")).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.put(&name, bytes);
    let error = refusal(Place::Wal(disk).open());
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("format 2"), "{error}");
}

/// CRC-32 (IEEE), bit by bit: the format is what the documentation says, and not what a library does.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A snapshot, or a compaction, says that there was a log and a snapshot.
#[test]
fn a_log_and_its_snapshot_belong_together() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    let entries = vec![Entry { term: 1, payload: Payload::Blank }; 5];
    run.append(&[Op::Append { first: 1, entries }]).unwrap();
    run.save(&meta(4, 1)).unwrap();
    run.append(&[Op::Compact { index: 3, term: 1 }]).unwrap();
    run.sync().unwrap();
    drop(run);
    for (gone, says) in [("wal-", "no log"), ("snapshot-", "no snapshot")] {
        let disk = disk.copy();
        let names: Vec<_> = disk.files().into_keys().filter(|name| name.starts_with(gone)).collect();
        assert!(!names.is_empty());
        names.iter().for_each(|name| drop(disk.take(name)));
        let error = refusal(Place::Wal(disk).open());
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// Segments are used again when their entries are compacted or replaced, and the folder stays small.
#[test]
fn old_segments_are_not_kept_for_ever() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    for round in 0..200_u64 {
        let entries = vec![Entry { term: 1, payload: Payload::Blank }; 20];
        let last = run.model().last_index();
        run.append(&[Op::Append { first: last + 1, entries }]).unwrap();
        run.sync().unwrap();
        if round % 3 == 0 {
            run.append(&[Op::Truncate(last + 11)]).unwrap();
        }
        if round % 5 == 4 {
            run.save(&meta(last, 1)).unwrap();
            run.append(&[Op::Compact { index: last - 10, term: 1 }]).unwrap();
        }
        run.sync().unwrap();
        assert!(disk.files().len() <= 5, "{:?}", disk.files().keys());
    }
    assert!(disk.files().keys().any(|name| name.contains("0000002")), "many segments were written");
    drop(run.storage);
    run.known.check(&opened(&Place::Wal(disk.clone())));
    // What was not begun when the process ended is not begun again.
    let before = disk.files().len();
    drop(opened(&Place::Wal(disk.clone())));
    assert_eq!(disk.files().len(), before);
}
