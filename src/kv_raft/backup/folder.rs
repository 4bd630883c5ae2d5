//! Restoring a backup into a folder, from which a node starts as a new cluster of its own.
//!
//! The folder is marked as unfinished before anything is written and until everything is synced, so what a crash leaves does not
//! open.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::BackupFileError;
use super::reader::Reader;
use crate::kv_raft::raft::SnapshotReader;
use crate::kv_raft::raft::core::Op;
use crate::kv_raft::raft::storage::wal::{Wal, WalOptions};
use crate::kv_raft::raft::storage::{
    Disk, Identity, IdentityFile, NodeIdentity, RealDisk, Storage, StorageError, Unfinished, lock,
};
use crate::kv_raft::rsm::{StateMachine, check_state};
use crate::services::raft::{ClusterId, Goal, Member, Membership, NodeId, SnapshotMeta};

/// What file systems put into a folder by themselves.
const LOST_AND_FOUND: &str = "lost+found";

/// What a restored node is.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its id.
    pub id: NodeId,
    /// The name of its cluster.
    pub cluster: String,
}

/// A folder from which a node can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The id of the new cluster.
    pub cluster_id: ClusterId,
    /// The snapshot with which the log begins.
    pub snapshot: SnapshotMeta,
}

/// Why a backup was not restored. The folder is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder has files.
    #[error(
        "{path} is not empty: it has `{entry}`. A backup is restored into an empty folder, or one that does not exist",
        path = path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// A file in it.
        entry: String,
    },
    /// The backup cannot be read.
    #[error("the backup is {0}")]
    Backup(BackupFileError),
    /// All checksums are right, and the state is not one.
    #[error("the checksums of the backup are right, but its state cannot be understood: {0}")]
    State(io::Error),
    /// The folder cannot be made.
    #[error("{path}: {error}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Restores a backup of a state machine `M` into a folder.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore<M: StateMachine>(
    folder: &Path,
    backup: &mut Reader<impl Read>,
    node: &NewNode,
) -> Result<Restored, RestoreError> {
    let failed = |error| RestoreError::Folder { path: folder.to_owned(), error };
    let is_new = match fs::read_dir(folder) {
        Ok(entries) => {
            check_empty(folder, entries).map_err(failed)??;
            false
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).map_err(failed)?);
    let restored = restore_into::<M>(&disk, backup, node);
    if restored.is_err() && !matches!(restored, Err(RestoreError::Storage(StorageError::InUse { .. }))) {
        let _left_marked_as_unfinished = clear(&*disk);
        if is_new {
            let _not_ours_alone = fs::remove_dir(folder);
        }
    }
    restored
}

/// Whether a folder has nothing but what a restore that did not finish has left.
fn check_empty(folder: &Path, entries: fs::ReadDir) -> io::Result<Result<(), RestoreError>> {
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let is_before_mark = name.to_str().is_some_and(Unfinished::is_before_mark);
        if name != LOST_AND_FOUND && !is_before_mark {
            names.push(name);
        }
    }
    if names.is_empty() || matches!(Unfinished::read(&RealDisk::view(folder)), Ok(Some(Unfinished::Restore)))
    {
        return Ok(Ok(()));
    }
    let entry = names[0].to_string_lossy().into_owned();
    Ok(Err(RestoreError::NotEmpty { path: folder.to_owned(), entry }))
}

fn restore_into<M: StateMachine>(
    disk: &Arc<dyn Disk>,
    backup: &mut Reader<impl Read>,
    node: &NewNode,
) -> Result<Restored, RestoreError> {
    {
        let _lock = lock(&**disk)?;
        Unfinished::Restore.mark(&**disk)?;
        clear_but_mark(&**disk)?;
    }
    let whose = Identity { cluster: node.cluster.clone(), node: node.id };
    let opened = Wal::open_unfinished(disk.clone(), whose, WalOptions::default())?;
    let identity = founder(node.id, node.cluster.clone());
    let header = backup.header();
    // A backup of a cluster in which nothing has happened has neither an index nor a term, and a snapshot needs both.
    let (last_index, last_term) = (header.revision.max(1), header.term.max(1));
    let snapshot = SnapshotMeta { last_index, last_term, membership: membership(&identity).into() };
    let snapshots = opened.storage.snapshots();
    if let Err(error) = snapshots.save(&snapshot, backup) {
        return Err(backup.failure().map_or(RestoreError::Storage(error), RestoreError::Backup));
    }
    let mut state = SnapshotReader::new(snapshots, snapshot.clone());
    check_state::<M>(&mut state).map_err(RestoreError::State)?;
    let term = Op::Vote { term: last_term, voted_for: None };
    begin(opened.storage, &[term, Op::Install { snapshot: snapshot.clone(), keep_suffix: false }], || {
        IdentityFile::create(disk.clone(), identity.clone())?;
        Unfinished::done(&**disk)
    })?;
    Ok(Restored { cluster_id: cluster_id(&identity), snapshot })
}

/// Writes the beginning of a log, syncs it and does what comes last, while the folder is locked.
pub(super) fn begin(
    mut storage: Box<dyn Storage>,
    ops: &[Op],
    last: impl FnOnce() -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    storage.append(ops)?;
    storage.sync()?;
    storage.idle()?;
    last()
}

/// A node that has just founded a cluster.
pub(super) fn founder(id: NodeId, cluster: String) -> NodeIdentity {
    let mut identity = NodeIdentity::new(id, cluster);
    identity.cluster_id = Some(ClusterId::random());
    identity
}

pub(super) fn cluster_id(founder: &NodeIdentity) -> ClusterId {
    founder.cluster_id.expect("a founder has made one")
}

/// The membership of the cluster of a founder, who is alone in it.
pub(super) fn membership(founder: &NodeIdentity) -> Membership {
    let member = Member {
        id: founder.node,
        incarnation: Some(founder.incarnation),
        // The node tells its cluster where it is when it starts.
        url: String::new(),
        goal: Goal::Vote,
    };
    Membership { cluster_id: founder.cluster_id, members: vec![member], ..Membership::of([founder.node]) }
}

/// Removes everything, the mark last.
fn clear(disk: &dyn Disk) -> Result<(), StorageError> {
    clear_but_mark(disk)?;
    Unfinished::done(disk)?;
    for name in disk.list().map_err(|error| io_error(disk, error))? {
        disk.remove(&name).map_err(|error| io_error(disk, error))?;
    }
    Ok(())
}

/// Removes what a restore that did not finish has left.
fn clear_but_mark(disk: &dyn Disk) -> Result<(), StorageError> {
    let remove = || {
        for name in disk.list()? {
            if !Unfinished::is_needed(&name) {
                disk.remove(&name)?;
            }
        }
        disk.sync_names()
    };
    remove().map_err(|error| io_error(disk, error))
}

fn io_error(disk: &dyn Disk, error: io::Error) -> StorageError {
    StorageError::Io { path: disk.path(""), error }
}
