//! A whole node from its settings: its data, its raft and its state machine.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Rsm, RsmOptions, StateMachine};
use crate::kv_raft::raft::core::Options;
use crate::kv_raft::raft::storage::wal::{Wal, WalOptions};
use crate::kv_raft::raft::storage::{Identity, RealDisk, StorageError};
use crate::kv_raft::raft::{Raft, RpcTransport};
use crate::services::raft::{Membership, NodeId};

/// The bytes of entries that stay in the log after a snapshot, at most, in multiples of what makes a snapshot of a small state due.
const TRAILING_PER_SNAPSHOT: usize = 4;

/// What a node needs to know to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The name of the cluster, the same on all its nodes.
    pub cluster: String,
    /// This node.
    pub id: NodeId,
    /// The URLs of all nodes; that of this node is not used. Without others it is a cluster of one.
    pub peers: BTreeMap<NodeId, String>,
    /// The folder of its data; it is made where there is none.
    pub data: PathBuf,
    /// The settings of the state machine.
    pub rsm: RsmOptions,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its data cannot be used: in use, damaged, of another node, or not to be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system does not give what it needs.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The folder of its data.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl<M: StateMachine> Rsm<M> {
    /// Opens a node's data and starts it with `machine`, which is in its first state. Must be called within a tokio
    /// runtime. The others reach it once [`Raft::server`] of [`Rsm::raft`] is served at its URL.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &NodeConfig, machine: M) -> Result<Arc<Self>, OpenError> {
        let NodeConfig { cluster, id, peers, data, rsm } = config;
        let failed = |error| OpenError::Io { path: data.clone(), error };
        let disk = Arc::new(RealDisk::new(data).map_err(failed)?);
        let identity = Identity { cluster: cluster.clone(), node: *id };
        let opened = Wal::open(disk, identity, WalOptions::default())?;
        let membership = Membership::of(peers.keys().copied().chain([*id]));
        let mut options = Options::new(*id, membership, fastrand::u64(..));
        if rsm.snapshot_log_bytes > 0 {
            // What stays of the log for followers that are behind is in proportion to what a snapshot of a small state replaces.
            let trailing_bytes = rsm.snapshot_log_bytes.saturating_mul(TRAILING_PER_SNAPSHOT);
            options.trailing_bytes_max = options.trailing_bytes_max.min(trailing_bytes);
        }
        let transport = Arc::new(RpcTransport::new(cluster, *id, peers));
        let (raft, applies) = Raft::start(cluster, options, opened, transport).map_err(failed)?;
        Ok(Self::start(raft, applies, machine, *rsm))
    }
}
