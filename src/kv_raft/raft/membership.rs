//! Who belongs to the cluster, as the rest of a node follows it, and how that is changed.

use std::sync::Arc;

use tokio::sync::watch;

use super::Raft;
use super::core::{Change, ChangeRefusal, Changed, Core};
use super::driver::Inbound;
use crate::services::raft::{ClusterId, Index, Member, Membership, NodeId};

/// The newest membership in a node's log or snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownMembership {
    /// The index of the entry from which it comes; 0 for the one that the node was started with.
    pub index: Index,
    /// The membership, committed or not.
    pub membership: Membership,
    /// Those that the change before has removed or replaced. They are still sent what they need to learn of that.
    pub leaving: Vec<Member>,
    /// Whether this node belongs to it, by what is known to be committed as well.
    pub is_member: bool,
    /// Whether it is known to be committed.
    pub is_committed: bool,
    /// The newest membership that is known to be committed.
    pub committed: Membership,
    /// The id of the cluster, as the newest membership says that is known to be committed.
    pub cluster_id: Option<ClusterId>,
}

impl KnownMembership {
    pub(super) fn of(core: &Core) -> Self {
        let (committed_index, committed) = core.committed_membership();
        Self {
            index: core.membership_index(),
            membership: core.membership().clone(),
            leaving: core.leaving_members(),
            is_member: core.is_member(),
            is_committed: committed_index == core.membership_index(),
            cluster_id: committed.cluster_id,
            committed: committed.clone(),
        }
    }

    /// What is known of a node to which messages may be sent.
    pub fn addressee(&self, node: NodeId) -> Option<&Member> {
        self.membership.member(node).or_else(|| self.leaving.iter().find(|member| member.id == node))
    }
}

/// Why a change of the membership has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It was refused: nothing has changed.
    #[error("refused: {0:?}")]
    Refused(ChangeRefusal),
    /// This node has lost the leadership, or has stopped, before the change was committed: it may or may not take effect.
    #[error("the leader has changed: the change may or may not take effect")]
    Unknown,
}

impl Raft {
    /// Changes the membership if this node leads, and waits until the change is committed; see [`Changed::Done`]. The
    /// caller bounds the wait.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, change: Change) -> Result<Index, ChangeError> {
        match self.inbox.request(|answer| Inbound::Change { change, answer }).await {
            Some(Changed::Done(index)) => Ok(index),
            Some(Changed::Refused(refusal)) => Err(ChangeError::Refused(refusal)),
            Some(Changed::Unknown) | None => Err(ChangeError::Unknown),
        }
    }

    /// Begins a new cluster with this membership, which must name this node as a voter. False, and nothing has changed, when
    /// this node has a log, a term or a membership already, or has stopped.
    pub async fn found(&self, membership: Membership) -> bool {
        self.inbox.request(|answer| Inbound::Found { membership, answer }).await.unwrap_or(false)
    }

    /// Who belongs to the cluster, to look at and to wait for changes.
    pub fn membership(&self) -> watch::Receiver<Arc<KnownMembership>> {
        self.membership.clone()
    }

    /// Whether no other node belongs to the cluster.
    pub(in crate::kv_raft) fn is_alone(&self) -> bool {
        self.membership.borrow().membership.nodes().len() <= 1
    }
}
