//! Snapshots: the newest one stays the newest one, whole, whoever saves and whoever receives.

use std::io;
use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::{Snapshots, StorageError};
use traitwire_kv::services::raft::SnapshotBytes;

use super::disk::{FaultyDisk, Plan};
use super::model::{meta, state_of};
use super::{Place, Run, opened, read_all};

/// Gives some bytes and then fails.
struct Failing(usize);

impl io::Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.min(buffer.len());
        self.0 -= bytes;
        if bytes == 0 { Err(io::Error::other("no more state")) } else { Ok(bytes) }
    }
}

#[test]
fn any_bytes_can_be_read_from_any_place() {
    for place in Place::all() {
        let run = Run::start(&place);
        let snapshots = run.storage.snapshots();
        assert!(snapshots.newest().is_none());
        for index in 1..20 {
            let meta = meta(index, 1);
            let state = state_of(&meta);
            snapshots.save(&meta, &mut state.as_slice()).unwrap();
            assert_eq!(snapshots.newest().as_ref(), Some(&meta));
            for (offset, bytes) in [(0, 1), (0, usize::MAX), (state.len() / 2, 70_000), (state.len(), 5)] {
                let (piece, last) = snapshots.read(&meta, offset as u64, bytes).unwrap().unwrap();
                let end = offset.saturating_add(bytes).min(state.len());
                assert!(piece.0 == state[offset..end], "{bytes} bytes from {offset} of {}", state.len());
                assert_eq!(last, end == state.len());
            }
        }
    }
}

#[test]
fn a_snapshot_is_never_replaced_by_an_older_one() {
    for place in Place::all() {
        let mut run = Run::start(&place);
        let snapshots = run.storage.snapshots();
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let snapshots = snapshots.clone();
                std::thread::spawn(move || save_some(&*snapshots, thread))
            })
            .collect();
        for index in (5..60).step_by(5) {
            let snapshot = meta(index, 1);
            let data = SnapshotBytes(state_of(&snapshot).into());
            run.storage.append(&[Op::SnapshotPiece { snapshot, offset: 0, data, last: true }]).unwrap();
            run.storage.sync().unwrap();
            assert!(snapshots.newest().unwrap().last_index >= index);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(snapshots.newest(), Some(meta(63, 1)));
        drop((run, snapshots));
        let found = opened(&place);
        assert_eq!(found.restored.snapshot, Some(meta(63, 1)));
        assert_eq!(read_all(&*found.storage.snapshots(), &meta(63, 1)), state_of(&meta(63, 1)));
    }
}

fn save_some(snapshots: &dyn Snapshots, thread: u64) {
    let mut seen = 0;
    for round in 0..16 {
        let meta = meta(round * 4 + thread, 1);
        snapshots.save(&meta, &mut state_of(&meta).as_slice()).unwrap();
        let newest = snapshots.newest().unwrap();
        assert!(newest.last_index >= meta.last_index.max(seen));
        seen = newest.last_index;
        // Another one may have taken its place between the two calls.
        if let Some((bytes, _)) = snapshots.read(&newest, 0, 1_000).unwrap() {
            assert!(state_of(&newest).starts_with(&bytes.0));
        }
    }
}

#[test]
fn a_failed_save_leaves_the_one_before() {
    for place in Place::all() {
        let mut run = Run::start(&place);
        run.save(&meta(3, 1)).unwrap();
        let failed = run.storage.snapshots().save(&meta(4, 1), &mut Failing(100_000));
        assert!(matches!(failed, Err(StorageError::Io { .. })), "{failed:?}");
        assert_eq!(run.newest(), Some(meta(3, 1)));
        run.storage.sync().unwrap();
        run.save(&meta(5, 1)).unwrap();
        drop(run);
        assert_eq!(opened(&place).restored.snapshot, Some(meta(5, 1)));
    }
}

