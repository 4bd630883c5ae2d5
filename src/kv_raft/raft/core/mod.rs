//! The Raft algorithm as a value: what has happened goes in, what must be done comes out, and nothing else happens.
//!
//! - `io`: what goes in and what comes out. `options`: the settings.
//! - `node`: what a node has in every role, and what waits for its disk. `log`, `membership`: parts of it.
//! - `election`: from follower to leader. `follower`: what a leader's messages do.
//! - `leader`: what a leader does; `progress` is what it knows of one other node, `replication` how it acts on that,
//!   `read` how it answers reads, `transfer` how it hands over.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

mod bugs;
mod election;
mod follower;
mod io;
mod leader;
mod log;
mod membership;
mod node;
mod options;
mod progress;
mod read;
mod replication;
mod transfer;

#[cfg(test)]
mod paper;
#[cfg(test)]
mod scripts;

use election::Campaign;
use leader::Leadership;
use node::Node;

use crate::services::raft::{Entry, Index, Membership, NodeId, SnapshotMeta, Term};

pub use bugs::Bug;
pub use io::{
    DiskSpace, Effects, Event, Input, Op, Persist, Position, Proposed, ReadOutcome, Refusal, Reply, Request,
    Restored, Role, Sent, Time, Token,
};
pub use options::Options;

/// One node of a cluster.
///
/// The same inputs at the same times give the same effects: there is no clock here, no randomness but the seed in the
/// options, and nothing that can fail.
#[derive(Clone, Debug)]
pub struct Core {
    node: Node,
    state: State,
    /// When a node that does not lead campaigns.
    election_at: Time,
    /// When the leader of this term was last heard of.
    leader_heard_at: Option<Time>,
    /// The snapshot that is being received, and how much of it has come.
    receiving: Option<(SnapshotMeta, u64)>,
}

/// What a node is, with what it knows as that.
#[derive(Clone, Debug)]
enum State {
    Follower,
    PreCandidate(Campaign),
    Candidate(Campaign),
    Leader(Box<Leadership>),
}

/// What a host gives to the state machine next.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// Nothing for now.
    Nothing,
    /// Entries that are committed, in order.
    Entries {
        /// The index of the first one.
        first: Index,
        /// At least one.
        entries: Vec<Entry>,
    },
    /// The state of this snapshot, which takes the place of entries that are no longer there.
    Snapshot(SnapshotMeta),
}

impl Core {
    /// A node as it was found on its disk.
    ///
    /// # Panics
    /// When `restored` contradicts itself, such as a log that ends before the snapshot: see [`Restored`].
    pub fn new(options: Options, restored: Restored, now: Time) -> Self {
        let mut node = Node::new(options, restored, now);
        let election_at = now.after_us(node.draw_election_timeout_us());
        Self { node, state: State::Follower, election_at, leader_heard_at: None, receiving: None }
    }

    /// What `input` at the time `now` makes of the node, and what must be done about it.
    pub fn step(&mut self, now: Time, input: Input) -> Effects {
        // A clock that goes back is held at where it was.
        self.node.now = self.node.now.max(now);
        let before = (self.state_event(), self.node.commit);
        match input {
            Input::Timeout => self.on_timeout(),
            Input::Request { from, token, request } => self.on_request(from, token, request),
            Input::Reply { from, reply } => self.on_reply(from, reply),
            Input::Failed { to, sent } => self.on_failed(to, sent),
            Input::Propose(commands) => self.on_propose(commands),
            Input::Read(token) => self.on_read(token),
            Input::Durable(position) => self.on_durable(position),
            Input::SnapshotSaved(snapshot) => self.node.compact(snapshot),
            Input::Disk(space) => self.on_disk(space),
            Input::Transfer(to) => self.on_transfer(to),
        }
        if self.state_event() != before.0 {
            self.node.effects.events.push(self.state_event());
        }
        if self.node.commit != before.1 {
            self.node.effects.events.push(Event::Committed(self.node.commit));
        }
        let effects = self.node.take_effects();
        self.check();
        effects
    }

    /// When the host must say [`Input::Timeout`].
    pub fn next_deadline(&self) -> Time {
        match &self.state {
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => self.election_at,
            State::Leader(leadership) => leadership.next_deadline(),
        }
    }

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
        let is_safe = index > 0 && index <= self.node.commit.min(self.node.log.durable_index());
        let last_term = self.node.log.term_at(index).filter(|_| is_safe)?;
        let membership = self.node.membership_at(index).clone();
        Some(SnapshotMeta { last_index: index, last_term, membership })
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

