//! What the outside sees of a node.

use crate::kv_raft::raft::core::{Core, DiskSpace, Role};
use crate::services::raft::{Index, NodeId, Term};

/// What a node is and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the node is in its term.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of the term, if it is known.
    pub leader: Option<NodeId>,
    /// Up to where entries are known to be committed.
    pub commit_index: Index,
    /// Up to where the leader has said that entries are committed. Where this is more than `commit_index`, this node does not have
    /// all of them yet.
    pub leader_commit_index: Index,
    /// The index of the last entry.
    pub last_index: Index,
    /// Up to where the log is safe on this node's disk: what is committed may be further, on the disks of others.
    pub durable_index: Index,
    /// The last index that the newest snapshot contains; 0 when there is none.
    pub snapshot_index: Index,
    /// Whether the newest membership names this node as a voter. A node without a vote is a learner, or belongs to no cluster.
    pub is_voter: bool,
    /// The index of the entry from which the newest membership comes.
    pub membership_index: Index,
    /// Whether the disk takes entries.
    pub disk: DiskSpace,
}

pub(super) fn status_of(core: &Core, disk: DiskSpace, leader_commit_index: Index) -> Status {
    Status {
        role: core.role(),
        term: core.term(),
        leader: core.leader(),
        commit_index: core.commit_index(),
        leader_commit_index: leader_commit_index.max(core.commit_index()),
        last_index: core.last_index(),
        durable_index: core.durable_index(),
        snapshot_index: core.snapshot().map_or(0, |snapshot| snapshot.last_index),
        is_voter: core.is_voter(),
        membership_index: core.membership_index(),
        disk,
    }
}
