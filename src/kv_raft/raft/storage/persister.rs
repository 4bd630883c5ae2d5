//! A storage over a [`Persister`]: one file with everything, written whole at each sync.
//!
//! The file is `state.json`: `{"format":1,"crc32":N,"state":{…}}`, with the CRC-32 (IEEE) of the text of `state`. Snapshots
//! are files beside it, as those of the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use traitwire::Persister;

use super::super::core::{DiskSpace, Op};
use super::log_state::{LogState, Tip};
use super::snapshots::SnapshotFiles;
use super::{Disk, DiskLock, Identity, Opened, RealDisk, Snapshots, Storage, StorageError, lock};
use crate::services::raft::{Entry, Index, NodeId, Term};

const FILE_NAME: &str = "state.json";
const FORMAT: u32 = 1;
const ADVICE: &str = "Bring back the file as it was written, or leave this node out: the cluster goes on while most of its \
    nodes do. An older copy of the file may break what this node has promised to the others";

/// A storage that is simple to see through, for logs that stay short: a sync costs what the whole log costs.
pub struct PersisterStorage {
    persister: Persister,
    disk: Arc<RealDisk>,
    identity: Identity,
    log: LogState,
    /// Whether `log` is ahead of the file.
    unsaved: bool,
    snapshots: Arc<SnapshotFiles>,
    /// A snapshot has found no space, and nobody has been told.
    ran_out: bool,
    poisoned: bool,
    _lock: DiskLock,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    crc32: u32,
    state: Box<RawValue>,
}

/// What is saved. It borrows nothing when it is read.
#[derive(Serialize, Deserialize)]
struct Saved {
    cluster: String,
    node: NodeId,
    term: Term,
    voted_for: Option<NodeId>,
    base_index: Index,
    base_term: Term,
    entries: Vec<Entry>,
}

impl PersisterStorage {
    /// Opens the state in a folder, or begins one in a folder without.
    ///
    /// # Errors
    /// - [`StorageError::InUse`] when another process has it open.
    /// - [`StorageError::Foreign`] when it belongs to another identity, or is of a newer format.
    /// - [`StorageError::Damaged`] when the file is not as it was written.
    /// - [`StorageError::Io`] when the disk fails.
    pub fn open(folder: &Path, identity: Identity) -> Result<Opened, StorageError> {
        let disk = RealDisk::new(folder).map_err(|error| StorageError::Io { path: folder.into(), error })?;
        let disk = Arc::new(disk);
        let guard = lock(&*disk)?;
        // Refuses what is not a file before anything of it is read.
        disk.list().map_err(StorageError::io(&*disk, ""))?;
        let persister = Persister::new(disk.path(FILE_NAME));
        let found = read(&*disk, &persister, &identity)?;
        let snapshots = SnapshotFiles::open(disk.clone())?;
        let newest = snapshots.newest_meta();
        let damaged = |what: String| damaged(&*disk, 0, what);
        if found.is_none() && newest.is_some() {
            return Err(damaged("there is a snapshot, and no state".to_owned()));
        }
        let mut log = found.unwrap_or_default();
        log.reconcile(newest.as_ref()).map_err(|index| {
            damaged(format!("the entries up to {index} are compacted, and no snapshot has them"))
        })?;
        let mut storage = Self {
            persister,
            disk,
            identity,
            log,
            // Also what was read is saved once more: its last sync may have failed.
            unsaved: true,
            snapshots,
            ran_out: false,
            poisoned: false,
            _lock: guard,
        };
        storage.save()?;
        let restored = storage.log.clone().restored(newest);
        Ok(Opened { storage: Box::new(storage), restored })
    }

    /// Does something, unless something has failed before.
    fn guarded(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.poisoned {
            return Err(StorageError::Poisoned { path: self.disk.path("") });
        }
        let result = action(self);
        self.poisoned = result.is_err();
        result
    }

    fn add(&mut self, op: &Op) -> Result<(), StorageError> {
        match op {
            Op::SnapshotPiece { .. } => return self.receive(op),
            Op::Install { snapshot, .. } => self.snapshots.require(snapshot)?,
            Op::Vote { .. } | Op::Truncate(_) | Op::Append { .. } | Op::Compact { .. } => {}
        }
        if let Err(what) = self.log.apply(op.clone()) {
            panic!("the log was given what cannot follow: {what}");
        }
        self.unsaved = true;
        Ok(())
    }