/// Each operation of a save fails in turn: the log goes on, and a restart finds one of the two snapshots.
#[test]
fn any_operation_of_a_save_can_fail() {
    for fails in 1.. {
        let disk = FaultyDisk::default();
        let place = Place::Wal(disk.clone());
        let mut run = Run::start(&place);
        run.save(&meta(3, 1)).unwrap();
        disk.plan(Plan { fails_at: Some(disk.counts().operations + fails), ..Plan::default() });
        let result = run.save(&meta(4, 1));
        let newest = run.newest().unwrap();
        assert_eq!(read_all(&*run.storage.snapshots(), &newest), state_of(&newest));
        run.storage.sync().unwrap();
        if result.is_ok() {
            assert_eq!(newest, meta(4, 1));
            assert!(fails > 8, "{fails} operations are too few for a save");
            break;
        }
        drop(run);
        disk.lose_power(&mut fastrand::Rng::with_seed(fails));
        let found = opened(&place);
        let newest = found.restored.snapshot.unwrap();
        assert!(newest == meta(3, 1) || newest == meta(4, 1));
        assert_eq!(read_all(&*found.storage.snapshots(), &newest), state_of(&newest));
    }
}

/// What was received of a snapshot goes with the process.
#[test]
fn a_restart_forgets_pieces() {
    let disk = FaultyDisk::default();
    for place in [Place::Wal(disk.clone()), Place::Memory(super::Memory::default())] {
        let data = SnapshotBytes(vec![1; 10].into());
        let piece =
            |offset, last| Op::SnapshotPiece { snapshot: meta(3, 1), offset, data: data.clone(), last };
        let mut run = Run::start(&place);
        run.storage.append(&[piece(0, false)]).unwrap();
        run.storage.sync().unwrap();
        drop(run);
        let mut run = Run::start(&place);
        run.storage.append(&[piece(10, true)]).unwrap();
        run.storage.sync().unwrap();
        assert_eq!(run.newest(), None);
    }
    assert!(disk.files().keys().all(|name| !name.ends_with(".tmp")), "{:?}", disk.files().keys());
}

/// A piece that does not continue what was received is ignored, and what was received is gone.
#[test]
fn pieces_must_follow_each_other() {
    for place in Place::all() {
        let mut run = Run::start(&place);
        let data = SnapshotBytes(vec![1; 10].into());
        let piece = |index, offset, last| Op::SnapshotPiece {
            snapshot: meta(index, 1),
            offset,
            data: data.clone(),
            last,
        };
        for pieces in [
            [piece(3, 0, false), piece(3, 5, true)],
            [piece(3, 0, false), piece(3, 20, true)],
            [piece(3, 0, false), piece(4, 10, true)],
            [piece(3, 10, false), piece(3, 20, true)],
        ] {
            run.storage.append(&pieces).unwrap();
            run.storage.sync().unwrap();
            assert_eq!(run.newest(), None, "{pieces:?}");
        }
        run.storage.append(&[piece(3, 0, false), piece(3, 0, false), piece(3, 10, true)]).unwrap();
        run.storage.sync().unwrap();
        assert_eq!(read_all(&*run.storage.snapshots(), &meta(3, 1)), [1; 20]);
    }
}

/// A bit of every part of the file: it does not open, or does not give the piece with the bit.
#[test]
fn a_damaged_snapshot_is_never_read() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    let meta = (1..).map(|index| meta(index, 1)).find(|meta| state_of(meta).len() > 140_000).unwrap();
    run.save(&meta).unwrap();
    drop(run);
    let (name, bytes) = disk.files().into_iter().find(|(name, _)| name.starts_with("snapshot-")).unwrap();
    for place in (0..200).chain((200..bytes.len()).step_by(997)).chain([bytes.len() - 1]) {
        let disk = disk.copy();
        let mut broken = bytes.clone();
        broken[place] ^= 1 << (place % 8);
        disk.put(&name, broken);
        match Place::Wal(disk).open() {
            Err(StorageError::Damaged { .. }) => {}
            Err(error) => panic!("byte {place}: {error}"),
            Ok(found) => {
                let result = found.storage.snapshots().read(&meta, 0, usize::MAX);
                assert!(matches!(result, Err(StorageError::Damaged { .. })), "byte {place}");
            }
        }
    }
    let shared: Arc<dyn Snapshots> = opened(&Place::Wal(disk)).storage.snapshots();
    assert_eq!(read_all(&*shared, &meta), state_of(&meta));
}
