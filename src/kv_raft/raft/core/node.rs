//! What a node has in every role: its term and vote, its log, the stream to its disk and what waits for it.

use super::bugs::Bug;
use super::io::{DiskSpace, Effects, Event, Op, Persist, Position, Reply, Request, Restored, Time, Token};
use super::link::Links;
use super::log::Log;
use super::options::Options;
use crate::services::raft::{Entry, Index, Membership, NodeId, SnapshotMeta, Term};

/// What a node has in every role.
///
/// Invariants:
/// - `term` and `commit` never fall; `voted_for` changes at most once in a term.
/// - `commit` is at least the last index of the snapshot and at most that of the log.
/// - `vote_position <= position` and `durable_position <= position`.
/// - Nothing in `held` waits for a position that is durable already.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) options: Options,
    pub(super) random: fastrand::Rng,
    pub(super) now: Time,
    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    pub(super) leader: Option<NodeId>,
    pub(super) log: Log,
    pub(super) commit: Index,
    pub(super) snapshot: Option<SnapshotMeta>,
    /// What the log says about who belongs to the cluster, from when on, in order; the first is from index 0 or the
    /// snapshot's.
    pub(super) memberships: Vec<(Index, Membership)>,
    pub(super) disk: DiskSpace,
    pub(super) links: Links,
    /// The position of the newest change; the step that is being taken has the next one if it changes anything.
    position: Position,
    durable_position: Position,
    /// The position of the newest change of the term or the vote.
    vote_position: Position,
    /// The position of the newest installed snapshot.
    install_position: Position,
    held: Vec<(Position, Held)>,
    ops: Vec<Op>,
    pub(super) effects: Effects,
}

/// What waits until a position is durable.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// An answer.
    Reply(Token, Reply),
    /// A message.
    Request(NodeId, Request),
    /// The vote of a candidate of this term for itself.
    OwnVote(Term),
}

impl Node {
    pub(super) fn new(options: Options, restored: Restored, now: Time) -> Self {
        let Restored { term, voted_for, snapshot, base_index, base_term, entries } = restored;
        let commit = snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        let initial = match &snapshot {
            Some(snapshot) => (snapshot.last_index, Membership::clone(&snapshot.membership)),
            None => (0, options.membership.clone()),
        };
        let mut node = Self {
            random: fastrand::Rng::with_seed(options.seed),
            options,
            now,
            term,
            voted_for,
            leader: None,
            log: Log::restored(base_index, base_term, entries),
            commit,
            snapshot,
            memberships: vec![initial],
            disk: DiskSpace::Free,
            links: Links::default(),
            position: 0,
            durable_position: 0,
            vote_position: 0,
            install_position: 0,
            held: Vec::new(),
            ops: Vec::new(),
            effects: Effects::default(),
        };
        assert!(node.log.last_index() >= commit, "the log ends before the snapshot");
        for index in commit + 1..=node.log.last_index() {
            node.note_membership(index);
        }
        node.effects = Effects::default();
        node
    }

    pub(super) fn id(&self) -> NodeId {
        self.options.id
    }

