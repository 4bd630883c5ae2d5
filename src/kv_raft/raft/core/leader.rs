//! What a leader is: when it sends, what counts as committed, and when it must stop leading.

use std::collections::BTreeMap;

use super::Core;
use super::State;
use super::bugs::Bug;
use super::io::{DiskSpace, Proposed, ReadOutcome, Refusal, Time, Token};
use super::log::entry_bytes;
use super::node::Node;
use super::progress::{Pace, Progress};
use super::read::Reads;
use super::reconfigure::Reconfiguration;
use super::transfer::Transfer;
use crate::services::raft::{Command, Entry, Index, NodeId, Payload, Round};

/// What a leader knows beyond what every node does.
///
/// Invariants:
/// - `progress` has every other node that gets the log, and nobody else.
/// - `round` is the newest one sent; none is sent twice.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    pub(super) progress: BTreeMap<NodeId, Progress>,
    pub(super) round: Round,
    pub(super) reads: Reads,
    pub(super) transfer: Option<Transfer>,
    pub(super) reconfiguration: Reconfiguration,
    /// When to look whether a majority still answers.
    quorum_check_at: Time,
    /// The bytes of the entries that are not committed.
    pub(super) uncommitted_bytes: usize,
    /// From which commit index on this node knows about everything that was committed in earlier terms.
    knows_all_from: Index,
}

/// Whether a leader still reaches a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quorum {
    Held,
    Lost,
}

impl Leadership {
    /// The first act of a leader.
    pub(super) fn begin(node: &mut Node) -> Self {
        let mut leadership = Self {
            progress: BTreeMap::new(),
            round: 0,
            reads: Reads::default(),
            transfer: None,
            reconfiguration: Reconfiguration::default(),
            quorum_check_at: node.now.after_us(quorum_timeout_us(node)),
            uncommitted_bytes: 0,
            knows_all_from: node.commit,
        };
        leadership.follow_membership(node);
        // Entries of earlier terms may or may not be committed; one of this term decides it (Raft, 5.4.2 and 8). Where every
        // entry is known to be committed there is nothing to decide, and so the first command of a cluster has index 1.
        if node.log.last_index() > node.commit && !node.has(Bug::NoBlankEntry) {
            node.append(vec![Entry { term: node.term, payload: Payload::Blank }]);
            leadership.knows_all_from = node.log.last_index();
        }
        leadership.uncommitted_bytes = node.log.bytes(node.commit, node.log.last_index());
        leadership.beat_all(node);
        leadership.begin_reconfiguration(node);
        leadership
    }

    pub(super) fn next_deadline(&self) -> Time {
        let messages =
            self.progress.values().flat_map(|progress| [progress.heartbeat_at, progress.notice_at]);
        let transfer = self.transfer.as_ref().map(|transfer| transfer.ends_at);
        messages.chain(transfer).fold(self.quorum_check_at, Time::min)
    }

    pub(super) fn on_timeout(&mut self, node: &mut Node) -> Quorum {
        if self.quorum_check_at <= node.now {
            self.quorum_check_at = node.now.after_us(node.options.heartbeat_us);
            if !self.has_quorum(node) && !node.has(Bug::NoCheckQuorum) {
                return Quorum::Lost;
            }
        }
        self.end_late_transfer(node);
        let ids: Vec<_> = self.progress.keys().copied().collect();
        for id in ids {
            let progress = self.progress_mut(id);
            if progress.heartbeat_at <= node.now {
                progress.failures = 0;
                self.beat(node, id);
            } else if progress.notice_at <= node.now {
                self.beat(node, id);
            }
        }
        self.settle(node);
        Quorum::Held
    }

    /// Whether a majority has answered lately. A leader that reaches none cannot commit anything, and clients that reach it
    /// are better off looking for another one (Raft dissertation, 6.2).
    fn has_quorum(&self, node: &Node) -> bool {
        let timeout_us = quorum_timeout_us(node);
        let missed_at = |id| {
            let missed_at = |it: &Progress| missed_at(it, timeout_us).0;
            if id == node.id() { u64::MAX } else { self.progress.get(&id).map_or(0, missed_at) }
        };
        Time(node.quorum_value(missed_at)) > node.now
    }

    /// Whether a node has answered this leader lately.
    pub(super) fn has_answered_lately(&self, node: &Node, id: NodeId) -> bool {
        let answers =
            |it: &Progress| it.answered > it.born && missed_at(it, quorum_timeout_us(node)) > node.now;
        self.progress.get(&id).is_some_and(answers)
    }

