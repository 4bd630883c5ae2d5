//! The Raft algorithm as a value: what has happened goes in, what must be done comes out, and nothing else happens.
//!
//! - `io`: what goes in and what comes out. `options`: the settings.
//! - `node`: what a node has in every role, and what waits for its disk. `log`, `membership`: parts of it.
//! - `election`: from follower to leader. `follower`: what a leader's messages do.
//! - `leader`: what a leader does; `progress` is what it knows of one other node, `replication` and
//!   `snapshot` how it acts on that,
//!   `read` how it answers reads, `transfer` how it hands over, `reconfigure` how it changes the membership. `change` is what a
//!   change makes of a membership, `voters` whose majority counts.
//! - `view`: what a host may ask of a core. `identity`: whose messages a host gives to a core.
//! - `link`: what a node has measured of its way to another one, and the timeouts that follow from it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

mod bugs;
mod change;
mod election;
mod follower;
mod identity;
mod io;
mod leader;
mod link;
mod log;
mod membership;
mod node;
mod options;
mod progress;
mod read;
mod reconfigure;
mod replication;
mod snapshot;
mod transfer;
mod view;
mod voters;

#[cfg(test)]
mod paper;
#[cfg(test)]
mod scripts;

use election::Campaign;
use follower::Early;
use leader::Leadership;
use node::Node;

use crate::services::raft::{Entry, Index, NodeId, SnapshotMeta, Term};

pub use bugs::Bug;
pub use identity::{Admission, Receiver, SenderRefusal};
pub use io::{
    Change, ChangeRefusal, Changed, DiskSpace, Effects, Event, Input, Op, Persist, Position, Proposed,
    ReadOutcome, Refusal, Reply, Request, Restored, Role, Sent, Time, Token,
};
pub use membership::{MEMBERS_MAX, URL_BYTES_MAX};
pub use options::Options;

/// How far a term in a message may be ahead of a node's own term. A node follows every later term, and none can follow
/// the last one, so one message with such a term would leave the cluster without a leader. Elections alone take decades
/// to get this far ahead of a node that was away: 27 years at one every 200 ms.
pub const TERM_JUMP_MAX: Term = 1 << 32;

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
    /// Entries that have overtaken those before them.
    early: Early,
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
        Self {
            node,
            state: State::Follower,
            election_at,
            leader_heard_at: None,
            receiving: None,
            early: Early::default(),
        }
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
            Input::RoundTrip { with, us } => self.node.on_round_trip(with, us),
            Input::SnapshotGone { to, sent } => self.on_snapshot_gone(to, sent),
            Input::Propose(commands) => self.on_propose(commands),
            Input::Read(token) => self.on_read(token),
            Input::Durable(position) => self.on_durable(position),
            Input::SnapshotSaved(snapshot) => self.on_snapshot_saved(snapshot),
            Input::SnapshotGivenUp => self.receiving = None,
            Input::Disk(space) => self.on_disk(space),
            Input::Transfer(to) => self.on_transfer(to),
            Input::Change { token, change } => self.on_change(token, &change),
            Input::Found(membership) => self.on_found(membership),
        }
        if matches!(&self.state, State::Leader(leadership) if leadership.reconfiguration.has_left) {
            self.step_down();
        }
        if self.state_event() != before.0 {
            self.node.effects.events.push(self.state_event());
        }
        if self.node.commit != before.1 {
            self.node.note_commit_after(before.1);
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
        if term > self.node.term.saturating_add(TERM_JUMP_MAX) {
            // It is not believed, like a request of such a term; see `TERM_JUMP_MAX`.
            return;
        }
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
        self.node.links.get_mut(to).on_failure();
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

    fn on_snapshot_gone(&mut self, to: NodeId, sent: Sent) {
        if let (State::Leader(leadership), Sent::Snapshot(term, round)) = (&mut self.state, sent)
            && term == self.node.term
        {
            leadership.on_snapshot_gone(&mut self.node, to, round);
        }
    }

    fn on_snapshot_saved(&mut self, snapshot: SnapshotMeta) {
        let sent = match &self.state {
            State::Leader(leadership) => leadership.first_sent_snapshot(),
            State::Follower | State::PreCandidate(_) | State::Candidate(_) => None,
        };
        self.node.compact(snapshot, sent);
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
            self.refuse_early();
        }
        self.step_down();
    }

    /// Becomes a follower in the same term.
    fn step_down(&mut self) {
        match std::mem::replace(&mut self.state, State::Follower) {
            State::Leader(mut leadership) => {
                leadership.refuse_reads(&mut self.node);
                leadership.give_up_changes(&mut self.node);
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
