//! Which membership is in force at a node, and whose majority counts.

use super::bugs::Bug;
use super::io::Event;
use super::node::Node;
use crate::services::raft::{Index, Membership, NodeId, Payload};

impl Node {
    /// Who belongs to the cluster: what the newest entry about it says, committed or not (Raft, 6).
    pub(super) fn membership(&self) -> &Membership {
        let (_, membership) = self.memberships.last().expect("there is always the first one");
        membership
    }

    /// Who belonged to the cluster after the entry at `index`.
    pub(super) fn membership_at(&self, index: Index) -> &Membership {
        let count = self.memberships.partition_point(|(since, _)| *since <= index);
        let (_, membership) = &self.memberships[count.max(1) - 1];
        membership
    }

    /// The index of the entry from which the newest membership comes.
    pub(super) fn membership_index(&self) -> Index {
        self.memberships.last().map_or(0, |(since, _)| *since)
    }

    /// The memberships that are known to be committed, oldest first. A change is proposed only once the one before it is
    /// committed, so all but the newest are. The first one of a founded cluster has nothing before it that could take its place.
    pub(super) fn committed_memberships(&self) -> &[(Index, Membership)] {
        let is_committed = match &self.memberships[..] {
            [.., (_, before), (newest, _)] => *newest <= self.commit || before.nodes().is_empty(),
            _ => true,
        };
        &self.memberships[..self.memberships.len() - usize::from(!is_committed)]
    }

    /// The membership before the newest one, if it is known.
    pub(super) fn membership_before(&self) -> Option<&Membership> {
        self.memberships.iter().rev().nth(1).map(|(_, membership)| membership)
    }

    /// The highest number that a majority of the voters has reached, where `reached` gives how far a node is.
    pub(super) fn quorum_value(&self, reached: impl Fn(NodeId) -> u64) -> u64 {
        self.deciding(|membership| membership.quorum_value(reached))
    }

    /// Whether the nodes that `has` names are a majority of the voters.
    pub(super) fn has_quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        self.deciding(|membership| membership.has_quorum(has))
    }

    /// The membership whose majorities decide: the newest one in the log, committed or not (Raft, 6).
    fn deciding<T>(&self, count: impl FnOnce(&Membership) -> T) -> T {
        let newest = self.membership();
        if self.has(Bug::UseCommittedMembership) {
            return count(self.committed_memberships().last().map_or(newest, |(_, committed)| committed));
        }
        if self.has(Bug::LearnersCount) {
            let voters = newest.voters.iter().chain(&newest.learners).copied().collect();
            return count(&Membership { voters, ..newest.clone() });
        }
        if self.has(Bug::CountOnlyNewMajority) {
            return count(&Membership { outgoing: Vec::new(), ..newest.clone() });
        }
        count(newest)
    }

    /// Whether the newest membership has this node as a voter: its id and its incarnation.
    pub(super) fn is_voter(&self) -> bool {
        let newest = self.membership();
        newest.is_voter(self.id()) && self.is_named_by(newest)
    }

    /// Whether a membership names this node, and not one that had its id before or will have it.
    pub(super) fn is_named_by(&self, membership: &Membership) -> bool {
        let known = membership.member(self.id()).and_then(|member| member.incarnation);
        let is_same = match known {
            Some(known) => self.options.incarnation == Some(known),
            None => membership.cluster_id.is_none(),
        };
        is_same && membership.has(self.id())
    }

    /// Whether this node may lead: as a voter that a committed membership names, too. A node that catches up reads of memberships
    /// that were replaced long ago, and must not go by them. A voter that a joint configuration has removed may lead until the
    /// next one is known to be committed: it may be the only node that has it, and then nobody else can win (Raft dissertation, 4.2.2).
    pub(super) fn may_campaign(&self) -> bool {
        if self.has(Bug::CampaignOnUncommittedMembership) {
            return self.membership().is_voter(self.id());
        }
        let committed = self.committed_memberships();
        let is_committed = committed.len() == self.memberships.len();
        let was_voter = |before: &Membership| {
            !is_committed && before.is_joint() && before.is_voter(self.id()) && self.is_named_by(before)
        };
        (self.is_voter() || self.membership_before().is_some_and(was_voter))
            && committed.iter().any(|(_, membership)| self.is_named_by(membership))
    }

    /// Takes in the membership in the entry at `index`, if there is one.
    pub(super) fn note_membership(&mut self, index: Index) {
        let Some(entry) = self.log.get(index) else { return };
        match &entry.payload {
            Payload::Membership(membership) => {
                let membership = Membership::clone(membership);
                self.memberships.push((index, membership));
                self.note_new_membership();
            }
            Payload::Blank | Payload::Command(_) => {}
        }
    }

    /// Tells that more is committed than up to `before`, and a membership perhaps.
    pub(super) fn note_commit_after(&mut self, before: Index) {
        self.effects.events.push(Event::Committed(self.commit));
        // The first one is that of a snapshot, or the one that the node was started with.
        let is_entry = self.memberships.len() > 1;
        if is_entry && (before + 1..=self.commit).contains(&self.membership_index()) {
            self.note_new_membership();
        }
    }

    pub(super) fn note_new_membership(&mut self) {
        if !self.effects.events.contains(&Event::Membership) {
            self.effects.events.push(Event::Membership);
        }
    }
}
