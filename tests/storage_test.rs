//! One suite for all that keeps a Raft node's log: random work against a model, restarts and losses of power at any point,
//! torn tails, flipped bits, failing operations and full disks.
#![allow(clippy::unwrap_used)]

#[path = "storage_test/damage.rs"]
mod damage;
#[path = "storage_test/disk.rs"]
mod disk;
#[path = "storage_test/faults.rs"]
mod faults;
#[path = "storage_test/folders.rs"]
mod folders;
#[path = "storage_test/identity.rs"]
mod identity;
#[path = "storage_test/model.rs"]
mod model;
#[path = "storage_test/received.rs"]
mod received;
#[path = "storage_test/recycled.rs"]
mod recycled;
#[path = "storage_test/snapshots.rs"]
mod snapshots;

use std::sync::Arc;

use disk::FaultyDisk;
use model::{Model, Work, state_of, work};
use tempfile::TempDir;
use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{
    Disk, Identity, Memory, Opened, PersisterStorage, RealDisk, Snapshots, Storage, StorageError, Wal,
};
use traitwire_kv::services::raft::SnapshotMeta;

/// Small, so that a short test goes through many segments.
const OPTIONS: WalOptions = WalOptions { segment_bytes: 4_096 };

fn identity() -> Identity {
    Identity { cluster: "test".to_owned(), node: 1 }
}

/// A place to keep a log in, of each kind.
enum Place {
    Wal(FaultyDisk),
    RealWal(TempDir),
    Persister(TempDir),
    Memory(Memory),
}

impl Place {
    fn all() -> [Self; 4] {
        [
            Self::Wal(FaultyDisk::default()),
            Self::RealWal(tempfile::tempdir().unwrap()),
            Self::Persister(tempfile::tempdir().unwrap()),
            Self::Memory(Memory::default()),
        ]
    }

    fn open(&self) -> Result<Opened, StorageError> {
        match self {
            Self::Wal(disk) => Wal::open(Arc::new(disk.clone()), identity(), OPTIONS),
            Self::RealWal(folder) => {
                let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).unwrap());
                Wal::open(disk, identity(), OPTIONS)
            }
            Self::Persister(folder) => PersisterStorage::open(folder.path(), identity()),
            Self::Memory(memory) => Ok(memory.open()),
        }
    }
}

/// A storage under work, and what is known of it.
struct Run {
    storage: Box<dyn Storage>,
    known: Known,
}

/// What the stream was told.
struct Known {
    /// The states that it went through since the storage was opened.
    history: Vec<Model>,
    /// The place in `history` that is certain to be on the disk.
    synced: usize,
    /// The snapshots that were received whole, each with the place in `history` that it came after.
    received: Vec<(usize, SnapshotMeta)>,
}

impl Run {
    fn start(place: &Place) -> Self {
        Self::of(opened(place))
    }

    fn of(opened: Opened) -> Self {
        let history = vec![Model::of(&opened.restored)];
        Self { storage: opened.storage, known: Known { history, synced: 0, received: Vec::new() } }
    }

    /// Ends as a process does that is killed.
    fn kill(self) -> Known {
        self.known
    }

    fn model(&self) -> &Model {
        self.known.history.last().unwrap()
    }

    fn newest(&self) -> Option<SnapshotMeta> {
        self.storage.snapshots().newest()
    }

    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError> {
        for op in ops {
            // Only an entry is sure to be on the disk as a whole.
            if let Op::Append { first, entries } = op {
                for (index, entry) in (*first..).zip(entries) {
                    self.known.follow(&Op::Append { first: index, entries: vec![entry.clone()] });
                }
            } else {
                self.known.follow(op);
            }
        }
        self.storage.append(ops)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let result = self.storage.sync();
        if result.is_ok() {
            self.known.synced = self.known.history.len() - 1;
        }
        result
    }

    fn save(&mut self, meta: &SnapshotMeta) -> Result<(), StorageError> {
        self.storage.snapshots().save(meta, &mut state_of(meta).as_slice())
    }

    /// Does some work; a restart is not for here.
    fn perform(&mut self, work: &Work) -> Result<(), StorageError> {
        match work {
            Work::Append(ops) => self.append(ops),
            Work::Save(meta) => self.save(meta),
            Work::Sync | Work::Restart => self.sync(),
            Work::Idle => {
                self.sync()?;
                self.storage.idle()
            }
        }
    }
}

impl Known {
    fn follow(&mut self, op: &Op) {
        if let Op::SnapshotPiece { snapshot, last: true, .. } = op {
            self.received.push((self.history.len() - 1, snapshot.clone()));
        }
        let mut model = self.history.last().unwrap().clone();
        model.apply(op);
        self.history.push(model);
    }

    /// That a restart has found what it must: a state between what was synced and what was asked for, and a snapshot whose
    /// bytes are right.
    fn check(&self, opened: &Opened) {
        let found = &opened.restored;
        let snapshots = opened.storage.snapshots();
        assert_eq!(snapshots.newest(), found.snapshot);
        if let Some(meta) = &found.snapshot {
            assert_eq!(read_all(&*snapshots, meta), state_of(meta), "the bytes of snapshot {meta:?}");
        }
        let snapshot = found.snapshot.as_ref();
        // What came before a received snapshot in the stream is there if the snapshot is.
        let received =
            self.received.iter().filter(|(_, meta)| Some(meta) == snapshot).map(|(place, _)| *place);
        let certain = received.max().unwrap_or(0).max(self.synced);
        let possible = &self.history[certain..];
        assert!(
            possible.iter().any(|model| model.restored(snapshot) == *found),
            "found {}, with snapshot {snapshot:?}, which is none of {:#?}",
            Model::of(found),
            possible.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    }
}

/// All bytes of a snapshot, in pieces.
fn read_all(snapshots: &dyn Snapshots, meta: &SnapshotMeta) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let (piece, last) = snapshots.read(meta, bytes.len() as u64, 40_000).unwrap().unwrap();
        bytes.extend(&piece.0);
        if last {
            return bytes;
        }
    }
}

fn opened(place: &Place) -> Opened {
    place.open().unwrap_or_else(|error| panic!("{error}"))
}

/// Random work in which nothing fails, ended by restarts, before each of which `crash` is called.
fn work_and_restart(place: &Place, seed: u64, steps: usize, crash: &dyn Fn(&mut fastrand::Rng)) {
    let mut lot = fastrand::Rng::with_seed(seed);
    let mut run = Run::start(place);
    for _ in 0..steps {
        let newest = run.newest();
        match work(run.model(), newest.as_ref(), &mut lot) {
            Work::Restart => {
                let known = run.kill();
                crash(&mut lot);
                let found = opened(place);
                assert_eq!(found.restored.snapshot, newest, "seed {seed}");
                known.check(&found);
                run = Run::of(found);
            }
            work => run.perform(&work).unwrap(),
        }
    }
}

#[test]
fn every_storage_remembers_what_was_synced() {
    for seed in 0..30 {
        for place in Place::all() {
            // A real disk takes its time, and has no more to say.
            let is_real = matches!(place, Place::RealWal(_) | Place::Persister(_));
            if !is_real || seed < 3 {
                work_and_restart(&place, seed, 60, &|_| ());
            }
        }
    }
}
