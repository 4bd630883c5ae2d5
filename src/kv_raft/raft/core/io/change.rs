//! Changes of the membership, as they go into the core, and what becomes of them.

use crate::services::raft::{ClusterId, Index, Member, NodeId};

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new node gets the log as a learner, and becomes what its goal says once it has caught up. Its id and its incarnation
    /// belong to no other member.
    Add(Member),
    /// A learner becomes a voter once it has caught up.
    Promote(NodeId),
    /// A node leaves the cluster.
    Remove(NodeId),
    /// A member has come back with an empty folder and so with a new incarnation. It stops voting, and gets the log as a
    /// learner that becomes a voter once it has caught up.
    Rejoin(Member),
    /// What is known of members changes, such as a URL; nothing about who votes. Also gives a cluster of an earlier version its
    /// id.
    Describe {
        /// The id of a cluster that has none yet.
        cluster_id: Option<ClusterId>,
        /// What is known now. Members that are not named stay as they are.
        members: Vec<Member>,
    },
}

/// What became of a change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is committed with the entry at this index; for a change of voters, that is the entry with which the joint
    /// configuration was left. For [`Change::Add`] and [`Change::Promote`] it means that the learner is one, and not that it
    /// has caught up.
    Done(Index),
    /// Nothing has changed.
    Refused(ChangeRefusal),
    /// This node has lost the leadership meanwhile: the change may or may not take effect.
    Unknown,
}

/// Why a change of the membership was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefusal {
    /// This node does not lead; the node that does, if it is known.
    NotLeader(Option<NodeId>),
    /// This leader has not committed an entry of its own term yet (Ongaro's note of 2015 on single-server changes). It will
    /// soon have.
    NotReady,
    /// Another change is in progress: a configuration that is not committed or joint, or a learner that is to become a voter.
    InProgress {
        /// The node that is being added, removed or promoted, if the change is about one node.
        node: Option<NodeId>,
    },
    /// There is no such member, or no learner of that id to promote.
    NoMember(NodeId),
    /// A member has this id, this incarnation or this URL already.
    Exists(NodeId),
    /// The cluster would have no voters.
    LastVoter,
    /// The cluster would have more than [`MEMBERS_MAX`](crate::kv_raft::raft::core::MEMBERS_MAX) nodes, or one with a URL of more
    /// than [`URL_BYTES_MAX`](crate::kv_raft::raft::core::URL_BYTES_MAX) bytes.
    TooLarge,
    /// Of the voters that the change would leave, less than a majority has answered lately.
    NoMajority {
        /// Those that have not.
        missing: Vec<NodeId>,
    },
    /// This node is handing its leadership over.
    Transferring,
    /// The disk is full.
    DiskFull,
}
