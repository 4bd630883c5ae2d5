//! What a leader's messages do to a node that follows it (Raft, 5.3 and 7).

use super::bugs::Bug;
use super::io::{DiskSpace, Event, Op, Reply, Token};
use super::log::entry_bytes;
use super::{Core, State};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, AppendOutcome, Conflict, Entry, Index, InstallSnapshotArgs,
    InstallSnapshotReply, NodeId, Round, SnapshotProgress, Term,
};

/// How many messages wait for entries that they have overtaken, at most: as many as a leader sends without an answer.
const EARLY_MAX: usize = 4;
/// The bytes of entries in them, at most.
const EARLY_BYTES_MAX: usize = 8 << 20;

/// Messages of the leader of this term that have overtaken those before them. They are taken as if they had come after those,
/// since the leader would send all of it again otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Early {
    /// The term in which a message of its leader has fitted the log. Until then, one that does not fit is how the leader looks
    /// for the place up to which the logs agree.
    in_step: Term,
    waiting: Vec<(NodeId, Token, AppendEntriesArgs)>,
}

impl Early {
    fn bytes(&self) -> usize {
        self.waiting.iter().flat_map(|(_, _, args)| &args.entries).map(entry_bytes).sum()
    }
}

impl Core {
    pub(super) fn on_append(&mut self, from: NodeId, token: Token, args: AppendEntriesArgs) {
        if args.term >= self.node.term {
            self.node.links.on_delay(args.delay, self.node.now);
        }
        if !self.accept_leader(from, args.term) {
            self.reply_to_append(token, args.round, AppendOutcome::OldTerm);
            return;
        }
        self.take(from, token, args);
        self.take_early();
    }

    /// Takes a message of the leader of this term.
    fn take(&mut self, from: NodeId, token: Token, args: AppendEntriesArgs) {
        if let Some(conflict) = self.conflict_at(&args) {
            if conflict.prev_index <= self.node.commit && !self.node.options.bug_is_seeded() {
                self.node.effects.events.push(Event::Contradicted { index: conflict.prev_index });
            }
            if self.is_early(&args, &conflict) {
                self.early.waiting.push((from, token, args));
            } else {
                self.reply_to_append(token, args.round, AppendOutcome::Conflict(conflict));
            }
            return;
        }
        self.early.in_step = self.node.term;
        let has_entries = !args.entries.is_empty() && self.node.disk == DiskSpace::Free;
        // A full disk takes nothing, and says so by not having it.
        let last_new =
            if has_entries { args.prev_index + args.entries.len() as u64 } else { args.prev_index };
        if has_entries && !self.take_entries(args.prev_index, args.entries) {
            self.reply_to_append(token, args.round, AppendOutcome::OldTerm);
            return;
        }
        // Only up to the last entry that this message vouches for: what comes after it may be another leader's.
        let vouched =
            if self.node.has(Bug::CommitByLastIndex) { self.node.log.last_index() } else { last_new };
        self.node.commit = self.node.commit.max(args.commit.min(vouched));
        if has_entries {
            let outcome = AppendOutcome::Matched(last_new);
            let reply = AppendEntriesReply { term: self.node.term, round: args.round, outcome, digest: None };
            self.node.reply_when_durable(token, Reply::Append(reply));
        } else {
            let durable = if self.node.has(Bug::AnswerHeartbeatBeforeDurable) {
                last_new
            } else {
                last_new.min(self.node.log.durable_index())
            };
            self.reply_to_append(token, args.round, AppendOutcome::Matched(durable));
        }
    }

    /// Whether a message has come before entries that are on their way.
    fn is_early(&self, args: &AppendEntriesArgs, conflict: &Conflict) -> bool {
        // The log of a leader only grows in its term, and so does what fits it here: what is missing is on its way.
        let is_beyond_the_log = conflict.term == 0 && !args.entries.is_empty();
        let bytes: usize = args.entries.iter().map(entry_bytes).sum();
        is_beyond_the_log
            && self.early.in_step == self.node.term
            && self.early.waiting.len() < EARLY_MAX
            && self.early.bytes() + bytes <= EARLY_BYTES_MAX
    }

    /// Takes the messages that wait for entries which have come.
    fn take_early(&mut self) {
        let fits =
            |last: Index| move |(_, _, args): &(NodeId, Token, AppendEntriesArgs)| args.prev_index <= last;
        while let Some(place) = self.early.waiting.iter().position(fits(self.node.log.last_index())) {
            let (from, token, args) = self.early.waiting.remove(place);
            self.take(from, token, args);
        }
    }

    /// The term has changed: nobody waits for what its leader has sent.
    pub(super) fn refuse_early(&mut self) {
        for (_, token, args) in std::mem::take(&mut self.early.waiting) {
            self.reply_to_append(token, args.round, AppendOutcome::OldTerm);
        }
    }

    fn reply_to_append(&mut self, token: Token, round: Round, outcome: AppendOutcome) {
        let term = self.node.term;
        self.node.reply(token, Reply::Append(AppendEntriesReply { term, round, outcome, digest: None }));
    }