    /// Adds commands to the log, or says why not.
    fn propose(&mut self, node: &mut Node, commands: Vec<Command>) -> Proposed {
        if self.transfer.is_some() {
            return Proposed::Refused(Refusal::Transferring);
        }
        if node.disk == DiskSpace::Full {
            return Proposed::Refused(Refusal::DiskFull);
        }
        let term = node.term;
        let entry = |command| Entry { term, payload: Payload::Command(command) };
        let entries: Vec<_> = commands.into_iter().map(entry).collect();
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        let under_way = self.uncommitted_bytes;
        if under_way > 0 && under_way + bytes > node.options.uncommitted_bytes_max {
            return Proposed::Refused(Refusal::TooMuch);
        }
        let first = node.log.last_index() + 1;
        if !entries.is_empty() {
            self.uncommitted_bytes += bytes;
            node.append(entries);
            self.spread(node);
        }
        Proposed::Accepted { first, term }
    }

    /// This node's own disk has more of the log.
    pub(super) fn on_durable(&mut self, node: &mut Node) {
        self.advance_commit(node);
    }

    /// Commits what a majority has on its disks, and what that allows.
    pub(super) fn advance_commit(&mut self, node: &mut Node) {
        let own = if node.has(Bug::CountSelfBeforeDurable) {
            node.log.last_index()
        } else {
            node.log.durable_index()
        };
        let matched = |id| {
            if id == node.id() { own } else { self.progress.get(&id).map_or(0, |it| it.matched) }
        };
        let reached = node.quorum_value(matched);
        // Only entries of our own term commit by counting: an older one on a majority can still be overwritten
        // (Raft, 5.4.2, figure 8). Those before it are committed with it.
        let is_own = node.log.term_at(reached) == Some(node.term) || node.has(Bug::CommitOldTermByCounting);
        if reached > node.commit && is_own {
            self.uncommitted_bytes -= node.log.bytes(node.commit, reached);
            node.commit = reached;
            self.notice_commit(node);
        }
        self.release_reads(node);
        self.settle(node);
    }

    /// The followers are told soon, by a message of its own if no other carries it until then.
    fn notice_commit(&mut self, node: &Node) {
        let notice_at = node.now.after_us(node.options.commit_notice_us);
        for progress in self.progress.values_mut() {
            if progress.pace == Pace::Replicate {
                progress.notice_at = progress.notice_at.min(notice_at);
            }
        }
    }

    /// Whether everything that earlier leaders have committed is known to be.
    pub(super) fn knows_all_committed(&self, node: &Node) -> bool {
        node.commit >= self.knows_all_from || node.has(Bug::ReadBeforeOwnCommit)
    }

    pub(super) fn refuse_reads(&mut self, node: &mut Node) {
        for token in self.reads.take_all() {
            let refused =
                ReadOutcome::Refused(Refusal::NotLeader(node.leader.filter(|leader| *leader != node.id())));
            node.effects.reads.push((token, refused));
        }
    }

    pub(super) fn progress(&self, node: NodeId) -> Option<(Index, Time)> {
        self.progress.get(&node).map(|progress| (progress.matched, progress.answered_at))
    }

    pub(super) fn progress_mut(&mut self, node: NodeId) -> &mut Progress {
        self.progress.get_mut(&node).expect("only nodes of the cluster are asked for")
    }

    pub(super) fn check(&self, node: &Node) {
        assert_eq!(node.leader, Some(node.id()), "a leader follows somebody");
        for progress in self.progress.values() {
            assert!(progress.matched < progress.next, "an entry is sent that is there already");
            assert!(progress.answered <= self.round, "an answer to what was never sent");
        }
        if !node.options.bug_is_seeded() {
            self.check_reconfiguration(node);
        }
    }
}

/// When a node counts as one that does not answer. A node whose link is filled by what this leader has sent cannot answer yet.
fn missed_at(progress: &Progress, timeout_us: u64) -> Time {
    progress.answered_at.after_us(timeout_us).max(progress.busy_until)
}

/// After how long without a majority a leader steps down: no sooner than its followers can have missed it.
fn quorum_timeout_us(node: &Node) -> u64 {
    2 * node.election_timeout_us()
}

impl Core {
    pub(super) fn on_propose(&mut self, commands: Vec<Command>) {
        let proposed = match &mut self.state {
            State::Leader(leadership) => leadership.propose(&mut self.node, commands),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => {
                Proposed::Refused(Refusal::NotLeader(self.node.leader))
            }
        };
        self.node.effects.proposed = Some(proposed);
    }

    pub(super) fn on_read(&mut self, token: Token) {
        match &mut self.state {
            State::Leader(leadership) => leadership.read(&mut self.node, token),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => {
                let refused = ReadOutcome::Refused(Refusal::NotLeader(self.node.leader));
                self.node.effects.reads.push((token, refused));
            }
        }
    }

    pub(super) fn on_transfer(&mut self, to: Option<NodeId>) {
        match &mut self.state {
            State::Leader(leadership) => leadership.transfer(&mut self.node, to),
            // There is nothing to hand over.
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => {}
        }
    }
}