    /// Keeps a piece of a snapshot. If the disk is full the snapshot is given up: it can be sent again.
    fn receive(&mut self, piece: &Op) -> Result<(), StorageError> {
        // The last piece makes the snapshot durable; what came before it in the stream must be so by then.
        if matches!(piece, Op::SnapshotPiece { last: true, .. }) {
            self.save()?;
        }
        match self.snapshots.receive(piece) {
            Err(error) if error.is_full() => {
                self.ran_out = true;
                Ok(())
            }
            other => other,
        }
    }

    fn save(&mut self) -> Result<(), StorageError> {
        if !self.unsaved {
            return Ok(());
        }
        let tip = &self.log.tip;
        let saved = Saved {
            cluster: self.identity.cluster.clone(),
            node: self.identity.node,
            term: tip.term,
            voted_for: tip.voted_for,
            base_index: tip.base_index,
            base_term: tip.base_term,
            entries: self.log.entries().cloned().collect(),
        };
        let text = encode(&saved);
        self.persister.try_save(&text).map_err(StorageError::io(&*self.disk, FILE_NAME))?;
        self.unsaved = false;
        Ok(())
    }
}

impl Storage for PersisterStorage {
    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError> {
        self.guarded(|storage| ops.iter().try_for_each(|op| storage.add(op)))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.guarded(Self::save)
    }

    fn idle(&mut self) -> Result<(), StorageError> {
        self.sync()
    }

    /// Only a snapshot that found no space is told of. There is no reserve here: a sync that finds none is an error.
    fn space(&mut self) -> DiskSpace {
        if std::mem::take(&mut self.ran_out) { DiskSpace::Full } else { DiskSpace::Free }
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        self.snapshots.clone()
    }
}

fn encode(saved: &Saved) -> String {
    let text = |result: serde_json::Result<_>| result.expect("numbers, texts and commands have a JSON form");
    let state = serde_json::value::to_raw_value(saved).expect("numbers, texts and commands have a JSON form");
    let crc32 = crc32fast::hash(state.get().as_bytes());
    text(serde_json::to_string(&Envelope { format: FORMAT, crc32, state }))
}

/// The state in a folder, if it has one.
fn read(
    disk: &dyn Disk,
    persister: &Persister,
    identity: &Identity,
) -> Result<Option<LogState>, StorageError> {
    let text = match persister.try_read() {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged(disk, 0, error.to_string()));
        }
        Err(error) => return Err(StorageError::io(disk, FILE_NAME)(error)),
    };
    if text.is_empty() {
        // The persister reads no file and an empty one alike, and writes no empty one.
        let names = disk.list().map_err(StorageError::io(disk, ""))?;
        let exists = names.iter().any(|name| name == FILE_NAME);
        return if exists { Err(damaged(disk, 0, "the file is empty".to_owned())) } else { Ok(None) };
    }
    let no_json = |error: serde_json::Error| damaged(disk, place(&text, &error), error.to_string());
    let Envelope { format, crc32, state } = serde_json::from_str(&text).map_err(no_json)?;
    let foreign = |what| Err(StorageError::Foreign { path: disk.path(FILE_NAME), what });
    if crc32 != crc32fast::hash(state.get().as_bytes()) {
        return Err(damaged(disk, 0, "the checksum is another one".to_owned()));
    }
    if format != FORMAT {
        return foreign(format!("written in format {format}, which this version does not know"));
    }
    let saved: Saved = serde_json::from_str(state.get()).map_err(no_json)?;
    if (saved.node, &saved.cluster) != (identity.node, &identity.cluster) {
        return foreign(format!(
            "belongs to node {} of cluster `{}`, not to node {} of cluster `{}`",
            saved.node, saved.cluster, identity.node, identity.cluster
        ));
    }
    let tip = Tip {
        term: saved.term,
        voted_for: saved.voted_for,
        base_index: saved.base_index,
        base_term: saved.base_term,
        last_index: saved.base_index,
    };
    let mut log = LogState::at(tip);
    log.apply(Op::Append { first: saved.base_index + 1, entries: saved.entries })
        .map_err(|what| damaged(disk, 0, what))?;
    Ok(Some(log))
}

fn damaged(disk: &dyn Disk, offset: u64, what: String) -> StorageError {
    StorageError::Damaged { path: disk.path(FILE_NAME), offset, what, advice: ADVICE }
}

/// The byte that an error of reading JSON is about.
fn place(text: &str, error: &serde_json::Error) -> u64 {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    (lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1)) as u64
}
