//! What a host may ask of a core between two steps. Nothing here changes anything.

use super::bugs::Bug;
use super::io::{Request, Role, Time};
use super::options::Options;
use super::{Committed, Core, State};
use crate::services::raft::{Entry, Index, Member, Membership, NodeId, SnapshotMeta, Term};

impl Core {
    /// What follows the entries up to `after` for the state machine: a snapshot, or committed entries of about
    /// `bytes_max` bytes.
    pub fn committed(&self, after: Index, bytes_max: usize) -> Committed {
        if after < self.node.log.base_index() {
            return match &self.node.snapshot {
                Some(snapshot) if self.node.snapshot_is_durable() => Committed::Snapshot(snapshot.clone()),
                Some(_) | None => Committed::Nothing,
            };
        }
        let count = usize::try_from(self.node.commit.saturating_sub(after)).unwrap_or(usize::MAX);
        let entries = self.node.log.slice(after + 1, count, bytes_max);
        if entries.is_empty() { Committed::Nothing } else { Committed::Entries { first: after + 1, entries } }
    }

    /// What a snapshot of the state after the entry at `index` is called; nothing when the log does not tell any more, or
    /// when that entry is not committed, or not safe on this node's disk. A snapshot that is ahead of the disk would be of a
    /// later term than the node after a crash.
    pub fn snapshot_meta(&self, index: Index) -> Option<SnapshotMeta> {
        let ahead = self.node.has(Bug::SnapshotAheadOfDisk);
        let durable = if ahead { Index::MAX } else { self.node.log.durable_index() };
        let is_safe = index > 0 && index <= self.node.commit.min(durable);
        let last_term = self.node.log.term_at(index).filter(|_| is_safe)?;
        let newest = self.node.has(Bug::SnapshotWithNewestMembership);
        let at = if newest { Index::MAX } else { index };
        let membership = Box::new(self.node.membership_at(at).clone());
        Some(SnapshotMeta { last_index: index, last_term, membership })
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.node.options
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// The other nodes of the cluster.
    pub fn others(&self) -> Vec<NodeId> {
        self.node.others()
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        match &self.state {
            State::Follower => Role::Follower,
            State::PreCandidate(_) => Role::PreCandidate,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The term that the node is in.
    pub fn term(&self) -> Term {
        self.node.term
    }

    /// Whether the disk has that term. Until then a crash may take it back, so it is not to be told.
    pub fn term_is_durable(&self) -> bool {
        self.node.vote_is_durable()
    }

    /// Whom the node has voted for in its term.
    pub fn voted_for(&self) -> Option<NodeId> {
        self.node.voted_for
    }

    /// The leader of this term, if it is known.
    pub fn leader(&self) -> Option<NodeId> {
        self.node.leader
    }

    /// Up to where entries are known to be committed.
    pub fn commit_index(&self) -> Index {
        self.node.commit
    }

    /// The index of the last entry.
    pub fn last_index(&self) -> Index {
        self.node.log.last_index()
    }

    /// Up to where the log is safe on this node's disk.
    pub fn durable_index(&self) -> Index {
        self.node.log.durable_index()
    }

    /// The index before the first entry that is still there.
    pub fn base_index(&self) -> Index {
        self.node.log.base_index()
    }

    /// The entry at `index`, if it is there.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.node.log.get(index)
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.node.snapshot.as_ref()
    }

    /// Who belongs to the cluster.
    pub fn membership(&self) -> &Membership {
        self.node.membership()
    }

    /// The index of the entry from which that membership comes; 0 for the one that a node starts with.
    pub fn membership_index(&self) -> Index {
        self.node.membership_index()
    }

    /// The newest membership that is known to be committed, and its index.
    pub fn committed_membership(&self) -> (Index, &Membership) {
        let (index, membership) =
            self.node.committed_memberships().last().expect("the first one is committed");
        (*index, membership)
    }

    /// Whether the newest membership has this node as a voter, and not another incarnation of it.
    pub fn is_voter(&self) -> bool {
        self.node.is_voter()
    }

    /// Whether this node belongs to the cluster, and not another incarnation of it: the newest membership says so, and so does the
    /// newest one that is known to be committed. The next leader may not have what is not committed, and then the node has to ask
    /// again.
    pub fn is_member(&self) -> bool {
        self.node.is_named_by(self.membership()) && self.node.is_named_by(self.committed_membership().1)
    }

    /// Whether this node may campaign: as a voter, and one that a committed membership names.
    pub fn may_campaign(&self) -> bool {
        self.node.may_campaign()
    }

    /// For a leader: the voters that have lost data and are not demoted to learners yet.
    pub fn lost_data(&self) -> Vec<NodeId> {
        match &self.state {
            State::Leader(leadership) => leadership.reconfiguration.lost.iter().copied().collect(),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => Vec::new(),
        }
    }

    /// Those that the membership before the newest one names, and the newest one does not.
    pub fn leaving_members(&self) -> Vec<Member> {
        let is_gone = |member: &&Member| !self.membership().has(member.id);
        let before = self.node.membership_before();
        before.map_or_else(Vec::new, |before| before.members.iter().filter(is_gone).cloned().collect())
    }

    /// The other nodes to which messages may be sent: those of the newest membership, and those that are leaving.
    pub fn peers(&self) -> Vec<NodeId> {
        let mut peers = self.node.membership().nodes();
        peers.extend(self.node.membership_before().map_or_else(Vec::new, Membership::nodes));
        peers.sort_unstable();
        peers.dedup();
        peers.retain(|node| *node != self.id());
        peers
    }

    /// Whether the node has neither entries nor a snapshot.
    pub fn log_is_empty(&self) -> bool {
        self.node.log.last_index() == 0
    }

    /// For a leader: up to where the log of another node is known to be its own, and when that node last answered.
    pub fn progress(&self, node: NodeId) -> Option<(Index, Time)> {
        match &self.state {
            State::Leader(leadership) => leadership.progress(node),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    /// For a leader: how long another node has not answered, in microseconds.
    pub fn silent_us(&self, node: NodeId) -> Option<u64> {
        let (_, answered_at) = self.progress(node)?;
        Some(self.node.now.0.saturating_sub(answered_at.0))
    }

    /// How long the host waits for the answer to a request that was just given to it, in microseconds. Then it says
    /// [`Input::Failed`](super::Input::Failed).
    pub fn time_limit_us(&self, to: NodeId, request: &Request) -> u64 {
        let bytes = match &self.state {
            State::Leader(leadership) if request.is_bulk() => leadership.bytes_on_the_way(to).max(1),
            State::Leader(_) | State::Follower | State::PreCandidate(_) | State::Candidate(_) => 0,
        };
        self.node.time_limit_us(to, bytes)
    }

    /// How many bytes of a snapshot a message to this node brings: what the link carries in about half a second.
    pub fn piece_bytes(&self, to: NodeId) -> usize {
        self.node.piece_bytes(to)
    }

    /// How long a round trip to this node takes lately, in microseconds, if it has ever answered.
    pub fn round_trip_us(&self, to: NodeId) -> Option<u64> {
        self.node.links.get(to)?.round_trip(self.node.now)
    }

    /// Whether this node is sending a snapshot to another one, so that the host must keep it readable.
    pub fn sends_snapshot(&self) -> bool {
        match &self.state {
            State::Leader(leadership) => leadership.first_sent_snapshot().is_some(),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => false,
        }
    }
}
