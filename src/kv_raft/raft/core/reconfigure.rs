//! How a leader changes the membership: one change at a time, through joint configurations (Raft, 6), and never before an entry
//! of its own term is committed.
//!
//! Whatever must happen after an entry is committed is done by [`Leadership::settle`], whoever has appended that entry: a later leader
//! goes on where an earlier one was interrupted.

use std::collections::{BTreeMap, BTreeSet};

use super::bugs::Bug;
use super::change::Step;
use super::io::{Change, ChangeRefusal, Changed, DiskSpace, Event, Time, Token};
use super::leader::Leadership;
use super::log::entry_bytes;
use super::node::Node;
use super::progress::Progress;
use super::{Core, State};
use crate::services::raft::{Entry, Index, Membership, NodeId, Payload};

/// What a leader knows of changes of the membership.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconfiguration {
    /// Whether the newest membership is not committed or joint, does not have this node as a voter, or awaits something else.
    /// Otherwise there is nothing to settle.
    pub(super) is_unsettled: bool,
    /// Who waits for the end of the change in progress. Several only with a bug.
    waiting: Vec<Token>,
    /// The learners that are to become voters.
    catch_ups: BTreeMap<NodeId, CatchUp>,
    /// The voters that have lost data and are not demoted yet.
    pub(super) lost: BTreeSet<NodeId>,
    /// How many other nodes get the log.
    peers: usize,
    /// The leader is not a voter any more and has tried to hand over.
    hands_over: bool,
    /// The leader is not a voter any more and must not lead any longer.
    pub(super) has_left: bool,
}

/// How a learner catches up: in rounds, each of which brings what the log had when the round began. Once a round takes less than
/// an election timeout, the learner would not hold up the others (Raft dissertation, 4.2.1).
#[derive(Clone, Copy, Debug)]
struct CatchUp {
    target: Index,
    began_at: Time,
    is_done: bool,
}

impl Core {
    pub(super) fn on_change(&mut self, token: Token, change: &Change) {
        let outcome = match &mut self.state {
            State::Leader(leadership) => leadership.change(&mut self.node, token, change),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => {
                Err(ChangeRefusal::NotLeader(self.node.leader))
            }
        };
        if let Err(refusal) = outcome {
            self.node.effects.changes.push((token, Changed::Refused(refusal)));
        }
    }

    /// A new cluster begins. Its first entry is of term 1, in which no other node can lead: none has a membership yet.
    pub(super) fn on_found(&mut self, membership: Membership) {
        let id = self.node.id();
        let is_new = self.node.log.last_index() == 0
            && self.node.term == 0
            && self.node.membership().nodes().is_empty();
        if !is_new || !membership.voters.contains(&id) || membership.problem().is_some() {
            return;
        }
        self.node.enter_term(1);
        self.node.vote_for(id);
        let payload = Payload::Membership(Box::new(membership));
        self.node.append(vec![Entry { term: 1, payload }]);
        self.election_at = self.node.now;
        self.on_election_timeout();
    }
}

impl Leadership {
    /// Takes in what the newest membership says when this node begins to lead.
    pub(super) fn begin_reconfiguration(&mut self, node: &mut Node) {
        self.reconfiguration.is_unsettled = true;
        self.settle(node);
    }

    /// Begins a change, which is answered when it is at an end.
    fn change(&mut self, node: &mut Node, token: Token, change: &Change) -> Result<(), ChangeRefusal> {
        if self.transfer.is_some() {
            return Err(ChangeRefusal::Transferring);
        }
        if node.disk == DiskSpace::Full {
            return Err(ChangeRefusal::DiskFull);
        }
        if !self.is_ready(node) {
            return Err(ChangeRefusal::NotReady);
        }
        self.check_progress(node, change)?;
        let has = |bug| node.has(bug);
        let step = node.membership().changed(change, node.id(), has)?;
        let Step::Next(next) = step else {
            node.effects.changes.push((token, Changed::Done(node.membership_index())));
            return Ok(());
        };
        let dead = match change {
            // Its old incarnation counts until the joint configuration is left, and never answers.
            Change::Rejoin(member) => Some(member.id),
            Change::Add(_) | Change::Promote(_) | Change::Remove(_) | Change::Describe { .. } => None,
        };
        if next.is_joint() {
            self.check_majority(node, &next, dead)?;
        }
        self.reconfiguration.waiting.push(token);
        self.append_membership(node, *next);
        Ok(())
    }

