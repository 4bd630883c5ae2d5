//! The settings of a core.

use super::bugs::Bug;
use crate::services::raft::{Incarnation, Membership, NodeId};

/// The settings of a core. They may differ from node to node and from start to start, but for `membership`.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub id: NodeId,
    /// This node's incarnation, if its folder has one. A membership that names another incarnation for this id is about
    /// another node.
    pub incarnation: Option<Incarnation>,
    /// Who belongs to the cluster before the log says anything else; the same on all nodes, and never changed. A node of a
    /// cluster that was founded with [`Input::Found`](super::Input::Found) begins with an empty one.
    pub membership: Membership,
    /// Decides the lengths of election timeouts. Different on each node.
    pub seed: u64,
    /// How long a node goes without a leader before it campaigns, randomized between this and twice this. Where the round trip
    /// to a majority is long, it is longer.
    pub election_timeout_us: u64,
    /// How often a leader that has nothing to send lets its followers hear of it.
    pub heartbeat_us: u64,
    /// How long a leader that has nothing to send waits to tell the followers of a commit.
    pub commit_notice_us: u64,
    /// How long entries wait at most for company on their way to a node that is not needed to commit them.
    pub company_us: u64,
    /// Where there are so many entries for a node, none waits; with 0, none ever does.
    pub company_entries: u64,
    /// Where there are so many bytes of them, none waits either.
    pub company_bytes: usize,
    /// How often a message that failed is repeated at once.
    pub retries_max: u32,
    /// The entries of one message, at most.
    pub append_entries_max: usize,
    /// The bytes of commands in one message, at most, or one entry.
    pub append_bytes_max: usize,
    /// The messages with entries that are under way to one node, at most.
    pub inflight_appends_max: usize,
    /// The bytes of commands that are under way to one node, at most, or one message.
    pub inflight_bytes_max: usize,
    /// The bytes of a piece of a snapshot, at most; with base64 around them, they fit into one message.
    pub piece_bytes_max: usize,
    /// The bytes of commands that are not committed yet, at most, before a leader refuses more.
    pub uncommitted_bytes_max: usize,
    /// The reads that wait for a leader's confirmation, at most, before it refuses more. Those that a driver asks together
    /// are one.
    pub reads_max: usize,
    /// How many entries stay in the log after a snapshot for followers that are a little behind.
    pub trailing_entries: u64,
    /// The bytes of those entries, at most.
    pub trailing_bytes_max: usize,
    /// The bytes of entries that stay in the log for a node that receives a snapshot, at most: after the snapshot it needs
    /// them.
    pub transfer_bytes_max: usize,
    /// The bug to run with, to see whether the tests find it.
    #[cfg(feature = "bugs")]
    pub bug: Option<Bug>,
}

impl Options {
    /// The usual settings of a node.
    pub fn new(id: NodeId, membership: Membership, seed: u64) -> Self {
        Self {
            id,
            incarnation: None,
            membership,
            seed,
            election_timeout_us: 200_000,
            heartbeat_us: 50_000,
            commit_notice_us: 5_000,
            company_us: 4_000,
            company_entries: 64,
            company_bytes: 16 << 10,
            retries_max: 3,
            append_entries_max: 4_096,
            append_bytes_max: 1 << 20,
            inflight_appends_max: 4,
            inflight_bytes_max: 4 << 20,
            piece_bytes_max: 1 << 20,
            uncommitted_bytes_max: 64 << 20,
            reads_max: 65_536,
            trailing_entries: 1_000,
            trailing_bytes_max: 4 << 20,
            transfer_bytes_max: 64 << 20,
            #[cfg(feature = "bugs")]
            bug: None,
        }
    }

    /// Whether to run with this bug.
    #[cfg(feature = "bugs")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Without the feature `bugs` there is none.
    #[cfg(not(feature = "bugs"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    pub(crate) fn has(&self, _: Bug) -> bool {
        false
    }

    /// Whether there is any bug, so that broken invariants are for others to find.
    pub(super) fn bug_is_seeded(&self) -> bool {
        #[cfg(feature = "bugs")]
        return self.bug.is_some();
        #[cfg(not(feature = "bugs"))]
        false
    }
}