    /// For a leader: up to where the log of another node is known to be its own, and when that node last answered.
    pub fn progress(&self, node: NodeId) -> Option<(Index, Time)> {
        match &self.state {
            State::Leader(leadership) => leadership.progress(node),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    fn on_timeout(&mut self) {
        match &mut self.state {
            State::Leader(leadership) => {
                if leadership.on_timeout(&mut self.node) == leader::Quorum::Lost {
                    self.step_down();
                }
            }
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => self.on_election_timeout(),
        }
    }

    fn on_request(&mut self, from: NodeId, token: Token, request: Request) {
        match request {
            Request::PreVote(args) => self.on_pre_vote(token, &args),
            Request::Vote(args) => self.on_vote(from, token, &args),
            Request::Append(args) => self.on_append(from, token, args),
            Request::Snapshot(args) => self.on_snapshot(from, token, args),
            Request::TimeoutNow(args) => self.on_timeout_now(from, token, &args),
        }
    }

    fn on_reply(&mut self, from: NodeId, reply: Reply) {
        // A pre-vote that was granted names the term it is for, which nobody is in yet.
        let (term, is_promise) = match &reply {
            Reply::PreVote(reply) => (reply.term, reply.granted),
            Reply::Vote(reply) => (reply.term, false),
            Reply::Append(reply) => (reply.term, false),
            Reply::Snapshot(reply) => (reply.term, false),
            Reply::TimeoutNow(reply) => (reply.term, false),
        };
        if term > self.node.term && !is_promise {
            self.follow(term);
            return;
        }
        if term < self.node.term && !self.node.has(Bug::BelieveOldReplies) {
            return;
        }
        match (&mut self.state, reply) {
            (_, Reply::PreVote(reply)) => self.on_pre_vote_reply(from, &reply),
            (_, Reply::Vote(reply)) => self.on_vote_reply(from, &reply),
            (State::Leader(leadership), Reply::Append(reply)) => {
                leadership.on_append_reply(&mut self.node, from, &reply);
            }
            (State::Leader(leadership), Reply::Snapshot(reply)) => {
                leadership.on_snapshot_reply(&mut self.node, from, &reply);
            }
            // Of a leadership of this term that has ended, or an answer that says nothing new.
            (
                State::Follower | State::PreCandidate(_) | State::Candidate(_),
                Reply::Append(_) | Reply::Snapshot(_),
            )
            | (_, Reply::TimeoutNow(_)) => {}
        }
    }

    fn on_failed(&mut self, to: NodeId, sent: Sent) {
        if self.node.has(Bug::NoRetry) {
            return;
        }
        match (&mut self.state, sent) {
            (State::PreCandidate(_) | State::Candidate(_), Sent::PreVote(_) | Sent::Vote(_)) => {
                self.on_vote_failed(to, sent);
            }
            (State::Leader(leadership), Sent::Append(term, round) | Sent::Snapshot(term, round))
                if term == self.node.term =>
            {
                leadership.on_send_failed(&mut self.node, to, round);
            }
            (State::Leader(leadership), Sent::TimeoutNow(term)) if term == self.node.term => {
                leadership.on_transfer_failed(&mut self.node, to);
            }
            // What is not wanted any more.
            (
                State::Follower | State::PreCandidate(_) | State::Candidate(_) | State::Leader(_),
                Sent::PreVote(_)
                | Sent::Vote(_)
                | Sent::Append(..)
                | Sent::Snapshot(..)
                | Sent::TimeoutNow(_),
            ) => {}
        }
    }

    fn on_durable(&mut self, position: Position) {
        for term in self.node.confirm(position) {
            self.on_own_vote(term);
        }
        if let State::Leader(leadership) = &mut self.state {
            leadership.on_durable(&mut self.node);
        }
    }

    fn on_disk(&mut self, space: DiskSpace) {
        self.node.disk = space;
        if space == DiskSpace::Full {
            // The disk may not have kept what came last; the snapshot is wanted from its beginning.
            self.receiving = None;
            // Whoever can still write leads better.
            self.on_transfer(None);
        }
    }

    /// Enters a later term as a follower, whose election timer goes on.
    fn follow(&mut self, term: Term) {
        if term > self.node.term {
            self.node.enter_term(term);
            self.leader_heard_at = None;
            self.receiving = None;
        }
        self.step_down();
    }

    /// Becomes a follower in the same term.
    fn step_down(&mut self) {
        match std::mem::replace(&mut self.state, State::Follower) {
            State::Leader(mut leadership) => {
                leadership.refuse_reads(&mut self.node);
                self.node.leader = self.node.leader.filter(|leader| *leader != self.node.id());
                self.restart_election_timer();
            }
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => {}
        }
    }

    fn restart_election_timer(&mut self) {
        self.election_at = self.node.now.after_us(self.node.draw_election_timeout_us());
    }

    fn state_event(&self) -> Event {
        Event::State { role: self.role(), term: self.node.term, leader: self.node.leader }
    }

    /// Walks the invariants. They are cheap, and a node that breaks one must not go on.
    fn check(&self) {
        self.node.check();
        match &self.state {
            State::Leader(leadership) => leadership.check(&self.node),
            State::Candidate(_) => {
                assert_eq!(self.node.voted_for, Some(self.node.id()), "a candidate did not vote for itself");
            }
            State::Follower | State::PreCandidate(_) => {}
        }
    }
}
