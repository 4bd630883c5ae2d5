//! The rules of the Raft paper and of the parts of the dissertation that are used, one test each.
#![allow(clippy::unwrap_used, clippy::panic)]

pub(super) mod bugs;
mod changes;
mod commit;
mod election;
mod random;
mod replication;
mod snapshot;
mod timers;
mod voters;

use std::collections::BTreeMap;

use super::{Core, Effects, Input, Op, Options, Position, Reply, Request, Restored, Role, Sent, Time};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, AppendOutcome, Conflict, Entry, Index, Membership, NodeId,
    Payload, Round, Term, TimeoutNowArgs, VoteArgs, VoteReply,
};

const MS: u64 = 1_000;
/// The shortest election timeout.
const ELECTION: u64 = 200 * MS;

/// A node on its own: the test is the rest of the cluster.
struct Node {
    core: Core,
    now: Time,
    /// Whether the disk writes at once.
    writes: bool,
    given: Position,
    /// What was given to the disk.
    ops: Vec<Op>,
    /// The newest round that each other node was sent.
    rounds: BTreeMap<NodeId, Round>,
}

impl Node {
    /// Node 1 of a cluster of so many, in this term, with entries of these terms in its log.
    fn new(size: u64, term: Term, log: &[Term]) -> Self {
        Self::with(options(1, size), restored(term, log))
    }

    fn with(options: Options, restored: Restored) -> Self {
        let core = Core::new(options, restored, Time(0));
        let rounds = BTreeMap::new();
        Self { core, now: Time(0), writes: true, given: 0, ops: Vec::new(), rounds }
    }

    /// One step, and the writes to the disk that it asks for.
    fn step(&mut self, input: Input) -> Effects {
        let mut effects = self.core.step(self.now, input);
        self.note(&effects);
        if effects.persist.is_some() && self.writes {
            let more = self.write();
            effects.requests.extend(more.requests);
            effects.replies.extend(more.replies);
            effects.events.extend(more.events);
            effects.reads.extend(more.reads);
        }
        effects
    }

    /// The disk writes all that it was given.
    fn write(&mut self) -> Effects {
        let mut effects = Effects::default();
        let mut written = 0;
        while written < self.given {
            written = self.given;
            let more = self.core.step(self.now, Input::Durable(written));
            self.note(&more);
            effects.requests.extend(more.requests);
            effects.replies.extend(more.replies);
            effects.events.extend(more.events);
            effects.reads.extend(more.reads);
        }
        effects
    }

    fn note(&mut self, effects: &Effects) {
        if let Some(persist) = &effects.persist {
            self.given = persist.position;
            self.ops.extend(persist.ops.iter().cloned());
        }
        for (to, request) in &effects.requests {
            if let Sent::Append(_, round) | Sent::Snapshot(_, round) = request.sent() {
                self.rounds.insert(*to, round);
            }
        }
    }

    /// What the node answers at once.
    fn ask(&mut self, from: NodeId, request: Request) -> Option<Reply> {
        let effects = self.step(Input::Request { from, token: 7, request });
        effects.replies.into_iter().next().map(|(_, reply)| reply)
    }

    fn answer(&mut self, from: NodeId, reply: Reply) -> Effects {
        self.step(Input::Reply { from, reply })
    }

    /// Whether the node gives its vote.
    fn votes(&mut self, from: NodeId, args: VoteArgs) -> bool {
        match self.ask(from, Request::Vote(args)) {
            Some(Reply::Vote(reply)) => reply.granted,
            other => panic!("{other:?}"),
        }
    }

    /// What the node makes of entries.
    fn appends(&mut self, from: NodeId, args: AppendEntriesArgs) -> AppendOutcome {
        match self.ask(from, Request::Append(args)) {
            Some(Reply::Append(reply)) => reply.outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Another node acknowledges the newest message.
    fn matched(&mut self, from: NodeId, index: Index) -> Effects {
        let round = self.rounds[&from];
        let outcome = AppendOutcome::Matched(index);
        self.answer(
            from,
            Reply::Append(AppendEntriesReply { term: self.core.term(), round, outcome, digest: None }),
        )
    }

    /// The next deadline comes.
    fn time_out(&mut self) -> Effects {
        self.now = self.now.max(self.core.next_deadline());
        self.step(Input::Timeout)
    }

    fn wait(&mut self, us: u64) {
        self.now = self.now.after_us(us);
    }

    /// Becomes a candidate of the next term, since node 2, 3 and so on would vote for it.
    fn campaign(&mut self) -> Effects {
        let term = self.core.term() + 1;
        let mut effects = self.time_out();
        for id in 2..=self.core.membership().nodes().len() as NodeId {
            if self.core.role() == Role::PreCandidate {
                effects = self.answer(id, Reply::PreVote(VoteReply { term, granted: true }));
            }
        }
        assert_eq!(self.core.term(), term);
        effects
    }

    /// Becomes the leader of the next term.
    fn lead(&mut self) -> Effects {
        let mut effects = self.campaign();
        let term = self.core.term();
        for id in 2..=self.core.membership().nodes().len() as NodeId {
            if self.core.role() == Role::Candidate {
                effects = self.answer(id, Reply::Vote(VoteReply { term, granted: true }));
            }
        }
        assert_eq!((self.core.role(), self.core.term()), (Role::Leader, term));
        effects
    }

    /// The terms of the entries in the log.
    fn log(&self) -> Vec<Term> {
        let indexes = self.core.base_index() + 1..=self.core.last_index();
        indexes.map(|index| self.core.entry(index).unwrap().term).collect()
    }
}

/// The usual settings, but that nothing waits for company.
fn options(id: NodeId, size: u64) -> Options {
    let options = Options::new(id, Membership::of(1..=size), id);
    bugs::seeded(Options { company_entries: 0, ..options })
}

fn restored(term: Term, log: &[Term]) -> Restored {
    Restored { term, entries: entries(log), ..Restored::default() }
}

fn entries(terms: &[Term]) -> Vec<Entry> {
    terms.iter().map(|term| Entry { term: *term, payload: Payload::Blank }).collect()
}

/// Entries of these terms after `(index, term)`.
fn append(term: Term, after: (Index, Term), new: &[Term], commit: Index) -> AppendEntriesArgs {
    let (prev_index, prev_term) = after;
    AppendEntriesArgs { term, round: 1, prev_index, prev_term, entries: entries(new), commit, delay: None }
}

/// A candidate whose log ends at `(index, term)`.
fn candidate(term: Term, last: (Index, Term)) -> VoteArgs {
    VoteArgs { term, last_index: last.0, last_term: last.1, transfer: false }
}

fn appends_to(effects: &Effects, node: NodeId) -> Vec<&AppendEntriesArgs> {
    let to_node = effects.requests.iter().filter(|(to, _)| *to == node);
    to_node
        .filter_map(|(_, request)| if let Request::Append(args) = request { Some(args) } else { None })
        .collect()
}