    /// Whether a message of this term comes from its leader; if so, this node follows it.
    fn accept_leader(&mut self, from: NodeId, term: Term) -> bool {
        if term < self.node.term {
            return false;
        }
        if term > self.node.term {
            self.follow(term);
        }
        match self.state {
            // A second leader of a term cannot be. Whoever says so is not believed.
            State::Leader(_) => return false,
            State::PreCandidate(_) | State::Candidate(_) => self.state = State::Follower,
            State::Follower => {}
        }
        self.node.leader = Some(from);
        self.leader_heard_at = Some(self.node.now);
        self.restart_election_timer();
        self.election_at = self.election_at.after_us(self.node.links.busy_us);
        true
    }

    /// Where the log leaves the leader's, if it does not contain the entry before the message's.
    fn conflict_at(&self, args: &AppendEntriesArgs) -> Option<Conflict> {
        let log = &self.node.log;
        let skips = args.entries.is_empty() && self.node.has(Bug::HeartbeatSkipsPrevCheck);
        // What is compacted is committed, and so it is the leader's.
        if args.prev_index < log.base_index() || skips && args.prev_index <= log.last_index() {
            return None;
        }
        let prev_index = args.prev_index;
        match log.term_at(prev_index) {
            Some(term) if term == args.prev_term || self.node.has(Bug::SkipPrevTermCheck) => None,
            Some(term) => {
                let first_index = log.first_index_of_run(prev_index);
                Some(Conflict { prev_index, term, first_index })
            }
            None => Some(Conflict { prev_index, term: 0, first_index: log.last_index() + 1 }),
        }
    }

    /// Takes what the log does not have yet. What it has stays, unless it is another entry: a message that comes late
    /// and is shorter than the log must not cut off what was acknowledged since (Raft, 5.3). False when they contradict
    /// what is committed, which no leader that keeps the rules can send.
    fn take_entries(&mut self, prev_index: Index, mut entries: Vec<Entry>) -> bool {
        let log = &self.node.log;
        let is_known = |(index, entry): &(Index, &Entry)| {
            *index <= log.base_index() || log.term_at(*index) == Some(entry.term)
        };
        let known = (prev_index + 1..).zip(&entries).take_while(is_known).count();
        entries.drain(..known);
        let first = match entries.first() {
            Some(_) => prev_index + 1 + known as u64,
            None if self.node.has(Bug::TruncateWithoutConflict) => log.last_index().min(prev_index + 1),
            None => return true,
        };
        // Terms do not fall from one entry to the next, whatever a message that begins before the base says.
        let falls = |entry: &Entry| log.term_at(first - 1).is_none_or(|before| before > entry.term);
        if entries.first().is_some_and(falls) {
            return false;
        }
        if first <= self.node.log.last_index() {
            if first <= self.node.commit && !self.node.options.bug_is_seeded() {
                self.node.effects.events.push(Event::Contradicted { index: first });
                return false;
            }
            self.node.truncate(first);
        }
        if !entries.is_empty() {
            self.node.append(entries);
        }
        true
    }

    pub(super) fn on_snapshot(&mut self, from: NodeId, token: Token, args: InstallSnapshotArgs) {
        let last_index = args.snapshot.last_index;
        let round = args.round;
        let progress = if self.accept_leader(from, args.term) {
            let progress = self.take_piece(args);
            self.take_early();
            progress
        } else {
            SnapshotProgress::OldTerm
        };
        let early = self.node.has(Bug::AnswerInstallBeforeDurable);
        let is_promise = progress != SnapshotProgress::OldTerm && !early;
        let reply =
            Reply::Snapshot(InstallSnapshotReply { term: self.node.term, round, last_index, progress });
        if is_promise {
            self.node.reply_when_durable(token, reply);
        } else {
            self.node.reply(token, reply);
        }
    }

    /// Takes the next piece of a snapshot, and the whole once it is complete.
    fn take_piece(&mut self, args: InstallSnapshotArgs) -> SnapshotProgress {
        let InstallSnapshotArgs { snapshot, offset, data, last, .. } = args;
        if snapshot.last_index <= self.node.commit && !self.node.has(Bug::InstallOldSnapshot) {
            // Everything in it is here already; a state must never be replaced by an older one.
            return SnapshotProgress::Installed;
        }
        let received = match &self.receiving {
            Some((receiving, received)) if *receiving == snapshot => *received,
            // A late piece of an older snapshot.
            Some((receiving, _))
                if receiving.last_index > snapshot.last_index && !self.node.has(Bug::LatePieceRestarts) =>
            {
                return SnapshotProgress::Next(0);
            }
            Some(_) | None => 0,
        };
        if offset != received || self.node.disk == DiskSpace::Full {
            return SnapshotProgress::Next(received);
        }
        let received = received + data.0.len() as u64;
        self.node.persist(Op::SnapshotPiece { snapshot: snapshot.clone(), offset, data, last });
        if last {
            self.receiving = None;
            self.node.install(snapshot);
            SnapshotProgress::Installed
        } else {
            self.receiving = Some((snapshot, received));
            SnapshotProgress::Next(received)
        }
    }
}
