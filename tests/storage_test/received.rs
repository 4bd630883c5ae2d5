//! Snapshots that are received from a leader onto a disk that fills up or fails, and the end of the thread that writes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use traitwire::{RpcError, RpcResult};
use traitwire_kv::kv_raft::raft::core::{DiskSpace, Op, Options, Reply, Request};
use traitwire_kv::kv_raft::raft::storage::{Completed, Memory, Opened, Snapshots, Storage, StorageError};
use traitwire_kv::kv_raft::raft::{Ended, Raft, RaftError, Transport};
use traitwire_kv::services::raft::{Command, Membership, NodeId, SnapshotBytes, SnapshotMeta};

use super::disk::{FaultyDisk, Plan};
use super::model::meta;
use super::{Place, Run, opened, read_all};

const PIECE_BYTES: usize = 50_000;
const PIECES: usize = 3;

fn state() -> Vec<u8> {
    (0..PIECE_BYTES * PIECES).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Reads the whole state back, as the state machine does before a received snapshot takes the place of its state.
fn check(found: &mut dyn io::Read) -> io::Result<()> {
    let mut read = Vec::new();
    found.read_to_end(&mut read)?;
    if read == state() { Ok(()) } else { Err(io::Error::other("another state")) }
}

/// Receives a snapshot as a node does: the last piece is added, read back and checked before the log hears of it.
fn receive(run: &mut Run, snapshot: &SnapshotMeta) -> Result<Completed, StorageError> {
    let state = state();
    let mut pieces = state.chunks(PIECE_BYTES).enumerate();
    let last = pieces.next_back().unwrap().1;
    for (place, piece) in pieces {
        let (offset, data) = ((place * PIECE_BYTES) as u64, SnapshotBytes(piece.to_vec().into()));
        let piece = Op::SnapshotPiece { snapshot: snapshot.clone(), offset, data, last: false };
        run.storage.append(&[piece])?;
        run.storage.sync()?;
    }
    let offset = (PIECE_BYTES * (PIECES - 1)) as u64;
    run.storage.snapshots().complete(snapshot, offset, last, &check)
}

/// After a snapshot was not received: the log goes on, and what was there is there. Then it is received after all.
fn is_received_after_all(disk: &FaultyDisk, mut run: Run, snapshot: &SnapshotMeta) {
    assert_eq!(run.newest(), Some(meta(3, 1)));
    run.append(&[Op::Vote { term: 2, voted_for: Some(2) }]).unwrap();
    run.sync().unwrap();
    disk.plan(Plan::default());
    // The first call does not look.
    run.storage.space();
    assert_eq!(run.storage.space(), DiskSpace::Free);
    let received = receive(&mut run, snapshot).unwrap();
    assert!(matches!(received, Completed::Published), "{received:?}");
    drop(run);
    is_there(disk, snapshot);
}

fn is_there(disk: &FaultyDisk, snapshot: &SnapshotMeta) {
    let found = opened(&Place::Wal(disk.clone()));
    assert_eq!(found.storage.snapshots().newest().as_ref(), Some(snapshot));
    assert!(read_all(&*found.storage.snapshots(), snapshot) == state());
    assert!(disk.files().keys().all(|name| !name.ends_with(".tmp")), "{:?}", disk.files().keys());
}

fn begun() -> (FaultyDisk, Run) {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    run.save(&meta(3, 1)).unwrap();
    (disk, run)
}

#[test]
fn a_disk_that_fills_up_at_any_write_of_a_received_snapshot_costs_that_snapshot_alone() {
    let snapshot = meta(9, 1);
    let mut told = 0;
    for full_at in 0.. {
        let (disk, mut run) = begun();
        disk.plan(Plan { full_at: Some(disk.counts().operations + full_at), ..Plan::default() });
        match receive(&mut run, &snapshot) {
            Ok(Completed::Published) => {
                drop(run);
                is_there(&disk, &snapshot);
                break;
            }
            // An earlier piece has found no space.
            Ok(Completed::Incomplete) => {}
            Ok(other) => panic!("full at {full_at}: {other:?}"),
            Err(error) => assert!(error.is_full(), "full at {full_at}: {error}"),
        }
        told += 1;
        is_received_after_all(&disk, run, &snapshot);
    }
    assert!(told >= PIECES, "a full disk was told of {told} times");
}

/// Adding the last piece, reading the whole back, and giving it its name: each operation fails in turn.
#[test]
fn any_operation_of_completing_a_snapshot_can_fail() {
    let snapshot = meta(9, 1);
    let mut failed = 0;
    for fails in 1.. {
        let (disk, mut run) = begun();
        let state = state();
        let (first, last) = state.split_at(PIECE_BYTES * (PIECES - 1));
        let data = SnapshotBytes(first.to_vec().into());
        let piece = Op::SnapshotPiece { snapshot: snapshot.clone(), offset: 0, data, last: false };
        run.storage.append(&[piece]).unwrap();
        let fails_at = disk.counts().operations + fails;
        disk.plan(Plan { fails_at: Some(fails_at), ..Plan::default() });
        let completed = run.storage.snapshots().complete(&snapshot, first.len() as u64, last, &check);
        match completed {
            Ok(Completed::Published) if disk.counts().operations < fails_at => {
                drop(run);
                disk.plan(Plan::default());
                is_there(&disk, &snapshot);
                break;
            }
            Ok(Completed::Refused(_)) | Err(StorageError::Io { .. }) => {}
            other => panic!("{fails}: {other:?}"),
        }
        failed += 1;
        if run.newest() == Some(meta(3, 1)) {
            is_received_after_all(&disk, run, &snapshot);
        }
    }
    assert!(failed >= 6, "{failed} operations are too few");
}

/// Panics with the first write.
struct Panicking(Box<dyn Storage>);

impl Storage for Panicking {
    fn append(&mut self, _: &[Op]) -> Result<(), StorageError> {
        panic!("a write that cannot be understood");
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.sync()
    }

    fn idle(&mut self) -> Result<(), StorageError> {
        self.0.idle()
    }

    fn space(&mut self) -> DiskSpace {
        self.0.space()
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        self.0.snapshots()
    }
}

/// There is no other node.
struct Nobody;

#[traitwire::async_trait]
impl Transport for Nobody {
    async fn send(&self, _: NodeId, _: Request) -> RpcResult<Reply> {
        Err(RpcError::unavailable("there is no other node"))
    }
}

/// The node ends and says why, and nobody waits for it any more.
#[tokio::test]
async fn a_panic_of_the_thread_that_writes_ends_the_node() {
    const BOUND: Duration = Duration::from_secs(20);
    let Opened { storage, restored } = Memory::default().open();
    let opened = Opened { storage: Box::new(Panicking(storage)), restored };
    let (raft, _applies) =
        Raft::start("test", Options::new(1, Membership::of([1]), 7), opened, Arc::new(Nobody)).unwrap();
    let ended = tokio::time::timeout(BOUND, raft.ended()).await.expect("the node hangs");
    let Err(Ended::Disk(error)) = ended else { panic!("{ended:?}") };
    assert!(matches!(*error, StorageError::Panicked), "{error}");
    assert!(error.to_string().contains("the thread that writes to the disk has panicked"), "{error}");
    let command = Command::new(&7).unwrap();
    let proposed = tokio::time::timeout(BOUND, raft.propose(vec![command])).await;
    assert_eq!(proposed.expect("a caller hangs"), Err(RaftError::Stopped));
    let read = tokio::time::timeout(BOUND, raft.read_index()).await;
    assert_eq!(read.expect("a reader hangs"), Err(RaftError::Stopped));
}