    /// The other nodes of the cluster.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let mut nodes = self.membership().nodes();
        nodes.retain(|node| *node != self.id());
        nodes
    }

    /// Whether this node runs a copy of the code with this bug in it; never outside of the tests of the tests.
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.options.has(bug)
    }

    /// Enters a later term, in which nobody has this node's vote yet.
    pub(super) fn enter_term(&mut self, term: Term) {
        assert!(term > self.term, "the term did not grow");
        self.term = term;
        self.voted_for = if self.has(Bug::KeepVoteInNewTerm) { self.voted_for } else { None };
        self.leader = None;
        self.persist_vote();
    }

    /// Gives this term's vote to a node.
    pub(super) fn vote_for(&mut self, node: NodeId) {
        assert!(
            self.voted_for.is_none_or(|voted_for| voted_for == node) || self.has(Bug::VoteTwice),
            "a second vote in one term"
        );
        self.voted_for = Some(node);
        self.persist_vote();
    }

    fn persist_vote(&mut self) {
        let voted_for = if self.has(Bug::ForgetVote) { None } else { self.voted_for };
        self.persist(Op::Vote { term: self.term, voted_for });
        self.vote_position = self.next_position();
    }

    /// Adds entries at the end of the log.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let first = self.log.last_index() + 1;
        self.persist(Op::Append { first, entries: entries.clone() });
        let position = self.next_position();
        self.log.append(entries, position);
        for index in first..=self.log.last_index() {
            self.note_membership(index);
        }
    }

    /// Removes the entries from `first` on, which are not committed.
    pub(super) fn truncate(&mut self, first: Index) {
        assert!(first > self.commit || self.options.bug_is_seeded(), "a committed entry was removed");
        self.persist(Op::Truncate(first));
        self.log.truncate(first);
        if self.membership_index() >= first && !self.has(Bug::ForgetMembershipOnTruncate) {
            self.memberships.retain(|(since, _)| *since < first || *since == 0);
            self.note_new_membership();
        }
        self.effects.events.push(Event::Truncated(first));
    }

    /// Takes a complete snapshot as the state, in the place of the entries that it covers.
    pub(super) fn install(&mut self, snapshot: SnapshotMeta) {
        let (index, term) = (snapshot.last_index, snapshot.last_term);
        // Entries after the snapshot are kept only where the log contains its last entry (Raft, 7).
        let contained = self.log.term_at(index) == Some(term);
        let before = self.membership().clone();
        let was_committed = self.committed_memberships().len() == self.memberships.len();
        let keep_suffix = match () {
            () if self.has(Bug::DropSuffixOnInstall) => false,
            () if self.has(Bug::KeepSuffixOnInstall) => self.log.last_index() > index,
            () => contained,
        };
        self.persist(Op::Install { snapshot: snapshot.clone(), keep_suffix });
        let position = self.next_position();
        self.install_position = position;
        if keep_suffix {
            self.log.compact(index);
            self.memberships.retain(|(since, _)| *since > index);
        } else {
            if self.log.last_index() > index {
                self.effects.events.push(Event::Truncated(index + 1));
            }
            self.log.reset(index, term, position);
            self.memberships.clear();
        }
        self.memberships.insert(0, (index, Membership::clone(&snapshot.membership)));
        // What a snapshot says is committed.
        if *self.membership() != before || !was_committed {
            self.note_new_membership();
        }
        self.commit = self.commit.max(index);
        self.snapshot = Some(snapshot);
    }

    /// Lets the entries go that a saved snapshot covers, but for some that followers may still want: those that are a little
    /// behind, and those that are receiving an older snapshot, the last index of which is `sent`.
    pub(super) fn compact(&mut self, snapshot: SnapshotMeta, sent: Option<Index>) {
        let newest = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        if snapshot.last_index <= newest || snapshot.last_index > self.commit {
            return;
        }
        let Options { trailing_entries, trailing_bytes_max, .. } = self.options;
        let mut index = self.log.before_trailing(snapshot.last_index, trailing_entries, trailing_bytes_max);
        if let Some(sent) = sent.filter(|sent| *sent < index)
            && self.log.bytes(sent, self.log.last_index()) <= self.options.transfer_bytes_max
        {
            index = sent;
        }
        if index > self.log.base_index() {
            let term = self.log.term_at(index).expect("committed entries after the base are in the log");
            self.persist(Op::Compact { index, term });
            self.log.compact(index);
        }
        let membership = Membership::clone(&snapshot.membership);
        self.memberships.retain(|(since, _)| *since > snapshot.last_index);
        self.memberships.insert(0, (snapshot.last_index, membership));
        self.snapshot = Some(snapshot);
    }

    /// Whether the state of the newest snapshot is on the disk.
    pub(super) fn snapshot_is_durable(&self) -> bool {
        self.install_position <= self.durable_position
    }

    /// Whether the newest term and vote are on the disk.
    pub(super) fn vote_is_durable(&self) -> bool {
        self.vote_position <= self.durable_position
    }

    pub(super) fn persist(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// The position of what this step persists.
    fn next_position(&self) -> Position {
        self.position + 1
    }

    /// The position of everything so far, this step's changes included.
    pub(super) fn position_now(&self) -> Position {
        if self.ops.is_empty() { self.position } else { self.next_position() }
    }

    /// Answers once the term and the vote are durable: the answer carries the term.
    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        let early = self.has(Bug::AnswerVoteBeforeDurable) && matches!(reply, Reply::Vote(_));
        let position = if early { 0 } else { self.vote_position };
        self.hold(position, Held::Reply(token, reply));
    }

    /// Answers once everything so far is durable: the answer speaks of the log.
    pub(super) fn reply_when_durable(&mut self, token: Token, reply: Reply) {
        let position = if self.has(Bug::AnswerAppendBeforeDurable) { 0 } else { self.position_now() };
        self.hold(position, Held::Reply(token, reply));
    }

    /// Sends once the term and the vote are durable.
    pub(super) fn request(&mut self, to: NodeId, request: Request) {
        self.hold(self.vote_position, Held::Request(to, request));
    }

    /// Counts a candidate's vote for itself once it is durable.
    pub(super) fn hold_own_vote(&mut self) {
        self.held.push((self.vote_position, Held::OwnVote(self.term)));
    }

    fn hold(&mut self, position: Position, held: Held) {
        if position > self.durable_position {
            self.held.push((position, held));
        } else {
            self.release(held);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Reply(token, reply) => self.effects.replies.push((token, reply)),
            Held::Request(to, request) => self.effects.requests.push((to, request)),
            Held::OwnVote(_) => unreachable!("it is not sent but counted"),
        }
    }

    /// The disk has everything up to `position`. Gives the terms in which a vote of this node for itself counts now.
    pub(super) fn confirm(&mut self, position: Position) -> Vec<Term> {
        assert!(position <= self.position, "the disk confirmed what it was never given");
        self.durable_position = self.durable_position.max(position);
        self.log.confirm(position);
        let mut own_votes = Vec::new();
        let released: Vec<_> = self.held.extract_if(.., |(at, _)| *at <= position).collect();
        for (_, held) in released {
            match held {
                Held::OwnVote(term) => own_votes.push(term),
                Held::Reply(..) | Held::Request(..) => self.release(held),
            }
        }
        own_votes
    }

    /// Ends a step: what it wants to persist gets its position.
    pub(super) fn take_effects(&mut self) -> Effects {
        if !self.ops.is_empty() {
            self.position += 1;
            let persist = Persist { position: self.position, ops: std::mem::take(&mut self.ops) };
            self.effects.persist = Some(persist);
        }
        std::mem::take(&mut self.effects)
    }

    /// Walks the invariants.
    pub(super) fn check(&self) {
        if self.options.bug_is_seeded() {
            return;
        }
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        assert!(self.commit >= snapshot, "the snapshot holds what is not committed");
        assert!(self.commit <= self.log.last_index(), "what is committed is not in the log");
        assert!(self.log.base_index() <= snapshot, "entries are gone that no snapshot covers");
        assert!(self.log.durable_index() <= self.log.last_index(), "what is durable is not in the log");
        assert!(self.log.last_term() <= self.term, "the log is of a later term than the node");
        assert!(self.durable_position <= self.position && self.vote_position <= self.position);
        assert!(self.memberships.is_sorted_by_key(|(since, _)| since), "the memberships are out of order");
        self.links.check();
        assert!(self.held.iter().all(|(position, _)| *position > self.durable_position), "held too long");
    }
}
