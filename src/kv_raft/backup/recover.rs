//! Making a new cluster out of one node's folder, when the rest of its cluster is lost for good.
//!
//! Everything that the folder has becomes a snapshot, whose membership has this node alone. The folder is marked as unfinished
//! meanwhile; after a crash the recovery is run again, from whatever was reached.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{begin, cluster_id, founder, membership};
use crate::kv_raft::raft::core::Op;
use crate::kv_raft::raft::storage::wal::{Wal, WalOptions, owner};
use crate::kv_raft::raft::storage::{Disk, IdentityFile, RealDisk, StorageError, Unfinished};
use crate::kv_raft::rsm::{RsmError, StateMachine, replay};
use crate::services::raft::{ClusterId, Index, NodeId, Payload, SnapshotMeta, Term};

/// What was made out of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The name of the cluster, as before.
    pub cluster: String,
    /// The node, as before.
    pub node: NodeId,
    /// The id that the cluster had, if it had one.
    pub cluster_id_before: Option<ClusterId>,
    /// The nodes of the cluster before, as far as the folder names them.
    pub members_before: Vec<NodeId>,
    /// The index of the last entry that the folder had.
    pub last_index: Index,
    /// The term of that entry.
    pub last_term: Term,
    /// Up to this index entries are certain to have been committed; those after it are kept, and may not have been.
    pub committed_index: Index,
    /// The id of the new cluster.
    pub cluster_id: ClusterId,
    /// The snapshot with which the log begins now.
    pub snapshot: SnapshotMeta,
}

/// Why a folder was not recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is nothing to recover.
    #[error("{path}: there is no log: give the data folder of a node", path = path.display())]
    NoLog {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is that of a restore.
    #[error(
        "{path}: a restore into this folder has not finished, so there is nothing to recover: run `traitwire restore` again, with \
         the same folder",
        path = path.display()
    )]
    UnfinishedRestore {
        /// The folder.
        path: PathBuf,
    },
    /// The state cannot be made from snapshot and log.
    #[error(transparent)]
    State(#[from] RsmError),
    /// The folder cannot be made.
    #[error("{path}: {error}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The folder cannot be read or written, or a node uses it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Makes a cluster of one node out of a node's folder, with everything that the folder has, committed or not. `machine` is in its first
/// state.
///
/// # Errors
/// See [`RecoverError`].
pub fn recover<M: StateMachine>(folder: &Path, machine: M) -> Result<Recovered, RecoverError> {
    let no_log = || RecoverError::NoLog { path: folder.to_owned() };
    if !folder.is_dir() {
        return Err(no_log());
    }
    let owner = owner(&RealDisk::view(folder))?.ok_or_else(no_log)?;
    let failed = |error| RecoverError::Folder { path: folder.to_owned(), error };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).map_err(failed)?);
    if Unfinished::read(&*disk)? == Some(Unfinished::Restore) {
        return Err(RecoverError::UnfinishedRestore { path: folder.to_owned() });
    }
    let opened = Wal::open_unfinished(disk.clone(), owner.clone(), WalOptions::default())?;
    let restored = &opened.restored;
    let snapshots = opened.storage.snapshots();
    let before = restored.snapshot.as_ref();
    let last_index = restored.base_index + restored.entries.len() as u64;
    let last_term = restored.entries.last().map_or(restored.base_term, |entry| entry.term);
    let memberships = restored.entries.iter().rev().filter_map(|entry| match &entry.payload {
        Payload::Membership(membership) => Some(&**membership),
        Payload::Blank | Payload::Command(_) => None,
    });
    let memberships: Vec<_> = memberships.chain(before.map(|meta| &*meta.membership)).collect();
    let mut state = replay(machine, restored, &snapshots)?;

    let identity = founder(owner.node, owner.cluster.clone());
    // An index that the folder has no snapshot of yet. The term is one that this node has seen, and nobody else will be in it.
    let snapshot = SnapshotMeta {
        last_index: last_index + 1,
        last_term: restored.term.max(1),
        membership: membership(&identity).into(),
    };
    let recovered = Recovered {
        cluster: owner.cluster,
        node: owner.node,
        cluster_id_before: memberships.iter().find_map(|membership| membership.cluster_id),
        members_before: memberships.first().map(|membership| membership.nodes()).unwrap_or_default(),
        last_index,
        last_term,
        committed_index: before.map_or(0, |meta| meta.last_index),
        cluster_id: cluster_id(&identity),
        snapshot: snapshot.clone(),
    };
    Unfinished::Recovery.mark(&*disk)?;
    snapshots.save(&snapshot, &mut state)?;
    let term = restored.term.max(1);
    let voted_for = restored.voted_for;
    let ops = [Op::Vote { term, voted_for }, Op::Install { snapshot, keep_suffix: false }];
    begin(opened.storage, &ops, || {
        IdentityFile::create(disk.clone(), identity)?;
        Unfinished::done(&*disk)
    })?;
    Ok(recovered)
}