    /// Whether an entry of this leader's term is committed. Without that, an earlier leader's change may still be decided
    /// (Ongaro's note of 2015). If there is no such entry, one is appended.
    fn is_ready(&mut self, node: &mut Node) -> bool {
        if node.log.term_at(node.commit) == Some(node.term) || node.has(Bug::ChangeWithoutOwnTerm) {
            return true;
        }
        if node.log.last_term() != node.term {
            self.append(node, Payload::Blank);
        }
        false
    }

    /// Whether another change is in progress.
    fn check_progress(&self, node: &Node, change: &Change) -> Result<(), ChangeRefusal> {
        if node.has(Bug::SecondChangeDuringFirst) {
            return Ok(());
        }
        let membership = node.membership();
        if membership.is_joint() || node.membership_index() > node.commit {
            return Err(ChangeRefusal::InProgress { node: node.changing_node() });
        }
        let about = match change {
            Change::Add(member) => member.id,
            Change::Promote(node) | Change::Remove(node) => *node,
            // They do not wait for a learner, which may take long: a member that was wiped must stop counting, and one that
            // has moved must be found.
            Change::Rejoin(_) | Change::Describe { .. } => return Ok(()),
        };
        match membership.candidates().next() {
            Some(candidate) if candidate != about => Err(ChangeRefusal::InProgress { node: Some(candidate) }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a majority of the old voters and one of the new ones are there to commit a joint configuration and to go on
    /// after it.
    fn check_majority(
        &self,
        node: &Node,
        joint: &Membership,
        dead: Option<NodeId>,
    ) -> Result<(), ChangeRefusal> {
        let is_there = |id| id == node.id() || Some(id) != dead && self.has_answered_lately(node, id);
        if joint.has_quorum(is_there) {
            return Ok(());
        }
        let mut missing = joint.nodes();
        missing.retain(|id| joint.is_voter(*id) && !is_there(*id));
        Err(ChangeRefusal::NoMajority { missing })
    }

    fn append_membership(&mut self, node: &mut Node, membership: Membership) {
        self.reconfiguration.is_unsettled = true;
        self.append(node, Payload::Membership(Box::new(membership)));
    }

    /// Appends an entry of the leader's own.
    fn append(&mut self, node: &mut Node, payload: Payload) {
        let entry = Entry { term: node.term, payload };
        self.uncommitted_bytes += entry_bytes(&entry);
        node.append(vec![entry]);
        self.follow_membership(node);
        self.spread(node);
    }

    /// Lets `progress` have every node that gets the log, and only those: a member with a new incarnation is another node.
    pub(super) fn follow_membership(&mut self, node: &Node) {
        let peers = node.replicated_to();
        self.progress.retain(|id, _| peers.contains(id));
        let (next, round) = (node.log.last_index() + 1, self.round);
        for id in &peers {
            let incarnation = node.membership().member(*id).and_then(|member| member.incarnation);
            let progress = self.progress.entry(*id);
            let progress = progress.or_insert_with(|| Progress::new(next, node.now, round, incarnation));
            // An incarnation that only was not known before is the same node.
            if progress.incarnation.is_some() && progress.incarnation != incarnation && incarnation.is_some()
            {
                *progress = Progress::new(next, node.now, round, incarnation);
                self.reconfiguration.catch_ups.remove(id);
            }
            progress.incarnation = progress.incarnation.or(incarnation);
        }
        self.reconfiguration.peers = peers.len();
        let candidates: BTreeSet<_> = node.membership().candidates().collect();
        self.reconfiguration.catch_ups.retain(|id, _| candidates.contains(id));
        for id in candidates {
            self.reconfiguration.catch_ups.entry(id).or_insert_with(|| CatchUp::begin(node));
        }
        let is_voter = |id: &NodeId| node.membership().voters.contains(id);
        self.reconfiguration.lost.retain(is_voter);
    }

    /// Does what the newest membership calls for, as far as that is possible now: leaves a joint configuration, answers who
    /// waits, promotes learners that have caught up, and ends the leadership of a node that is not a voter any more.
    pub(super) fn settle(&mut self, node: &mut Node) {
        if !self.reconfiguration.is_unsettled {
            return;
        }
        let (index, is_joint) = (node.membership_index(), node.membership().is_joint());
        let leaves_early = is_joint && node.has(Bug::LeaveJointBeforeCommit);
        if index > node.commit && !leaves_early {
            return;
        }
        if is_joint {
            let may_append = self.transfer.is_none() && node.disk == DiskSpace::Free;
            if may_append && !node.has(Bug::NeverLeaveJoint) {
                let joint = node.membership();
                let next = joint.left();
                // What was heard of the old incarnation, known or not, says nothing of the new one.
                let replaced = joint.incoming.as_deref().filter(|incoming| {
                    joint.member(incoming.id).and_then(|old| old.incarnation) != incoming.incarnation
                });
                if let Some(replaced) = replaced {
                    self.progress.remove(&replaced.id);
                }
                self.append_membership(node, next);
            }
            return;
        }
        for token in std::mem::take(&mut self.reconfiguration.waiting) {
            node.effects.changes.push((token, Changed::Done(index)));
        }
        self.dismiss_removed(node);
        if !node.membership().voters.contains(&node.id()) && !node.has(Bug::RemovedLeaderStays) {
            self.leave(node);
            return;
        }
        self.demote_lost(node);
        self.promote(node);
        self.reconfiguration.is_unsettled = node.membership_index() != index
            || !self.reconfiguration.catch_ups.is_empty()
            || !self.reconfiguration.lost.is_empty();
    }

    /// Tells nodes that are not members any more that this is committed, once, and forgets them.
    fn dismiss_removed(&mut self, node: &mut Node) {
        if self.progress.len() == node.members_to_replicate_to().count() {
            return;
        }
        let members: BTreeSet<_> = node.members_to_replicate_to().collect();
        let removed: Vec<_> = self.progress.keys().copied().filter(|id| !members.contains(id)).collect();
        for id in removed {
            self.beat(node, id);
        }
        self.follow_membership(node);
    }

    /// A leader that the committed membership does not name hands over, or stops at once if nobody can take over.
    fn leave(&mut self, node: &mut Node) {
        if self.transfer.is_none() && !self.reconfiguration.hands_over {
            self.reconfiguration.hands_over = true;
            self.transfer(node, None);
        }
        self.reconfiguration.has_left = self.transfer.is_none();
    }

    fn promote(&mut self, node: &mut Node) {
        let ids: Vec<_> = self.reconfiguration.catch_ups.keys().copied().collect();
        for id in ids {
            if !self.catch_up(node, id) || !self.may_begin(node) {
                continue;
            }
            let joint = node.membership().with_promoted(id);
            if self.check_majority(node, &joint, None).is_ok() {
                self.append_membership(node, joint);
                return;
            }
        }
    }

    /// Whether a change may begin that nobody has asked for.
    fn may_begin(&mut self, node: &mut Node) -> bool {
        let is_settled = !node.membership().is_joint() && node.membership_index() <= node.commit;
        is_settled && self.transfer.is_none() && node.disk == DiskSpace::Free && self.is_ready(node)
    }

    /// Goes on with the rounds of a learner. Whether it has caught up and still answers.
    fn catch_up(&mut self, node: &Node, id: NodeId) -> bool {
        let Some(matched) = self.progress.get(&id).map(|progress| progress.matched) else { return false };
        let answers = self.has_answered_lately(node, id);
        let Some(catch_up) = self.reconfiguration.catch_ups.get_mut(&id) else { return false };
        if catch_up.is_done && !answers {
            *catch_up = CatchUp::begin(node);
        }
        while !catch_up.is_done && matched >= catch_up.target && answers {
            let took_us = node.now.0.saturating_sub(catch_up.began_at.0);
            let is_done = took_us < node.election_timeout_us();
            *catch_up = CatchUp { is_done, ..CatchUp::begin(node) };
        }
        catch_up.is_done
    }

    /// A voter that has lost data is treated like one whose folder was wiped: it does not count until it has caught up.
    fn demote_lost(&mut self, node: &mut Node) {
        let lost: Vec<_> = self.reconfiguration.lost.iter().copied().collect();
        for id in lost {
            if !self.may_begin(node) {
                return;
            }
            let Some(member) = node.membership().member(id).cloned() else { continue };
            let demoted = node.membership().with_demoted(member);
            if let Ok(joint) = demoted
                && self.check_majority(node, &joint, Some(id)).is_ok()
            {
                self.append_membership(node, joint);
                return;
            }
        }
    }

    /// A node has less of the log than it has acknowledged. Where the members are not known it only catches up.
    pub(super) fn on_lost_data(&mut self, node: &mut Node, id: NodeId) {
        let membership = node.membership();
        if membership.cluster_id.is_some() && membership.voters.contains(&id) {
            self.reconfiguration.lost.insert(id);
            self.reconfiguration.is_unsettled = true;
        }
        if let Some(catch_up) = self.reconfiguration.catch_ups.get_mut(&id) {
            *catch_up = CatchUp::begin(node);
        }
        node.effects.events.push(Event::LostData(id));
    }

    /// Answers who waits for a change when this node stops leading.
    pub(super) fn give_up_changes(&mut self, node: &mut Node) {
        for token in std::mem::take(&mut self.reconfiguration.waiting) {
            node.effects.changes.push((token, Changed::Unknown));
        }
    }

    pub(super) fn check_reconfiguration(&self, node: &Node) {
        assert_eq!(
            self.progress.len(),
            self.reconfiguration.peers,
            "`progress` does not follow the membership"
        );
        let has_change = node.membership().is_joint() || node.membership_index() > node.commit;
        assert!(!has_change || self.reconfiguration.is_unsettled, "nobody goes on with a change");
        assert!(self.reconfiguration.waiting.len() <= 1, "two changes are in progress");
    }
}

impl CatchUp {
    fn begin(node: &Node) -> Self {
        Self { target: node.log.last_index(), began_at: node.now, is_done: false }
    }
}

impl Node {
    /// The node that the change in progress is about, if it is about one.
    fn changing_node(&self) -> Option<NodeId> {
        let (newest, before) = (self.membership(), self.membership_before());
        if newest.is_joint() {
            return newest.changing_voter();
        }
        let before = before?;
        let in_both = |node: &NodeId| {
            let role = |it: &Membership| (it.is_voter(*node), it.learners.contains(node));
            role(newest) == role(before) && newest.member(*node) == before.member(*node)
        };
        let changed = newest.nodes().into_iter().chain(before.nodes()).find(|node| !in_both(node));
        if before.is_joint() { before.changing_voter() } else { changed }
    }

    /// The other members that get the log: those whose incarnation is known.
    fn members_to_replicate_to(&self) -> impl Iterator<Item = NodeId> {
        let membership = self.membership();
        let is_addressee = |id: &NodeId| *id != self.id() && membership.is_bound(*id);
        membership.nodes().into_iter().filter(is_addressee)
    }

    /// The other nodes that get the log: the members, and those before them until they can know that they are not members any
    /// more.
    fn replicated_to(&self) -> BTreeSet<NodeId> {
        let mut nodes: BTreeSet<_> = self.members_to_replicate_to().collect();
        if self.membership_index() > self.commit
            && let Some(before) = self.membership_before()
        {
            let is_addressee = |id: &NodeId| *id != self.id() && before.is_bound(*id);
            nodes.extend(before.nodes().into_iter().filter(is_addressee));
        }
        nodes
    }
}
